//! The state: idempotent, whole after a restart, and exact. One suite for both databases: each test of
//! it runs on `SQLite`, and on `PostgreSQL` when `WHORL_POSTGRES` names a server.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

mod file;
pub(crate) mod place;
mod server;

use jiff::{SignedDuration, Timestamp};
use place::Place;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use whorl::event::{BugRef, Build, Evidence, FieldValue, Match, Verdict};
use whorl::state::{
    Age, AuditRow, BuildFilter, FingerprintStats, Manner, Mark, NewNote, NoteFilter, NoteState,
    State, StateError, Surroundings, VerdictRecord,
};

/// Every test of the suite, once for each database.
macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test] fn $test() { super::$test(&super::Place::file()); })*
        }
        mod on_postgres {
            $(#[test] fn $test() {
                if let Some(place) = super::Place::server() {
                    super::$test(&place);
                }
            })*
        }
    };
}

mod bugs;
mod counts;
mod digest;
mod hush;

suite!(
    everything_survives_a_restart_whole,
    metadata_is_merged_and_repeating_it_changes_nothing,
    a_build_waits_once_for_each_thing_that_changed,
    a_verdict_of_older_logs_is_not_kept,
    nobody_is_told_twice_or_of_what_is_no_longer_so,
    a_new_verdict_replaces_matches_and_keeps_history,
    a_verdict_is_recorded_whole_or_not_at_all,
    a_note_is_said_once,
    lists_are_filtered_and_paged,
    old_builds_go_with_all_that_belongs_to_them,
    reports_and_audit_are_kept,
    threads_share_one_state,
    counts_equal_a_plain_count,
    a_survey_goes_on_where_it_was,
);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn build(uuid: &str, result: &str, finished: Timestamp) -> Build {
    Build {
        job: Some("gate".into()),
        project: Some("nova".into()),
        result: Some(result.into()),
        finished: Some(finished),
        ..Build::new(uuid)
    }
}

fn found(fingerprint: &str, hits: u64) -> Match {
    Match {
        fingerprint: fingerprint.into(),
        title: format!("Bug {fingerprint}"),
        bug: BugRef {
            name: format!("launchpad:{fingerprint}"),
            url: None,
        },
        hits,
        evidence: vec![Evidence {
            file: "console.txt".into(),
            line: 4,
            offset: 77,
            excerpt: "boom".into(),
            spans: vec![(0, 4)],
        }],
        advice: Some("Recheck".into()),
        category: Some("infra".into()),
        returned: true,
        quiet: false,
    }
}

/// Records a verdict as a worker does; what it was told to be around its build.
fn told_around(state: &State, verdict: &VerdictRecord, age: Age) -> Surroundings {
    assert!(state.take(&verdict.uuid, true).unwrap());
    let generation = state.job(&verdict.uuid).unwrap().unwrap().generation;
    let seen = RefCell::new(Surroundings::default());
    let speak = |around: &Surroundings| {
        *seen.borrow_mut() = around.clone();
        Vec::new()
    };
    let kept = state.record_verdict_of(generation, verdict, &speak, age);
    assert!(kept.unwrap());
    seen.into_inner()
}

fn record(uuid: &str, verdict: Verdict, rules: &str, matches: Vec<Match>) -> VerdictRecord {
    VerdictRecord {
        uuid: uuid.into(),
        verdict,
        rules_version: rules.into(),
        at: at("2026-11-21T10:00:00Z"),
        matches,
        problems: Vec::new(),
    }
}

fn note_of(uuid: &str, target: &str, kind: &str, text: &str) -> NewNote {
    NewNote {
        target: target.into(),
        topic: format!("build/{uuid}/{kind}"),
        manner: Manner::Once,
        kind: kind.into(),
        text: text.into(),
        json: serde_json::json!({"kind": kind}),
    }
}

fn note(target: &str, kind: &str, text: &str) -> NewNote {
    note_of("u1", target, kind, text)
}

fn a_survey_goes_on_where_it_was(place: &Place) {
    let state = place.open();
    let now = at("2026-11-21T12:00:00Z");
    let hours = |n: i64| now - SignedDuration::from_hours(n);
    let wanted = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = all.iter().map(|(id, of)| ((*id).into(), (*of).into()));
        owned.collect()
    };
    let upto = |marks: Vec<Mark>| -> Vec<Timestamp> { marks.iter().map(|m| m.upto).collect() };
    assert_eq!(state.surveyed(now, 10).unwrap(), None, "it was never asked");
    let marks = state.survey_marks(&wanted(&[("a", "1"), ("b", "1")]), hours(240));
    assert_eq!(upto(marks.unwrap()), [hours(240), hours(240)]);
    let builds = [
        build("old", "FAILURE", hours(239)),
        build("new", "FAILURE", hours(3)),
        build("alone", "FAILURE", hours(2)),
        build("passed", "SUCCESS", hours(2)),
    ];
    let hits = [("a", "old"), ("a", "new"), ("a", "passed"), ("b", "new")];
    let both = ["a".to_owned(), "b".to_owned()];
    state.survey_keep(&builds, &hits, &both, hours(1)).unwrap();
    // The same again changes nothing; a build that goes on has its later end.
    let later = [build("new", "FAILURE", hours(1))];
    state.survey_keep(&later, &hits[1..2], &both, now).unwrap();
    let known = state.surveyed(now, 10).unwrap().unwrap();
    assert_eq!(
        (known.upto, known.ten_days.failed, known.ten_days.explained),
        (now, 3, 2)
    );
    assert_eq!(
        (known.day.failed, known.day.explained, known.day.passing),
        (2, 1, 1)
    );
    let rows: Vec<_> = known
        .fingerprints
        .iter()
        .map(|row| {
            (
                &*row.fingerprint,
                row.builds_24h,
                row.builds_10d,
                row.passing_builds_10d,
            )
        })
        .collect();
    assert_eq!(rows, [("a", 1, 2, 1), ("b", 1, 1, 0)]);
    let left: Vec<_> = known.unexplained.iter().map(|b| &*b.uuid).collect();
    assert_eq!(left, ["alone"]);
    // What a verdict explains is not unexplained.
    state.put_build(&builds[2]).unwrap();
    let verdict = record("alone", Verdict::Matched, "r", vec![found("pattern", 1)]);
    state.record_verdict(&verdict, &[]).unwrap();
    assert!(
        state
            .surveyed(now, 10)
            .unwrap()
            .unwrap()
            .unexplained
            .is_empty()
    );
    // `a` means something else now, `b` is gone, `c` is new, two hours have passed.
    let marks = state.survey_marks(&wanted(&[("a", "2"), ("c", "1")]), hours(238));
    assert_eq!(upto(marks.unwrap()), [hours(238), hours(238)]);
    let known = state.surveyed(now, 10).unwrap().unwrap();
    assert!(known.fingerprints.is_empty());
    assert_eq!((known.ten_days.failed, known.ten_days.explained), (2, 0));
    let marks = state.survey_marks(&wanted(&[("c", "1")]), hours(100));
    assert_eq!(
        upto(marks.unwrap()),
        [hours(100)],
        "never further back than asked"
    );
}

fn everything_survives_a_restart_whole(place: &Place) {
    let state = place.open();
    let end = at("2026-11-21T09:00:00.123456Z");
    state.put_build(&build("u1", "FAILURE", end)).unwrap();
    state
        .record_log("u1", "console.txt", 10, Some("ab"))
        .unwrap();
    assert!(state.complete("u1", None, None).unwrap());
    let verdict = record(
        "u1",
        Verdict::Matched,
        "v1",
        vec![found("2", 3), found("1", 1)],
    );
    let before = state
        .record_verdict(&verdict, &[note("review", "known-bug", "hello")])
        .unwrap();
    assert_eq!(before, Verdict::Pending);
    drop(state);

    let state = place.open();
    let stored = state.build("u1").unwrap().unwrap();
    assert_eq!(stored.build.finished, Some(end));
    assert_eq!(stored.verdict, Verdict::Matched);
    assert_eq!(stored.rules_version.as_deref(), Some("v1"));
    assert_eq!(stored.matches, verdict.matches);
    assert_eq!(
        (stored.logs[0].bytes, stored.logs[0].sha256.as_deref()),
        (10, Some("ab"))
    );
    let due = state
        .due_notes("review", at("2026-11-21T10:00:00Z"), 10)
        .unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].text, "hello");
    assert!(state.build("u2").unwrap().is_none());
}

fn metadata_is_merged_and_repeating_it_changes_nothing(place: &Place) {
    let state = place.open();
    let end = at("2026-11-21T09:00:00Z");
    state.put_build(&build("u1", "FAILURE", end)).unwrap();
    let mut more = Build::new("u1");
    more.branch = Some("main".into());
    more.extra.set("rack", FieldValue::text("r1"));
    state.put_build(&more).unwrap();
    let once = state.build("u1").unwrap().unwrap();
    state.put_build(&more).unwrap();
    assert_eq!(state.build("u1").unwrap().unwrap(), once);
    assert_eq!(once.build.job.as_deref(), Some("gate"));
    assert_eq!(once.build.branch.as_deref(), Some("main"));
    assert!(once.build.failed());
    let error = state.put_build(&Build::new("../x")).unwrap_err();
    assert!(matches!(error, StateError::Build(_)), "{error}");
}

fn a_build_waits_once_for_each_thing_that_changed(place: &Place) {
    let state = place.open();
    let end = at("2026-11-21T09:00:00Z");
    assert!(matches!(
        state.complete("u1", None, None),
        Err(StateError::NoSuchBuild(_))
    ));
    state.put_build(&build("u1", "FAILURE", end)).unwrap();
    state.record_log("u1", "a", 1, Some("x")).unwrap();
    assert!(state.pending().unwrap().is_empty());
    assert!(state.complete("u1", None, None).unwrap());
    assert!(state.complete("u1", None, None).unwrap());
    assert_eq!(state.pending().unwrap(), ["u1"]);
    state
        .record_verdict(&record("u1", Verdict::Unmatched, "v1", vec![]), &[])
        .unwrap();
    assert!(state.pending().unwrap().is_empty());
    assert!(!state.complete("u1", Some("FAILURE"), None).unwrap());
    // The same bytes again are no news, other bytes are.
    state.record_log("u1", "a", 1, Some("x")).unwrap();
    assert!(!state.complete("u1", None, None).unwrap());
    state.record_log("u1", "a", 1, Some("y")).unwrap();
    assert_eq!(
        state.pending().unwrap(),
        ["u1"],
        "a late log needs no second `complete`"
    );
    assert!(state.complete("u1", None, None).unwrap());
}

fn a_verdict_of_older_logs_is_not_kept(place: &Place) {
    let state = place.open();
    let end = at("2026-11-21T09:00:00Z");
    state.put_build(&build("u1", "FAILURE", end)).unwrap();
    assert!(!state.record_log("u1", "a", 1, Some("x")).unwrap());
    assert!(state.complete("u1", None, None).unwrap());
    let job = state.job("u1").unwrap().unwrap();
    assert!(job.waiting && job.completed_at.is_some());
    // Comes while a worker looks at the first log.
    assert!(state.record_log("u1", "b", 1, Some("y")).unwrap());
    let verdict = record("u1", Verdict::Unmatched, "v1", vec![]);
    let notes = [note("review", "unexplained", "?")];
    let keep = |generation| {
        assert!(state.take("u1", false).unwrap());
        state.record_verdict_of(generation, &verdict, &|_| notes.to_vec(), Age::News)
    };
    assert!(!keep(job.generation).unwrap());
    assert_eq!(state.notes(&NoteFilter::default()).unwrap().total, 0);
    let stored = state.build("u1").unwrap().unwrap();
    assert_eq!(
        (stored.verdict, stored.history.len()),
        (Verdict::Pending, 0)
    );
    let job = state.job("u1").unwrap().unwrap();
    assert!(keep(job.generation).unwrap());
    assert!(!state.job("u1").unwrap().unwrap().waiting);
    // Metadata counts too: a fingerprint may ask for the job.
    let mut more = Build::new("u1");
    assert!(!state.put_build(&more).unwrap());
    more.job = Some("other".into());
    assert!(state.put_build(&more).unwrap());
    assert_eq!(state.pending().unwrap(), ["u1"]);
}

fn nobody_is_told_twice_or_of_what_is_no_longer_so(place: &Place) {
    let state = place.open();
    let now = at("2026-11-21T10:00:00Z");
    let matched = |uuid| record(uuid, Verdict::Matched, "v1", vec![found("1", 1)]);
    let texts = || -> Vec<String> {
        let due = state.due_notes("chat", now, 9).unwrap();
        due.into_iter().map(|n| n.text).collect()
    };
    for uuid in ["told", "waits", "old"] {
        state.put_build(&build(uuid, "FAILURE", now)).unwrap();
    }
    state
        .record_verdict(
            &matched("waits"),
            &[note_of("waits", "chat", "known-bug", "wrong")],
        )
        .unwrap();
    assert_eq!(texts(), ["wrong"]);
    state
        .record_verdict(&record("waits", Verdict::NoLog, "v2", vec![]), &[])
        .unwrap();
    assert!(texts().is_empty(), "the wrong one is taken back");
    let first = note_of("told", "chat", "unexplained", "first");
    state
        .record_verdict(&record("told", Verdict::Unmatched, "v1", vec![]), &[first])
        .unwrap();
    let id = state.due_notes("chat", now, 9).unwrap()[0].id;
    state.note_delivered(id, 1, None, now).unwrap();
    state
        .record_verdict(
            &matched("told"),
            &[note_of("told", "chat", "known-bug", "second")],
        )
        .unwrap();
    assert!(texts().is_empty(), "one note for one failure");
    let generation = state.job("old").unwrap().unwrap().generation;
    let notes = [note_of("old", "chat", "known-bug", "late")];
    assert!(state.take("old", true).unwrap());
    let kept = state.record_verdict_of(
        generation,
        &matched("old"),
        &|_| notes.to_vec(),
        Age::OldHat,
    );
    assert!(kept.unwrap());
    assert!(texts().is_empty(), "late notes are not made");
}

fn a_new_verdict_replaces_matches_and_keeps_history(place: &Place) {
    let state = place.open();
    let end = at("2026-11-21T09:00:00Z");
    for uuid in ["old", "new"] {
        state.put_build(&build(uuid, "FAILURE", end)).unwrap();
        state.complete(uuid, None, None).unwrap();
        let verdict = record(uuid, Verdict::Matched, "v1", vec![found("1", 1)]);
        state.record_verdict(&verdict, &[]).unwrap();
    }
    assert_eq!(state.stale_count("v2").unwrap(), 2);
    let (newest, spot) = state.stale("v2", None, 1).unwrap();
    assert_eq!(newest, ["new"]);
    let (next, spot) = state.stale("v2", spot, 1).unwrap();
    assert_eq!(next, ["old"], "of the same time, the older one");
    assert_eq!(state.stale("v2", spot, 1).unwrap(), (vec![], None));
    let verdict = record("new", Verdict::Unmatched, "v2", vec![]);
    assert_eq!(
        state.record_verdict(&verdict, &[]).unwrap(),
        Verdict::Matched
    );
    assert_eq!(
        state.stale("v2", None, 9).unwrap(),
        (vec!["old".into()], None)
    );
    let stored = state.build("new").unwrap().unwrap();
    assert!(stored.matches.is_empty());
    let history: Vec<_> = stored
        .history
        .iter()
        .map(|h| (h.verdict, h.fingerprints.len()))
        .collect();
    assert_eq!(history, [(Verdict::Matched, 1), (Verdict::Unmatched, 0)]);
}

fn a_verdict_is_recorded_whole_or_not_at_all(place: &Place) {
    let state = place.open();
    state
        .put_build(&build("u1", "FAILURE", at("2026-11-21T09:00:00Z")))
        .unwrap();
    let twice = record(
        "u1",
        Verdict::Matched,
        "v1",
        vec![found("1", 1), found("1", 1)],
    );
    assert!(
        state
            .record_verdict(&twice, &[note("r", "k", "t")])
            .is_err()
    );
    let stored = state.build("u1").unwrap().unwrap();
    assert_eq!(stored.verdict, Verdict::Pending);
    assert!(stored.history.is_empty() && stored.matches.is_empty());
    assert_eq!(state.notes(&NoteFilter::default()).unwrap().total, 0);
}

fn a_note_is_said_once(place: &Place) {
    let state = place.open();
    let now = at("2026-11-21T10:00:00Z");
    state.put_build(&build("u1", "FAILURE", now)).unwrap();
    let unmatched = record("u1", Verdict::Unmatched, "v1", vec![]);
    let matched = record("u1", Verdict::Matched, "v2", vec![found("1", 1)]);
    state
        .record_verdict(&unmatched, &[note("review", "unexplained", "?")])
        .unwrap();
    for _ in 0..2 {
        state
            .record_verdict(&matched, &[note("review", "known-bug", "!")])
            .unwrap();
    }
    let due = state.due_notes("review", now, 9).unwrap();
    assert_eq!(due.iter().map(|n| &*n.text).collect::<Vec<_>>(), ["!"]);
    let id = due[0].id;
    let later = now + SignedDuration::from_secs(60);
    state.note_failed(id, now, "refused", later).unwrap();
    assert!(state.due_notes("review", now, 9).unwrap().is_empty());
    assert_eq!(state.next_note_at("review").unwrap(), Some(later));
    state.note_parked(id, "refused").unwrap();
    assert!(state.due_notes("review", later, 9).unwrap().is_empty());
    state.retry_note(id).unwrap();
    let again = state
        .due_notes("review", Timestamp::now().max(later), 9)
        .unwrap();
    assert_eq!((again[0].id, again[0].attempts), (id, 0));
    state.note_delivered(id, 1, None, later).unwrap();
    state.retry_note(id).unwrap();
    state
        .record_verdict(&matched, &[note("review", "known-bug", "!")])
        .unwrap();
    assert!(
        state
            .due_notes("review", Timestamp::MAX, 9)
            .unwrap()
            .is_empty()
    );
    let said = NoteFilter {
        state: Some(NoteState::Delivered),
        ..NoteFilter::default()
    };
    assert_eq!(state.notes(&said).unwrap().total, 1);
    assert!(matches!(
        state.note_delivered(99, 1, None, now),
        Err(StateError::NoSuchNote(99))
    ));
}

fn lists_are_filtered_and_paged(place: &Place) {
    let state = place.open();
    let start = at("2026-11-21T00:00:00Z");
    for n in 0..10 {
        let result = if n % 2 == 0 { "FAILURE" } else { "SUCCESS" };
        let end = start + SignedDuration::from_hours(n);
        state
            .put_build(&build(&format!("u_{n}"), result, end))
            .unwrap();
    }
    let matched = record("u_4", Verdict::Matched, "v", vec![found("1", 1)]);
    state.record_verdict(&matched, &[]).unwrap();
    let uuids = |filter: BuildFilter| -> (u64, Vec<String>) {
        let page = state.builds(&filter).unwrap();
        (page.total, page.items.into_iter().map(|b| b.uuid).collect())
    };
    let failed = BuildFilter {
        failed_only: true,
        limit: 2,
        offset: 1,
        ..BuildFilter::default()
    };
    assert_eq!(uuids(failed), (5, vec!["u_6".into(), "u_4".into()]));
    let by_bug = BuildFilter {
        fingerprint: Some("1".into()),
        ..BuildFilter::default()
    };
    assert_eq!(uuids(by_bug), (1, vec!["u_4".into()]));
    let text = |text: &str| BuildFilter {
        text: Some(text.into()),
        ..BuildFilter::default()
    };
    assert_eq!(uuids(text("U_7")).0, 1);
    assert_eq!(uuids(text("u%7")).0, 0);
    let since = BuildFilter {
        since: Some(start + SignedDuration::from_hours(8)),
        project: Some("nova".into()),
        ..BuildFilter::default()
    };
    assert_eq!(uuids(since), (2, vec!["u_9".into(), "u_8".into()]));
}

fn old_builds_go_with_all_that_belongs_to_them(place: &Place) {
    let state = place.open();
    for (uuid, end) in [
        ("old", "2026-01-01T00:00:00Z"),
        ("new", "2026-11-01T00:00:00Z"),
    ] {
        state.put_build(&build(uuid, "FAILURE", at(end))).unwrap();
        state.record_log(uuid, "a", 1, None).unwrap();
        let verdict = record(uuid, Verdict::Matched, "v", vec![found("1", 1)]);
        state
            .record_verdict(&verdict, &[note_of(uuid, "r", "k", "t")])
            .unwrap();
    }
    let gone = state.delete_before(at("2026-06-01T00:00:00Z")).unwrap();
    assert_eq!(gone, ["old"]);
    assert_eq!(state.notes(&NoteFilter::default()).unwrap().total, 1);
    let stats = state.fingerprint_stats(at("2026-11-02T00:00:00Z")).unwrap();
    assert_eq!(stats[0].first_seen, Some(at("2026-11-01T00:00:00Z")));
    assert!(state.build("old").unwrap().is_none());
}

fn reports_and_audit_are_kept(place: &Place) {
    let state = place.open();
    let (first, second) = (at("2026-11-21T10:00:00Z"), at("2026-11-21T10:30:00Z"));
    let id = state.put_report(first, "one", "{}").unwrap();
    state.put_report(second, "two", "{}").unwrap();
    assert_eq!(state.report(id).unwrap().unwrap().summary, "one");
    assert_eq!(state.latest_report().unwrap().unwrap().summary, "two");
    assert_eq!(state.reports(9).unwrap().len(), 2);
    assert_eq!(state.delete_reports_before(Timestamp::MAX).unwrap(), 1);
    let row = AuditRow {
        at: first,
        actor: "operator".into(),
        action: "note-retried".into(),
        subject: "7".into(),
        detail: String::new(),
    };
    state.audit(&row).unwrap();
    assert_eq!(state.audit_log(9).unwrap(), [row]);
}

fn threads_share_one_state(place: &Place) {
    let state = place.open();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let state = &state;
            scope.spawn(move || {
                for n in 0..10 {
                    let end = at("2026-11-21T00:00:00Z");
                    let one = build(&format!("u{thread}-{n}"), "FAILURE", end);
                    state.put_build(&one).unwrap();
                    state.builds(&BuildFilter::default()).unwrap();
                }
            });
        }
    });
    assert_eq!(state.builds(&BuildFilter::default()).unwrap().total, 40);
}

/// A build of the property test: minutes before now, failed, hits by fingerprint.
type Drawn = (i64, bool, BTreeMap<u8, u64>);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let matches = prop::collection::btree_map(0_u8..4, 1_u64..5, 0..4);
    prop::collection::vec((-60_i64..16_000, any::<bool>(), matches), 0..25)
}

/// The same counts, the plain way.
fn brute_force(builds: &[Drawn], now: Timestamp) -> Vec<FingerprintStats> {
    let mut all: BTreeMap<u8, FingerprintStats> = BTreeMap::new();
    for (back, failed, matches) in builds.iter().filter(|b| b.0 >= 0) {
        let end = now - SignedDuration::from_mins(*back);
        for (fingerprint, hits) in matches {
            let one = all.entry(*fingerprint).or_insert(FingerprintStats {
                fingerprint: fingerprint.to_string(),
                hits_24h: 0,
                hits_10d: 0,
                builds_24h: 0,
                builds_10d: 0,
                passing_builds_10d: 0,
                first_seen: None,
                last_seen: None,
                histogram: Vec::new(),
            });
            count(one, *back, *failed, *hits, end);
        }
    }
    all.into_values().collect()
}

fn count(one: &mut FingerprintStats, back: i64, failed: bool, hits: u64, end: Timestamp) {
    let recent = back <= 10 * 24 * 60;
    if !failed {
        one.passing_builds_10d += u64::from(recent);
        return;
    }
    one.first_seen = Some(one.first_seen.map_or(end, |seen| seen.min(end)));
    one.last_seen = Some(one.last_seen.map_or(end, |seen| seen.max(end)));
    if back <= 24 * 60 {
        one.hits_24h += hits;
        one.builds_24h += 1;
    }
    if recent {
        one.hits_10d += hits;
        one.builds_10d += 1;
        let hour = Timestamp::from_second(end.as_second() / 3600 * 3600).unwrap();
        match one.histogram.iter_mut().find(|(start, _)| *start == hour) {
            Some((_, builds)) => *builds += 1,
            None => one.histogram.push((hour, 1)),
        }
        one.histogram.sort_unstable();
    }
}

/// Puts the drawn builds into a new state and compares the counts.
fn check_counts(state: &State, builds: &[Drawn]) {
    let now = at("2026-11-21T12:34:00Z");
    for (n, (back, failed, matches)) in builds.iter().enumerate() {
        let uuid = format!("u{n}");
        let end = now - SignedDuration::from_mins(*back);
        let result = if *failed { "FAILURE" } else { "SUCCESS" };
        // The verdict may come before the end is known.
        state.put_build(&Build::new(&uuid)).unwrap();
        let matches = matches
            .iter()
            .map(|(id, hits)| found(&id.to_string(), *hits))
            .collect();
        let verdict = record(&uuid, Verdict::Matched, "v", matches);
        for _ in 0..=n % 2 {
            state.record_verdict(&verdict, &[]).unwrap();
        }
        state.put_build(&build(&uuid, result, end)).unwrap();
    }
    assert_eq!(
        state.fingerprint_stats(now).unwrap(),
        brute_force(builds, now)
    );
}

fn counts_equal_a_plain_count(place: &Place) {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(24)
    };
    let run = proptest::test_runner::TestRunner::new(config).run(&drawn(), |builds| {
        check_counts(&place.another().open(), &builds);
        Ok(())
    });
    run.unwrap();
}
