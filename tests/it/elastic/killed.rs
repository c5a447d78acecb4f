//! A process that is killed in the middle of an append: nothing half of it is ever seen.

use super::{clusters, options, prefix};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use url::Url;
use whorl::event::{Build, Event};
use whorl::store::elastic::{ElasticStore, Options};
use whorl::store::{LogStore, StoreError};

/// Tells the test process that it is the child: the prefix and the address.
const CHILD: &str = "WHORL_TEST_CLUSTER_CHILD";

/// Events of an append of the child: more than one bulk request.
const EVENTS: usize = 5_000;

/// As in production: what a dead process left is told from what a living one does.
fn open(url: &Url, prefix: &str) -> Result<ElasticStore, StoreError> {
    ElasticStore::open(Options {
        append_limit: Duration::from_secs(900),
        ..options(url, prefix.to_owned())
    })
}

fn build(uuid: &str) -> Build {
    Build {
        finished: Some("2026-11-30T00:00:00Z".parse().unwrap()),
        ..Build::new(uuid)
    }
}

fn append(store: &ElasticStore, uuid: &str, word: &str, count: usize) {
    let mut events = (0..count).map(|_| Event::from_message(word));
    store.append(&build(uuid), &mut events).unwrap();
}

/// Not a test of its own: what the next ones start as a process.
#[test]
fn the_child_that_is_killed() {
    let Ok(told) = std::env::var(CHILD) else {
        return;
    };
    let (prefix, url) = told.split_once(' ').unwrap();
    let store = open(&url.parse().unwrap(), prefix).unwrap();
    for round in 0_usize.. {
        let uuid = format!("b{}", round % 3);
        let mut events = (0..EVENTS).map(|n| {
            if n % 1_000 == 0 {
                println!("\nat {round} {n}");
            }
            Event::from_message(format!("round {round}"))
        });
        store.append(&build(&uuid), &mut events).unwrap();
        println!("\ncommitted {round}");
    }
}

struct Writer {
    child: Child,
    output: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

/// What runs now, even when a new build has taken its place since.
fn this_program() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() {
        return running;
    }
    std::env::current_exe().unwrap()
}

impl Writer {
    fn start(url: &Url, prefix: &str) -> Self {
        let mut child = Command::new(this_program())
            .args([
                "--exact",
                "elastic::killed::the_child_that_is_killed",
                "--nocapture",
            ])
            .env(CHILD, format!("{prefix} {url}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output }
    }

    /// Waits for a line; returns the last round that was committed until then.
    fn reach(&mut self, wanted: &str) -> Option<usize> {
        let mut committed = None;
        for line in self.output.by_ref().map_while(Result::ok) {
            if let Some(round) = line.strip_prefix("committed ") {
                committed = round.parse().ok();
            }
            if line == wanted {
                return committed;
            }
        }
        panic!("the child ended before `{wanted}`");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The one message of a build's events; they must be all of one append.
fn whole(store: &ElasticStore, uuid: &str, sizes: &[usize]) -> Option<String> {
    let events = store.events_of(uuid).unwrap();
    assert!(
        sizes.contains(&events.len()),
        "half a build: {}",
        events.len()
    );
    let words: BTreeSet<&String> = events.iter().map(|event| &event.message).collect();
    assert!(words.len() <= 1, "{words:?}");
    words.into_iter().next().cloned()
}

#[test]
fn a_kill_in_the_middle_of_an_append_shows_nothing_half() {
    for (name, url) in clusters() {
        let prefix = prefix("killed");
        let store = open(&url, &prefix).unwrap();
        for uuid in ["b0", "b1", "b2"] {
            append(&store, uuid, "old", 7);
        }
        // In the first append, in a later one, and at its end.
        for point in ["at 0 3000", "at 1 4000", "committed 3", "at 5 2000"] {
            let mut writer = Writer::start(&url, &prefix);
            let committed = writer.reach(point);
            drop(writer);
            let store = open(&url, &prefix).unwrap();
            for (number, uuid) in ["b0", "b1", "b2"].into_iter().enumerate() {
                let word = whole(&store, uuid, &[7, EVENTS]).unwrap();
                let last = committed.and_then(|last| (0..=last).rev().find(|r| r % 3 == number));
                let Some(last) = last else { continue };
                // The next append may have been committed without the time to say so.
                let allowed = [last, last + 3].map(|round| format!("round {round}"));
                assert!(allowed.contains(&word), "{name} {point}: {uuid} has {word}");
            }
            let sum: usize = ["b0", "b1", "b2"]
                .map(|b| store.events_of(b).unwrap().len())
                .iter()
                .sum();
            assert_eq!(
                store.health().documents,
                sum as u64,
                "{name} {point}: something is left"
            );
        }
    }
}

#[test]
fn what_a_living_process_writes_is_not_seen_and_not_disturbed() {
    let Some((_, url)) = clusters().into_iter().next() else {
        return;
    };
    let prefix = prefix("living");
    let store = open(&url, &prefix).unwrap();
    append(&store, "b0", "old", 7);
    let mut writer = Writer::start(&url, &prefix);
    writer.reach("at 0 4000");
    // One that starts now leaves it alone and sees nothing of it.
    let late = open(&url, &prefix).unwrap();
    let seen = whole(&late, "b0", &[7, EVENTS]).unwrap();
    assert!(["old", "round 0"].contains(&seen.as_str()), "{seen}");
    assert_eq!(writer.reach("committed 0"), Some(0));
    drop(writer);
    // Its next append looks again: what was hidden is seen.
    append(&late, "other", "x", 1);
    let seen = whole(&late, "b0", &[EVENTS]).unwrap();
    assert!(seen.starts_with("round "), "{seen}");
}
