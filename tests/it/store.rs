//! The embedded store: the contract of all stores, and what only a store on disk can suffer.

pub(crate) mod contract;

use jiff::Timestamp;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use whorl::event::{Build, Event, FieldValue, Fields};
use whorl::query::analyser::analyse;
use whorl::query::{Document, Query, Schema};
use whorl::store::{
    EmbeddedStore, HealthState, LogStore, Options, SearchRequest, Selection, StoreError,
};

/// Tells the test process that it is the child, and where the store is.
const CHILD: &str = "WHORL_TEST_STORE_CHILD";

/// Events of each build that the child appends.
const EVENTS: u64 = 300;

fn open(root: &Path) -> EmbeddedStore {
    EmbeddedStore::open(root, options(Schema::default())).unwrap()
}

fn options(schema: Schema) -> Options {
    Options {
        schema,
        writer_memory: 15_000_000,
        check: true,
        // Few, so that what is found in some of them is put together.
        together: 3,
    }
}

fn build(uuid: &str, day: u8) -> Build {
    Build {
        finished: format!("2025-12-{day:02}T12:00:00Z").parse().ok(),
        ..Build::new(uuid)
    }
}

fn append(store: &EmbeddedStore, uuid: &str, day: u8, message: &str) {
    let mut events = (0..EVENTS).map(|_| Event::from_message(message));
    store.append(&build(uuid, day), &mut events).unwrap();
}

#[test]
fn the_embedded_store_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    contract::run_all(
        &|schema| {
            count.set(count.get() + 1);
            let folder = root.path().join(count.get().to_string());
            Box::new(EmbeddedStore::open(&folder, options(schema)).unwrap())
        },
        &contract::same,
    );
}

#[test]
fn a_store_in_use_is_refused_with_its_name() {
    let root = tempfile::tempdir().unwrap();
    let first = open(root.path());
    let Err(error) = EmbeddedStore::open(root.path(), Options::default()) else {
        panic!("opened twice");
    };
    assert!(matches!(error, StoreError::Locked { .. }));
    let text = error.to_string();
    assert!(text.contains(&root.path().display().to_string()), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    drop(first);
    open(root.path());
}

/// Two messages for each build, that say which build it is.
fn two_each(store: &EmbeddedStore, builds: &[(Build, u64)]) -> Vec<u64> {
    let mut read = |number: usize, sink: &mut dyn FnMut(Event)| {
        let uuid = &builds[number].0.uuid;
        sink(Event::from_message(format!("first of {uuid} at {number}")));
        sink(Event::from_message(format!("second of {uuid} at {number}")));
    };
    store.append_many(builds, &mut read).unwrap()
}

#[test]
fn builds_of_several_days_are_appended_together_and_marked() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    append(&store, "b1", 1, "old");
    let builds = [
        (build("b1", 3), 11),
        (build("b2", 2), 12),
        (build("b3", 2), 13),
        // Said twice: the last one counts.
        (build("b2", 1), 14),
    ];
    assert_eq!(two_each(&store, &builds), [2, 0, 2, 2]);
    let messages = |store: &EmbeddedStore, uuid: &str| -> Vec<String> {
        let events = store.events_of(uuid).unwrap();
        events.into_iter().map(|event| event.message).collect()
    };
    assert_eq!(
        messages(&store, "b1"),
        ["first of b1 at 0", "second of b1 at 0"]
    );
    assert_eq!(
        messages(&store, "b2"),
        ["first of b2 at 3", "second of b2 at 3"]
    );
    store
        .append(&build("b4", 2), &mut std::iter::empty())
        .unwrap();
    assert_eq!(store.health().documents, 6);
    drop(store);
    let store = open(root.path());
    let mut marks: Vec<_> = store.marks().unwrap().into_iter().collect();
    marks.sort();
    let marked = |uuid: &str, mark| (uuid.to_owned(), mark);
    let expected = [
        marked("b1", 11),
        marked("b2", 14),
        marked("b3", 13),
        marked("b4", 0),
    ];
    assert_eq!(marks, expected);
}

#[test]
fn a_slice_of_another_form_is_set_aside_and_said_to_be_so() {
    let (root, slice) = two_days();
    fs::remove_file(slice.join("form")).unwrap();
    let store = open(root.path());
    let problems = store.health().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("another version"), "{problems:?}");
    assert!(problems[0].contains("filled again"), "{problems:?}");
    append(&store, "b1", 1, "again");
    assert_eq!(store.events_of("b1").unwrap().len(), 300);
}

/// Queries for a word, and for others like it.
fn queries_for(word: &str) -> Vec<String> {
    let escaped = |part: &[char]| -> String {
        let protect = |c: &char| {
            let special = c.is_ascii() && !c.is_ascii_alphanumeric();
            format!("{}{c}", if special { "\\" } else { "" })
        };
        part.iter().map(protect).collect()
    };
    let all: Vec<char> = word.chars().take(300).collect();
    let (half, most) = (all.len() / 2, all.len().saturating_sub(1));
    vec![
        format!("message:{}", escaped(&all)),
        format!("\"{}\"", escaped(&all)),
        format!("{}*", escaped(&all[..half])),
        format!("*{}", escaped(&all[half..])),
        format!("{}?", escaped(&all[..most])),
        format!("*{}*", escaped(&all[half / 2..half])),
        format!(
            "{}?{}",
            escaped(&all[..half]),
            escaped(&all[(half + 1).min(all.len())..])
        ),
        format!("{}~1", escaped(&all)),
        format!("NOT {}", escaped(&all)),
    ]
}

#[test]
fn no_block_hides_an_event() {
    let long = ["a".repeat(600), "abc.def".repeat(80), "x1,".repeat(200)];
    let messages = [
        "\u{212a}8s is up",
        "k8s is down",
        "\u{130}stanbul",
        "istanbul",
        "STRASSE \u{df}",
        "\u{17f}tart start",
        "\u{c4}rger caf\u{e9} cafe\u{301}",
        "\u{65e5}\u{672c}\u{8a9e}x \u{30ab}\u{30bf}a",
        "nova.compute.Manager",
        "__init__ _ x_1",
        "Don't foo:bar 1.2.3.4",
        "compute",
        "\u{1f600} smile \u{5d0}\"\u{5d1}",
        "req-8f14e45fceea167a took 1234567 us",
        "1234568 of 12345 at 0x7fff12ab, feed12 for FEED12.ab12345",
        "feed 1234 decade err12345 12345_6 12345g",
        &long[0],
        &long[1],
        &long[2],
    ];
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let events: Vec<Event> = messages.into_iter().map(Event::from_message).collect();
    // Each event is a block of its own, so that a block can be left out.
    let builds: Vec<(Build, u64)> = (0..events.len())
        .map(|n| (build(&format!("{n:03}"), 1), 0))
        .collect();
    let mut read = |n: usize, sink: &mut dyn FnMut(Event)| sink(events[n].clone());
    store.append_many(&builds, &mut read).unwrap();
    let (mut asked, mut hits) = (0, 0);
    for event in &events {
        for text in analyse(&event.message).flat_map(|word| queries_for(&word.text)) {
            let Ok(query) = Query::parse(&text, &Schema::default()) else {
                continue;
            };
            let holds =
                |event: &&Event| query.matches(&Document::new(event), Timestamp::UNIX_EPOCH);
            let expected: Vec<&str> = events.iter().filter(holds).map(|e| &*e.message).collect();
            let request = contract::all(Some(&query));
            let found = store.search(&request, Timestamp::UNIX_EPOCH).unwrap();
            let messages: Vec<&str> = found.hits.iter().map(|hit| &*hit.event.message).collect();
            assert_eq!(messages, expected, "{text}");
            asked += 1;
            hits += messages.len();
        }
    }
    assert!(asked > 300 && hits > asked, "{asked} queries, {hits} hits");
}

#[test]
fn numbers_of_which_there_are_very_many_are_told_apart() {
    const NUMBERS: usize = 20_000;
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let number = |n: usize| {
        format!(
            "{:x}",
            0x0123_4567_usize.wrapping_mul(n + 1) | 0xe0_0000_0000
        )
    };
    let mut events = (0..NUMBERS).map(|n| Event::from_message(format!("id {}", number(n))));
    store.append(&build("many", 1), &mut events).unwrap();
    for n in (0..NUMBERS).step_by(101) {
        let query = Query::parse(&number(n), &Schema::default()).unwrap();
        let request = SearchRequest {
            limit: 2,
            ..contract::all(Some(&query))
        };
        let found = store.search(&request, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(found.total, 1, "{}", number(n));
        assert_eq!(found.hits[0].event.message, format!("id {}", number(n)));
    }
}

#[test]
fn nobody_waits_for_a_search_behind_its_deadline() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let boom = Event::from_message("it went boom");
    store
        .append(&build("b", 1), &mut std::iter::once(boom))
        .unwrap();
    let query = Query::parse("boom", &Schema::default()).unwrap();
    let (now, past) = (Timestamp::UNIX_EPOCH, Instant::now());
    for (deadline, in_time) in [(past, false), (past + Duration::from_secs(600), true)] {
        let selection = Selection {
            query: Some(&query),
            deadline: Some(deadline),
            ..Selection::default()
        };
        let request = SearchRequest {
            selection: selection.clone(),
            limit: 1,
            ..SearchRequest::default()
        };
        let found = store.search(&request, now);
        let builds = store.distinct_builds(&selection, now);
        if in_time {
            assert_eq!((found.unwrap().total, builds.unwrap().len()), (1, 1));
        } else {
            let late = |error: StoreError| matches!(error, StoreError::TooLong);
            assert!(late(found.unwrap_err()) && late(builds.unwrap_err()));
        }
    }
}

#[test]
fn votes_of_events_in_one_block_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let shared: Fields = [("voting", FieldValue::Integer(0))].into_iter().collect();
    let mut first = Event::from_message("has a vote of its own");
    first.shared = Arc::new(shared);
    let second = Event {
        message: "has none".into(),
        ..first.clone()
    };
    first.own.set("voting", FieldValue::Integer(1));
    store
        .append(&build("b", 1), &mut [first, second].into_iter())
        .unwrap();
    for (voting, expected) in [(true, "has a vote of its own"), (false, "has none")] {
        let mut request = SearchRequest {
            limit: 9,
            ..SearchRequest::default()
        };
        request.selection.filters.voting = Some(voting);
        let found = store.search(&request, Timestamp::UNIX_EPOCH).unwrap();
        let messages: Vec<&str> = found.hits.iter().map(|hit| &*hit.event.message).collect();
        assert_eq!(messages, [expected]);
    }
}

/// A store with two days, closed again, and the folder of the first.
fn two_days() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    append(&store, "b1", 1, "first day");
    append(&store, "b2", 2, "second day");
    drop(store);
    let slice = root.path().join("slices/2025-12-01");
    (root, slice)
}

#[test]
fn a_damaged_slice_is_set_aside_and_reported() {
    let damages: [fn(&Path); 4] = [
        |slice| fs::write(slice.join("meta.json"), "{").unwrap(),
        |slice| fs::remove_file(slice.join("meta.json")).unwrap(),
        |slice| fs::remove_file(file_of(slice, "store")).unwrap(),
        |slice| {
            let path = file_of(slice, "idx");
            let mut bytes = fs::read(&path).unwrap();
            bytes[3] ^= 0x55;
            fs::write(path, bytes).unwrap();
        },
    ];
    for damage in damages {
        let (root, slice) = two_days();
        damage(&slice);
        let store = open(root.path());
        let health = store.health();
        assert_eq!(health.state, HealthState::Degraded);
        assert_eq!(health.problems.len(), 1, "{:?}", health.problems);
        assert!(
            health.problems[0].contains("2025-12-01"),
            "{:?}",
            health.problems
        );
        assert!(store.events_of("b1").unwrap().is_empty());
        assert_eq!(store.events_of("b2").unwrap().len(), 300);
        append(&store, "b1", 1, "again");
        assert_eq!(store.events_of("b1").unwrap().len(), 300);
    }
}

fn file_of(slice: &Path, kind: &str) -> PathBuf {
    let files = fs::read_dir(slice)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == kind))
        .unwrap()
}

#[test]
fn a_slice_that_was_never_finished_is_no_harm() {
    let (root, slice) = two_days();
    let unfinished = root.path().join("slices/.unfinished-2025-12-03");
    fs::create_dir(&unfinished).unwrap();
    fs::copy(slice.join("meta.json"), unfinished.join("meta.json")).unwrap();
    let store = open(root.path());
    assert_eq!(store.health().state, HealthState::Ok);
    assert!(!unfinished.exists());
}

/// Not a test of its own: what the next test starts as a process and kills.
#[test]
fn the_child_that_is_killed() {
    let Some(root) = std::env::var_os(CHILD) else {
        return;
    };
    let store = open(Path::new(&root));
    for round in 0.. {
        let uuid = format!("b{}", round % 5);
        let day = u8::try_from(round % 2).unwrap() + 1;
        append(
            &store,
            &uuid,
            day,
            &format!("process {} round {round}", std::process::id()),
        );
        println!("\ncommitted {uuid} {} {round}", std::process::id());
    }
}

#[test]
fn a_kill_at_any_moment_loses_no_committed_build_and_shows_no_half_one() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..6_u64 {
        let (pid, committed) = kill_child_after(root.path(), 3 + round, round * 7);
        let store = open(root.path());
        assert_eq!(store.health().problems, [""; 0]);
        for n in 0..5 {
            let events = store.events_of(&format!("b{n}")).unwrap();
            assert!(
                [0, 300].contains(&events.len()),
                "half a build: {}",
                events.len()
            );
            assert!(
                events
                    .iter()
                    .all(|event| event.message == events[0].message)
            );
            let Some(last) = committed.iter().rev().find(|round| *round % 5 == n) else {
                continue;
            };
            // The next append of the same build may have been committed and not yet said so.
            let allowed = [*last, last + 5].map(|round| format!("process {pid} round {round}"));
            assert!(
                allowed.contains(&events[0].message),
                "{}",
                events[0].message
            );
        }
    }
}

/// Starts the child, kills it some milliseconds after it has committed `appends` builds, and
/// returns its id and the rounds that it said were committed.
fn kill_child_after(root: &Path, appends: u64, milliseconds: u64) -> (u32, Vec<u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::the_child_that_is_killed", "--nocapture"])
        .env(CHILD, root)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (send, receive) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let Some(rest) = line.strip_prefix("committed ") else {
                continue;
            };
            let round = rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
            if send.send(round).is_err() {
                return;
            }
        }
    });
    let mut rounds = Vec::new();
    for _ in 0..appends {
        rounds.push(receive.recv_timeout(Duration::from_secs(60)).unwrap());
    }
    // The moment is meant to be arbitrary: nothing is awaited here.
    rounds.extend(receive.recv_timeout(Duration::from_millis(milliseconds)));
    child.kill().unwrap();
    child.wait().unwrap();
    rounds.extend(receive.iter());
    reader.join().unwrap();
    (child.id(), rounds)
}
