//! How few requests a build takes, counted on the wire.

use super::{clusters, from_disk, options, prefix, recorded};
use crate::proxy::Proxy;
use crate::query::conformance;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use whorl::classify::cluster::look;
use whorl::event::{Build, Event};
use whorl::fingerprint::FingerprintSet;
use whorl::matcher::Matcher;
use whorl::store::LogStore;
use whorl::store::elastic::ElasticStore;

/// As many fingerprints: those in use as far as they are at hand, and made ones.
fn fingerprints(count: usize, folder: &Path) -> Matcher {
    let mut roots: Vec<_> = conformance().into_iter().collect();
    for root in &mut roots {
        root.push("fingerprints");
    }
    let used = FingerprintSet::load(&roots).fingerprints.len();
    for n in used..count {
        let text = format!(
            "query: >-\n  (message:\"made up error {n}\" OR message:\"timed out after {n} s\")\n  \
             AND NOT build_status:\"SUCCESS\"\nallow-nonvoting: true\n"
        );
        std::fs::write(folder.join(format!("made-{n}.yaml")), text).unwrap();
    }
    roots.push(folder.to_owned());
    let set = FingerprintSet::load(&roots);
    assert_eq!(set.fingerprints.len(), count, "{:?}", set.diagnostics);
    Matcher::new(Arc::new(set))
}

/// A build of so many events: those of the recorded builds over and over, and some that made-up
/// fingerprints find.
fn events(count: usize) -> Vec<Event> {
    let recorded: Vec<Event> = recorded()
        .into_iter()
        .flat_map(|(_, events)| events)
        .collect();
    let mut events: Vec<Event> = recorded.iter().cycle().take(count).cloned().collect();
    for (line, event) in (1..).zip(&mut events) {
        event.at.line = line;
        if line % 1_000 == 7 {
            write!(event.message, " made up error {}", 970 + line / 1_000).unwrap();
        }
    }
    events
}

#[test]
fn a_thousand_fingerprints_take_at_most_three_requests() {
    let folder = tempfile::tempdir().unwrap();
    let matcher = fingerprints(1_000, folder.path());
    let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    for (name, url) in clusters() {
        let proxy = Proxy::to(&url);
        let store = ElasticStore::open(options(&proxy.url(), prefix("thousand"))).unwrap();
        for size in [3_000, 30_000] {
            let build = Build {
                finished: Some("2026-11-30T00:00:00Z".parse().unwrap()),
                ..Build::new(format!("of-{size}"))
            };
            let events = events(size);
            store.append(&build, &mut events.iter().cloned()).unwrap();
            let expected = from_disk(&matcher, &build, &events, now);
            let before = proxy.count("");
            let start = Instant::now();
            let looked = look(&store, &matcher, &build, now, 0).unwrap();
            let (time, after) = (start.elapsed(), proxy.count(""));
            let requests = after.requests - before.requests;
            println!(
                "{name}: {size} events, {} fingerprints, {} matches: {requests} requests, \
                 {} bytes out, {} bytes in, {time:?}",
                looked.looked_for,
                looked.matches.len(),
                after.sent - before.sent,
                after.received - before.received,
            );
            assert!(requests <= 3, "{name}: {requests}");
            assert_eq!(requests, looked.requests);
            assert_eq!(looked.events, size as u64);
            assert!(looked.looked_for >= 900, "{}", looked.looked_for);
            assert!(expected.len() >= 3);
            assert_eq!(looked.matches, expected, "{name}: {:?}", looked.problems);
            assert_eq!(looked.problems, [""; 0]);
        }
    }
}
