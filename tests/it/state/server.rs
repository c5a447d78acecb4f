//! What only a server can be: shared, lost, in the way, too new.

use super::place::Place;
use super::{at, build, found, note, note_of, record};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use whorl::event::Verdict;
use whorl::state::{Age, Role, State, StateError};

/// Waits until `found` gives something.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(one) = found() {
            return one;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Complete builds that wait for a verdict.
fn waiting(state: &State, builds: usize) {
    for n in 0..builds {
        let uuid = format!("u{n}");
        let end = at("2026-11-21T09:00:00Z");
        state.put_build(&build(&uuid, "FAILURE", end)).unwrap();
        state.complete(&uuid, None, None).unwrap();
    }
}

/// A verdict of what is known now, if the build still belongs to this process.
fn decide(state: &State, uuid: &str) -> bool {
    let job = state.job(uuid).unwrap().unwrap();
    let verdict = record(uuid, Verdict::Unmatched, "v1", vec![]);
    let notes = [note_of(uuid, "chat", "unexplained", "?")];
    let kept = state.record_verdict_of(job.generation, &verdict, &|_| notes.to_vec(), Age::News);
    kept.unwrap()
}

fn verdicts(state: &State, uuid: &str) -> usize {
    state.build(uuid).unwrap().unwrap().history.len()
}

#[test]
fn many_workers_of_several_processes_give_each_build_one_verdict() {
    let Some(place) = Place::server() else { return };
    let states = [place.open(), place.open(), place.open()];
    waiting(&states[0], 120);
    let by: Mutex<BTreeMap<String, Vec<usize>>> = Mutex::default();
    std::thread::scope(|scope| {
        for (n, state) in states.iter().enumerate() {
            let by = &by;
            scope.spawn(move || {
                loop {
                    let taken = state.take_pending(7).unwrap();
                    for uuid in &taken {
                        assert!(decide(state, uuid), "{uuid} is ours");
                        by.lock().unwrap().entry(uuid.clone()).or_default().push(n);
                    }
                    if state.pending().unwrap().is_empty() {
                        return;
                    }
                }
            });
        }
    });
    let by = by.into_inner().unwrap();
    assert_eq!(by.len(), 120);
    assert!(by.values().all(|who| who.len() == 1), "{by:?}");
    for n in 0..120 {
        assert_eq!(verdicts(&states[1], &format!("u{n}")), 1);
    }
}

#[test]
fn what_a_dead_process_had_is_taken_over_and_its_late_verdict_is_not_kept() {
    let Some(place) = Place::server() else { return };
    let (first, second) = (place.open(), place.open());
    waiting(&first, 1);
    assert!(first.take("u0", false).unwrap());
    assert!(!second.take("u0", false).unwrap());
    assert!(second.take_pending(9).unwrap().is_empty());
    // The time of the lease passes.
    place.ask("UPDATE builds SET lease_until = 1");
    assert_eq!(second.take_pending(9).unwrap(), ["u0"]);
    assert!(!decide(&first, "u0"), "it lost the build");
    assert!(decide(&second, "u0"));
    assert!(!decide(&first, "u0"), "and does not get it back by that");
    assert!(!decide(&second, "u0"), "nor twice");
    assert!(!first.take("u0", false).unwrap(), "nothing waits");
    assert!(first.take("u0", true).unwrap(), "another look is asked for");
    assert!(!second.take("u0", true).unwrap());
    assert_eq!(verdicts(&first, "u0"), 1);
    first.resign().unwrap();
    assert!(second.take("u0", true).unwrap(), "given back");
}

#[test]
fn renewing_keeps_what_one_has_and_takes_nothing_from_others() {
    let Some(place) = Place::server() else { return };
    let (first, second) = (place.open(), place.open());
    waiting(&first, 2);
    assert!(first.take("u0", false).unwrap() && second.take("u1", false).unwrap());
    let lease = |uuid: &str| -> i64 {
        let sql = format!("SELECT lease_until FROM builds WHERE uuid = '{uuid}'");
        place.ask(&sql)[0].parse().unwrap()
    };
    let before = (lease("u0"), lease("u1"));
    first.renew().unwrap();
    assert!(lease("u0") > before.0);
    assert_eq!(lease("u1"), before.1);
}

#[test]
fn one_process_at_a_time_says_notes() {
    let Some(place) = Place::server() else { return };
    let (first, second) = (place.open(), place.open());
    waiting(&first, 1);
    assert!(first.take("u0", false).unwrap() && decide(&first, "u0"));
    let soon = || Timestamp::now();
    let none = "nobody has been chosen";
    assert!(
        first.take_notes("chat", soon(), 9).unwrap().is_empty(),
        "{none}"
    );
    for state in [&first, &second, &first] {
        state.renew().unwrap();
    }
    for role in Role::ALL {
        assert!(first.holds(role) && !second.holds(role));
    }
    assert_eq!(first.take_notes("chat", soon(), 9).unwrap().len(), 1);
    assert!(second.take_notes("chat", soon(), 9).unwrap().is_empty());
    // The first one hangs until its time has passed, and does not know that when it goes on.
    place.ask("UPDATE leases SET expires = 1");
    second.renew().unwrap();
    assert!(second.holds(Role::Sender) && first.holds(Role::Sender));
    assert!(
        first.take_notes("chat", soon(), 9).unwrap().is_empty(),
        "it must ask"
    );
    assert_eq!(second.take_notes("chat", soon(), 9).unwrap().len(), 1);
    first.renew().unwrap();
    assert!(!first.holds(Role::Sender) && !first.holds(Role::Keeper));
    second.resign().unwrap();
    assert!(!second.holds(Role::Sender));
    first.renew().unwrap();
    assert!(first.holds(Role::Sender), "given back, not run out");
}

#[test]
fn processes_that_cannot_read_each_others_logs_are_told_so() {
    let Some(place) = Place::server() else { return };
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let states: Vec<State> = (0..4).map(|_| place.open()).collect();
    std::thread::scope(|scope| {
        for state in &states {
            scope.spawn(|| state.own_logs(ours.path()).unwrap());
        }
    });
    let error = states[1].own_logs(other.path()).unwrap_err();
    assert!(matches!(error, StateError::OtherLogs { .. }));
    let text = error.to_string();
    assert!(text.contains("the same `state.shared-dir`"), "{text}");
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
    // A state of its own must not tidy up among the logs of others.
    let file = Place::file().open();
    assert!(file.own_logs(ours.path()).is_err());
    file.own_logs(other.path()).unwrap();
}

/// Connections of the test, by a name of their own.
fn named(place: &Place, name: &str) -> State {
    State::connect(&format!("{}&application_name={name}", place.url())).unwrap()
}

#[test]
fn lost_connections_are_made_again() {
    let Some(place) = Place::server() else { return };
    let name = format!("lost-{}", std::process::id());
    let state = named(&place, &name);
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'"
    );
    waiting(&state, 1);
    assert!(!place.ask(&cut).is_empty());
    state.check().unwrap();
    assert!(!place.ask(&cut).is_empty());
    let end = at("2026-11-21T09:00:00Z");
    state.put_build(&build("u1", "FAILURE", end)).unwrap();

    // In the middle of a transaction that waits for another one.
    let waits = format!(
        "SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'
         AND wait_event_type = 'Lock'"
    );
    std::thread::scope(|scope| {
        let blocker = scope.spawn(|| {
            place.ask("BEGIN; LOCK TABLE builds IN EXCLUSIVE MODE; SELECT pg_sleep(1.5); COMMIT");
        });
        let locked = "SELECT 1 FROM pg_locks WHERE relation = 'builds'::regclass
                      AND mode = 'ExclusiveLock'";
        until("the lock", || place.ask(locked).pop());
        let writer = scope.spawn(|| state.put_build(&build("u2", "FAILURE", end)));
        until("the wait", || place.ask(&waits).pop());
        assert!(!place.ask(&cut).is_empty());
        blocker.join().unwrap();
        writer.join().unwrap().unwrap();
    });
    assert!(state.build("u2").unwrap().is_some());
}

#[test]
fn what_others_are_in_the_way_of_is_tried_again_but_not_for_ever() {
    let Some(place) = Place::server() else { return };
    let state = place.open();
    let end = at("2026-11-21T09:00:00Z");
    place.ask(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('tries') < 4 OR NEW.uuid = 'never' THEN
                 RAISE EXCEPTION 'busy' USING ERRCODE = CASE WHEN random() < 0.5
                     THEN 'serialization_failure' ELSE 'deadlock_detected' END;
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER busy BEFORE INSERT ON builds FOR EACH ROW EXECUTE FUNCTION busy()",
    );
    let tries = || -> u32 {
        place.ask("SELECT last_value FROM tries")[0]
            .parse()
            .unwrap()
    };
    state.put_build(&build("u1", "FAILURE", end)).unwrap();
    assert_eq!(tries(), 4);
    assert!(state.put_build(&build("never", "FAILURE", end)).is_err());
    assert_eq!(tries(), 4 + 7);
    assert!(state.build("never").unwrap().is_none());
    state.check().unwrap();
}

#[test]
fn processes_that_start_together_make_the_tables_once() {
    let Some(place) = Place::server() else { return };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| place.open());
        }
    });
    assert_eq!(place.ask("SELECT version FROM whorl_schema").len(), 1);
}

#[test]
fn a_database_that_cannot_be_used_is_refused_with_a_reason() {
    let Some(place) = Place::server() else { return };
    drop(place.open());
    place.ask("UPDATE whorl_schema SET version = 999");
    let error = State::connect(&place.url()).unwrap_err();
    assert!(matches!(error, StateError::Newer { found: 999, .. }));
    assert!(error.to_string().contains("use the newer whorl"), "{error}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let begun = Instant::now();
    let url = format!("postgres://me:s3cret@127.0.0.1:{port}/d");
    let error = State::connect(&url).unwrap_err().to_string();
    let place = format!("cannot connect to postgres://127.0.0.1:{port}/d");
    assert!(
        error.contains(&place) && !error.contains("s3cret"),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    if Place::server().is_none() {
        return;
    }
    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let begun = Instant::now();
    let error = State::connect(&format!("postgres://u@127.0.0.1:{port}/d")).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(15), "{error}");
    assert!(error.to_string().contains("cannot connect to"), "{error}");
}

#[test]
fn text_of_any_kind_and_length_can_be_kept() {
    let Some(place) = Place::server() else { return };
    let state = place.open();
    let end = at("2026-11-21T09:00:00Z");
    let mut odd = build("u1", "FAILURE", end);
    // Long and not to be compressed: an index takes no such entry.
    let long: String = (0..9000_u32)
        .filter_map(|n| char::from_u32(0x4e00 + n.wrapping_mul(2_654_435_761) % 20_000))
        .collect();
    odd.job = Some(long.clone());
    odd.project = Some("nul\0in it".into());
    odd.branch = Some("'; DROP TABLE builds; --".into());
    state.put_build(&odd).unwrap();
    let name = "d/".repeat(500) + "log.txt";
    state.record_log("u1", &name, 1, Some("x")).unwrap();
    let mut one = found("1", 1);
    one.evidence[0].excerpt = "a\0b".into();
    let verdict = record("u1", Verdict::Matched, "v", vec![one]);
    state
        .record_verdict(&verdict, &[note("chat", "known-bug", "a\0b")])
        .unwrap();
    let stored = state.build("u1").unwrap().unwrap();
    assert_eq!(stored.build.job, Some(long));
    assert_eq!(stored.build.project.as_deref(), Some("nul\0in it"));
    assert_eq!(stored.matches[0].evidence[0].excerpt, "a\u{fffd}b");
    assert_eq!(stored.logs[0].name, name);
}

#[test]
fn the_certificate_is_looked_at_as_the_address_asks() {
    let Some(place) = Place::server() else { return };
    let Ok(authority) = std::env::var("WHORL_POSTGRES_CA") else {
        use std::io::Write;
        let said = "SKIPPED: no PostgreSQL with TLS. Set WHORL_POSTGRES_CA=ca.pem\n";
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        return;
    };
    let url = place.url();
    let by_name = url.replace("127.0.0.1", "localhost");
    let root = format!("&sslrootcert={authority}");
    let try_with = |url: &str, more: &str| State::connect(&format!("{url}&{more}"));
    for (url, more) in [
        (&url, "sslmode=disable".to_owned()),
        (&url, "sslmode=require".to_owned()),
        (&url, format!("sslmode=require{root}")),
        (&url, format!("sslmode=verify-ca{root}")),
        (&by_name, format!("sslmode=verify-full{root}")),
    ] {
        try_with(url, &more).unwrap();
    }
    let encrypted = |more: &str| {
        let name = format!("tls-{}-{}", std::process::id(), more.len());
        let state = named(&place, &format!("{name}&{more}"));
        state.check().unwrap();
        place.ask(&format!(
            "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
             WHERE application_name = '{name}'"
        ))
    };
    assert_eq!(encrypted("sslmode=disable"), ["f"]);
    assert_eq!(encrypted("sslmode=require"), ["t"]);
    for (url, more) in [
        (&url, format!("sslmode=verify-full{root}")),
        (&by_name, "sslmode=verify-full".to_owned()),
        (&url, "sslmode=verify-ca".to_owned()),
    ] {
        let error = try_with(url, &more).unwrap_err().to_string();
        assert!(error.contains("certificate"), "{more}: {error}");
    }
}

/// Ten days with 200,000 failed builds, each with a match of one of 1,000 fingerprints.
const MANY: &str = "
    INSERT INTO builds (id, uuid, meta, job, project, pipeline, branch, failed, received_at,
                        completed_at, at, waiting, verdict, rules_version)
    SELECT i, 'u' || i, '{\"uuid\":\"u' || i || '\",\"result\":\"FAILURE\"}', 'job' || (i % 80),
           'p' || (i % 30), 'gate', 'b' || (i % 4), 1, 0, 0, NOW_US - i * 4300000, 0,
           CASE i % 4 WHEN 0 THEN 'unmatched' ELSE 'matched' END, 'v'
    FROM generate_series(1::bigint, 200000) i;
    INSERT INTO matches (build, fingerprint, at, failed, hits, title, bug_name, returned, quiet)
    SELECT id, 'f' || (id / 4 % 1000), at, 1, 2, 't', 'b', 0, 0 FROM builds
    WHERE verdict = 'matched'; ANALYZE builds; ANALYZE matches";

#[test]
fn a_big_report_is_exact_and_does_not_take_long() {
    let Some(place) = Place::server() else { return };
    let state = place.open();
    let now = at("2026-11-21T12:00:00Z");
    place.ask(&MANY.replace("NOW_US", &now.as_microsecond().to_string()));
    let begun = Instant::now();
    let data = state.report_data(now, 50).unwrap();
    let counted = begun.elapsed();
    println!("counted on PostgreSQL in {counted:?}");
    let matched = data
        .tallies
        .iter()
        .filter(|t| t.place == whorl::state::Place::All && t.verdict == Verdict::Matched);
    assert_eq!(matched.map(|t| t.builds_10d).sum::<u64>(), 150_000);
    assert_eq!(data.fingerprints.len(), 1000);
    assert_eq!(data.unexplained.total, 50_000);
    // Generous: an unoptimised build on a busy machine. The budget is 2 s.
    assert!(counted < Duration::from_secs(20), "{counted:?}");
}
