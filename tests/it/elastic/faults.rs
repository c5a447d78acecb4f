//! Between the store and a real cluster stands a proxy that does what networks and busy servers do:
//! no verdict is lost or wrong, and what fails says what it is.

use super::{clusters, fingerprints, from_disk, options, prefix, recorded};
use crate::proxy::{Fault, Proxy};
use crate::store::contract;
use jiff::Timestamp;
use std::time::{Duration, Instant};
use url::Url;
use whorl::classify::cluster::look;
use whorl::event::{Build, Event, FieldValue};
use whorl::query::{Query, Schema};
use whorl::store::elastic::{ElasticStore, Options};
use whorl::store::{HealthState, LogStore, SearchRequest, StoreError};

fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn build(uuid: &str) -> Build {
    Build {
        finished: Some("2026-11-30T00:00:00Z".parse().unwrap()),
        ..Build::new(uuid)
    }
}

fn events(word: &str, count: u64) -> Vec<Event> {
    let event = |line| {
        let mut event = Event::from_message(word);
        event.at.line = line;
        event
    };
    (1..=count).map(event).collect()
}

fn append(store: &ElasticStore, uuid: &str, word: &str, count: u64) -> Result<u64, StoreError> {
    store.append(&build(uuid), &mut events(word, count).into_iter())
}

/// The messages of a build's events, each once, with their number.
fn seen(store: &ElasticStore, uuid: &str) -> (Vec<String>, usize) {
    let events = store.events_of(uuid).unwrap();
    let mut messages: Vec<String> = events.iter().map(|e| e.message.clone()).collect();
    messages.dedup();
    (messages, events.len())
}

fn is(word: &str, count: usize) -> (Vec<String>, usize) {
    (vec![word.to_owned()], count)
}

/// Waits for something that must come.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The first cluster: what is shown here depends on our client, not on the server's version.
fn one() -> Option<Url> {
    clusters().into_iter().next().map(|(_, url)| url)
}

fn through(proxy: &Proxy, what: &str) -> Options {
    options(&proxy.url(), prefix(what))
}

/// Repeats what the store honestly refused to do.
fn insist<T>(mut act: impl FnMut() -> Result<T, StoreError>) -> (T, u64) {
    let mut refused = 0;
    loop {
        match act() {
            Ok(value) => return (value, refused),
            Err(StoreError::Unavailable(why)) => {
                assert!(!why.is_empty());
                refused += 1;
                assert!(refused < 50, "{why}");
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn no_verdict_is_lost_or_wrong_in_a_storm() {
    let faults = [
        Fault::Status(429, None),
        Fault::Status(502, None),
        Fault::Status(503, None),
        Fault::Status(504, None),
        Fault::Refuse,
        Fault::Lose,
        Fault::Cut,
        Fault::HalfJson,
        Fault::RefuseItems,
        Fault::Delay(Duration::from_millis(100)),
    ];
    for (name, url) in clusters() {
        let proxy = Proxy::to(&url);
        let store = ElasticStore::open(through(&proxy, "storm")).unwrap();
        proxy.storm(&faults, 20, 7);
        let matcher = fingerprints();
        let (mut matched, mut refused) = (0, 0);
        for (build, events) in recorded().into_iter().take(30) {
            refused += insist(|| store.append(&build, &mut events.iter().cloned())).1;
            let expected = from_disk(&matcher, &build, &events, now());
            let (looked, again) = insist(|| look(&store, &matcher, &build, now(), 100_000));
            refused += again;
            assert_eq!(looked.matches, expected, "{name}: {}", build.uuid);
            assert_eq!(looked.events, events.len() as u64);
            matched += usize::from(!looked.matches.is_empty());
        }
        let (done, traffic) = (proxy.done(), store.traffic());
        println!("{name}: {matched} matched, {refused} times refused; {done:?}; {traffic:?}");
        assert!(matched > 20);
        assert_eq!(done.len(), faults.len() - 3, "{done:?}");
        assert!(traffic.repeated > 20);
    }
}

#[test]
fn a_busy_cluster_is_asked_when_it_says() {
    let Some(url) = one() else { return };
    let proxy = Proxy::to(&url);
    let store = ElasticStore::open(through(&proxy, "busy")).unwrap();
    append(&store, "b", "word", 3).unwrap();
    let before = proxy.count("").requests;
    proxy.next(2, Fault::Status(429, Some(1)));
    let start = Instant::now();
    assert_eq!(seen(&store, "b"), is("word", 3));
    assert!(
        start.elapsed() >= Duration::from_secs(2),
        "it was told to wait"
    );
    assert_eq!(proxy.count("").requests - before, 3);
    // For ever is too long: then it says so, and stays ready for the next question.
    proxy.next(5, Fault::Status(429, None));
    let error = store.events_of("b").unwrap_err().to_string();
    assert!(
        error.contains("429") && error.contains("asked 5 times"),
        "{error}"
    );
    assert_eq!(seen(&store, "b"), is("word", 3));
}

#[test]
fn an_answer_that_does_not_come_is_asked_for_again() {
    let Some(url) = one() else { return };
    let proxy = Proxy::to(&url);
    let mut options = through(&proxy, "slow");
    options.connection.timeout = Duration::from_millis(700);
    let store = ElasticStore::open(options).unwrap();
    for fault in [
        Fault::Hang,
        Fault::Refuse,
        Fault::Lose,
        Fault::Cut,
        Fault::HalfJson,
    ] {
        proxy.next_on("_bulk", 1, fault.clone());
        append(&store, "b", &format!("{fault:?}"), 50).unwrap();
        proxy.next_on("_search", 1, fault.clone());
        assert_eq!(seen(&store, "b"), is(&format!("{fault:?}"), 50));
    }
    assert_eq!(store.traffic().repeated, 10);
    // What the cluster itself calls broken is not asked twice.
    proxy.next_on("_search", 1, Fault::Status(500, None));
    let error = store.events_of("b").unwrap_err();
    assert!(
        matches!(error, StoreError::Refused { status: 500, .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("told to answer 500") && text.contains("/_search"),
        "{text}"
    );
}

#[test]
fn a_removal_whose_answer_is_lost_is_done() {
    let Some(url) = one() else { return };
    let proxy = Proxy::to(&url);
    let store = ElasticStore::open(through(&proxy, "lost")).unwrap();
    append(&store, "b", "word", 7).unwrap();
    proxy.next_on("DELETE", 1, Fault::Lose);
    assert_eq!(store.delete_before(now()).unwrap(), 7);
    assert_eq!(store.health().slices, 0);
}

#[test]
fn a_dead_address_is_passed_over() {
    let Some(url) = one() else { return };
    let dead: Vec<Url> = (0..2)
        .map(|_| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}/", listener.local_addr().unwrap())
                .parse()
                .unwrap()
        })
        .collect();
    let (first, second) = (Proxy::to(&url), Proxy::to(&url));
    let mut options = through(&first, "failover");
    options.connection.urls = vec![dead[0].clone(), first.url(), second.url()];
    let store = ElasticStore::open(options.clone()).unwrap();
    append(&store, "b", "word", 100).unwrap();
    assert_eq!(seen(&store, "b"), is("word", 100));
    assert_eq!(store.traffic().repeated, 1, "it stays with what answers");
    assert_eq!(second.count("").requests, 0);
    // The one that answered hangs now: the next takes over, also for many at once.
    first.next(u64::MAX, Fault::Refuse);
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| seen(&store, "b"))).collect();
        for one in asked {
            assert_eq!(one.join().unwrap(), is("word", 100));
        }
    });
    assert!(second.count("").requests >= 4);
    // None is left.
    options.connection.urls = dead;
    let error = ElasticStore::open(options).unwrap_err().to_string();
    assert!(
        error.contains("Connection refused") && error.contains("asked 5 times"),
        "{error}"
    );
}

#[test]
fn refused_items_are_sent_again_alone() {
    let Some(url) = one() else { return };
    let proxy = Proxy::to(&url);
    let store = ElasticStore::open(through(&proxy, "items")).unwrap();
    proxy.next_on("_bulk", 2, Fault::RefuseItems);
    append(&store, "b", "word", 900).unwrap();
    assert_eq!(seen(&store, "b"), is("word", 900));
    assert_eq!(proxy.count("POST /_bulk").requests, 3);
    assert_eq!(store.health().documents, 900);
    // A way that takes less than a whole request.
    proxy.next_on("_bulk", 2, Fault::Status(413, None));
    append(&store, "b", "less", 900).unwrap();
    assert_eq!(seen(&store, "b"), is("less", 900));
}

#[test]
fn a_document_that_the_cluster_refuses_is_kept_beside() {
    for (name, url) in clusters() {
        let store = ElasticStore::open(options(&url, prefix("beside"))).unwrap();
        let mut events = events("needle in the hay", 3);
        // A field cannot have a value and fields of its own.
        events[0].own.set("thing", FieldValue::text("x"));
        events[1].own.set("thing.part", FieldValue::text("y"));
        events[2].own.set("thing", FieldValue::text("z"));
        store
            .append(&build("b"), &mut events.iter().cloned())
            .unwrap();
        assert_eq!(store.events_of("b").unwrap(), events, "{name}");
        let query = Query::parse("needle AND hay", &Schema::default()).unwrap();
        let request = SearchRequest {
            limit: 10,
            ..contract::all(Some(&query))
        };
        let found = store.search(&request, now()).unwrap();
        assert_eq!(found.total, 3, "{name}");
        let found: Vec<Event> = found.hits.into_iter().map(|hit| hit.event).collect();
        assert_eq!(found, events, "{name}");
    }
}

#[test]
fn the_breaker_opens_says_so_and_closes() {
    let Some(url) = one() else { return };
    let proxy = Proxy::to(&url);
    let store = ElasticStore::open(through(&proxy, "breaker")).unwrap();
    append(&store, "b", "word", 3).unwrap();
    assert_eq!(store.health().state, HealthState::Ok);
    proxy.next(u64::MAX, Fault::Refuse);
    assert!(store.events_of("b").is_err());
    let quiet = proxy.done();
    let health = store.health();
    assert_eq!(health.state, HealthState::Down);
    let [problem] = &health.problems[..] else {
        panic!("{:?}", health.problems);
    };
    assert!(
        problem.starts_with("the cluster does not answer (http://127.0.0.1:"),
        "{problem}"
    );
    assert!(problem.ends_with("it is asked again in 1 s"), "{problem}");
    let start = Instant::now();
    let error = store.events_of("b").unwrap_err().to_string();
    assert!(error.contains("it is asked again in"), "{error}");
    assert!(start.elapsed() < Duration::from_millis(200));
    assert_eq!(proxy.done(), quiet, "nothing was sent");
    // Builds that come meanwhile are refused, and what that leaves must not weigh on searches: a
    // query has a limit of 1,024 clauses.
    for n in 0..1_100 {
        append(&store, &format!("c{n}"), "word", 1).unwrap_err();
    }
    // The one that tries meets a busy cluster: that is an answer, and must not shut the door.
    proxy.calm();
    proxy.next(5, Fault::Status(429, None));
    until("the breaker lets one try", || {
        store
            .events_of("b")
            .is_err_and(|e| e.to_string().contains("429"))
    });
    until("the breaker closes", || {
        store.health().state == HealthState::Ok
    });
    assert_eq!(seen(&store, "b"), is("word", 3));
}

#[test]
fn health_does_not_make_people_wait() {
    let Some(url) = one() else { return };
    let proxy = Proxy::to(&url);
    let store = ElasticStore::open(through(&proxy, "wait")).unwrap();
    proxy.next(u64::MAX, Fault::Hang);
    let start = Instant::now();
    let health = store.health();
    assert_eq!(health.state, HealthState::Down);
    assert!(
        health.problems[0].contains("no answer in 5 s"),
        "{:?}",
        health.problems
    );
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_cannot_be_cleared_now_is_hidden_and_cleared_later() {
    let Some(url) = one() else { return };
    let proxy = Proxy::to(&url);
    let options = Options {
        append_limit: Duration::from_secs(900),
        ..through(&proxy, "clear")
    };
    let store = ElasticStore::open(options.clone()).unwrap();
    append(&store, "b", "first", 5).unwrap();
    append(&store, "c", "other", 2).unwrap();
    for word in ["second", "third"] {
        proxy.next_on("/_bulk?refresh", 1, Fault::Status(500, None));
        assert_eq!(append(&store, "b", word, 4).unwrap(), 4);
        assert_eq!(seen(&store, "b"), is(word, 4));
        // Another process that starts now must not count the build twice either.
        let other = ElasticStore::open(options.clone()).unwrap();
        assert_eq!(seen(&other, "b"), is(word, 4));
    }
    append(&store, "b", "fourth", 3).unwrap();
    assert_eq!(seen(&store, "b"), is("fourth", 3));
    // Everything that was left is cleared: nothing takes the fourth away again.
    let plain = Options {
        append_limit: Duration::ZERO,
        ..options
    };
    let other = ElasticStore::open(plain).unwrap();
    assert_eq!(seen(&other, "b"), is("fourth", 3));
    assert_eq!(seen(&other, "c"), is("other", 2));
    assert_eq!(other.health().documents, 5);
}

#[test]
fn what_was_not_cleared_is_cleared_by_a_later_append() {
    let Some(url) = one() else { return };
    let proxy = Proxy::to(&url);
    let mut options = through(&proxy, "retry");
    options.connection.timeout = Duration::from_secs(1);
    let store = ElasticStore::open(options).unwrap();
    append(&store, "b", "first", 5).unwrap();
    proxy.next_on("/_bulk?refresh", 1, Fault::Status(500, None));
    append(&store, "b", "second", 4).unwrap();
    assert_eq!(store.health().documents, 9);
    until("the first five are cleared", || {
        append(&store, "c", "other", 1).unwrap();
        store.health().documents == 5
    });
    assert_eq!(seen(&store, "b"), is("second", 4));
}

#[test]
fn a_request_that_arrives_too_late_shows_nothing() {
    let Some(url) = one() else { return };
    let proxy = Proxy::to(&url);
    let mut options = through(&proxy, "late");
    options.connection.timeout = Duration::from_millis(500);
    let store = ElasticStore::open(options.clone()).unwrap();
    append(&store, "b", "old", 5).unwrap();
    let before = proxy.count("POST /_bulk").requests;
    proxy.next_on("/_bulk", 5, Fault::Delay(Duration::from_secs(4)));
    let error = append(&store, "b", "late", 9).unwrap_err();
    assert!(error.to_string().contains("no answer in 0.5 s"), "{error}");
    until("the late requests arrive", || {
        proxy.count("POST /_bulk").requests >= before + 5
    });
    until("it answers again", || {
        store.health().state == HealthState::Ok
    });
    // Makes visible whatever is there.
    append(&store, "c", "other", 1).unwrap();
    assert_eq!(seen(&store, "b"), is("old", 5));
    let again = ElasticStore::open(options).unwrap();
    assert_eq!(seen(&again, "b"), is("old", 5));
    assert_eq!(again.health().documents, 6);
}
