//! What trackers say in notes, and what is said besides verdicts: to the letter, and once.

use super::{Place, build, found};
use jiff::{SignedDuration, Timestamp};
use std::fmt::Write as _;
use whorl::event::{BugFacts, BugReview, BugStatus, Match, Verdict};
use whorl::note::route::{Happening, Route, Wishes};
use whorl::note::{Hears, Markup, Speaker, Voice, Wording};
use whorl::state::{Age, NewOutage, Outage, ReturnedBug};

fn place() -> Place {
    Place::new(&[("gerrit", Hears::Patchsets), ("irc", Hears::Lines)])
}

fn texts(place: &Place) -> String {
    let notes = place.notes();
    let texts = notes
        .iter()
        .map(|n| format!("[{}]\n{}\n", n.target, n.text));
    texts.collect()
}

/// The tracker has said this so many hours ago.
fn said(place: &Place, status: BugStatus, hours: i64) {
    let now = Timestamp::now();
    let closed = "2026-11-10T08:00:00Z".parse().unwrap();
    let facts = BugFacts {
        title: "Security groups <race> @all".into(),
        status,
        word: "Waiting for _Godot_".into(),
        assignee: Some("Ann Arbor".into()),
        url: None,
        updated: None,
        closed: status.closed().then_some(closed),
        reviews: vec![BugReview {
            title: "Lock it [WIP]".into(),
            url: "https://review.example.org/c/41".into(),
        }],
    };
    let at = now - SignedDuration::from_hours(hours);
    place
        .state
        .bug_read("launchpad:7", &facts, None, at)
        .unwrap();
}

fn one() -> Match {
    Match {
        evidence: Vec::new(),
        advice: None,
        ..found("7", "Title of the fingerprint")
    }
}

#[test]
fn a_note_says_what_the_tracker_says() {
    let place = place();
    said(&place, BugStatus::InProgress, 3);
    place.verdict(&build("u1", "unit", "2"), Verdict::Matched, &[one()]);
    insta::assert_snapshot!("tracked", texts(&place));
    let notes = place.notes();
    let tracker = &notes[0].json["builds"][0]["bugs"][0]["tracker"];
    assert_eq!(tracker["status"], "in progress");
    assert_eq!(
        tracker["reviews"][0]["url"],
        "https://review.example.org/c/41"
    );
}

#[test]
fn what_is_old_is_shown_with_its_age() {
    let place = place();
    said(&place, BugStatus::Unknown, 30);
    place.verdict(&build("u1", "unit", "2"), Verdict::Matched, &[one()]);
    let at = Timestamp::now() - SignedDuration::from_hours(30);
    let day = at.strftime("%Y-%m-%d %H:%M UTC").to_string();
    insta::assert_snapshot!("tracked_long_ago", texts(&place).replace(&day, "DAY TIME"));
}

#[test]
fn a_bug_that_its_tracker_closed_is_a_returned_one() {
    let place = place();
    said(&place, BugStatus::Fixed, 0);
    place.verdict(&build("u1", "unit", "2"), Verdict::Matched, &[one()]);
    insta::assert_snapshot!("closed", texts(&place));
}

/// A state with voices that hear only these.
fn hearing(voices: &[(&str, Option<Happening>)]) -> Place {
    let place = Place::new(&[]);
    let voice = |(name, wish): &(&str, Option<Happening>)| Voice {
        target: (*name).to_owned(),
        hears: Hears::Lines,
        markup: Markup::Plain,
        route: Some(
            Route::new(Wishes {
                happenings: wish.iter().copied().collect(),
                ..Wishes::default()
            })
            .unwrap(),
        ),
    };
    let voices = voices.iter().map(voice).collect();
    let wording = Wording::new(None).unwrap();
    Place {
        speaker: Speaker::new(wording, voices, "https://whorl.example/", true),
        ..place
    }
}

fn delivered(place: &Place) {
    for note in place.notes() {
        place
            .state
            .note_delivered(note.id, note.generation, None, Timestamp::now())
            .unwrap();
    }
}

#[test]
fn a_log_that_came_late_is_told_once_to_who_heard_something_else() {
    let place = hearing(&[
        ("all", None),
        ("late", Some(Happening::LateLog)),
        ("known", Some(Happening::Matched)),
        ("open", Some(Happening::Unmatched)),
    ]);
    let one_build = build("u1", "unit", "2");
    place.verdict(&one_build, Verdict::Unmatched, &[]);
    insta::assert_snapshot!("before_the_late_log", texts(&place));
    delivered(&place);
    // Other fingerprints are no late log.
    place.verdict(&one_build, Verdict::Matched, &[one()]);
    delivered(&place);
    place.verdict(&one_build, Verdict::Unmatched, &[]);
    delivered(&place);
    let before = place.notes().len();
    place.state.record_log("u1", "late.txt", 3, None).unwrap();
    place.verdict(&one_build, Verdict::Matched, &[one(), found("8", "Eight")]);
    let new = place.notes().split_off(before);
    let new: Vec<_> = new
        .iter()
        .map(|n| format!("[{}]\n{}", n.target, n.text))
        .collect();
    insta::assert_snapshot!("late_log", new.join("\n"));
    delivered(&place);
    let told = place.notes().len();
    place.state.record_log("u1", "later.txt", 3, None).unwrap();
    place.verdict(&one_build, Verdict::Unmatched, &[]);
    assert_eq!(place.notes().len(), told, "once");
    // A verdict that logs did not change says nothing.
    let other = build("u2", "docs", "3");
    place.verdict(&other, Verdict::Unmatched, &[]);
    delivered(&place);
    let told = place.notes().len();
    place.state.record_log("u2", "late.txt", 3, None).unwrap();
    place.verdict(&other, Verdict::Unmatched, &[]);
    place.verdict_of(&other, Verdict::Matched, &[one()], Age::OldHat);
    assert_eq!(place.notes().len(), told);
}

#[test]
fn a_returned_bug_is_told_once_to_who_wants_it() {
    let place = hearing(&[
        ("all", None),
        ("back", Some(Happening::ReturnedBug)),
        ("known", Some(Happening::Matched)),
    ]);
    said(&place, BugStatus::ClosedOtherwise, 30);
    place.verdict(&build("u1", "unit", "2"), Verdict::Matched, &[one()]);
    delivered(&place);
    let (before, now) = (place.notes().len(), Timestamp::now());
    let back = ReturnedBug {
        bug: "launchpad:7".into(),
        closed_at: "2026-11-10T08:00:00Z".parse().unwrap(),
        hit_at: now,
        raised_at: now,
        told_at: None,
    };
    assert!(place.state.raise_return(&back).unwrap());
    let seen = place.state.bug_seen("launchpad:7", now).unwrap().unwrap();
    let notes = place.speaker.returned(&back, &seen, now);
    assert!(place.state.tell_return(&back, &notes, now).unwrap());
    assert!(!place.state.tell_return(&back, &notes, now).unwrap());
    let new = place.notes().split_off(before);
    let new: Vec<_> = new
        .iter()
        .map(|n| format!("[{}]\n{}", n.target, n.text))
        .collect();
    insta::assert_snapshot!("returned", new.join("\n"));
    // Nobody hears of what is quiet.
    let quiet = Match {
        quiet: true,
        ..one()
    };
    let mut seen = seen;
    seen.found = quiet;
    assert!(place.speaker.returned(&back, &seen, now).is_empty());
}

#[test]
fn an_outage_is_told_when_it_begins_and_when_it_is_over() {
    let place = hearing(&[
        ("all", None),
        ("out", Some(Happening::Outage)),
        ("known", Some(Happening::Matched)),
    ]);
    let now: Timestamp = "2026-11-20T08:00:00Z".parse().unwrap();
    let new = NewOutage {
        text: "The mirror is down.".into(),
        until: Some("2026-11-20T10:30:00Z".parse().unwrap()),
        by: "ann".into(),
    };
    place.state.begin_outage(&new, now).unwrap();
    let outage: Outage = place.state.outage(now).unwrap().unwrap();
    let mut said = String::new();
    for lasted in [None, Some(SignedDuration::from_mins(150))] {
        for note in place.speaker.outage(&outage, lasted) {
            let (target, topic, text) = (note.target, note.topic, note.text);
            writeln!(said, "[{target} {topic}]\n{text}").unwrap();
        }
    }
    insta::assert_snapshot!("outages", said);
}
