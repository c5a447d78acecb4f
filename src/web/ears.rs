//! What people say to us in chat, answered where they said it.

use super::App;
use super::commands::{Commander, CommandsError, Person};
use crate::note::chat::irc::{Incoming, IrcHandle};
use jiff::Timestamp;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Who answers, with what is in force now.
pub(super) fn commander(app: &Arc<App>) -> Result<Arc<Commander>, CommandsError> {
    let engine = app.engine.clone();
    let rules = Box::new(move || engine.rules());
    let made = Commander::new(&app.config, app.state.clone(), rules)?;
    Ok(Arc::new(made))
}

/// Answers on one server of IRC until it is stopped.
pub(super) async fn irc(handle: IrcHandle, commander: Arc<Commander>, stop: CancellationToken) {
    loop {
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = handle.hear() => heard,
        };
        let Some(heard) = heard else { return };
        // A word to us alone has no channel to answer in.
        let Some(channel) = heard.channel.clone() else {
            continue;
        };
        let Some(answer) = answer(&handle.server(), heard, commander.clone()).await else {
            continue;
        };
        let lines = answer.lines().map(str::to_owned).collect();
        if let Err(error) = handle.say_lines(&channel, lines).await {
            tracing::warn!(channel, %error, "an answer was not said");
        }
    }
}

async fn answer(place: &str, heard: Incoming, commander: Arc<Commander>) -> Option<String> {
    let person = Person {
        place: place.to_owned(),
        nick: heard.nick,
        account: heard.account,
    };
    let text = heard.text;
    let done = tokio::task::spawn_blocking(move || {
        commander.in_chat(&person, &text, true, Timestamp::now())
    });
    match done.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::error!(%error, "a command could not be done");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a command could not be done");
            None
        }
    }
}
