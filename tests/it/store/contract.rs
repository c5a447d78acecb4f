//! What every log store must do. Each behaviour is one function; [`run_all`] runs them, each over
//! an empty store.

use crate::own_truth;
use crate::query::{conformance, gzip_json_lines};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use whorl::event::{Build, Event, FieldValue};
use whorl::query::{Document, Query, Schema};
use whorl::store::{Filters, HealthState, LogStore, SearchRequest, Selection, StoreError};

/// Makes an empty store that reads fields as the schema says.
pub(crate) type Make<'a> = &'a dyn Fn(Schema) -> Box<dyn LogStore>;

/// The class of queries, if any, that this store's server is known to answer differently than the
/// one that the truth was recorded on, judged by the query's text alone.
pub(crate) type Differs<'a> = &'a dyn Fn(&str) -> Option<&'static str>;

/// For a store whose language is that of the truth.
pub(crate) fn same(_query: &str) -> Option<&'static str> {
    None
}

pub(crate) fn run_all(make: Make<'_>, differs: Differs<'_>) {
    type Behaviour = (&'static str, fn(&dyn LogStore));
    let behaviours: [Behaviour; 10] = [
        ("an empty store answers", an_empty_store_answers),
        ("events come back as they were", events_come_back),
        ("an append replaces", an_append_replaces),
        (
            "a failed append changes nothing",
            a_failed_append_changes_nothing,
        ),
        ("pages follow each other", pages_follow_each_other),
        (
            "pages of many builds are in order",
            pages_of_many_builds_are_in_order,
        ),
        ("filters and time narrow", filters_and_time_narrow),
        ("fields and time are counted", fields_and_time_are_counted),
        ("highlights are the query's", highlights),
        ("old slices go", old_slices_go),
    ];
    for (name, behaviour) in behaviours {
        println!("contract: {name}");
        behaviour(&*make(Schema::default()));
    }
    random_queries(make);
    our_own_truth(make, differs);
    the_conformance_truth(make);
}

fn now() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn query(text: &str) -> Query {
    Query::parse(text, &Schema::default()).unwrap()
}

fn build(uuid: &str, finished: &str) -> Build {
    Build {
        finished: Some(at(finished)),
        ..Build::new(uuid)
    }
}

fn event(line: u64, message: &str, fields: &[(&str, &str)]) -> Event {
    let mut event = Event::from_message(message);
    for (name, value) in fields {
        event.own.add(name, FieldValue::text(value));
    }
    event.at.line = line;
    event
}

fn add(store: &dyn LogStore, build: &Build, events: &[Event]) {
    let count = store.append(build, &mut events.iter().cloned()).unwrap();
    assert_eq!(count, events.len() as u64);
}

/// A search for all events that match.
pub(crate) fn all(query: Option<&Query>) -> SearchRequest<'_> {
    SearchRequest {
        selection: Selection {
            query,
            ..Selection::default()
        },
        limit: usize::MAX,
        ..SearchRequest::default()
    }
}

/// The lines of the events found, in the order of the answer.
fn lines(store: &dyn LogStore, request: &SearchRequest<'_>) -> Vec<u64> {
    let result = store.search(request, now()).unwrap();
    result.hits.iter().map(|hit| hit.event.at.line).collect()
}

fn found(store: &dyn LogStore, text: &str) -> Vec<u64> {
    lines(store, &all(Some(&query(text))))
}

fn an_empty_store_answers(store: &dyn LogStore) {
    assert_eq!(store.search(&all(None), now()).unwrap().total, 0);
    assert!(store.events_of("b").unwrap().is_empty());
    let health = store.health();
    assert_eq!((health.state, health.documents), (HealthState::Ok, 0));
}

fn events_come_back(store: &dyn LogStore) {
    let mut first = event(
        1,
        "Lock wait\ntimeout é",
        &[("tags", "a"), ("tags", "console")],
    );
    first.shared = Arc::new([("voting", FieldValue::Integer(1))].into_iter().collect());
    let long = "x".repeat(20_000);
    let second = event(2, &long, &[("log_url", &long)]);
    let events = [first, second];
    add(store, &build("b", "2025-12-01T00:00:00Z"), &events);
    assert_eq!(store.events_of("b").unwrap(), events);
    assert_eq!(found(store, &format!("log_url:{long}")), [2]);
    assert_eq!(found(store, "log_url:xx*"), [2]);
    assert_eq!(found(store, "tags:console AND voting:1"), [1]);
    assert_eq!(found(store, "NOT tags:console"), [2]);
    assert!(store.health().bytes > 0);
}

fn an_append_replaces(store: &dyn LogStore) {
    let old = [event(1, "old words", &[]), event(2, "old too", &[])];
    add(store, &build("b", "2025-12-01T00:00:00Z"), &old);
    add(
        store,
        &build("c", "2025-12-01T00:00:00Z"),
        &[event(9, "other", &[])],
    );
    // The day of the build changed meanwhile: still no event may stand twice.
    add(
        store,
        &build("b", "2025-12-05T00:00:00Z"),
        &[event(3, "new words", &[])],
    );
    assert_eq!(found(store, "words"), [3]);
    assert_eq!(store.events_of("b").unwrap().len(), 1);
    assert_eq!(store.health().documents, 2);
    add(store, &build("b", "2025-12-05T00:00:00Z"), &[]);
    assert_eq!(store.health().documents, 1);
}

fn a_failed_append_changes_nothing(store: &dyn LogStore) {
    let one = build("b", "2025-12-01T00:00:00Z");
    add(store, &one, &[event(1, "whole", &[])]);
    let mut breaks = (2..).map(|n| {
        assert!(n < 500, "the source of the events breaks");
        event(n, "half", &[])
    });
    let append = std::panic::AssertUnwindSafe(|| store.append(&one, &mut breaks));
    assert!(std::panic::catch_unwind(append).is_err());
    add(
        store,
        &build("c", "2025-12-01T00:00:00Z"),
        &[event(7, "after", &[])],
    );
    assert_eq!(lines(store, &all(None)), [1, 7]);
}

fn pages_follow_each_other(store: &dyn LogStore) {
    let time = |n: u64| format!("2025-12-01T00:00:{:02}Z", n / 2);
    let events: Vec<Event> = (0..50)
        .map(|n| event(n, "same", &[("@timestamp", &time(n))]))
        .collect();
    add(store, &build("b", "2025-12-01T00:00:00Z"), &events[..25]);
    add(store, &build("c", "2025-12-03T00:00:00Z"), &events[25..]);
    let same = query("same");
    let mut seen = Vec::new();
    for offset in (0..60).step_by(7) {
        let mut page = all(Some(&same));
        (page.offset, page.limit) = (offset, 7);
        assert_eq!(store.search(&page, now()).unwrap().total, 50);
        seen.extend(lines(store, &page));
    }
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    let mut newest = all(Some(&same));
    (newest.newest_first, newest.limit) = (true, 3);
    assert_eq!(lines(store, &newest), [48, 49, 46]);
}

fn pages_of_many_builds_are_in_order(store: &dyn LogStore) {
    // Few moments: most events share theirs with others, in the same build and in others.
    let (mut expected, mut line) = (Vec::new(), 0);
    for number in 0..40_u64 {
        let uuid = format!("b{number:02}");
        let mut events = Vec::new();
        for n in 0..12 {
            let (second, found) = ((n * 7 + number * 3) % 11, n % 3 > 0);
            let time = format!("2025-12-01T00:00:{second:02}Z");
            let text = if found { "same" } else { "other" };
            events.push(event(line, text, &[("@timestamp", &time)]));
            if found {
                expected.push((second, line));
            }
            line += 1;
        }
        add(store, &build(&uuid, "2025-12-01T00:00:00Z"), &events);
    }
    let same = query("same");
    for newest_first in [false, true] {
        let turned = |second: u64| if newest_first { 60 - second } else { second };
        // Events of one moment are in the order of builds, and of lines there.
        expected.sort_by_key(|(second, line)| (turned(*second), *line));
        for (offset, limit) in [(0, 1), (0, 20), (15, 5), (100, 60), (300, 50)] {
            let mut page = all(Some(&same));
            (page.offset, page.limit, page.newest_first) = (offset, limit, newest_first);
            assert_eq!(store.search(&page, now()).unwrap().total, 320);
            let found = expected.iter().skip(offset).take(limit);
            let found: Vec<u64> = found.map(|(_, line)| *line).collect();
            assert_eq!(lines(store, &page), found, "{offset} and {limit}");
        }
    }
}

fn filters_and_time_narrow(store: &dyn LogStore) {
    let moment = |day: u8| format!("2025-12-{day:02}T12:00:00Z");
    for day in 1..=3_u8 {
        let voting = if day == 2 { "0" } else { "1" };
        let one = event(
            day.into(),
            "word",
            &[
                ("@timestamp", &moment(day)),
                ("voting", voting),
                ("build_name", &format!("job-{day}")),
            ],
        );
        add(store, &build(&format!("b{day}"), &moment(day)), &[one]);
    }
    let with = |filters: Filters, from: Option<u8>, to: Option<u8>| {
        let mut request = all(None);
        request.selection.filters = filters;
        request.selection.from = from.map(|day| at(&moment(day)));
        request.selection.to = to.map(|day| at(&moment(day)));
        lines(store, &request)
    };
    let equal = |name: &str, value: &str| Filters {
        equal: vec![(name.into(), value.into())],
        ..Filters::default()
    };
    let voting = |voting| Filters {
        voting: Some(voting),
        ..Filters::default()
    };
    let of = |uuid: &str| Filters {
        build_uuid: Some(uuid.into()),
        ..Filters::default()
    };
    assert_eq!(with(equal("build_name", "job-2"), None, None), [2]);
    assert_eq!(with(equal("build_name", "job"), None, None), [0; 0]);
    assert_eq!(with(voting(true), None, None), [1, 3]);
    assert_eq!(with(voting(false), None, None), [2]);
    assert_eq!(with(of("b3"), None, None), [3]);
    assert_eq!(with(Filters::default(), Some(2), None), [2, 3]);
    assert_eq!(with(Filters::default(), Some(1), Some(3)), [1, 2]);
    assert_eq!(with(of("b3"), None, Some(3)), [0; 0]);
}

fn fields_and_time_are_counted(store: &dyn LogStore) {
    let row = |n, job, time| event(n, "word", &[("build_name", job), ("@timestamp", time)]);
    let first = [
        row(1, "x", "2025-12-01T10:00:00Z"),
        row(2, "y", "2025-12-01T10:59:59.999Z"),
        row(3, "y", "2025-12-01T11:00:00Z"),
    ];
    let second = [
        row(4, "z", "2025-12-02T00:00:00Z"),
        event(5, "else", &[("build_name", "q")]),
    ];
    add(store, &build("b", "2025-12-01T12:00:00Z"), &first);
    add(store, &build("a", "2025-12-02T12:00:00Z"), &second);
    let word = query("word");
    let selection = Selection {
        query: Some(&word),
        ..Selection::default()
    };
    let top = |limit| {
        store
            .count_by_field(&selection, "build_name", limit, now())
            .unwrap()
    };
    let counts = [
        ("y".to_owned(), 2),
        ("x".to_owned(), 1),
        ("z".to_owned(), 1),
    ];
    assert_eq!(top(10), counts);
    assert_eq!(top(2), counts[..2]);
    let hours = store.histogram(&selection, 3600, now()).unwrap();
    let expected = [
        (at("2025-12-01T10:00:00Z"), 2),
        (at("2025-12-01T11:00:00Z"), 1),
        (at("2025-12-02T00:00:00Z"), 1),
    ];
    assert_eq!(hours, expected);
    let builds = store.distinct_builds(&selection, now()).unwrap();
    assert_eq!(builds, ["a", "b"]);
    let page = SearchRequest {
        selection,
        limit: 1,
        ..SearchRequest::default()
    };
    let both = store.search_with_builds(&page, now()).unwrap();
    assert_eq!(both, (store.search(&page, now()).unwrap(), builds));
    assert_eq!((both.0.total, both.0.hits.len()), (4, 1));
}

fn highlights(store: &dyn LogStore) {
    add(
        store,
        &build("b", "2025-12-01T12:00:00Z"),
        &[event(1, "no Lock wait here", &[])],
    );
    let phrase = query("\"lock WAIT\"");
    let mut request = all(Some(&phrase));
    assert!(
        store.search(&request, now()).unwrap().hits[0]
            .spans
            .is_empty()
    );
    request.highlight = true;
    let hit = &store.search(&request, now()).unwrap().hits[0];
    assert_eq!(hit.spans, phrase.spans(&Document::new(&hit.event)));
    assert!(!hit.spans.is_empty());
    assert_eq!(hit.build_uuid, "b");
}

fn old_slices_go(store: &dyn LogStore) {
    for day in 1..=4_u8 {
        let time = format!("2025-12-0{day}T23:00:00Z");
        add(
            store,
            &build(&format!("b{day}"), &time),
            &[event(day.into(), "word", &[])],
        );
    }
    assert_eq!(store.delete_before(at("2025-12-03T12:00:00Z")).unwrap(), 2);
    assert_eq!(lines(store, &all(None)), [3, 4]);
    assert_eq!(store.health().slices, 2);
    // A day that went can come back.
    add(
        store,
        &build("b9", "2025-12-01T00:00:00Z"),
        &[event(9, "word", &[])],
    );
    assert_eq!(lines(store, &all(None)), [9, 3, 4]);
}

/// Whatever is asked of whatever events: the store says what the evaluator says.
#[expect(clippy::too_many_lines, reason = "one property with its generators")]
fn random_queries(make: Make<'_>) {
    let word = prop_oneof![
        Just("a"),
        Just("b"),
        Just("foo_bar"),
        Just("c.d"),
        Just("Ärger"),
        Just("7")
    ];
    let message = proptest::collection::vec(word.clone(), 0..7).prop_map(|words| words.join(" "));
    let value = prop_oneof![Just("x"), Just("X y"), Just("xyz"), Just("")];
    let one = (
        message,
        proptest::option::of(value),
        proptest::option::of(0_i64..3),
    );
    let events = proptest::collection::vec(one, 1..20);
    let leaf = prop_oneof![
        word.clone().prop_map(str::to_owned),
        (word.clone(), word.clone()).prop_map(|(a, b)| format!("\"{a} {b}\"")),
        (word.clone(), word.clone(), 1..4).prop_map(|(a, b, n)| format!("\"{a} {b}\"~{n}")),
        word.prop_map(|word| format!("{word}~1")),
        Just("k:x".to_owned()),
        Just("k:\"X y\"".to_owned()),
        Just("k:x*".to_owned()),
        Just("k:?yz".to_owned()),
        Just("foo*".to_owned()),
        Just("/[a-c]/".to_owned()),
        Just("_exists_:k".to_owned()),
        Just("voting:1".to_owned()),
        Just("voting:[1 TO *]".to_owned()),
        Just("k:[w TO xz]".to_owned()),
        Just("*:*".to_owned()),
        Just("_exists_:message".to_owned()),
        Just("k:*\\ y".to_owned()),
        Just("*".to_owned()),
    ];
    let text = leaf.prop_recursive(3, 24, 4, |inner| {
        let sign = prop_oneof![Just(""), Just("+"), Just("-"), Just("NOT ")];
        let joint = prop_oneof![Just(" "), Just(" AND "), Just(" OR ")];
        proptest::collection::vec((joint, sign, inner), 1..4).prop_map(|parts| {
            let mut text = String::new();
            for (n, (joint, sign, part)) in parts.into_iter().enumerate() {
                text.push_str(if n == 0 { "" } else { joint });
                text.push_str(sign);
                text.push_str(&part);
            }
            format!("({text})")
        })
    });
    let queries = proptest::collection::vec(text, 30);
    let store = make(Schema::default());
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(40)
    });
    let outcome = runner.run(&(events, queries), |(events, queries)| {
        let events: Vec<Event> = (0_u64..).zip(events).map(random_event).collect();
        add(&*store, &build("b", "2025-12-01T00:00:00Z"), &events);
        for text in queries {
            let Ok(query) = Query::parse(&text, &Schema::default()) else {
                continue;
            };
            let expected: Vec<u64> = events
                .iter()
                .filter(|event| query.matches(&Document::new(event), now()))
                .map(|event| event.at.line)
                .collect();
            prop_assert_eq!(lines(&*store, &all(Some(&query))), expected, "{}", text);
        }
        Ok(())
    });
    outcome.unwrap();
}

fn random_event(
    (line, (message, value, voting)): (u64, (String, Option<&str>, Option<i64>)),
) -> Event {
    let mut event = event(line, &message, &[]);
    if let Some(value) = value {
        event.own.set(
            "k",
            FieldValue::Many(vec![FieldValue::text(value), FieldValue::Float(1.0)]),
        );
    }
    if let Some(voting) = voting {
        event.own.set("voting", FieldValue::Integer(voting));
    }
    event
}

/// What a real cluster answered to our own queries: the store says the same, but for queries of the
/// named classes.
fn our_own_truth(make: Make<'_>, differs: Differs<'_>) {
    let recorded = own_truth::recorded();
    let asked = recorded.into_iter().map(|(question, answer)| {
        let hits = answer.hits?;
        Some((question.query, hits.into_iter().map(|n| n as u64).collect()))
    });
    compare(make, own_truth::events(), asked.flatten(), differs);
}

/// The queries that are in use: no difference is allowed, on whatever server.
fn the_conformance_truth(make: Make<'_>) {
    let Some(folder) = conformance() else { return };
    let rows = gzip_json_lines(&folder.join("query/events.jsonl.gz"));
    let truth = gzip_json_lines(&folder.join("query/truth.jsonl.gz"));
    let asked = truth.into_iter().map(|truth| {
        let hits = truth.get("hits")?.as_array()?.iter();
        let hits: Vec<u64> = hits.filter_map(serde_json::Value::as_u64).collect();
        Some((truth["query"].as_str()?.to_owned(), hits))
    });
    let events = rows.iter().map(Event::from_json).collect();
    compare(make, events, asked.flatten(), &same);
}

/// Asks a store that holds the events in two builds; the answers are numbers of events.
fn compare(
    make: Make<'_>,
    mut events: Vec<Event>,
    asked: impl Iterator<Item = (String, Vec<u64>)>,
    differs: Differs<'_>,
) {
    for (line, event) in (0..).zip(&mut events) {
        event.at.line = line;
    }
    let schema = Schema::infer(&events);
    let store = make(schema.clone());
    let (first, second) = events.split_at(events.len() / 2);
    add(&*store, &build("first", "2025-12-01T00:00:00Z"), first);
    add(&*store, &build("second", "2025-12-02T00:00:00Z"), second);
    let (mut asked_for, mut hits, mut wrong) = (0, 0, Vec::new());
    let mut known: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (text, expected) in asked {
        let query = Query::parse(&text, &schema).unwrap();
        asked_for += 1;
        let how = match store.search(&all(Some(&query)), now()) {
            Ok(result) => {
                let found = result.hits.iter().map(|hit| hit.event.at.line);
                let found: BTreeSet<u64> = found.collect();
                hits += found.len();
                if found == expected.iter().copied().collect() {
                    continue;
                }
                format!("{text}: {} for {}", found.len(), expected.len())
            }
            Err(StoreError::Refused { status: 400, .. }) => {
                format!("{text}: refused for {}", expected.len())
            }
            Err(error) => panic!("{text}: {error}"),
        };
        match differs(&text) {
            Some(class) => known.entry(class).or_default().push(how),
            None => wrong.push(how),
        }
    }
    println!("{asked_for} queries, {hits} hits compared with the cluster's");
    for (class, queries) in known {
        println!("  {} differ: {class}", queries.len());
        println!("    {}", queries.join("\n    "));
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
