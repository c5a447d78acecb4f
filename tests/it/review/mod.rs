//! Notes on code review: a real Gerrit, strict fakes of the others, and faults on the way to each.

pub(crate) mod fake;
pub(crate) mod gerrit;
mod github;
mod gitlab;
pub(crate) mod hub;
pub(crate) mod lab;
mod road;

use serde_json::json;
use std::time::Duration;
use whorl::note::{Refusal, Said, Target, Then};
use whorl::state::{Manner, Note, NoteState};

/// How long one request may take in these tests: a hanging server is to be given up.
const TIMEOUT: Duration = Duration::from_millis(400);

/// Text as a hostile log may have it.
const HOSTILE: &str = "@everyone fixes #1 <!-- --> </details> /close `x`";

/// A note about one patchset, as the outbox hands it out.
fn note(project: &str, change: &str, patchset: &str, generation: u64) -> Note {
    let topic = format!("{project}/{change}/{patchset}");
    let marker = json!({"topic": topic, "generation": generation, "builds": ["u1"]});
    let quoted = HOSTILE.replace('`', "'");
    let text = format!(
        "All 1 failed builds are known (say {generation}).\n\n\
         - gate-full (FAILURE): launchpad:1182131 <https://bugs.example/1182131>: Race {HOSTILE}\n  \
           job-output.txt:7: `{quoted}`\n  What to do: Recheck.\n\n\
         More: https://whorl.example/changes/1\n\nwhorl-note: {marker}\n"
    );
    let now = jiff::Timestamp::now();
    Note {
        id: 1,
        build: Some("u1".into()),
        manner: Manner::Follow,
        target: "review".into(),
        topic,
        generation,
        remote: None,
        kind: "known".into(),
        text,
        json: json!({
            "project": project, "change": change, "patchset": patchset, "branch": "master",
            "page": "https://whorl.example/changes/1", "marker": marker,
            "builds": [{
                "uuid": "u1", "job": "gate-full", "result": "FAILURE", "voting": true,
                "verdict": "matched", "page": "https://whorl.example/builds/u1",
                "bugs": [{
                    "fingerprint": "1182131", "title": "Race", "hits": 1,
                    "bug": {"name": "launchpad:1182131", "url": "https://bugs.example/1182131"},
                    "evidence": [{"file": "job-output.txt", "line": 7, "excerpt": HOSTILE}],
                }],
            }],
        }),
        state: NoteState::Due,
        attempts: 0,
        created_at: now,
        next_try: now,
        delivered_at: None,
        error: None,
    }
}

/// The same note as another kind, one generation on.
fn turned(note: &Note, kind: &str) -> Note {
    let generation = note.generation + 1;
    let text = format!("Turned to {kind}.\n\nwhorl-note: {{}}\n");
    let mut json = note.json.clone();
    json["marker"] = json!({});
    Note {
        kind: kind.into(),
        generation,
        text,
        json,
        ..note.clone()
    }
}

/// As the outbox does: again and again while it may, and never what waits for a person.
async fn until_said(target: &dyn Target, note: &Note) -> Said {
    let mut last = None;
    for _ in 0..60 {
        match target.say(note).await {
            Ok(said) => return said,
            Err(refusal) => {
                let again = matches!(refusal.then, Then::Again(_) | Then::Rest(_));
                assert!(again, "{refusal:?}");
                last = Some(refusal);
            }
        }
    }
    panic!("never said: {last:?}");
}

async fn refused(target: &dyn Target, note: &Note) -> Refusal {
    target.say(note).await.unwrap_err()
}
