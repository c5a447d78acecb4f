//! How often a note is said when targets and the state fail: what is guaranteed, by kind of target.

use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use whorl::chance::{Plan, Rates, Record};
use whorl::chaos::driver::ChaoticTarget;
use whorl::note::{Bell, Lane, Outbox, Patience, Said, Saying, Target, marker};
use whorl::state::{Manner, NewNote, Note, NoteFilter, NoteState, State};

const NOTES: usize = 60;

/// Writes down every line that is said, as a channel does.
#[derive(Debug, Default)]
struct Channel(Mutex<Vec<String>>);

impl Target for Channel {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        self.0.lock().unwrap().push(note.topic.clone());
        Box::pin(async { Ok(Said::default()) })
    }
}

/// Looks for the marker before it writes, as reviews are written.
#[derive(Debug, Default)]
struct Review(Mutex<Vec<String>>);

impl Target for Review {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        let wanted = marker(&note.topic, note.generation, &note.kind);
        let mut comments = self.0.lock().unwrap();
        if !comments.iter().any(|text| text.ends_with(&wanted)) {
            comments.push(note.text.clone());
        }
        Box::pin(async { Ok(Said::default()) })
    }
}

struct Ran {
    plan: Arc<Plan>,
    state: Arc<State>,
    _folder: tempfile::TempDir,
}

impl Ran {
    fn after(&self, name: &str) -> u64 {
        let tally = self.plan.tally();
        tally
            .iter()
            .filter(|s| s.site == name)
            .map(|s| s.after)
            .sum()
    }
}

/// Says notes until all are said.
async fn say(target: Arc<dyn Target>, manner: Manner, at_once: usize, seed: u64) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let rates = [("note".to_owned(), 0.3), ("state".to_owned(), 0.3)];
    let rates = Rates::new(0.0, rates.into()).unwrap();
    let plan = Arc::new(Plan::new(seed, rates, "test", Record::nowhere()));
    let state = State::open(folder.path().join("state.db")).unwrap();
    state
        .enqueue_notes(&notes(manner), Timestamp::now())
        .unwrap();
    let state = Arc::new(state.failing(plan.clone()));
    let lane = Lane {
        name: "target".into(),
        target: Some(Arc::new(ChaoticTarget::new(target, 0, &plan))),
        patience: Patience {
            max_attempts: 1000,
            first_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(5),
        },
        at_once,
        restraint: None,
    };
    let (bell, stop) = (Bell::default(), CancellationToken::new());
    let outbox = Outbox::new(vec![lane], bell.clone());
    let running = tokio::spawn(outbox.run(state.clone(), stop.clone()));
    let begun = Instant::now();
    while said(&state) < NOTES as u64 {
        assert!(
            begun.elapsed() < Duration::from_secs(90),
            "{}",
            said(&state)
        );
        bell.ring();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    running.await.unwrap();
    Ran {
        plan,
        state,
        _folder: folder,
    }
}

fn notes(manner: Manner) -> Vec<NewNote> {
    let one = |n: usize| NewNote {
        target: "target".into(),
        topic: format!("build/b{n}/known-bug"),
        manner,
        kind: "known-bug".into(),
        text: format!("About b{n}"),
        json: json!({}),
    };
    (0..NOTES).map(one).collect()
}

/// Notes that are recorded as said; the look itself may fail.
fn said(state: &State) -> u64 {
    let filter = NoteFilter {
        state: Some(NoteState::Delivered),
        ..NoteFilter::default()
    };
    state.notes(&filter).map_or(0, |page| page.total)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_found_again_is_said_once() {
    let review = Arc::new(Review::default());
    let ran = say(review.clone(), Manner::Follow, 8, 11).await;
    assert!(ran.after("note.say") > 3, "{:?}", ran.plan.tally());
    assert!(ran.after("state.change_note") > 3, "{:?}", ran.plan.tally());
    assert_eq!(review.0.lock().unwrap().len(), NOTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_hears_again_only_what_it_says_it_has_not_heard() {
    let channel = Arc::new(Channel::default());
    let ran = say(channel.clone(), Manner::Once, 1, 12).await;
    let mut heard: BTreeMap<String, u64> = BTreeMap::new();
    for topic in channel.0.lock().unwrap().iter() {
        *heard.entry(topic.clone()).or_default() += 1;
    }
    assert_eq!(heard.len(), NOTES, "nothing is lost");
    // One more for each answer that was lost, and none for what the state failed to record.
    let more: u64 = heard.values().map(|count| count - 1).sum();
    assert!(more > 3, "{more}");
    assert_eq!(more, ran.after("note.say"));
    assert!(ran.state.plan().is_some());
}
