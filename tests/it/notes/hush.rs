//! What is not said while a silence is on, what stands on everything during an outage, and what of a
//! log is not repeated.

use super::{Place, build, found};
use jiff::{SignedDuration, Timestamp};
use whorl::classify::recheck::{Judge, consider};
use whorl::config::Recheck as Settings;
use whorl::event::{Evidence, Match, Verdict};
use whorl::note::Hears;
use whorl::note::redact::Redactor;
use whorl::state::{NewOutage, NewSilence, RecheckAnswer, SilenceKind};

fn review() -> Place {
    Place::new(&[("gerrit", Hears::Patchsets), ("irc", Hears::Lines)])
}

fn silence(place: &Place, kind: SilenceKind, what: &str) {
    let now = Timestamp::now();
    let new = NewSilence {
        kind,
        what: what.into(),
        until: now + SignedDuration::from_hours(1),
        by: "test".into(),
        reason: None,
    };
    place.state.silence(&new, now).unwrap();
}

#[test]
fn nothing_is_said_of_a_silent_change_or_project() {
    for (kind, what) in [
        (SilenceKind::Change, "1234"),
        (SilenceKind::Change, "openstack/nova#1234"),
        (SilenceKind::Project, "openstack/nova"),
    ] {
        let place = review();
        silence(&place, kind, what);
        place.verdict(&build("u1", "gate", "2"), Verdict::Unmatched, &[]);
        assert!(place.notes().is_empty(), "{what}");
        assert_eq!(
            place.state.build("u1").unwrap().unwrap().verdict,
            Verdict::Unmatched
        );
        place
            .state
            .unsilence(kind, what, "test", Timestamp::now())
            .unwrap();
        place.verdict(&build("u2", "docs", "2"), Verdict::Unmatched, &[]);
        assert_eq!(place.notes().len(), 2, "{what}");
    }
}

#[test]
fn a_silenced_fingerprint_is_counted_but_not_told() {
    let place = review();
    silence(&place, SilenceKind::Fingerprint, "8");
    place.verdict(
        &build("u1", "gate", "2"),
        Verdict::Matched,
        &[found("8", "Loud")],
    );
    assert!(place.notes().is_empty());
    place.verdict(
        &build("u2", "docs", "2"),
        Verdict::Matched,
        &[found("8", "Loud"), found("9", "Other")],
    );
    let text = &place.notes()[0].text;
    assert!(text.contains("Other") && !text.contains("Loud"), "{text}");
    let stored = place.state.build("u1").unwrap().unwrap();
    assert_eq!(
        (stored.verdict, stored.matches[0].quiet),
        (Verdict::Matched, false)
    );
}

#[test]
fn what_was_said_of_a_bug_is_not_withdrawn_by_a_silence() {
    let place = review();
    place.verdict(
        &build("u1", "gate", "2"),
        Verdict::Matched,
        &[found("8", "Loud")],
    );
    let before = place.notes();
    silence(&place, SilenceKind::Fingerprint, "8");
    place.verdict(
        &build("u2", "docs", "2"),
        Verdict::Matched,
        &[found("8", "Loud")],
    );
    let after = place.notes();
    assert_eq!(
        (after.len(), &after[0].text),
        (before.len(), &before[0].text)
    );
}

#[test]
fn an_outage_stands_before_everything() {
    let place = review();
    let outage = NewOutage {
        text: "The mirror is down until noon.".into(),
        until: None,
        by: "test".into(),
    };
    place.state.begin_outage(&outage, Timestamp::now()).unwrap();
    place.verdict(
        &build("u1", "gate", "2"),
        Verdict::Matched,
        &[found("9", "Other")],
    );
    let texts: Vec<String> = place.notes().into_iter().map(|note| note.text).collect();
    insta::assert_snapshot!("outage", texts.join("\n---\n"));
    place.state.end_outage("test", Timestamp::now()).unwrap();
    place.verdict(&build("u2", "docs", "3"), Verdict::Unmatched, &[]);
    let last = place.notes().pop().unwrap();
    assert!(!last.text.contains("mirror"), "{}", last.text);
}

#[test]
fn secrets_of_a_log_are_not_repeated() {
    let mut place = review();
    let own = Redactor::new([("customer", "cust-[0-9]+")]).unwrap();
    place.speaker = place.speaker.redacting(own);
    let excerpt = "Deploying\n  password=hunter2 for cust-77: denied";
    let at = excerpt.find("denied").unwrap();
    let secret = Match {
        evidence: vec![Evidence {
            excerpt: excerpt.into(),
            spans: vec![(at, at + 6)],
            ..found("9", "x").evidence.remove(0)
        }],
        ..found("9", "Deployment is denied")
    };
    let mut one = build("u1", "gate", "2");
    one.log_url = Some("https://ann:hunter2@logs.example.org/u1".into());
    place.verdict(&one, Verdict::Matched, &[secret]);
    let notes = place.notes();
    insta::assert_snapshot!("redacted", notes[0].text);
    for note in &notes {
        let all = format!("{} {}", note.text, note.json);
        assert!(
            !all.contains("hunter2") && !all.contains("cust-77"),
            "{all}"
        );
    }
}

#[test]
fn a_rule_asks_for_another_run_once() {
    let place = review();
    let one = build("u1", "gate", "2");
    place.verdict(&one, Verdict::Matched, &[found("9", "Other")]);
    let retry = |id: &str| (id == "9").then_some(1);
    let ask = |project: &str, change: &str, patchset: &str, bugs: &[String]| {
        place.speaker.recheck(project, change, patchset, bugs)
    };
    let consider = |settings: &Settings, minutes| {
        let now = Timestamp::now() + SignedDuration::from_mins(minutes);
        let judge = Judge {
            settings,
            retry: &retry,
            ask: &ask,
            only_shown: &|_| false,
        };
        let made = consider(&place.state, &judge, now).unwrap();
        made.into_iter().map(|one| one.decision).collect::<Vec<_>>()
    };
    let asks = |notes: &[whorl::state::Note]| notes.iter().filter(|n| n.kind == "recheck").count();
    let dry = Settings::default();
    assert_eq!(consider(&dry, 0), [RecheckAnswer::Later]);
    assert_eq!(
        consider(&dry, 1),
        [],
        "it is not due before the time is over"
    );
    assert_eq!(consider(&dry, 5), [RecheckAnswer::Ask]);
    assert_eq!(consider(&dry, 9), [], "it is decided for good");
    assert_eq!(asks(&place.notes()), 0, "a dry run is the default");
    let real = Settings {
        dry_run: false,
        ..dry
    };
    // More of the same patchset.
    place.verdict(
        &build("u2", "docs", "2"),
        Verdict::Matched,
        &[found("9", "Other")],
    );
    assert_eq!(consider(&real, 5), [RecheckAnswer::Ask]);
    place.verdict(
        &build("u3", "unit", "2"),
        Verdict::Matched,
        &[found("9", "Other")],
    );
    assert_eq!(consider(&real, 6), [RecheckAnswer::No]);
    let notes = place.notes();
    assert_eq!(asks(&notes), 1);
    let note = notes.iter().find(|n| n.kind == "recheck").unwrap();
    assert_eq!(
        (note.target.as_str(), note.text.as_str()),
        ("gerrit", "recheck launchpad:9")
    );
    let ledger = place.state.rechecks(9).unwrap();
    let told: Vec<_> = ledger
        .iter()
        .map(|r| (r.by.as_str(), r.reason.as_deref(), r.dry, r.sent))
        .collect();
    assert_eq!(
        told,
        [
            ("whorl", Some("9"), false, true),
            ("whorl", Some("9"), true, false)
        ]
    );
}
