//! What people say to us in chat and in comments on changes, answered where they said it.

use super::App;
use super::channels::Ear;
use super::commands::{Commander, CommandsError, Person};
use super::tell;
use crate::note::chat::irc::{Incoming, IrcHandle};
use crate::note::chat::matrix::listen;
use crate::note::{Bell, Then, Voice};
use crate::state::Role;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What rooms of Matrix are called as the place of a person.
const MATRIX: &str = "matrix";
/// How often it is looked whether it is this process that answers.
const TURN: Duration = Duration::from_secs(1);
/// How often an answer is tried, and the longest wait before it is tried again.
const TRIES: u32 = 5;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Who answers, with what is in force now; another run is asked for in the name of `voices`.
pub(super) fn commander(
    app: &Arc<App>,
    voices: Vec<Voice>,
) -> Result<Arc<Commander>, CommandsError> {
    let engine = app.engine.clone();
    let rules = Box::new(move || engine.rules());
    let made = Commander::new(&app.config, app.state.clone(), rules)?;
    Ok(Arc::new(made.speaking(tell::speaker(&app.config, voices)?)))
}

/// Answers on one server of IRC until it is stopped; where several processes are in the channels, the
/// one that also says the notes.
pub(super) async fn irc(
    app: Arc<App>,
    handle: IrcHandle,
    commander: Arc<Commander>,
    bell: Bell,
    stop: CancellationToken,
) {
    loop {
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = handle.hear() => heard,
        };
        let Some(heard) = heard else { return };
        // A word to us alone is heard by one process only.
        if heard.channel.is_some() && !app.state.holds(Role::Sender) {
            continue;
        }
        let (channel, nick) = (heard.channel.clone(), heard.nick.clone());
        let Incoming { account, text, .. } = heard;
        let person = Person {
            place: handle.host().to_owned(),
            nick: heard.nick,
            account,
        };
        let Some(answer) = in_chat(&commander, person, text, &bell).await else {
            continue;
        };
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        let said = match &channel {
            Some(channel) => {
                let text = lines(&format!("{nick}: {answer}"));
                handle.say_lines(channel, text).await
            }
            None => handle.say_to(&nick, lines(&answer)).await,
        };
        if let Err(error) = said {
            tracing::warn!(channel, nick, %error, "an answer was not said");
        }
    }
}

/// Answers in the rooms of one account of Matrix until it is stopped. How far they were heard is kept:
/// what is said while nobody listens is answered later, and nothing twice.
pub(super) async fn matrix(
    app: Arc<App>,
    ear: Ear,
    commander: Arc<Commander>,
    bell: Bell,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        if app.state.holds(Role::Sender) {
            hear_rooms(&app, &ear, &commander, &bell, &stop).await;
        }
        super::service::wait(&stop, TURN).await;
    }
}

/// Hears and answers as long as it is this process that does.
async fn hear_rooms(
    app: &Arc<App>,
    ear: &Ear,
    commander: &Arc<Commander>,
    bell: &Bell,
    stop: &CancellationToken,
) {
    let mut since = match heard_up_to(app, ear).await {
        Ok(since) => since,
        Err(error) => return tracing::error!(error, "it is not known how far rooms were heard"),
    };
    let (out, mut heard) = mpsc::channel(1);
    let mine = stop.child_token();
    let _end = mine.clone().drop_guard();
    let (matrix, rooms) = (ear.matrix.clone(), ear.rooms.clone());
    tokio::spawn(listen(
        matrix,
        MATRIX.into(),
        rooms,
        since.clone(),
        out,
        mine,
    ));
    while let Some(one) = heard.recv().await {
        if !app.state.holds(Role::Sender) {
            return;
        }
        for said in one.said {
            let person = Person {
                place: MATRIX.into(),
                nick: said.sender.clone(),
                account: Some(said.sender),
            };
            if let Some(answer) = in_chat(commander, person, said.text, bell).await {
                answer_in_room(ear, &said.channel, &said.event, &answer, stop).await;
            }
        }
        if since.as_ref() == Some(&one.since) {
            continue;
        }
        since = Some(one.since.clone());
        if let Err(error) = keep_heard(app, ear, one.since).await {
            tracing::error!(error, "how far rooms were heard could not be kept");
        }
    }
}

async fn heard_up_to(app: &Arc<App>, ear: &Ear) -> Result<Option<String>, String> {
    let (state, name) = (app.state.clone(), ear.name.clone());
    let found = tokio::task::spawn_blocking(move || state.mark(&name)).await;
    found.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

async fn keep_heard(app: &Arc<App>, ear: &Ear, since: String) -> Result<(), String> {
    let (state, name) = (app.state.clone(), ear.name.clone());
    let kept = tokio::task::spawn_blocking(move || {
        state.announce(&[], Some((&name, &since)), Timestamp::now())
    });
    let kept = kept.await.map_err(|e| e.to_string())?;
    kept.map(drop).map_err(|e| e.to_string())
}

/// Says an answer, trying again while the server is away for a moment.
async fn answer_in_room(
    ear: &Ear,
    room: &str,
    event: &str,
    answer: &str,
    stop: &CancellationToken,
) {
    let mut pause = Duration::from_secs(1);
    for _ in 0..TRIES {
        let Err(refusal) = ear.matrix.answer(room, event, answer).await else {
            return;
        };
        tracing::warn!(room, error = %refusal.error, "an answer was not said");
        let wish = match refusal.then {
            Then::Again(wish) | Then::Rest(wish) => wish,
            Then::Park | Then::Drop => return,
        };
        let wait = wish.unwrap_or_default().clamp(pause, LONGEST_WAIT);
        if super::service::wait(stop, wait).await {
            return;
        }
        pause *= 2;
    }
}

/// What is answered to a line that was said to us.
async fn in_chat(
    commander: &Arc<Commander>,
    person: Person,
    text: String,
    bell: &Bell,
) -> Option<String> {
    let commander = commander.clone();
    let done = tokio::task::spawn_blocking(move || {
        commander.in_chat(&person, &text, true, Timestamp::now())
    });
    let answer = match done.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::error!(%error, "a command could not be done");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a command could not be done");
            None
        }
    };
    // It may have asked for another run.
    bell.ring();
    answer
}
