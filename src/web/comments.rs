//! What people say to us in comments on changes: done, and answered by a comment on the change.
//!
//! An answer goes through the outbox like every note: it is found again by its marker before it is
//! written, and by the same marker nobody takes it for a command.

use super::App;
use super::commands::Commander;
use crate::config::Config;
use crate::note::{Bell, Voice};
use crate::source::{Said, digest};
use crate::state::{Manner, NewNote};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Does what comments ask for and answers them, until it is stopped.
pub(super) async fn answer(
    app: Arc<App>,
    mut said: mpsc::Receiver<Said>,
    commander: Arc<Commander>,
    voices: Vec<Voice>,
    bell: Bell,
    stop: CancellationToken,
) {
    loop {
        let one = tokio::select! {
            () = stop.cancelled() => return,
            one = said.recv() => one,
        };
        let Some(one) = one else { return };
        if is_ours(&app.config, &one) {
            continue;
        }
        let target = target(&app.config, &voices, &one);
        let (work, commander) = (app.clone(), commander.clone());
        let done = tokio::task::spawn_blocking(move || {
            let answers = commander.in_review(&one, Timestamp::now())?;
            match (target, answers.is_empty()) {
                (_, true) => Ok(()),
                (None, false) => {
                    tracing::info!(
                        source = one.source,
                        "a comment is not answered: no review target"
                    );
                    Ok(())
                }
                (Some(target), false) => {
                    let note = note(target, &one, &answers);
                    work.state.enqueue_notes(&[note], Timestamp::now())
                }
            }
        });
        match done.await {
            Ok(Ok(())) => bell.ring(),
            Ok(Err(error)) => tracing::error!(%error, "a comment could not be dealt with"),
            Err(error) => tracing::error!(%error, "a comment could not be dealt with"),
        }
    }
}

/// The forge that a source hears, by the name of its target.
fn forge(config: &Config, source: &str) -> Option<&'static str> {
    let of = &config.sources;
    if of.gerrit.iter().any(|one| one.name == source) {
        return Some("gerrit");
    }
    if of.github.iter().any(|one| one.name == source) {
        return Some("github");
    }
    let gitlab = of.gitlab.iter().any(|one| one.name == source);
    gitlab.then_some("gitlab")
}

/// Where a comment is answered.
fn target(config: &Config, voices: &[Voice], said: &Said) -> Option<String> {
    let forge = forge(config, &said.source)?;
    let mut hearing = voices
        .iter()
        .filter(|voice| voice.hears_review(&said.project));
    let voice = hearing.find(|voice| voice.target == forge)?;
    Some(voice.target.clone())
}

/// True for what the account wrote by which we speak; what has our marker is left out elsewhere.
fn is_ours(config: &Config, said: &Said) -> bool {
    let review = &config.notes.review;
    let own = match forge(config, &said.source) {
        Some("gerrit") => review.gerrit.as_ref().map(|at| at.user.as_str()),
        Some("github") => review.github.as_ref().and_then(|at| at.login.as_deref()),
        _ => None,
    };
    own.is_some_and(|own| own.eq_ignore_ascii_case(&said.author))
}

fn note(target: String, said: &Said, answers: &[String]) -> NewNote {
    let at = said.at.to_string();
    let mut id = digest(&[&said.source, &said.author, &at, &said.text]);
    id.truncate(16);
    let topic = format!("answer/{}/{}/{id}", said.change, said.project);
    NewNote {
        target,
        manner: Manner::Once,
        kind: "answer".into(),
        // On a busy change it is to be seen whom it is for.
        text: format!("{}: {}", said.author, answers.join("\n\n")),
        json: json!({"topic": topic, "project": said.project, "change": said.change}),
        topic,
    }
}
