//! The store on a cluster, against real servers.
//!
//! `WHORL_CLUSTERS` names them: `name=url` with `,` between, as `tests/real/run` sets it. Without it
//! these tests say that they were skipped.

mod counts;
mod faults;
mod killed;
mod language;
mod neighbours;
mod nodes;
mod secure;
mod words;

use crate::store::contract;
use jiff::Timestamp;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use whorl::classify::cluster::{Bounds, look, look_within};
use whorl::event::{Build, Event, Match};
use whorl::fingerprint::{Condition, FingerprintSet};
use whorl::intake::{Limits, open_path, read_all};
use whorl::matcher::Matcher;
use whorl::store::LogStore;
use whorl::store::elastic::{Connection, ElasticStore, Options};

/// The servers to try, with their names.
pub(crate) fn clusters() -> Vec<(String, Url)> {
    let Ok(all) = std::env::var("WHORL_CLUSTERS") else {
        eprintln!("SKIPPED: WHORL_CLUSTERS names no cluster (tests/real/run starts some)");
        return Vec::new();
    };
    let parsed = all.split(',').filter(|part| !part.trim().is_empty());
    parsed
        .map(|part| {
            let (name, url) = part.trim().split_once('=').expect("name=url");
            (name.to_owned(), url.parse().expect("a URL"))
        })
        .collect()
}

/// A prefix for indexes that no other test uses.
pub(crate) fn prefix(what: &str) -> String {
    let time = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    format!("whorl-test-{what}-{:x}", time.as_nanos())
}

pub(crate) fn options(url: &Url, prefix: String) -> Options {
    Options {
        connection: Connection {
            urls: vec![url.clone()],
            ..Connection::default()
        },
        prefix,
        append_limit: Duration::ZERO,
        ..Options::default()
    }
}

#[test]
fn every_cluster_keeps_the_contract() {
    for (name, url) in clusters() {
        println!("{name} at {url}");
        let (base, count) = (prefix("contract"), Cell::new(0));
        let make = |schema| -> Box<dyn LogStore> {
            count.set(count.get() + 1);
            let options = Options {
                schema,
                ..options(&url, format!("{base}-{}", count.get()))
            };
            Box::new(ElasticStore::open(options).unwrap())
        };
        let server = language::server(&url);
        println!("it says that it is {server:?}");
        let met = RefCell::new(BTreeSet::new());
        contract::run_all(&make, &|query| {
            let class = language::class(server, query);
            met.borrow_mut().extend(class);
            class
        });
        // A class that no query needs any more must go.
        assert_eq!(met.into_inner(), language::classes(server), "{name}");
    }
}

/// The recorded builds: what they are and their events as intake reads them.
fn recorded() -> Vec<(Build, Vec<Event>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/builds");
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let read = |folder: &std::path::PathBuf| {
        let text = std::fs::read(folder.join("build.json")).unwrap();
        let build: Build = serde_json::from_slice(&text).unwrap();
        let limits = Limits::default();
        let inputs = open_path(&folder.join("logs"), &limits).unwrap();
        let mut events = Vec::new();
        read_all(&inputs, &build.fields(), &limits, &mut |event| {
            events.push(event);
        });
        (build, events)
    };
    folders.iter().map(read).collect()
}

fn fingerprints() -> Matcher {
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    Matcher::new(Arc::new(FingerprintSet::load(&[queries])))
}

#[test]
fn recorded_builds_are_classified_as_from_disk() {
    for (name, url) in clusters() {
        let store = ElasticStore::open(options(&url, prefix("recorded"))).unwrap();
        let matcher = fingerprints();
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let (mut matched, mut requests) = (0, 0);
        for (build, events) in recorded() {
            store.append(&build, &mut events.iter().cloned()).unwrap();
            let expected = from_disk(&matcher, &build, &events, now);
            let looked = look(&store, &matcher, &build, now, 100_000).unwrap();
            assert_eq!(looked.matches, expected, "{name}: {}", build.uuid);
            assert_eq!(looked.problems, [""; 0]);
            assert_eq!(looked.events, events.len() as u64);
            assert!(looked.requests <= 3);
            matched += usize::from(!looked.matches.is_empty());
            requests += looked.requests;
        }
        println!("{name}: {matched} builds matched in {requests} requests");
        assert!(matched > 50);
    }
}

/// No event is pulled.
const COUNTED: Bounds = Bounds {
    pulled: 0,
    most: 0,
    known: None,
};

/// What our own matcher says of the events.
fn from_disk(matcher: &Matcher, build: &Build, events: &[Event], now: Timestamp) -> Vec<Match> {
    let mut run = matcher.start(build, now);
    for event in events {
        run.event(event);
    }
    run.finish()
}

/// A build with more events than one answer holds: the cluster counts, and says the same.
#[test]
fn a_large_build_is_counted_by_the_cluster() {
    for (name, url) in clusters() {
        let store = ElasticStore::open(options(&url, prefix("large"))).unwrap();
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let build = Build {
            job: Some("large".into()),
            finished: Some("2026-11-30T00:00:00Z".parse().unwrap()),
            ..Build::new("large")
        };
        let (_, recorded): (Vec<_>, Vec<_>) = recorded().into_iter().unzip();
        let mut events: Vec<Event> = recorded.into_iter().flatten().collect();
        while events.len() <= 25_000 {
            events.extend_from_within(..events.len().min(5_000));
        }
        for (line, event) in (1..).zip(&mut events) {
            event.at.line = line;
        }
        store.append(&build, &mut events.iter().cloned()).unwrap();
        let matcher = fingerprints();
        let expected = from_disk(&matcher, &build, &events, now);
        assert!(expected.len() > 10);
        let pulled = look(&store, &matcher, &build, now, 1_000_000).unwrap();
        assert_eq!(pulled.matches, expected, "{name}");
        let pages = events.len().div_ceil(10_000) as u64;
        assert_eq!(pulled.requests, 1 + pages);
        assert_eq!((pulled.extra_pages, pulled.splits), (pages - 1, 0));
        let counted = look_within(&store, &matcher, &build, now, COUNTED).unwrap();
        let simple = |id: &str| {
            let all = &matcher.set().fingerprints;
            let found = all.iter().find(|f| f.id == id).unwrap();
            matches!(found.condition, Condition::Query(_)) && found.none.is_empty()
        };
        let mut counted_here = expected;
        counted_here.retain(|m| simple(&m.fingerprint));
        assert!(counted_here.len() > 10);
        assert_eq!(counted.matches, counted_here, "{name}");
        assert_eq!(counted.requests, 2);
        assert_eq!((counted.extra_pages, counted.splits), (0, 0));
        assert!(
            counted.problems[0].contains("patterns"),
            "{:?}",
            counted.problems
        );
    }
}

/// More queries than one request holds: the further ones are counted.
#[test]
fn further_requests_for_many_fingerprints_are_counted() {
    for (name, url) in clusters() {
        let store = ElasticStore::open(options(&url, prefix("many"))).unwrap();
        let build = Build {
            finished: Some("2026-11-30T00:00:00Z".parse().unwrap()),
            ..Build::new("many")
        };
        let mut events = (0..4_001).map(|n| Event::from_message(format!("word{n}")));
        store.append(&build, &mut events).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for n in 0..2_001 {
            let text = format!("query: message:word{n}\n");
            std::fs::write(dir.path().join(format!("b{n}.yaml")), text).unwrap();
        }
        let matcher = Matcher::new(Arc::new(FingerprintSet::load(&[dir.path().to_owned()])));
        let looked = look_within(&store, &matcher, &build, Timestamp::now(), COUNTED).unwrap();
        assert_eq!(looked.matches.len(), 2_001, "{name}");
        // The number of events, and one more request than two for the queries.
        assert_eq!((looked.requests, looked.splits), (4, 1), "{name}");
    }
}
