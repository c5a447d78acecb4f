//! Digests: exact counts of their time, and each is sent once whoever asks.

use super::{Place, at, build, found, note, record};
use jiff::SignedDuration;
use whorl::event::Verdict;
use whorl::state::{NewNote, NoteFilter};

suite!(
    a_digest_counts_its_time_and_the_time_before,
    a_digest_is_sent_once_whoever_asks,
);

fn a_digest_counts_its_time_and_the_time_before(place: &Place) {
    let state = place.open();
    let until = at("2026-11-20T06:00:00Z");
    for (uuid, hours, verdict, bugs) in [
        ("a", 1, Verdict::Matched, vec!["7"]),
        ("b", 24, Verdict::Matched, vec!["7", "8"]),
        ("c", 2, Verdict::Unmatched, vec![]),
        ("d", 3, Verdict::PartialLog, vec![]),
        // At the very end: of the next digest.
        ("e", 0, Verdict::Matched, vec!["9"]),
        ("f", 25, Verdict::Matched, vec!["7"]),
        ("g", 30, Verdict::Unmatched, vec![]),
        ("h", 49, Verdict::Matched, vec!["7"]),
    ] {
        let ended = until - SignedDuration::from_hours(hours);
        state.put_build(&build(uuid, "FAILURE", ended)).unwrap();
        let mut matches: Vec<_> = bugs.iter().map(|id| found(id, 2)).collect();
        for one in &mut matches {
            one.returned = one.fingerprint == "8";
        }
        let record = record(uuid, verdict, "v", matches);
        state.record_verdict(&record, &[]).unwrap();
    }
    let data = state
        .digest_data(until, SignedDuration::from_hours(24), 10)
        .unwrap();
    let of = |verdict| data.verdicts.get(&verdict).copied().unwrap_or(0);
    assert_eq!(
        (
            of(Verdict::Matched),
            of(Verdict::Unmatched),
            of(Verdict::PartialLog)
        ),
        (2, 1, 1)
    );
    assert_eq!(data.before[&Verdict::Matched], 1);
    assert_eq!(data.before[&Verdict::Unmatched], 1);
    let bugs: Vec<_> = data
        .bugs
        .iter()
        .map(|bug| (bug.name.as_str(), bug.builds, bug.before, bug.returned))
        .collect();
    assert_eq!(
        bugs,
        [("launchpad:7", 2, 1, false), ("launchpad:8", 1, 0, true)]
    );
    let unexplained: Vec<_> = data
        .unexplained
        .iter()
        .map(|row| row.uuid.as_str())
        .collect();
    assert_eq!((unexplained, data.unexplained_total), (vec!["c"], 1));
}

fn a_digest_is_sent_once_whoever_asks(place: &Place) {
    let (one, other) = (place.open(), place.open());
    let now = at("2026-11-20T06:00:05Z");
    let due = at("2026-11-20T06:00:00Z");
    let wanted = at("2026-11-19T12:00:00Z");
    assert_eq!(one.digests_until("daily", wanted).unwrap(), wanted);
    assert_eq!(other.digests_until("daily", now).unwrap(), wanted, "kept");
    let digest = |text: &str| NewNote {
        topic: format!("digest/daily/{due}"),
        ..note("mail", "digest", text)
    };
    assert!(
        one.send_digest("daily", due, &digest("first"), now)
            .unwrap()
    );
    assert!(
        !other
            .send_digest("daily", due, &digest("second"), now)
            .unwrap()
    );
    let earlier = due - SignedDuration::from_hours(24);
    assert!(
        !other
            .send_digest("daily", earlier, &digest("old"), now)
            .unwrap()
    );
    assert_eq!(other.digests_until("daily", now).unwrap(), due);
    let notes = one.notes(&NoteFilter::default()).unwrap();
    assert_eq!(notes.total, 1);
    assert_eq!(notes.items[0].text, "first");
    assert_eq!(
        one.digests_until("weekly", now).unwrap(),
        now,
        "each by itself"
    );
}
