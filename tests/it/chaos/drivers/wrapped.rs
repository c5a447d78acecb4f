//! Wrapped stores, trackers and sources: only the errors of the table, before or after the call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use whorl::chance::{Plan, Rates, Record, Tally};
use whorl::chaos::driver::{Chaotic, ChaoticSource, ChaoticTracker};
use whorl::config::FolderSource;
use whorl::event::{Build, Event, FieldValue};
use whorl::source::Source;
use whorl::source::folder::Folder;
use whorl::store::{EmbeddedStore, LogStore, MarkedStore, Options, StoreError};
use whorl::tracker::{Answer, Bug, Comment, Fetched, Tracker, TrackerError};

const CALLS: u64 = 60;

fn plan(rate: f64) -> Plan {
    let rates = Rates::new(rate, [].into()).unwrap();
    Plan::new(21, rates, "test", Record::nowhere())
}

fn tally(plan: &Plan, name: &str) -> Tally {
    let all = plan.tally();
    all.into_iter().find(|one| one.site == name).unwrap()
}

fn event(build: &str) -> Event {
    let mut event = Event::from_message("a line");
    event.own.set("build_uuid", FieldValue::text(build));
    event
}

#[test]
fn a_store_that_failed_after_it_was_done_has_the_events_once() {
    let folder = tempfile::tempdir().unwrap();
    let real = Arc::new(EmbeddedStore::open(folder.path(), Options::default()).unwrap());
    let plan = plan(1.0);
    let store = Chaotic::new(real.clone(), &plan);
    for n in 0..CALLS {
        let uuid = format!("b{n}");
        let build = (Build::new(&uuid), n);
        let mut read = |_, sink: &mut dyn FnMut(Event)| sink(event(&uuid));
        let error = store.append_many(&[build], &mut read).unwrap_err();
        let allowed = matches!(
            error,
            StoreError::Io { .. } | StoreError::Index(_) | StoreError::Unavailable(_)
        );
        assert!(allowed, "{error:?}");
    }
    let counts = tally(&plan, "store.append_many");
    assert_eq!(counts.before + counts.after, CALLS);
    assert!(counts.after > 10, "{counts:?}");
    assert_eq!(real.health().documents, counts.after);
    assert_eq!(real.marks().unwrap().len() as u64, counts.after);
    assert!(store.marks().is_err() && store.events_of("b0").is_err());
    // What cannot fail does not.
    assert_eq!(store.health(), real.health());
}

#[test]
fn a_store_that_does_not_fail_is_the_same_store() {
    let folder = tempfile::tempdir().unwrap();
    let real = Arc::new(EmbeddedStore::open(folder.path(), Options::default()).unwrap());
    let store = Chaotic::new(real, &plan(0.0));
    let build = Build::new("b1");
    let appended = store.append(&build, &mut [event("b1")].into_iter());
    assert_eq!(appended.unwrap(), 1);
    assert_eq!(store.events_of("b1").unwrap().len(), 1);
}

/// Counts what it is asked to change.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Tracker for Counting {
    fn fetch<'a>(&'a self, _: &'a Bug, _: Option<&'a str>) -> Answer<'a, Fetched> {
        Box::pin(async { Ok(Fetched::Unchanged) })
    }

    fn marker(&self) -> &'static str {
        "marker"
    }

    fn own_comment<'a>(&'a self, _: &'a Bug) -> Answer<'a, Option<Comment>> {
        Box::pin(async { Ok(None) })
    }

    fn add_comment<'a>(&'a self, _: &'a Bug, _: &'a str) -> Answer<'a, String> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok("1".to_owned()) })
    }

    fn edit_comment<'a>(&'a self, _: &'a Bug, _: &'a str, _: &'a str) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_tracker_fails_as_trackers_do() {
    let (real, plan) = (Arc::new(Counting::default()), plan(1.0));
    let tracker = ChaoticTracker::new(real.clone(), &plan);
    let bug = Bug {
        project: "p".into(),
        id: "7".into(),
    };
    let mut seen = BTreeSet::new();
    for _ in 0..CALLS {
        let written = tracker.add_comment(&bug, "text").await.unwrap_err();
        seen.insert(match written {
            TrackerError::Limited { .. } => "limited",
            TrackerError::Server { .. } => "server",
            TrackerError::Timeout => "timeout",
            TrackerError::Network(_) => "network",
            other => panic!("{other}: not in the table"),
        });
        assert!(tracker.fetch(&bug, None).await.is_err());
    }
    assert_eq!(seen.len(), 4);
    let counts = tally(&plan, "tracker.add_comment");
    assert!(counts.after > 10, "{counts:?}");
    assert_eq!(real.0.load(Ordering::SeqCst), counts.after);
    assert_eq!(tally(&plan, "tracker.fetch").after, 0);
    assert_eq!(tracker.marker(), "marker");
}

#[tokio::test]
async fn a_source_may_not_know_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{{name: drop, path: {}}}", folder.path().display());
    let config: FolderSource = serde_saphyr::from_str(&text).unwrap();
    let plan = plan(1.0);
    let source = ChaoticSource::new(Arc::new(Folder::new(&config)), &plan);
    let error = source.headers().await.unwrap_err();
    assert!(error.contains("the account is not taken"), "{error}");
    assert_eq!(source.name(), "drop");
}
