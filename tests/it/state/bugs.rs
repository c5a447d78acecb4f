//! What is kept of bug trackers.

use super::place::Place;
use super::{at, build, found, record};
use jiff::{SignedDuration, Timestamp};
use whorl::event::{BugFacts, BugReview, BugStatus, Verdict};
use whorl::state::{BugHits, ReturnedBug};

suite!(
    what_a_tracker_said_survives_and_failures_take_nothing,
    a_comment_is_remembered,
    each_build_counts_once_for_a_bug_of_any_name,
    a_return_is_raised_once_for_each_closing,
);

fn facts(title: &str) -> BugFacts {
    BugFacts {
        title: title.into(),
        status: BugStatus::InProgress,
        word: "In Progress".into(),
        assignee: Some("ann".into()),
        url: Some("https://bugs.example.org/7".into()),
        updated: Some(at("2026-11-20T10:00:00Z")),
        closed: None,
        reviews: vec![BugReview {
            title: "Fix".into(),
            url: "https://review.example.org/1".into(),
        }],
    }
}

fn what_a_tracker_said_survives_and_failures_take_nothing(place: &Place) {
    let state = place.open();
    let start = at("2026-11-21T10:00:00.000001Z");
    let later = |hours| start + SignedDuration::from_hours(hours);
    assert_eq!(state.bug("launchpad:7").unwrap(), None);
    state
        .bug_failed("launchpad:7", &"x".repeat(999), start)
        .unwrap();
    let row = state.bug("launchpad:7").unwrap().unwrap();
    assert_eq!(
        (row.facts, row.failures, row.error.unwrap().len()),
        (None, 1, 300)
    );
    assert_eq!(row.fetched_at, None);
    // Without facts there is nothing that could be unchanged.
    state.bug_unchanged("launchpad:7", start).unwrap();
    assert_eq!(state.bug("launchpad:7").unwrap().unwrap().fetched_at, None);

    state
        .bug_read("launchpad:7", &facts("one"), Some("\"e1\""), later(1))
        .unwrap();
    state.bug_unchanged("launchpad:7", later(2)).unwrap();
    state.bug_failed("launchpad:7", "down", later(3)).unwrap();
    state
        .bug_failed("launchpad:7", "still down", later(4))
        .unwrap();
    drop(state);
    let state = place.open();
    let row = state.bug("launchpad:7").unwrap().unwrap();
    assert_eq!(row.facts, Some(facts("one")));
    assert_eq!(row.validator.as_deref(), Some("\"e1\""));
    assert_eq!(
        (row.read_at, row.fetched_at, row.tried_at),
        (Some(later(1)), Some(later(2)), Some(later(4)))
    );
    assert_eq!(
        (row.failures, row.error.as_deref()),
        (2, Some("still down"))
    );
    assert_eq!(row.age(later(5)), Some(SignedDuration::from_hours(3)));
    assert!(row.stale(later(5), SignedDuration::from_hours(2)));
    assert!(!row.stale(later(5), SignedDuration::from_hours(3)));
    state
        .bug_read("launchpad:7", &facts("two"), None, later(6))
        .unwrap();
    state
        .bug_read("github:a/b#1", &facts("three"), None, later(6))
        .unwrap();
    let all = state.bugs().unwrap();
    let titles: Vec<_> = all
        .iter()
        .map(|row| row.facts.clone().unwrap().title)
        .collect();
    assert_eq!(titles, ["three", "two"]);
    assert_eq!(
        (
            all[1].failures,
            all[1].error.clone(),
            all[1].validator.clone()
        ),
        (0, None, None)
    );
}

fn a_comment_is_remembered(place: &Place) {
    let state = place.open();
    let (one, two) = (at("2026-11-21T10:00:00Z"), at("2026-11-22T10:00:00Z"));
    state.bug_commented("b", Some(("17", "text")), one).unwrap();
    state.bug_read("b", &facts("t"), None, one).unwrap();
    state.bug_commented("b", None, two).unwrap();
    let row = state.bug("b").unwrap().unwrap();
    assert_eq!(
        (row.comment.as_deref(), row.comment_text.as_deref()),
        (Some("17"), Some("text"))
    );
    assert_eq!((row.comment_at, row.facts.is_some()), (Some(two), true));
}

fn each_build_counts_once_for_a_bug_of_any_name(place: &Place) {
    let state = place.open();
    let now = at("2026-11-21T10:00:00Z");
    let ago = |hours| now - SignedDuration::from_hours(hours);
    let add = |uuid: &str, result: &str, hours: i64, fingerprints: &[&str]| {
        state.put_build(&build(uuid, result, ago(hours))).unwrap();
        state.complete(uuid, None, None).unwrap();
        let matches = fingerprints.iter().map(|name| found(name, 3)).collect();
        state
            .record_verdict(&record(uuid, Verdict::Matched, "v", matches), &[])
            .unwrap();
    };
    add("u1", "FAILURE", 1, &["7", "8"]);
    add("u2", "FAILURE", 23, &["8"]);
    add("u3", "FAILURE", 24, &["7"]);
    add("u4", "FAILURE", 7 * 24 - 1, &["7"]);
    add("u5", "FAILURE", 30 * 24 - 1, &["7"]);
    add("u6", "FAILURE", 50 * 24, &["7"]);
    add("u7", "SUCCESS", 1, &["7"]);
    add("u8", "FAILURE", -1, &["7"]);
    let both = state
        .bug_hits(&["launchpad:7", "launchpad:8"], now)
        .unwrap();
    let wanted = BugHits {
        builds_24h: 2,
        builds_7d: 4,
        builds_30d: 5,
        last: Some(ago(1)),
    };
    assert_eq!(
        both, wanted,
        "u1 has both and counts once; exactly a day ago is no more in the day"
    );
    let none = state.bug_hits(&["launchpad:9"], now).unwrap();
    assert_eq!(none, BugHits::default());
    assert_eq!(state.bug_hits(&[], now).unwrap(), BugHits::default());
    let (mut last, _) = state.bug_hits_after(0, now).unwrap();
    last.sort();
    assert_eq!(
        last,
        [
            ("launchpad:7".to_owned(), ago(1)),
            ("launchpad:8".to_owned(), ago(1))
        ]
    );
}

fn a_return_is_raised_once_for_each_closing(place: &Place) {
    let state = place.open();
    let back = |bug: &str, closed: Timestamp, raised: Timestamp| ReturnedBug {
        bug: bug.into(),
        closed_at: closed,
        hit_at: at("2026-11-20T00:00:00Z"),
        raised_at: raised,
        told_at: None,
    };
    let (first, second) = (at("2026-11-01T00:00:00Z"), at("2026-11-10T00:00:00Z"));
    let (noon, night) = (at("2026-11-21T12:00:00Z"), at("2026-11-21T23:00:00Z"));
    assert!(state.raise_return(&back("a", first, noon)).unwrap());
    assert!(!state.raise_return(&back("a", first, night)).unwrap());
    assert!(state.raise_return(&back("a", second, night)).unwrap());
    assert!(state.raise_return(&back("b", first, night)).unwrap());
    assert_eq!(state.returns_to_tell().unwrap().len(), 3);
    assert!(state.return_told("a", first, night).unwrap());
    assert!(!state.return_told("a", first, night).unwrap());
    assert!(!state.return_told("c", first, night).unwrap());
    let open = state.returns_to_tell().unwrap();
    assert_eq!(open, [back("a", second, night), back("b", first, night)]);
    let latest = state.returned_bugs(2).unwrap();
    assert_eq!(latest, open);
    let all = state.returned_bugs(9).unwrap();
    assert_eq!(all[2].told_at, Some(night));
}
