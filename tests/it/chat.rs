//! Notes to chat: strict fakes of what Slack, Mattermost and Discord document, and a real Synapse.

pub(crate) mod fake;
mod faults;
pub(crate) mod hook;
mod matrix;
mod matrix_fake;
mod service;
mod slack;
mod slack_fake;

use whorl::note::{Refusal, Said, Target};
use whorl::state::{Manner, Note, NoteState};

/// A note that was made just now.
pub(crate) fn note(id: i64, text: &str) -> Note {
    let now = jiff::Timestamp::now();
    Note {
        id,
        build: Some("u1".into()),
        manner: Manner::Follow,
        target: "chat".into(),
        topic: format!("build:u{id}"),
        generation: 1,
        remote: None,
        kind: "known-bug".into(),
        text: text.into(),
        json: serde_json::json!({"page": "https://whorl.example/builds/u1"}),
        state: NoteState::Due,
        attempts: 0,
        created_at: now,
        next_try: now,
        delivered_at: None,
        error: None,
    }
}

/// What is wanted of the note has changed.
pub(crate) fn changed(note: &Note, text: &str, remote: Option<&str>) -> Note {
    Note {
        generation: note.generation + 1,
        remote: remote.map(str::to_owned),
        text: text.into(),
        ..note.clone()
    }
}

/// The note after a try in vain.
pub(crate) fn tried(note: &Note) -> Note {
    Note {
        attempts: note.attempts + 1,
        ..note.clone()
    }
}

pub(crate) async fn say(target: &dyn Target, note: &Note) -> Result<Said, Refusal> {
    target.say(note).await
}
