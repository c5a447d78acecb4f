//! Silences, outages and the ledger of rechecks.

use super::place::Place;
use super::{at, build, note_of, record, told_around};
use jiff::{SignedDuration, Timestamp};
use whorl::event::{Build, Verdict};
use whorl::state::{
    Age, Decided, Hush, Manner, NewNote, NewOutage, NewSilence, NoteFilter, NoteState, Recheck,
    RecheckAnswer, RecheckKind, SilenceKind, State, recheck_topic,
};

suite!(
    a_silence_covers_what_it_names_and_ends,
    an_outage_stands_until_it_ends,
    a_silence_holds_back_what_waits,
    rechecks_are_asked_for_once_and_counted,
    what_is_due_is_decided_by_one_process_and_kept_over_restarts,
);

fn start() -> Timestamp {
    at("2026-11-21T10:00:00Z")
}

fn later(minutes: i64) -> Timestamp {
    start() + SignedDuration::from_mins(minutes)
}

fn of_change(uuid: &str, project: &str, change: &str, patchset: &str) -> Build {
    Build {
        project: Some(project.into()),
        change: Some(change.into()),
        patchset: Some(patchset.into()),
        ..build(uuid, "FAILURE", start())
    }
}

fn silence(kind: SilenceKind, what: &str, until: Timestamp) -> NewSilence {
    NewSilence {
        kind,
        what: what.into(),
        until,
        by: "gerrit:ann".into(),
        reason: Some("too loud".into()),
    }
}

/// What a verdict at this moment finds around its build.
fn hush(state: &State, build: &Build, now: Timestamp) -> Hush {
    state.put_build(build).unwrap();
    let mut verdict = record(&build.uuid, Verdict::Unmatched, "v", Vec::new());
    verdict.at = now;
    told_around(state, &verdict, Age::News).hush
}

fn a_silence_covers_what_it_names_and_ends(place: &Place) {
    let state = place.open();
    let (nova, other) = (
        of_change("u1", "nova", "7", "1"),
        of_change("u2", "glance", "7", "1"),
    );
    let silent = |build: &Build, minutes| hush(&state, build, later(minutes)).silent;
    assert!(!silent(&nova, 0));
    let one = silence(SilenceKind::Change, "nova#7", later(60));
    state.silence(&one, start()).unwrap();
    assert!(silent(&nova, 0) && silent(&nova, 59) && !silent(&other, 1));
    assert!(!silent(&nova, 60), "it ends by itself");
    // The same again takes its place: it ends earlier now.
    let id = state.silence(&silence(SilenceKind::Change, "nova#7", later(30)), later(1));
    assert_eq!(state.silences(later(2)).unwrap().len(), 1);
    assert!(silent(&nova, 29) && !silent(&nova, 30));
    assert!(state.end_silence(id.unwrap(), "bob", later(3)).unwrap());
    assert!(!state.end_silence(99, "bob", later(3)).unwrap());
    assert!(!silent(&nova, 4));
    state
        .silence(&silence(SilenceKind::Change, "7", later(60)), later(5))
        .unwrap();
    assert!(silent(&nova, 6) && silent(&other, 6));
    assert_eq!(
        state
            .unsilence(SilenceKind::Change, "7", "bob", later(7))
            .unwrap(),
        1
    );
    assert_eq!(
        state
            .unsilence(SilenceKind::Change, "7", "bob", later(7))
            .unwrap(),
        0
    );
    state
        .silence(
            &silence(SilenceKind::Project, "glance", later(60)),
            later(8),
        )
        .unwrap();
    state
        .silence(
            &silence(SilenceKind::Fingerprint, "f1", later(60)),
            later(8),
        )
        .unwrap();
    assert!(silent(&other, 9) && !silent(&nova, 9));
    drop(state);
    let state = place.open();
    assert!(hush(&state, &nova, later(9)).fingerprints.contains("f1"));
    let audit = state.audit_log(50).unwrap();
    let told: Vec<String> = audit
        .iter()
        .rev()
        .map(|row| {
            format!(
                "{} {} {}: {}",
                row.actor, row.action, row.subject, row.detail
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "gerrit:ann silenced change nova#7: until 2026-11-21 11:00 UTC: too loud",
            "gerrit:ann silenced change nova#7: until 2026-11-21 10:30 UTC: too loud",
            "bob silence-ended change nova#7: too loud",
            "gerrit:ann silenced change 7: until 2026-11-21 11:00 UTC: too loud",
            "bob silence-ended change 7: too loud",
            "gerrit:ann silenced project glance: until 2026-11-21 11:00 UTC: too loud",
            "gerrit:ann silenced fingerprint f1: until 2026-11-21 11:00 UTC: too loud",
        ]
    );
}

fn an_outage_stands_until_it_ends(place: &Place) {
    let state = place.open();
    let build = build("u1", "FAILURE", start());
    let told = |minutes| hush(&state, &build, later(minutes)).outage;
    let outage = |text: &str, until| NewOutage {
        text: text.into(),
        until,
        by: "page".into(),
    };
    assert_eq!(told(0), None);
    state
        .begin_outage(&outage("The mirror is down.", None), start())
        .unwrap();
    assert_eq!(told(0).as_deref(), Some("The mirror is down."));
    state
        .begin_outage(&outage("All mirrors are down.", Some(later(30))), later(1))
        .unwrap();
    assert_eq!(told(2).as_deref(), Some("All mirrors are down."));
    assert_eq!(
        told(30),
        None,
        "it ends by itself, and the former one is over"
    );
    assert!(state.end_outage("page", later(5)).unwrap());
    assert!(!state.end_outage("page", later(6)).unwrap());
    assert_eq!((told(7), state.outage(later(7)).unwrap()), (None, None));
    assert_eq!(state.audit_log(9).unwrap().len(), 3);
}

fn a_silence_holds_back_what_waits(place: &Place) {
    let state = place.open();
    let builds = [
        of_change("u1", "nova", "7", "1"),
        of_change("u2", "glance", "8", "1"),
    ];
    for build in &builds {
        state.put_build(build).unwrap();
        let verdict = record(&build.uuid, Verdict::Unmatched, "v", Vec::new());
        let note = note_of(&build.uuid, "irc", "unexplained", "x");
        state.record_verdict(&verdict, &[note]).unwrap();
    }
    state
        .silence(&silence(SilenceKind::Change, "nova#7", later(60)), start())
        .unwrap();
    let waiting = |state: &State| {
        let filter = NoteFilter {
            state: Some(NoteState::Due),
            ..NoteFilter::default()
        };
        let all = state.notes(&filter).unwrap().items;
        all.into_iter()
            .filter_map(|note| note.build)
            .collect::<Vec<_>>()
    };
    assert_eq!(waiting(&state), ["u2"]);
    state
        .silence(&silence(SilenceKind::Project, "glance", later(60)), start())
        .unwrap();
    assert!(waiting(&state).is_empty());
}

fn rechecks_are_asked_for_once_and_counted(place: &Place) {
    let state = place.open();
    let entry = |patchset: &str, kind, minutes, dry, reason: Option<&str>| Recheck {
        at: later(minutes),
        project: "nova".into(),
        change: "7".into(),
        patchset: patchset.into(),
        by: "ann".into(),
        kind,
        reason: reason.map(str::to_owned),
        dry,
        sent: !dry,
    };
    let note = |patchset: &str| NewNote {
        target: "gerrit".into(),
        topic: recheck_topic("nova", "7", patchset),
        manner: Manner::Once,
        kind: "recheck".into(),
        text: "recheck".into(),
        json: serde_json::json!({}),
    };
    let mut two = of_change("u2", "nova", "7", "1");
    two.finished = Some(later(1));
    for build in [of_change("u1", "nova", "7", "1"), two] {
        state.put_build(&build).unwrap();
    }
    let facts = |patchset: &str, dry, minutes| {
        state
            .recheck_facts("nova", "7", patchset, dry, later(minutes))
            .unwrap()
    };
    let seen = facts("1", true, 0);
    assert_eq!(
        (seen.builds.len(), seen.ran_again, seen.outdated),
        (1, true, false)
    );
    assert!(seen.last_news.is_some());

    let dry = entry("1", RecheckKind::Rule, 0, true, Some("f1"));
    assert!(state.recheck_asked(&dry, &[]).unwrap());
    assert!(!state.recheck_asked(&dry, &[]).unwrap(), "only once");
    assert!(
        state
            .notes(&NoteFilter::default())
            .unwrap()
            .items
            .is_empty(),
        "a dry run says nothing"
    );
    let real = entry("1", RecheckKind::Rule, 1, false, Some("f1"));
    assert!(state.recheck_asked(&real, &[note("1")]).unwrap());
    let notes = state.notes(&NoteFilter::default()).unwrap().items;
    assert_eq!(
        (notes.len(), notes[0].topic.as_str()),
        (1, "recheck/7,1/nova")
    );

    let heard = entry("2", RecheckKind::Comment, 2, false, None);
    assert!(state.recheck_heard(&heard).unwrap());
    assert!(
        !state.recheck_heard(&heard).unwrap(),
        "a comment that is heard again is the same one"
    );
    assert!(
        state
            .recheck_heard(&entry("2", RecheckKind::Comment, 3, false, Some("9")))
            .unwrap()
    );
    let of = |patchset, dry, minutes| {
        let facts = facts(patchset, dry, minutes);
        (facts.of_patchset, facts.of_change, facts.of_day)
    };
    assert_eq!(
        of("1", false, 5),
        (1, 1, 1),
        "what was only written down does not count"
    );
    assert_eq!(of("1", true, 5), (2, 1, 1));
    assert_eq!(of("2", false, 5), (2, 1, 1));
    assert_eq!(of("1", false, 24 * 60 + 2), (1, 1, 0));
    let counts = state.recheck_counts(start()).unwrap();
    let one = &counts[0];
    assert_eq!((counts.len(), one.project.as_str()), (1, "nova"));
    assert_eq!(
        (one.with_reason, one.without_reason, one.by_rule, one.dry),
        (1, 1, 1, 1)
    );
    assert_eq!(state.rechecks(2).unwrap().len(), 2);
    assert_eq!(
        state.changes_called("7").unwrap(),
        [("nova".to_owned(), "1".to_owned())]
    );
}

/// Says the same of every patchset.
fn decided(decision: RecheckAnswer, again: Option<Timestamp>, change: &str) -> Decided {
    let entry = Recheck {
        at: later(3),
        project: "nova".into(),
        change: change.into(),
        patchset: "1".into(),
        by: "whorl".into(),
        kind: RecheckKind::Rule,
        reason: Some("f1".into()),
        dry: false,
        sent: true,
    };
    let note = NewNote {
        target: "gerrit".into(),
        topic: recheck_topic("nova", change, "1"),
        manner: Manner::Once,
        kind: "recheck".into(),
        text: "recheck".into(),
        json: serde_json::json!({}),
    };
    Decided {
        decision,
        reason: format!("it is so: {}", decision.as_str()),
        again,
        asked: (decision == RecheckAnswer::Ask).then(|| (entry, vec![note])),
    }
}

fn what_is_due_is_decided_by_one_process_and_kept_over_restarts(place: &Place) {
    const CHANGES: usize = 40;
    let state = place.open();
    for n in 0..CHANGES {
        let build = of_change(&format!("u{n}"), "nova", &n.to_string(), "1");
        let mut passed = of_change(&format!("p{n}"), "glance", &n.to_string(), "1");
        passed.result = Some("SUCCESS".into());
        for (build, age) in [(&build, Age::News), (&passed, Age::News)] {
            hush(&state, build, later(0));
            let mut verdict = record(&build.uuid, Verdict::Matched, "v1", vec![]);
            verdict.at = later(0);
            assert!(state.take(&build.uuid, true).unwrap());
            let generation = state.job(&build.uuid).unwrap().unwrap().generation;
            state
                .record_verdict_of(generation, &verdict, &|_| Vec::new(), age)
                .unwrap();
        }
    }
    assert_eq!(
        state.rechecks_open().unwrap(),
        CHANGES as u64,
        "only what failed"
    );
    let wait = |_: &_, _: &_| decided(RecheckAnswer::Later, Some(later(2)), "");
    let never = |_: &str| false;
    let made = state.decide_rechecks(100, &never, &wait, later(1)).unwrap();
    assert_eq!(made.len(), CHANGES);
    drop(state);
    // After a restart, by two processes at once: nothing before its time, then each once.
    let states = [place.open(), place.open()];
    let before = later(2) - SignedDuration::from_secs(1);
    assert!(
        states[0]
            .decide_rechecks(100, &never, &wait, before)
            .unwrap()
            .is_empty()
    );
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let all = states.each_ref().map(|state| {
            scope.spawn(move || {
                let ask = |due: &whorl::state::DueRecheck, _: &_| {
                    decided(RecheckAnswer::Ask, None, &due.change)
                };
                let mut count = 0;
                loop {
                    let made = state.decide_rechecks(3, &never, &ask, later(3)).unwrap();
                    assert!(
                        made.iter().all(|one| one.decision == RecheckAnswer::Ask),
                        "{made:?}"
                    );
                    count += made.len();
                    if made.is_empty() && state.rechecks_open().unwrap() == 0 {
                        return count;
                    }
                }
            })
        });
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), CHANGES, "{counts:?}");
    let state = &states[0];
    let ledger = state.recheck_decisions(1000).unwrap();
    assert_eq!(ledger.len(), 2 * CHANGES, "later and ask of each");
    assert_eq!(state.rechecks(1000).unwrap().len(), CHANGES);
    let filter = NoteFilter {
        limit: 1000,
        ..NoteFilter::default()
    };
    assert_eq!(state.notes(&filter).unwrap().items.len(), CHANGES);
}
