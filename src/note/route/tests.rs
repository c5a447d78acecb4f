//! What a channel hears, held against all orders of events.

use super::*;
use jiff::civil::{Weekday, time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

fn facts(happening: Happening, project: &str, bugs: &[&str]) -> Facts {
    Facts {
        happening,
        project: Some(project.into()),
        bug_projects: bugs.iter().map(|&b| b.to_owned()).collect(),
        pipeline: Some("gate".into()),
        branch: Some("stable/2026.1".into()),
        voting: true,
    }
}

fn route(wishes: Wishes) -> Route {
    Route::new(wishes).unwrap()
}

fn list(words: &[&str]) -> Vec<String> {
    words.iter().map(|&w| w.to_owned()).collect()
}

#[test]
fn the_project_of_the_change_or_of_the_bug_counts() {
    let nova = route(Wishes {
        projects: list(&["openstack/nova*"]),
        ..Wishes::default()
    });
    let heard = |project, bugs: &[&str]| nova.hears(&facts(Happening::Matched, project, bugs));
    assert!(heard("openstack/nova", &[]));
    assert!(heard("openstack/neutron", &["openstack/nova-specs"]));
    assert!(!heard("openstack/neutron", &["openstack/glance"]));
    let unknown = Facts {
        project: None,
        ..facts(Happening::Matched, "", &[])
    };
    assert!(!nova.hears(&unknown));
}

#[test]
fn every_wish_must_be_met() {
    let wishes = Wishes {
        happenings: vec![Happening::Unmatched, Happening::Outage],
        pipelines: list(&["gate"]),
        branches: list(&["master", "stable/*"]),
        voting: Some(true),
        ..Wishes::default()
    };
    let route = route(wishes);
    let right = facts(Happening::Unmatched, "p", &[]);
    assert!(route.hears(&right));
    for wrong in [
        Facts {
            happening: Happening::Matched,
            ..right.clone()
        },
        Facts {
            pipeline: Some("check".into()),
            ..right.clone()
        },
        Facts {
            branch: Some("feature/x".into()),
            ..right.clone()
        },
        Facts {
            branch: None,
            ..right.clone()
        },
        Facts {
            voting: false,
            ..right.clone()
        },
    ] {
        assert!(!route.hears(&wrong), "{wrong:?}");
    }
    let outage = Facts {
        happening: Happening::Outage,
        pipeline: None,
        branch: None,
        ..right
    };
    assert!(route.hears(&outage));
    assert!(
        Route::new(Wishes {
            projects: list(&["a[b"]),
            ..Wishes::default()
        })
        .is_err()
    );
}

fn berlin(silences: Vec<Silence>) -> Quiet {
    Quiet::new(TimeZone::get("Europe/Berlin").unwrap(), silences)
}

const WEEK: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

fn nights() -> Silence {
    Silence {
        days: WEEK.to_vec(),
        from: time(22, 0, 0, 0),
        to: time(7, 0, 0, 0),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn nights_end_in_the_morning_of_the_place() {
    let quiet = berlin(vec![nights()]);
    // In winter Berlin is an hour ahead, in summer two.
    assert!(quiet.is_quiet(at("2026-01-10T21:00:00Z")));
    assert!(!quiet.is_quiet(at("2026-01-10T20:59:59Z")));
    assert_eq!(
        quiet.end(at("2026-01-10T23:00:00Z")),
        Some(at("2026-01-11T06:00:00Z"))
    );
    assert_eq!(
        quiet.end(at("2026-07-10T23:00:00Z")),
        Some(at("2026-07-11T05:00:00Z"))
    );
    // The night in which the clocks are put forward is shorter.
    assert_eq!(
        quiet.end(at("2026-03-28T21:30:00Z")),
        Some(at("2026-03-29T05:00:00Z"))
    );
}

#[test]
fn an_end_that_the_clocks_leave_out_is_the_change_itself() {
    let early = Silence {
        to: time(2, 30, 0, 0),
        ..nights()
    };
    let quiet = berlin(vec![early]);
    // 02:30 does not exist on that day: the clocks go from 02:00 to 03:00 at 01:00 UTC.
    assert_eq!(
        quiet.end(at("2026-03-29T00:00:00Z")),
        Some(at("2026-03-29T01:00:00Z"))
    );
}

#[test]
fn a_weekend_and_the_night_after_it_are_one_silence() {
    let weekend = Silence {
        days: vec![Weekday::Saturday, Weekday::Sunday],
        from: time(0, 0, 0, 0),
        to: time(0, 0, 0, 0),
    };
    let quiet = berlin(vec![nights(), weekend.clone()]);
    // Friday at 23:00 in Berlin to Monday at 07:00.
    assert_eq!(
        quiet.end(at("2026-01-09T22:00:00Z")),
        Some(at("2026-01-12T06:00:00Z"))
    );
    let always = berlin(vec![Silence {
        days: WEEK.to_vec(),
        ..weekend
    }]);
    assert_eq!(always.end(at("2026-01-09T22:00:00Z")), None);
}

fn held(note: i64, happening: Happening, build: &str, bugs: &[&str]) -> Held {
    Held {
        note,
        happening,
        build: build.into(),
        bugs: list(bugs),
        at: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn a_digest_counts_builds_by_bug() {
    let all = [
        held(1, Happening::Matched, "u1", &["launchpad:1", "launchpad:2"]),
        held(2, Happening::Matched, "u2", &["launchpad:2"]),
        held(3, Happening::Matched, "u2", &["launchpad:2"]),
        held(4, Happening::Unmatched, "u3", &[]),
        held(5, Happening::ReturnedBug, "u2", &["launchpad:2\n!evil"]),
        held(6, Happening::LateLog, "u4", &[]),
        held(7, Happening::Outage, "", &[]),
    ];
    insta::assert_snapshot!(
        digest_of(&all, "https://whorl.example/builds"),
        @"7 notes were held back: 4 failed builds, known bugs: launchpad:2 ×2, launchpad:1 ×1, launchpad:2 !evil ×1; 1 unexplained; 1 with late logs; 1 with a returned bug; 1 note of outages https://whorl.example/builds"
    );
    insta::assert_snapshot!(
        digest_of(&all[3..4], "https://whorl.example/builds"),
        @"1 note was held back: 1 failed build; 1 unexplained https://whorl.example/builds"
    );
    assert_eq!(digest_of(&[], "x"), "");
}

/// One thing that happens to a channel.
#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    Note,
    Look,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0_i64..20_000).prop_map(Step::Wait),
        5 => Just(Step::Note),
        2 => Just(Step::Look),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..120)
}

fn silences() -> impl Strategy<Value = Vec<Silence>> {
    let days = prop::sample::subsequence(WEEK.to_vec(), 1..7);
    let one = (days, 0_i8..24, 0_i8..24).prop_map(|(days, from, to)| Silence {
        days,
        from: time(from, 0, 0, 0),
        to: time(to, 30, 0, 0),
    });
    prop::collection::vec(one, 0..3)
}

proptest! {
    /// Nothing is lost or told twice, the limit holds in every span, and quiet is quiet.
    #[test]
    fn a_channel_is_told_everything_once_and_never_too_much(
        steps in steps(), silences in silences(),
        most in 1_usize..5, minutes in 1_i64..600, start in 0_i64..31_536_000,
    ) {
        let quiet = berlin(silences);
        let pace = Pace { most, period: SignedDuration::from_mins(minutes) };
        let mut now = Timestamp::from_second(1_767_225_600 + start).unwrap();
        let mut gate = Gate::default();
        let (mut made, mut told, mut moments) = (0, Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Wait(seconds) => now += SignedDuration::from_secs(seconds),
                Step::Note => {
                    made += 1;
                    let note = held(made, Happening::Unmatched, "u", &[]);
                    if gate.offer(note, &quiet, Some(pace), now) == Turn::Say {
                        told.push(made);
                        moments.push(now);
                    }
                }
                Step::Look => {
                    let due = gate.due(&quiet, Some(pace), now);
                    let freed = gate.release(&quiet, Some(pace), now);
                    prop_assert_eq!(freed.is_some(), due == Some(now));
                    if let Some(freed) = freed {
                        told.extend(freed.iter().map(|one| one.note));
                        moments.push(now);
                    }
                }
                Step::Restart => {
                    let kept = serde_json::to_string(&gate).unwrap();
                    gate = serde_json::from_str(&kept).unwrap();
                }
            }
        }
        told.extend(gate.held().iter().map(|one| one.note));
        // In order, each once, none missing.
        prop_assert_eq!(told, (1..=made).collect::<Vec<_>>());
        for (n, moment) in moments.iter().enumerate() {
            prop_assert!(!quiet.is_quiet(*moment));
            let within = moments[n..].iter().filter(|m| m.duration_since(*moment) < pace.period);
            prop_assert!(within.count() <= most);
        }
        if let Some(due) = gate.due(&quiet, Some(pace), now) {
            prop_assert!(gate.release(&quiet, Some(pace), due).is_some());
        }
    }

    /// The end of a silence is not quiet, and all before it is.
    #[test]
    fn an_end_is_the_first_moment_that_is_not_quiet(silences in silences(), start in 0_i64..31_536_000) {
        let quiet = berlin(silences);
        let from = Timestamp::from_second(1_767_225_600 + start).unwrap();
        let Some(end) = quiet.end(from) else { return Ok(()) };
        prop_assert!(!quiet.is_quiet(end));
        let mut moment = from;
        while moment < end {
            prop_assert!(quiet.is_quiet(moment), "{}", moment);
            moment += SignedDuration::from_mins(7);
        }
    }
}
