//! Notes: what is said of a patchset, and their way to targets that are not always well.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

mod events;
mod hush;
mod outbox;
mod words;

use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use whorl::event::{BugRef, Build, Evidence, Match, Verdict};
use whorl::note::{Hears, Markup, Speaker, Voice, Wording};
use whorl::state::{Age, Note, NoteFilter, NoteState, State, VerdictRecord};

/// A state and who speaks to its outbox.
struct Place {
    _folder: tempfile::TempDir,
    state: Arc<State>,
    speaker: Speaker,
}

impl Place {
    fn new(voices: &[(&str, Hears)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let voice = |(name, hears): &(&str, Hears)| Voice {
            target: (*name).to_owned(),
            hears: *hears,
            markup: Markup::Plain,
            route: None,
        };
        let voices = voices.iter().map(voice).collect();
        let wording = Wording::new(None).unwrap();
        Self {
            state: Arc::new(State::open(folder.path().join("state.db")).unwrap()),
            speaker: Speaker::new(wording, voices, "https://whorl.example/", true),
            _folder: folder,
        }
    }

    /// Records a verdict with what is to be said of it.
    fn verdict(&self, build: &Build, verdict: Verdict, matches: &[Match]) {
        self.verdict_of(build, verdict, matches, Age::News);
    }

    fn verdict_of(&self, build: &Build, verdict: Verdict, matches: &[Match], age: Age) {
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
        let kept = self.state.record_verdict_of(
            generation,
            &record,
            &|around| self.speaker.notes(build, verdict, matches, around),
            age,
        );
        assert!(kept.unwrap());
    }

    fn notes(&self) -> Vec<Note> {
        let mut all = self.state.notes(&NoteFilter::default()).unwrap().items;
        all.reverse();
        all
    }

    /// Waits until the only note is in `wanted`.
    async fn until(&self, wanted: NoteState) -> Note {
        self.until_all(1, wanted).await.remove(0)
    }

    /// Waits until there are so many notes and all are in `wanted`.
    async fn until_all(&self, count: usize, wanted: NoteState) -> Vec<Note> {
        let poll = async {
            loop {
                let notes = self.notes();
                if notes.len() == count && notes.iter().all(|note| note.state == wanted) {
                    return notes;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), poll)
            .await
            .unwrap()
    }
}

fn build(uuid: &str, job: &str, patchset: &str) -> Build {
    Build {
        job: Some(job.into()),
        project: Some("openstack/nova".into()),
        change: Some("1234".into()),
        patchset: Some(patchset.into()),
        result: Some("FAILURE".into()),
        finished: Some(Timestamp::now()),
        ..Build::new(uuid)
    }
}

fn found(id: &str, title: &str) -> Match {
    Match {
        fingerprint: id.into(),
        title: title.into(),
        bug: BugRef {
            name: format!("launchpad:{id}"),
            url: Some(format!("https://bugs.launchpad.net/bugs/{id}")),
        },
        hits: 3,
        evidence: vec![Evidence {
            file: "logs/a b/job-output.txt".into(),
            line: 7,
            offset: 90,
            excerpt: "Traceback:\n  `x` SecurityGroupNotFound: 5".into(),
            spans: vec![(17, 38)],
        }],
        advice: Some("Recheck;\nthe fix is under review.".into()),
        category: None,
        returned: false,
        quiet: false,
    }
}
