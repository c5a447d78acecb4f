//! From the outbox to targets: once, in order, none for another.

use super::{Place, build, found};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use whorl::event::Verdict;
use whorl::note::route::{Pace, Quiet};
use whorl::note::webhook::{self, Webhook};
use whorl::note::{
    Bell, Hears, Lane, Outbox, Patience, Refusal, Restraint, Said, Saying, Target, Then, marker,
};
use whorl::state::NoteState::{self, Delivered, Parked, Superseded};
use whorl::state::{Age, Manner, NewNote, Note};

/// Fast enough for a test.
fn patience() -> Patience {
    Patience {
        max_attempts: 3,
        first_delay: Duration::from_millis(5),
        max_delay: Duration::from_millis(20),
    }
}

/// One try: the text, and what the target was told to say.
type Heard = (Note, Result<Said, Refusal>);

/// A target that does as it is told, and remembers.
#[derive(Debug, Default)]
struct Scripted {
    /// Answers that are given first.
    answers: Mutex<Vec<Result<Said, Refusal>>>,
    /// What it does with a note of this text, whatever the answers say.
    always: BTreeMap<String, Then>,
    hangs: bool,
    heard: Mutex<Vec<Heard>>,
}

impl Scripted {
    fn answering(answers: Vec<Result<Said, Refusal>>) -> Self {
        Self {
            answers: Mutex::new(answers),
            ..Self::default()
        }
    }

    fn texts(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        heard.iter().map(|(note, _)| first(&note.text)).collect()
    }
}

impl Target for Scripted {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(async move {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            let mut answers = self.answers.lock().unwrap();
            let answer = match self.always.get(&note.text) {
                Some(then) => Err(Refusal {
                    error: "never".into(),
                    then: *then,
                }),
                None if answers.is_empty() => Ok(Said {
                    remote: Some(format!("remote {}", note.generation)),
                }),
                None => answers.remove(0),
            };
            let said = (note.clone(), answer.clone());
            self.heard.lock().unwrap().push(said);
            answer
        })
    }
}

struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    bell: Bell,
}

fn serve(place: &Place, lanes: Vec<Lane>) -> Running {
    let (stop, bell) = (CancellationToken::new(), Bell::default());
    let outbox = Outbox::new(lanes, bell.clone());
    let task = tokio::spawn(outbox.run(place.state.clone(), stop.clone()));
    Running { stop, task, bell }
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn lane(name: &str, target: &Arc<Scripted>, at_once: usize) -> Lane {
    Lane {
        name: name.into(),
        target: Some(target.clone()),
        patience: patience(),
        at_once,
        restraint: None,
    }
}

/// A note that belongs to no build.
fn plain(target: &str, n: usize) -> NewNote {
    NewNote {
        target: target.into(),
        topic: format!("digest/{n}"),
        manner: Manner::Once,
        kind: "digest".into(),
        text: format!("text {n}"),
        json: serde_json::json!({}),
    }
}

async fn until(what: &str, mut true_now: impl FnMut() -> bool) {
    let poll = async {
        while !true_now() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), poll).await;
    assert!(waited.is_ok(), "never: {what}");
}

#[tokio::test]
async fn an_ordered_target_hears_notes_in_their_order_whatever_it_refuses() {
    let place = Place::new(&[]);
    let target = Arc::new(Scripted::answering(vec![
        Err(Refusal::again("busy")),
        Err(Refusal::rest("away", None)),
    ]));
    let notes: Vec<NewNote> = (0..20).map(|n| plain("irc", n)).collect();
    place
        .state
        .enqueue_notes(&notes, jiff::Timestamp::now())
        .unwrap();
    let running = serve(&place, vec![lane("irc", &target, 1)]);
    place.until_all(20, NoteState::Delivered).await;
    running.end().await;
    let mut wanted: Vec<String> = (0..20).map(|n| format!("text {n}")).collect();
    wanted.splice(0..0, ["text 0".to_owned(), "text 0".to_owned()]);
    assert_eq!(target.texts(), wanted);
    let first = &place.notes()[0];
    assert_eq!(
        first.attempts, 1,
        "that it was away is no try of the note's"
    );
    assert_eq!(first.remote.as_deref(), Some("remote 1"));
}

#[tokio::test]
async fn a_poisoned_note_is_parked_and_the_others_go_on() {
    let place = Place::new(&[]);
    let mut target = Scripted::default();
    target.always.insert("text 1".into(), Then::Park);
    target.always.insert("text 2".into(), Then::Again(None));
    target.always.insert("text 3".into(), Then::Drop);
    let target = Arc::new(target);
    let notes: Vec<NewNote> = (0..6).map(|n| plain("irc", n)).collect();
    place
        .state
        .enqueue_notes(&notes, jiff::Timestamp::now())
        .unwrap();
    let running = serve(&place, vec![lane("irc", &target, 1)]);
    until("all have ended", || {
        place
            .notes()
            .iter()
            .all(|note| note.state != NoteState::Due)
    })
    .await;
    let states: Vec<_> = place
        .notes()
        .iter()
        .map(|n| (n.state, n.attempts))
        .collect();
    assert_eq!(
        states,
        [
            (Delivered, 0),
            (Parked, 1),
            (Parked, 3),
            (Superseded, 0),
            (Delivered, 0),
            (Delivered, 0)
        ]
    );
    // A person tries again.
    let parked = place.notes()[1].clone();
    place.state.retry_note(parked.id).unwrap();
    running.bell.ring();
    until("it was tried again", || {
        target.texts().iter().filter(|t| *t == "text 1").count() == 2
    })
    .await;
    running.end().await;
}

#[tokio::test]
async fn a_target_that_hangs_holds_up_no_other() {
    let place = Place::new(&[]);
    let hanging = Arc::new(Scripted {
        hangs: true,
        ..Scripted::default()
    });
    let well = Arc::new(Scripted::default());
    let mut notes: Vec<NewNote> = (0..50).map(|n| plain("hangs", n)).collect();
    notes.extend((0..50).map(|n| plain("well", n)));
    place
        .state
        .enqueue_notes(&notes, jiff::Timestamp::now())
        .unwrap();
    let lanes = vec![lane("hangs", &hanging, 4), lane("well", &well, 4)];
    let running = serve(&place, lanes);
    until("the well one has heard all", || well.texts().len() == 50).await;
    running.task.abort();
}

#[tokio::test]
async fn a_ring_is_heard_at_once() {
    let place = Place::new(&[]);
    let target = Arc::new(Scripted::default());
    let running = serve(&place, vec![lane("irc", &target, 1)]);
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        let begun = std::time::Instant::now();
        let now = jiff::Timestamp::now();
        place.state.enqueue_notes(&[plain("irc", n)], now).unwrap();
        running.bell.ring();
        until("it was said", || target.texts().len() == n + 1).await;
        slowest = slowest.max(begun.elapsed());
    }
    running.end().await;
    // The outbox is looked at every half second anyhow: not one of them had to wait for that.
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
}

#[tokio::test]
async fn what_follows_is_brought_up_to_date_and_carries_its_marker() {
    let place = Place::new(&[("gerrit", Hears::Patchsets)]);
    let target = Arc::new(Scripted::default());
    let running = serve(&place, vec![lane("gerrit", &target, 4)]);
    let first = build("u1", "unit", "1");
    place.verdict(&first, Verdict::Matched, &[found("1", "One")]);
    running.bell.ring();
    place.until(NoteState::Delivered).await;
    place.verdict(&build("u2", "docs", "1"), Verdict::Unmatched, &[]);
    running.bell.ring();
    until("it says more", || target.texts().len() == 2).await;
    let note = place.until(NoteState::Delivered).await;
    running.end().await;
    assert_eq!(
        (note.generation, note.remote.as_deref()),
        (2, Some("remote 2"))
    );
    let heard = target.heard.lock().unwrap();
    let (second, _) = &heard[1];
    assert_eq!(
        second.remote.as_deref(),
        Some("remote 1"),
        "it knows what to edit"
    );
    let line = marker("patchset/1234,1/openstack/nova", 2, "mixed");
    assert_eq!(second.text.lines().last(), Some(&*line));
    assert_eq!(second.json["marker"], line);
}

#[tokio::test]
async fn a_change_while_it_is_said_is_said_afterwards() {
    let place = Place::new(&[("gerrit", Hears::Patchsets)]);
    place.verdict(
        &build("u1", "unit", "1"),
        Verdict::Matched,
        &[found("1", "One")],
    );
    let begun = place
        .state
        .take_notes("gerrit", jiff::Timestamp::now(), 1)
        .unwrap();
    place.verdict(&build("u2", "docs", "1"), Verdict::Unmatched, &[]);
    let now = jiff::Timestamp::now();
    place
        .state
        .note_delivered(begun[0].id, 1, Some("c7"), now)
        .unwrap();
    let due = place.state.take_notes("gerrit", now, 9).unwrap();
    assert_eq!(
        (due[0].generation, due[0].remote.as_deref()),
        (2, Some("c7"))
    );
    place.state.note_delivered(due[0].id, 2, None, now).unwrap();
    let said = place.notes().remove(0);
    assert_eq!(
        (said.state, said.remote.as_deref()),
        (NoteState::Delivered, Some("c7"))
    );
}

#[tokio::test]
async fn what_a_channel_should_not_hear_now_is_said_later_as_one() {
    let place = Place::new(&[("irc", Hears::Lines)]);
    let target = Arc::new(Scripted::default());
    let restraint = Restraint {
        quiet: Quiet::new(jiff::tz::TimeZone::UTC, Vec::new()),
        pace: Some(Pace {
            most: 2,
            period: jiff::SignedDuration::from_secs(3),
        }),
        link: "https://whorl.example/notes".into(),
    };
    let lane = Lane {
        restraint: Some(restraint),
        ..lane("irc", &target, 1)
    };
    let running = serve(&place, vec![lane]);
    for n in 0..6 {
        let one = build(&format!("u{n}"), "unit", "1");
        let bug = ["One", "Two"][n % 2];
        place.verdict(&one, Verdict::Matched, &[found(bug, bug)]);
        running.bell.ring();
    }
    let notes = place.until_all(6, Delivered).await;
    running.end().await;
    let heard = target.texts();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard[0].contains("unit failed on 1234,1"), "{heard:?}");
    insta::assert_snapshot!(heard[2], @"4 notes were held back: 4 failed builds, known bugs: launchpad:One ×2, launchpad:Two ×2 https://whorl.example/notes");
    assert!(notes.iter().all(|note| note.attempts == 0));
}

#[tokio::test]
async fn a_dry_run_tells_nobody() {
    let place = Place::new(&[("gerrit", Hears::Patchsets)]);
    let lane = Lane {
        name: "gerrit".into(),
        target: None,
        patience: patience(),
        at_once: 1,
        restraint: None,
    };
    let running = serve(&place, vec![lane]);
    place.verdict(
        &build("u1", "unit", "1"),
        Verdict::Matched,
        &[found("1", "One")],
    );
    running.bell.ring();
    let note = place.until(NoteState::Delivered).await;
    running.end().await;
    assert_eq!(note.remote.as_deref(), Some(whorl::note::DRY_RUN));
    // Not a dry run any more: what was only shown is not there to be changed.
    let target = Arc::new(Scripted::default());
    let running = serve(&place, vec![self::lane("gerrit", &target, 1)]);
    place.verdict(&build("u2", "docs", "1"), Verdict::Unmatched, &[]);
    running.bell.ring();
    place.until(NoteState::Delivered).await;
    running.end().await;
    let heard = target.heard.lock().unwrap();
    assert_eq!(heard.len(), 1);
    assert_eq!(
        (heard[0].0.generation, heard[0].0.remote.as_deref()),
        (2, None)
    );
}

#[tokio::test]
async fn a_note_from_before_there_was_a_receiver_is_not_said_unasked() {
    let place = Place::new(&[]);
    let target = Arc::new(Scripted::default());
    let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2);
    place.state.enqueue_notes(&[plain("irc", 0)], then).unwrap();
    let running = serve(&place, vec![lane("irc", &target, 1)]);
    let note = place.until(NoteState::Parked).await;
    assert!(note.error.unwrap().contains("longer than an hour"));
    assert!(target.texts().is_empty());
    place.state.retry_note(note.id).unwrap();
    running.bell.ring();
    place.until(NoteState::Delivered).await;
    running.end().await;
    assert_eq!(target.texts(), ["text 0"], "a person asked for it");
}

#[tokio::test]
async fn what_was_wrong_is_taken_back_days_later_and_nothing_else_is_said() {
    let place = Place::new(&[("gerrit", Hears::Patchsets)]);
    let (told, other) = (build("u1", "unit", "1"), build("u2", "docs", "1"));
    place.verdict(&told, Verdict::Matched, &[found("1", "One")]);
    let now = jiff::Timestamp::now();
    let note = place.notes().remove(0);
    place
        .state
        .note_delivered(note.id, 1, Some("c1"), now)
        .unwrap();
    // A new fingerprint explains another build of long ago: that is on the pages.
    place.verdict_of(&other, Verdict::Matched, &[found("2", "Two")], Age::OldHat);
    assert_eq!(place.notes()[0].state, NoteState::Delivered);
    place.verdict_of(&other, Verdict::NoLog, &[], Age::OldHat);
    place.verdict_of(&told, Verdict::NoLog, &[], Age::OldHat);
    let note = place.notes().remove(0);
    assert_eq!((note.state, &*note.kind), (NoteState::Due, "withdrawn"));
}

/// One received request: headers and body.
type Received = (HeaderMap, Bytes);

#[derive(Clone)]
struct Receiver {
    seen: mpsc::UnboundedSender<Received>,
    /// Answers that are given first, last one first.
    refusals: Arc<Mutex<Vec<StatusCode>>>,
}

async fn receive(Shared(to): Shared<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    to.seen.send((headers, body)).unwrap();
    to.refusals.lock().unwrap().pop().unwrap_or(StatusCode::OK)
}

/// A receiver on loopback that refuses `refusals` times, and a lane that leads to it.
async fn receiver(refusals: usize) -> (Lane, mpsc::UnboundedReceiver<Received>) {
    let (seen, received) = mpsc::unbounded_channel();
    let refusals = Arc::new(Mutex::new(vec![StatusCode::SERVICE_UNAVAILABLE; refusals]));
    let app = Router::new()
        .route("/hook", post(receive))
        .with_state(Receiver { seen, refusals });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let settings = webhook::Settings::new(url.parse().unwrap(), "secret");
    let target = Webhook::new(settings).unwrap();
    let lane = Lane {
        name: target.name().to_owned(),
        target: Some(Arc::new(target)),
        patience: patience(),
        at_once: 8,
        restraint: None,
    };
    (lane, received)
}

#[tokio::test]
async fn a_webhook_is_signed_and_tried_until_it_is_taken() {
    let (lane, mut received) = receiver(2).await;
    let place = Place::new(&[(&lane.name, Hears::Builds)]);
    place.verdict(
        &build("u1", "unit", "1"),
        Verdict::Matched,
        &[found("1", "Grüße")],
    );
    let running = serve(&place, vec![lane]);
    let note = place.until(NoteState::Delivered).await;
    running.end().await;
    assert_eq!(note.attempts, 2);
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let (headers, body) = received.recv().await.unwrap();
        let signature = webhook::signature("secret", &body);
        assert_eq!(headers[webhook::SIGNATURE_HEADER], signature);
        assert_eq!(headers[webhook::DELIVERY_HEADER], note.id.to_string());
        bodies.push(body);
    }
    assert!(received.try_recv().is_err(), "said once");
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2]);
    let json: serde_json::Value = serde_json::from_slice(&bodies[0]).unwrap();
    assert!(json["text"].as_str().unwrap().contains("Grüße"), "{json}");
    assert_eq!(json["data"]["build"], "u1");
    assert!(
        json["data"]["line"]
            .as_str()
            .unwrap()
            .contains("unit failed on 1234,1")
    );
}

#[tokio::test]
async fn every_receiver_gets_a_note_once_whatever_the_others_do() {
    let (first, mut by_first) = receiver(0).await;
    let (second, mut by_second) = receiver(2).await;
    let (third, mut by_third) = receiver(99).await;
    let place = Place::new(&[
        (&first.name, Hears::Builds),
        (&second.name, Hears::Builds),
        (&third.name, Hears::Builds),
    ]);
    place.verdict(&build("u1", "unit", "1"), Verdict::Unmatched, &[]);
    let running = serve(&place, vec![first, second, third]);
    until("all have ended", || {
        place
            .notes()
            .iter()
            .all(|note| note.state != NoteState::Due)
    })
    .await;
    running.end().await;
    let count = |by: &mut mpsc::UnboundedReceiver<Received>| {
        std::iter::from_fn(|| by.try_recv().ok()).count()
    };
    let counts = [
        count(&mut by_first),
        count(&mut by_second),
        count(&mut by_third),
    ];
    assert_eq!(
        counts,
        [1, 3, 3],
        "the first is not told again for the second"
    );
    let parked = place.notes().remove(2);
    assert_eq!((parked.state, parked.attempts), (NoteState::Parked, 3));
    assert!(parked.error.unwrap().contains("503"));
}
