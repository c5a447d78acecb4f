//! A cluster of three processes, of which one is killed and comes back.
//!
//! `WHORL_NODES` names the three addresses with `,` between; `tests/real/run` starts them, and
//! `tests/real/start-opensearch-nodes.sh` kills one and starts it again, with the same variables.

use super::faults::until;
use super::{fingerprints, from_disk, options, prefix, recorded};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use url::Url;
use whorl::classify::cluster::look;
use whorl::event::{Build, Event};
use whorl::store::elastic::{ElasticStore, Options};
use whorl::store::{HealthState, LogStore, SearchRequest, Selection, StoreError};

fn nodes() -> Option<Vec<Url>> {
    let Ok(all) = std::env::var("WHORL_NODES") else {
        eprintln!("SKIPPED: WHORL_NODES names no cluster of three (tests/real/run starts one)");
        return None;
    };
    Some(all.split(',').map(|url| url.parse().unwrap()).collect())
}

/// `kill N` or `back N`.
fn node(what: &str, number: usize) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/start-opensearch-nodes.sh");
    let mut command = Command::new(script);
    // The servers outlive the script, so its output must not be waited for.
    let status = command.args([what, &number.to_string()]).status().unwrap();
    assert!(status.success(), "{what} {number}");
}

fn through(nodes: &[Url], prefix: String) -> Options {
    let mut options = options(&nodes[0], prefix);
    options.connection.urls = nodes.to_vec();
    options.connection.timeout = Duration::from_secs(10);
    options
}

/// What a loss may look like: it says that it is one, and is no answer.
fn honest(error: &StoreError) {
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(
        error.to_string().contains("127.0.0.1") || error.to_string().contains("shards"),
        "{error}"
    );
}

fn ask(nodes: &[Url], path: &str) -> Option<serde_json::Value> {
    let answer = nodes.iter().find_map(|url| {
        let client = reqwest::blocking::Client::new();
        let request = client
            .get(url.join(path).unwrap())
            .timeout(Duration::from_secs(5));
        request.send().ok()
    })?;
    answer.json().ok()
}

fn green(nodes: &[Url], index: &str) -> bool {
    let path = format!("_cluster/health/{index}?wait_for_nodes=3&timeout=1s");
    ask(nodes, &path).is_some_and(|health| {
        health["status"] == "green"
            && health["number_of_nodes"] == 3
            && health["timed_out"] == false
    })
}

/// Both halves are one test: they need the same nodes, one after the other.
#[test]
fn a_node_lost_and_back() {
    let Some(nodes) = nodes() else { return };
    a_copy_elsewhere_loses_nothing(&nodes);
    without_a_copy_nothing_is_pretended(&nodes);
}

fn a_copy_elsewhere_loses_nothing(nodes: &[Url]) {
    let name = prefix("nodes");
    let store = ElasticStore::open(Options {
        shards: 3,
        ..through(nodes, name.clone())
    })
    .unwrap();
    let matcher = fingerprints();
    let now = "2026-12-01T00:00:00Z".parse().unwrap();
    let builds: Vec<(Build, Vec<Event>)> = recorded().into_iter().take(60).collect();
    let check = |(build, events): &(Build, Vec<Event>)| -> Result<(), StoreError> {
        let looked = look(&store, &matcher, build, now, 100_000)?;
        let expected = from_disk(&matcher, build, events, now);
        assert_eq!(looked.matches, expected, "{}", build.uuid);
        assert_eq!(looked.events, events.len() as u64, "{}", build.uuid);
        Ok(())
    };
    let (first, rest) = builds.split_at(20);
    for (build, events) in first {
        store.append(build, &mut events.iter().cloned()).unwrap();
    }
    until("all copies are there", || {
        green(nodes, &format!("{name}-*"))
    });
    let (done, errors) = (AtomicBool::new(false), AtomicU64::new(0));
    let failed = |error: &StoreError| {
        honest(error);
        errors.fetch_add(1, Ordering::SeqCst);
    };
    let appended = |build: &Build, events: &[Event]| {
        let appended = store.append(build, &mut events.iter().cloned());
        appended.inspect_err(failed).is_ok()
    };
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut right = 0;
            while !done.load(Ordering::SeqCst) {
                for build in first {
                    right += u32::from(check(build).inspect_err(failed).is_ok());
                }
            }
            right
        });
        for (number, (build, events)) in rest.iter().enumerate() {
            if number == 5 {
                // The first address is the node that dies, in the middle of the appends.
                scope.spawn(|| node("kill", 1));
            }
            if number == 30 {
                node("back", 1);
            }
            until("the append is done", || appended(build, events));
        }
        done.store(true, Ordering::SeqCst);
        let right = reading.join().unwrap();
        println!(
            "{right} right answers, {errors:?} errors, {:?}",
            store.traffic()
        );
        assert!(right > 20);
    });
    until("all copies are there again", || {
        green(nodes, &format!("{name}-*"))
    });
    for build in &builds {
        check(build).unwrap();
    }
    let count: usize = builds.iter().map(|(_, events)| events.len()).sum();
    assert_eq!(store.health().documents, count as u64);
    assert_eq!(store.health().state, HealthState::Ok);
}

/// An index whose only copy is on the node that dies: no answer, whatever else could be answered.
fn without_a_copy_nothing_is_pretended(nodes: &[Url]) {
    let name = prefix("red");
    let store = ElasticStore::open(through(nodes, name.clone())).unwrap();
    let client = reqwest::blocking::Client::new();
    let settings = serde_json::json!({"settings": {
        "index.auto_expand_replicas": false,
        "index.number_of_replicas": 0,
        "index.routing.allocation.require._name": "node-3",
    }});
    let index = format!("{name}-2026-11-30");
    let put = client.put(nodes[0].join(&index).unwrap()).json(&settings);
    assert!(put.send().unwrap().status().is_success());
    let build = |uuid: &str, day: u32| Build {
        finished: Some(format!("2026-11-{day}T00:00:00Z").parse().unwrap()),
        ..Build::new(uuid)
    };
    let mut events = vec![Event::from_message("word"); 10];
    for (uuid, day) in [("on-3", 30), ("elsewhere", 29)] {
        let appended = store.append(&build(uuid, day), &mut events.iter().cloned());
        assert_eq!(appended.unwrap(), 10);
    }
    until("the other day has copies", || {
        green(nodes, &format!("{name}-2026-11-29"))
    });
    node("kill", 3);
    let all = SearchRequest {
        selection: Selection::default(),
        limit: 100,
        ..SearchRequest::default()
    };
    // At first the cluster does not know, and asks the node that is gone; it may never give the half.
    until("the loss is seen", || {
        honest(&store.search(&all, jiff::Timestamp::now()).unwrap_err());
        store.health().state != HealthState::Ok
    });
    for _ in 0..5 {
        let error = store.search(&all, jiff::Timestamp::now()).unwrap_err();
        honest(&error);
        println!("search: {error}");
        let error = store.events_of("elsewhere").unwrap_err();
        honest(&error);
    }
    let health = store.health();
    assert_eq!(health.state, HealthState::Degraded, "{:?}", health.problems);
    assert!(
        health.problems[0].contains("the cluster is red"),
        "{:?}",
        health.problems
    );
    println!("health: {:?}", health.problems);
    events.truncate(3);
    let error = store
        .append(&build("on-3", 30), &mut events.iter().cloned())
        .unwrap_err();
    assert!(
        error.to_string().contains("primary shard is not active"),
        "{error}"
    );
    println!("append: {error}");
    node("back", 3);
    until("the node is back", || green(nodes, &format!("{name}-*")));
    until("it answers", || store.health().state == HealthState::Ok);
    assert_eq!(store.events_of("on-3").unwrap().len(), 10);
    assert_eq!(
        store.search(&all, jiff::Timestamp::now()).unwrap().total,
        20
    );
}
