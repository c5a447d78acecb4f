//! What the list of names loses, and what an earlier run lost, is found again.

use super::*;
use crate::chance::{Plan, Rates, Record};
use crate::state::VerdictRecord;
use crate::store::{EmbeddedStore, Options};
use jiff::Timestamp;
use std::io::Write;
use tempfile::TempDir;

const BUILDS: usize = 5;

/// A folder with the logs and verdicts of some builds, and no index.
struct Home {
    dir: TempDir,
    state: Arc<State>,
    spool: Spool,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Self {
            state: Arc::new(State::open(dir.path().join("state.db")).unwrap()),
            spool: Spool::open(dir.path()).unwrap(),
            dir,
        };
        for n in 0..BUILDS {
            home.classified(&format!("b{n}"), "one line\n");
        }
        home
    }

    fn classified(&self, uuid: &str, log: &str) {
        self.state.put_build(&Build::new(uuid)).unwrap();
        let mut file = self.spool.receive().unwrap();
        file.write_all(log.as_bytes()).unwrap();
        self.spool.accept(uuid, "job.log", file).unwrap();
        let record = VerdictRecord {
            uuid: uuid.to_owned(),
            verdict: Verdict::Unmatched,
            rules_version: "1".into(),
            at: Timestamp::now(),
            matches: Vec::new(),
            problems: Vec::new(),
        };
        self.state.record_verdict(&record, &[]).unwrap();
    }

    fn indexer(&self, room: usize) -> Indexer {
        let folder = self.dir.path().join("index");
        let store = Arc::new(EmbeddedStore::open(&folder, Options::default()).unwrap());
        let (state, spool) = (self.state.clone(), self.spool.clone());
        let mut indexer = Indexer::new(store, state, spool, Limits::default());
        indexer.room = room;
        indexer
    }
}

/// Runs until nothing is left to do.
fn run(indexer: &Indexer) {
    let (drain, quit) = (CancellationToken::new(), CancellationToken::new());
    let stop = IndexStop {
        drain: &drain,
        quit: &quit,
    };
    std::thread::scope(|scope| {
        scope.spawn(|| indexer.run(stop));
        let begun = Instant::now();
        while indexer.status() != IndexStatus::default() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it never ends");
            std::thread::sleep(Duration::from_millis(5));
        }
        drain.cancel();
    });
}

#[test]
fn what_does_not_fit_into_the_list_is_found_again() {
    let home = Home::new();
    let indexer = home.indexer(2);
    // As after a comparison: nothing but the list is known.
    held(&indexer.queue).unsure = None;
    for n in 0..BUILDS {
        indexer.note(&Build::new(format!("b{n}")));
    }
    let status = indexer.status();
    assert_eq!((status.waiting_builds, status.comparing), (2, true));
    run(&indexer);
    assert_eq!(indexer.store.marks().unwrap().len(), BUILDS);
    assert_eq!(indexer.store.health().documents, BUILDS as u64);
}

#[test]
fn nobody_waits_for_others_when_enough_bytes_wait() {
    let home = Home::new();
    let indexer = home.indexer(WAITING);
    let line = "one line\n".len() as u64;
    for n in 0..2 {
        assert!(!held(&indexer.queue).has_enough(2 * line));
        indexer.note(&Build::new(format!("b{n}")));
    }
    let queue = held(&indexer.queue);
    assert!(queue.has_enough(2 * line) && !queue.has_enough(2 * line + 1));
}

#[test]
fn a_start_indexes_what_is_missing_or_has_changed_and_nothing_else() {
    let home = Home::new();
    let first = home.indexer(WAITING);
    run(&first);
    let before = first.store.marks().unwrap();
    assert_eq!(before.len(), BUILDS);
    drop(first);
    home.classified("b1", "two\nlines\n");
    home.classified("new", "one\n");
    let second = home.indexer(WAITING);
    run(&second);
    let after = second.store.marks().unwrap();
    assert_eq!(after.len(), BUILDS + 1);
    for (uuid, mark) in before {
        assert_eq!(after.get(&uuid) == Some(&mark), uuid != "b1", "{uuid}");
    }
    assert_eq!(second.store.events_of("b1").unwrap().len(), 2);
    assert_eq!(second.store.health().documents, BUILDS as u64 + 2);
}

#[test]
fn a_build_that_the_index_has_as_it_is_does_not_wait_again() {
    let home = Home::new();
    let indexer = home.indexer(WAITING);
    run(&indexer);
    home.classified("b1", "two\nlines\n");
    for n in 0..BUILDS {
        indexer.note(&Build::new(format!("b{n}")));
    }
    let names: Vec<Arc<str>> = held(&indexer.queue).names.iter().cloned().collect();
    assert_eq!(names, [Arc::from("b1")]);
    // One that is being indexed may be about to be had as it was before.
    held(&indexer.queue).taken.insert(Arc::from("b2"));
    indexer.note(&Build::new("b2"));
    assert!(held(&indexer.queue).names.contains("b2"));
    run(&indexer);
    assert_eq!(indexer.store.events_of("b1").unwrap().len(), 2);
    assert_eq!(indexer.store.health().documents, BUILDS as u64 + 1);
}

#[test]
fn a_build_without_logs_or_state_is_passed_over() {
    let home = Home::new();
    home.spool.remove("b0").unwrap();
    let indexer = home.indexer(WAITING);
    indexer.note(&Build::new("b0"));
    indexer.note(&Build::new("nobody"));
    run(&indexer);
    assert_eq!(indexer.store.marks().unwrap().len(), BUILDS - 1);
}

#[test]
fn builds_that_cannot_be_asked_for_do_not_keep_others_from_being_found() {
    let home = Home::new();
    // Every second look at the state fails: asking for all builds in a row never goes well.
    let rates = Rates::new(0.0, [("state".to_owned(), 0.5)].into()).unwrap();
    let plan = Arc::new(Plan::new(3, rates, "test", Record::nowhere()));
    let state = State::open(home.dir.path().join("state.db")).unwrap();
    let home = Home {
        state: Arc::new(state.failing(plan.clone())),
        ..home
    };
    let indexer = home.indexer(WAITING);
    run(&indexer);
    assert_eq!(indexer.store.marks().unwrap().len(), BUILDS);
    let failed: u64 = plan.tally().iter().map(|site| site.before).sum();
    assert!(failed > 0);
}
