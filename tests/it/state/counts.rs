//! Counts that are kept: the same as a plain count after whatever was changed, in whatever order.

use super::place::Place;
use super::{at, found, record, told_around};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use whorl::event::{Build, Verdict};
use whorl::report::report_of;
use whorl::state::{Age, Counting, Place as Of, State};

suite!(
    kept_counts_equal_plain_ones_after_any_change,
    news_are_added_by_several_at_a_time_and_none_is_lost,
    what_somebody_else_changed_is_found_and_mended,
    builds_without_places_are_counted_as_such,
    what_was_there_before_counts_were_kept_is_counted,
    a_week_is_counted_to_the_moment,
);

/// Builds of the property test.
const BUILDS: u8 = 12;

fn now() -> Timestamp {
    at("2026-11-21T12:34:56.789Z")
}

/// Something that happens to the state.
#[derive(Debug, Clone)]
enum Change {
    /// What is known of a build: minutes before now, failed, project, job.
    Facts(u8, i64, bool, Option<u8>, Option<u8>),
    /// A late log.
    Log(u8, u8),
    Complete(u8),
    /// A verdict with fingerprints and hits; fingerprints that are deleted match nothing later.
    Verdict(u8, usize, Vec<(u8, u64)>),
    /// Builds that ended so many minutes before now go.
    Retention(i64),
    Settle,
    Recount,
    /// The program stops and starts.
    Reopen,
}

/// Mostly about the edges of the windows and of hours.
fn minutes() -> impl Strategy<Value = i64> {
    prop_oneof![
        -90_i64..200,
        1380_i64..1520,
        14_300_i64..14_500,
        -60_i64..30_000
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let few = || prop::option::of(0_u8..3);
    let matches = prop::collection::btree_map(0_u8..4, 1_u64..5, 0..4);
    prop_oneof![
        6 => (0..BUILDS, minutes(), any::<bool>(), few(), few())
            .prop_map(|(n, back, failed, project, job)| Change::Facts(n, back, failed, project, job)),
        1 => (0..BUILDS, any::<u8>()).prop_map(|(n, bytes)| Change::Log(n, bytes)),
        1 => (0..BUILDS).prop_map(Change::Complete),
        6 => (0..BUILDS, 0..Verdict::ALL.len(), matches)
            .prop_map(|(n, verdict, found)| Change::Verdict(n, verdict, found.into_iter().collect())),
        1 => minutes().prop_map(Change::Retention),
        1 => Just(Change::Settle),
        1 => Just(Change::Recount),
        1 => Just(Change::Reopen),
    ]
}

fn apply(place: &Place, state: &mut State, change: &Change) {
    let ago = |minutes: i64| now() - SignedDuration::from_mins(minutes);
    match change {
        Change::Facts(n, back, failed, project, job) => {
            let build = Build {
                project: project.map(|p| format!("p{p}")),
                job: job.map(|j| format!("j{j}")),
                result: Some(if *failed { "FAILURE" } else { "SUCCESS" }.into()),
                finished: Some(ago(*back)),
                ..Build::new(format!("u{n}"))
            };
            state.put_build(&build).unwrap();
        }
        Change::Log(n, bytes) => {
            let uuid = format!("u{n}");
            state
                .record_log(&uuid, "a", u64::from(*bytes), None)
                .unwrap();
        }
        Change::Complete(n) => {
            // It may not be there.
            let _ = state.complete(&format!("u{n}"), None, None);
        }
        Change::Verdict(n, verdict, matches) => {
            let matches = matches
                .iter()
                .map(|(id, hits)| found(&id.to_string(), *hits));
            let verdict = Verdict::ALL[*verdict];
            let record = record(&format!("u{n}"), verdict, "v", matches.collect());
            let _ = state.record_verdict(&record, &[]);
        }
        Change::Retention(back) => {
            state.delete_before(ago(*back + 5000)).unwrap();
        }
        Change::Settle => state.settle_counts().unwrap(),
        Change::Recount => state.recount().unwrap(),
        Change::Reopen => *state = place.open(),
    }
}

/// Whether both ways of counting agree, at several moments, and nothing is miscounted.
fn compare(state: &State) {
    for minutes in [0, 1, 29, 34, 35, 60, -61, -1440, 100_000] {
        let moment = now() + SignedDuration::from_mins(minutes);
        let kept = report_of(state, &[], moment, Counting::Kept).unwrap();
        let plain = report_of(state, &[], moment, Counting::Plain).unwrap();
        assert_eq!(kept, plain, "{minutes} minutes later");
        let hours = state.failures_by_hour(moment).unwrap();
        let (explained, others) = hours
            .iter()
            .fold((0, 0), |sum, hour| (sum.0 + hour.1, sum.1 + hour.2));
        let counts = &plain.all.windows.ten_days;
        assert_eq!(explained + others, counts.failed);
        assert_eq!(explained, counts.verdicts[&Verdict::Matched]);
    }
    assert_eq!(state.miscounted().unwrap(), Vec::<String>::new());
}

fn kept_counts_equal_plain_ones_after_any_change(place: &Place) {
    let cases = match place {
        Place::File(_) => 24,
        Place::Server { .. } => 8,
    };
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    let changes = prop::collection::vec(change(), 1..60);
    let run = proptest::test_runner::TestRunner::new(config).run(&changes, |changes| {
        let place = place.another();
        let mut state = place.open();
        for (n, change) in changes.iter().enumerate() {
            apply(&place, &mut state, change);
            if n % 16 == 5 {
                compare(&state);
            }
        }
        compare(&state);
        state.settle_counts().unwrap();
        compare(&state);
        Ok(())
    });
    run.unwrap();
}

fn news_are_added_by_several_at_a_time_and_none_is_lost(place: &Place) {
    let states = [place.open(), place.open()];
    std::thread::scope(|scope| {
        for (n, state) in states.iter().enumerate() {
            for thread in 0..2 {
                scope.spawn(move || {
                    for build in 0..30 {
                        let uuid = format!("u{n}-{thread}-{build}");
                        let end = now() - SignedDuration::from_mins(build * 7);
                        state
                            .put_build(&super::build(&uuid, "FAILURE", end))
                            .unwrap();
                        let matches = vec![found("1", 2), found(&build.to_string(), 1)];
                        let matches = matches.into_iter().take(1 + usize::from(build != 1));
                        let record = record(&uuid, Verdict::Matched, "v", matches.collect());
                        state.record_verdict(&record, &[]).unwrap();
                    }
                });
            }
            scope.spawn(move || {
                for _ in 0..20 {
                    state.settle_counts().unwrap();
                    assert_eq!(state.miscounted().unwrap(), Vec::<String>::new());
                }
            });
        }
    });
    compare(&states[0]);
    states[1].settle_counts().unwrap();
    compare(&states[0]);
    let stats = states[0].fingerprint_stats(now()).unwrap();
    let one = stats.iter().find(|s| s.fingerprint == "1").unwrap();
    assert_eq!((one.builds_10d, one.hits_10d), (120, 240));
}

fn what_somebody_else_changed_is_found_and_mended(place: &Place) {
    let state = place.open();
    let end = now() - SignedDuration::from_hours(30);
    state
        .put_build(&super::build("u1", "FAILURE", end))
        .unwrap();
    let verdict = record("u1", Verdict::Matched, "v", vec![found("1", 3)]);
    state.record_verdict(&verdict, &[]).unwrap();
    state.settle_counts().unwrap();
    assert_eq!(state.miscounted().unwrap(), Vec::<String>::new());
    let sql = "UPDATE build_counts SET builds = builds + 1 WHERE kind = 1;
               UPDATE match_counts SET hits = 7";
    match place {
        Place::File(_) => rusqlite::Connection::open(place.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap(),
        Place::Server { .. } => {
            place.ask(sql);
        }
    }
    let wrong = state.miscounted().unwrap();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(
        wrong.iter().any(|line| line.contains("nova matched: 1")),
        "{wrong:?}"
    );
    state.recount().unwrap();
    compare(&state);
}

fn builds_without_places_are_counted_as_such(place: &Place) {
    let state = place.open();
    let end = now() - SignedDuration::from_hours(3);
    for (uuid, project) in [("u1", None), ("u2", Some("")), ("u3", Some("nova"))] {
        let build = Build {
            project: project.map(str::to_owned),
            result: Some("FAILURE".into()),
            finished: Some(end),
            ..Build::new(uuid)
        };
        state.put_build(&build).unwrap();
    }
    for _ in 0..2 {
        let data = state.report_data(now(), 5).unwrap();
        let mut projects: Vec<_> = data
            .tallies
            .iter()
            .filter_map(|tally| match &tally.place {
                Of::Project(name) => Some((name.as_deref(), tally.builds_24h)),
                _ => None,
            })
            .collect();
        projects.sort_unstable();
        assert_eq!(projects, [(None, 1), (Some(""), 1), (Some("nova"), 1)]);
        state.settle_counts().unwrap();
    }
}

/// The steps before counts were kept.
const OLD_FILE: [&str; 8] = [
    include_str!("../../../src/state/schema_1.sql"),
    include_str!("../../../src/state/schema_2.sql"),
    include_str!("../../../src/state/schema_3.sql"),
    include_str!("../../../src/state/schema_4.sql"),
    include_str!("../../../src/state/schema_5.sql"),
    include_str!("../../../src/state/schema_6.sql"),
    include_str!("../../../src/state/schema_7.sql"),
    include_str!("../../../src/state/schema_8.sql"),
];
const OLD_SERVER: [&str; 7] = [
    include_str!("../../../src/state/postgres/schema_1.sql"),
    include_str!("../../../src/state/postgres/schema_2.sql"),
    include_str!("../../../src/state/postgres/schema_3.sql"),
    include_str!("../../../src/state/postgres/schema_4.sql"),
    include_str!("../../../src/state/postgres/schema_5.sql"),
    include_str!("../../../src/state/postgres/schema_6.sql"),
    include_str!("../../../src/state/postgres/schema_7.sql"),
];

/// Builds and matches of an older program.
fn old_rows() -> String {
    use std::fmt::Write as _;
    let mut sql = String::new();
    for n in 0..60_i64 {
        let at = (now() - SignedDuration::from_mins(n * 241)).as_microsecond();
        let verdict = ["matched", "unmatched", "no-log"][usize::try_from(n % 3).unwrap()];
        let job = if n % 7 == 0 { "NULL" } else { "'j'" };
        let failed = i64::from(n % 4 > 0);
        write!(
            sql,
            "INSERT INTO builds (id, uuid, meta, project, job, failed, received_at, at, verdict)
             VALUES ({n}, 'u{n}', '{{\"uuid\":\"u{n}\"}}', 'p', {job}, {failed}, 0, {at}, '{verdict}');
             INSERT INTO matches (build, fingerprint, at, failed, hits, title, bug_name, returned, quiet)
             VALUES ({n}, 'f{}', {at}, {failed}, {n}, 't', 'b', 0, 0);",
            n % 5
        )
        .unwrap();
    }
    sql
}

fn what_was_there_before_counts_were_kept_is_counted(place: &Place) {
    match place {
        Place::File(_) => {
            let raw = rusqlite::Connection::open(place.path()).unwrap();
            raw.execute_batch(&(OLD_FILE.concat() + &old_rows()))
                .unwrap();
            raw.pragma_update(None, "user_version", 8).unwrap();
        }
        Place::Server { .. } => {
            let version = "CREATE TABLE whorl_schema (version BIGINT NOT NULL);
                           INSERT INTO whorl_schema VALUES (7);";
            place.ask(&(OLD_SERVER.concat() + version + &old_rows()));
        }
    }
    let state = place.open();
    compare(&state);
    let data = state.report_data(now(), 5).unwrap();
    let all = data.tallies.iter().filter(|tally| tally.place == Of::All);
    assert_eq!(all.map(|tally| tally.builds_10d).sum::<u64>(), 45);
    assert_eq!(data.fingerprints.len(), 5);
    // What comes now is counted with it.
    state
        .put_build(&super::build("u1", "SUCCESS", now()))
        .unwrap();
    compare(&state);
}

/// Set for the process that is killed.
const VICTIM: &str = "WHORL_TEST_COUNTED_STATE";

/// Runs as a process of its own, until it is killed: builds come, change, get verdicts, go.
#[test]
fn a_writer_that_is_killed() {
    let Ok(path) = std::env::var(VICTIM) else {
        return;
    };
    let state = State::open(path).unwrap();
    for n in 0_i64.. {
        let uuid = format!("u{}", n % 40);
        let end = now() - SignedDuration::from_mins(n * 37 % 20_000);
        let result = if n % 3 == 0 { "SUCCESS" } else { "FAILURE" };
        state.put_build(&super::build(&uuid, result, end)).unwrap();
        let matches = vec![found(&(n % 7).to_string(), 2)];
        let verdict = record(&uuid, Verdict::Matched, "v", matches);
        state.record_verdict(&verdict, &[]).unwrap();
        match n % 5 {
            0 => state.settle_counts().unwrap(),
            1 => {
                let limit = now() - SignedDuration::from_mins(15_000);
                state.delete_before(limit).unwrap();
            }
            2 if n % 50 == 2 => state.recount().unwrap(),
            _ => {}
        }
        println!("done {n}");
    }
}

#[test]
fn counts_are_right_after_a_kill_at_any_moment() {
    let place = Place::file();
    for round in 0..8_u64 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg(format!("{}::a_writer_that_is_killed", module()))
            .env(VICTIM, place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let done = lines.find(|line| line.as_ref().is_ok_and(|l| l.contains("done 12")));
        done.expect("the writer writes").unwrap();
        // Any moment will do; this only makes it another one in each round.
        std::thread::sleep(Duration::from_micros(round * 1733 % 9000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        compare(&place.open());
    }
}

/// The name of this module in the list of tests.
fn module() -> &'static str {
    module_path!().split_once("::").unwrap().1
}

/// In how many builds of the last seven days a verdict is told that its bug was found; one of them is its own.
fn week(state: &State) -> u64 {
    let build = Build {
        result: Some("FAILURE".into()),
        finished: Some(now()),
        ..Build::new("asks")
    };
    state.put_build(&build).unwrap();
    state.complete("asks", None, None).unwrap();
    let mut verdict = record("asks", Verdict::Matched, "v", vec![found("bug", 1)]);
    verdict.at = now();
    told_around(state, &verdict, Age::OldHat).week["bug"]
}

fn a_week_is_counted_to_the_moment(place: &Place) {
    let state = place.open();
    let week_ago = now() - SignedDuration::from_hours(168);
    // Round the edge of the week and of hours, among them one before it and one of a later hour than now.
    let seconds = [
        -3_700, -1, 0, 1, 1_500, 1_503, 1_504, 3_600, 5_104, 86_400, 604_799, 604_800, 611_000,
    ];
    let mut expected = 0;
    for (n, second) in seconds.into_iter().enumerate() {
        for (kind, bug, result) in [
            ("a", "bug", "FAILURE"),
            ("b", "bug", "SUCCESS"),
            ("c", "other", "FAILURE"),
        ] {
            let build = Build {
                result: Some(result.into()),
                finished: Some(week_ago + SignedDuration::from_secs(second)),
                ..Build::new(format!("{kind}{n}"))
            };
            state.put_build(&build).unwrap();
            let record = record(&build.uuid, Verdict::Matched, "v", vec![found(bug, 3)]);
            state.record_verdict(&record, &[]).unwrap();
        }
        expected += u64::from(second >= 0);
        assert_eq!(week(&state), expected + 1, "news, {second}");
        if n % 3 == 1 {
            state.settle_counts().unwrap();
        }
        assert_eq!(week(&state), expected + 1, "counted, {second}");
    }
    // One of them is found not to have it after all.
    let none = record("a5", Verdict::Unmatched, "v", vec![]);
    state.record_verdict(&none, &[]).unwrap();
    assert_eq!(week(&state), expected);
    state.settle_counts().unwrap();
    assert_eq!(week(&state), expected);
}
