//! The road from a verdict over the outbox to the change.

use super::fake::Fake;
use super::github::by_app;
use super::hub::{Hub, REPOSITORY, SHA};
use super::{HOSTILE, TIMEOUT, gerrit};
use crate::proxy::{Fault, Proxy};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use whorl::event::{BugRef, Build, Evidence, Match, Verdict};
use whorl::note::review::{Gerrit, GerritSettings};
use whorl::note::{Bell, Hears, Lane, Markup, Outbox, Patience, Speaker, Target, Voice, Wording};
use whorl::state::{Age, Note, NoteFilter, NoteState, State, VerdictRecord};

/// A state, who speaks to its outbox, and who takes the notes from there.
struct Road {
    _folder: tempfile::TempDir,
    state: Arc<State>,
    speaker: Speaker,
    bell: Bell,
    stop: CancellationToken,
}

impl Drop for Road {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Road {
    fn to(target: Arc<dyn Target>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(State::open(folder.path().join("state.db")).unwrap());
        let (bell, stop) = (Bell::default(), CancellationToken::new());
        let lane = Lane {
            name: "review".into(),
            target: Some(target),
            patience: Patience {
                max_attempts: 50,
                first_delay: Duration::from_millis(5),
                max_delay: Duration::from_millis(50),
            },
            at_once: 4,
            restraint: None,
        };
        tokio::spawn(Outbox::new(vec![lane], bell.clone()).run(state.clone(), stop.clone()));
        let voice = Voice {
            target: "review".into(),
            hears: Hears::Patchsets,
            markup: Markup::Plain,
            route: None,
        };
        let wording = Wording::new(None).unwrap();
        Self {
            _folder: folder,
            state,
            speaker: Speaker::new(wording, vec![voice], "https://whorl.example/", true),
            bell,
            stop,
        }
    }

    /// Records a verdict and waits until all that follows from it was said.
    async fn verdict(&self, build: &Build, verdict: Verdict, matches: &[Match]) -> Vec<Note> {
        self.state.put_build(build).unwrap();
        let generation = self.state.job(&build.uuid).unwrap().unwrap().generation;
        let record = VerdictRecord {
            uuid: build.uuid.clone(),
            verdict,
            rules_version: "v".into(),
            at: Timestamp::now(),
            matches: matches.to_vec(),
            problems: Vec::new(),
        };
        let compose = |around: &_| self.speaker.notes(build, verdict, matches, around);
        let kept = self
            .state
            .record_verdict_of(generation, &record, &compose, Age::News);
        assert!(kept.unwrap());
        self.bell.ring();
        let said = async {
            loop {
                let notes = self.state.notes(&NoteFilter::default()).unwrap().items;
                if notes.iter().all(|note| note.state != NoteState::Due) {
                    return notes;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), said).await;
        waited.expect("a note stays due")
    }
}

fn build(uuid: &str, job: &str, place: (&str, &str, &str)) -> Build {
    Build {
        job: Some(job.into()),
        project: Some(place.0.into()),
        change: Some(place.1.into()),
        patchset: Some(place.2.into()),
        result: Some("FAILURE".into()),
        finished: Some(Timestamp::now()),
        ..Build::new(uuid)
    }
}

fn found() -> Match {
    Match {
        fingerprint: "1182131".into(),
        title: format!("Security group race {HOSTILE}"),
        bug: BugRef {
            name: "launchpad:1182131".into(),
            url: Some("https://bugs.launchpad.net/bugs/1182131".into()),
        },
        hits: 3,
        evidence: vec![Evidence {
            file: "logs/job-output.txt".into(),
            line: 7,
            offset: 0,
            excerpt: HOSTILE.into(),
            spans: vec![(0, 9)],
        }],
        advice: Some("Recheck;\nthe fix is under review.".into()),
        category: None,
        returned: false,
        quiet: false,
    }
}

fn delivered(notes: &[Note]) -> usize {
    let said = |note: &&Note| note.state == NoteState::Delivered;
    notes.iter().filter(said).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_has_one_comment_for_each_head() {
    let fake = Fake::start(Hub::new).await;
    let proxy = Proxy::to(&fake.url);
    // Some of all that can go wrong, all the time.
    let faults = [
        Fault::Refuse,
        Fault::Lose,
        Fault::Cut,
        Fault::Status(502, None),
    ];
    proxy.storm(&faults, 10, 5);
    let road = Road::to(Arc::new(by_app(&proxy.url())));
    let of = |uuid: &str, job: &str, sha: &str| build(uuid, job, (REPOSITORY, "7", sha));
    road.verdict(&of("u1", "unit", SHA), Verdict::Matched, &[found()])
        .await;
    road.verdict(&of("u2", "lint", SHA), Verdict::Unmatched, &[])
        .await;
    let bodies = || -> Vec<String> {
        let hub = fake.service.lock().unwrap();
        let body = |one: &Value| one["body"].as_str().unwrap().replace('\u{200b}', "[zw]");
        hub.comments.iter().map(body).collect()
    };
    insta::assert_snapshot!("comment", bodies().join("\n====\n"));
    let next = "f".repeat(40);
    fake.service.lock().unwrap().pull["head"]["sha"] = json!(next);
    let notes = road
        .verdict(&of("u3", "unit", &next), Verdict::Matched, &[found()])
        .await;
    assert_eq!(delivered(&notes), 2, "{notes:?}");
    let all = bodies();
    assert_eq!(all.len(), 2);
    assert!(all[0].starts_with("<details>"), "{}", all[0]);
    assert!(
        all[1].starts_with("unit failed because of a known bug."),
        "{}",
        all[1]
    );
    assert!(!proxy.done().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_has_what_became_known_of_it() {
    let Some(url) = gerrit::server() else { return };
    let _running = gerrit::SERVER.read().await;
    let change = gerrit::Change::push(&url).await;
    let proxy = Proxy::to(&url);
    proxy.storm(
        &[
            Fault::Refuse,
            Fault::Lose,
            Fault::Cut,
            Fault::Status(502, None),
        ],
        20,
        9,
    );
    let target = Gerrit::new(GerritSettings {
        timeout: 20 * TIMEOUT,
        ..gerrit::settings(&proxy.url())
    });
    let road = Road::to(Arc::new(target.unwrap()));
    let of = |uuid: &str, job: &str, patchset: &str| {
        build(uuid, job, (&change.project, &change.number, patchset))
    };
    road.verdict(&of("u1", "unit", "1"), Verdict::Matched, &[found()])
        .await;
    assert_eq!(change.vote().await, 1);
    road.verdict(&of("u2", "lint", "1"), Verdict::Unmatched, &[])
        .await;
    assert_eq!(change.vote().await, -1);
    assert_eq!(change.messages().await.len(), 2);
    change.patchset("second");
    // A job of the first one ends late: nothing is said of it.
    let notes = road
        .verdict(&of("u3", "docs", "1"), Verdict::Matched, &[found()])
        .await;
    assert!(
        notes.iter().all(|note| note.state != NoteState::Parked),
        "{notes:?}"
    );
    road.verdict(&of("u4", "unit", "2"), Verdict::Matched, &[found()])
        .await;
    let said = change.messages().await;
    assert_eq!(said.len(), 3);
    assert_eq!(said[2]["_revision_number"], 2);
    let text = said[1]["message"].as_str().unwrap();
    let text = text
        .replace(&change.project, "PROJECT")
        .replace(&format!("={}", change.number), "=CHANGE");
    let text = text.replace(&format!("/{},", change.number), "/CHANGE,");
    insta::assert_snapshot!("message", text);
}
