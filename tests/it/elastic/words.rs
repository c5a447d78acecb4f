//! Large builds of which only the events with a wanted word are moved: the same is found as in all
//! of them.

use super::{clusters, fingerprints, from_disk, options, prefix, recorded};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use whorl::classify::cluster::{Bounds, PULLED, look, look_within};
use whorl::event::{Build, Event, Match};
use whorl::fingerprint::FingerprintSet;
use whorl::matcher::Matcher;
use whorl::store::LogStore;
use whorl::store::elastic::{ElasticStore, Layout, Options};

fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn build(uuid: &str) -> Build {
    Build {
        finished: Some("2026-11-30T00:00:00Z".parse().unwrap()),
        ..Build::new(uuid)
    }
}

fn events_in_lines(events: &mut [Event]) {
    for (line, event) in (1..).zip(events) {
        event.at.line = line;
    }
}

/// A large build of lines that no fingerprint knows, with the events of recorded builds between them.
#[test]
fn what_matters_is_found_among_many_events() {
    let matcher = fingerprints();
    for (name, url) in clusters() {
        let store = ElasticStore::open(options(&url, prefix("words"))).unwrap();
        let mut matched = 0;
        for (many, (recorded, inner)) in recorded().into_iter().enumerate().step_by(9) {
            let build = build(&recorded.uuid);
            let quiet = |n| Event::from_message(format!("step {n} done, all is well so far"));
            let mut events: Vec<Event> = (0..7_000 + many).map(quiet).collect();
            for (n, event) in inner.into_iter().enumerate() {
                events.insert(n * 5, event);
            }
            events_in_lines(&mut events);
            store.append(&build, &mut events.iter().cloned()).unwrap();
            let expected = from_disk(&matcher, &build, &events, now());
            let looked = look(&store, &matcher, &build, now(), 0).unwrap();
            // Of all that a cluster cannot count only this has no word of its own.
            let missing = |m: &Match| m.fingerprint == "compile-error";
            let expected: Vec<Match> = expected.into_iter().filter(|m| !missing(m)).collect();
            assert_eq!(looked.matches, expected, "{name}: {}", build.uuid);
            matched += usize::from(!expected.is_empty());
            assert_eq!(looked.events, events.len() as u64);
            assert!(looked.requests <= 3, "{}", looked.requests);
            assert_eq!((looked.extra_pages, looked.splits), (0, 0));
            assert_eq!(looked.problems.len(), 1, "{:?}", looked.problems);
            let said = &looked.problems[0];
            assert!(said.ends_with("not looked for: compile-error"), "{said}");
        }
        assert!(matched > 3, "{name}: {matched}");
    }
}

/// Texts of queries, most of which need a word.
fn query() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("alpha"),
        Just("beta"),
        Just("foo_bar"),
        Just("c.d"),
        Just("Ärger"),
        Just("x7"),
    ];
    let leaf = prop_oneof![
        4 => word.clone().prop_map(|w| format!("message:{w}")),
        3 => (word.clone(), word.clone()).prop_map(|(a, b)| format!("message:\"{a} {b}\"")),
        2 => (word.clone(), word.clone(), 1..3).prop_map(|(a, b, n)| format!("message:\"{a} {b}\"~{n}")),
        1 => word.prop_map(|w| format!("message:{w}~0")),
        1 => Just("message:al*".to_owned()),
        2 => Just("tags:console".to_owned()),
        1 => Just("_exists_:tags".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let sign = prop_oneof![4 => Just(""), 1 => Just("NOT ")];
        let joint = prop_oneof![Just(" AND "), Just(" OR ")];
        proptest::collection::vec((joint, sign, inner), 1..4).prop_map(|parts| {
            let mut text = String::new();
            for (n, (joint, sign, part)) in parts.into_iter().enumerate() {
                let joint = if n == 0 { "" } else { joint };
                write!(text, "{joint}{sign}{part}").unwrap();
            }
            format!("({text})")
        })
    })
}

/// Files of fingerprints of every kind, and their number.
fn write_rules(runner: &mut TestRunner, folder: &Path) {
    let mut one = |many: usize| -> Vec<String> {
        let texts = proptest::collection::vec(query(), many);
        texts.new_tree(runner).unwrap().current()
    };
    let list = |texts: &[String]| -> String {
        texts
            .iter()
            .fold(String::new(), |all, text| all + "\n  - '" + text + "'")
    };
    for n in 0..60 {
        let text = match n % 6 {
            0 => format!("all:{}\n", list(&one(2))),
            1 => format!("any:{}\nnone:{}\n", list(&one(2)), list(&one(1))),
            2 => format!("sequence:{}\nwithin: 9000 lines\n", list(&one(2))),
            3 => format!("query: '{}'\nnone:{}\n", one(1)[0], list(&one(1))),
            4 => ["a beta (?:x7|c)", "^alpha beta", "alpha|beta x7 beta"][n % 3].to_owned(),
            _ => format!("query: '{}'\n", one(1)[0]),
        };
        let text = if n % 6 == 4 {
            format!("pattern: '{text}'\n")
        } else {
            text
        };
        std::fs::write(folder.join(format!("r{n:02}.yaml")), text).unwrap();
    }
}

/// Messages of which few bear any of the words.
fn messages(runner: &mut TestRunner, count: usize) -> Vec<(String, bool)> {
    let known = [
        "alpha", "Beta", "foo_bar", "c.d", "ärger", "x7", "alphabet", "c", "beta",
    ];
    let some = proptest::collection::vec(proptest::sample::select(known.to_vec()), 1..6);
    let one = prop_oneof![
        9 => "[ghi]{3} [ghi]{2}",
        1 => some.prop_map(|words| words.join(" ")),
    ];
    let all = proptest::collection::vec((one, any::<bool>()), count);
    all.new_tree(runner).unwrap().current()
}

/// What is found in a store is what the plain evaluator finds in all events, whatever is moved.
fn is_the_same(store: &ElasticStore, matcher: &Matcher, build: &Build, name: &str) -> usize {
    let events = store.events_of(&build.uuid).unwrap();
    let expected = from_disk(matcher, build, &events, now());
    let looked = look(store, matcher, build, now(), 1_000_000).unwrap();
    assert_eq!(looked.matches, expected, "{name}");
    assert_eq!(looked.problems, [""; 0], "{name}");
    // Without the patterns and conditions that need every event.
    let bounds = Bounds {
        pulled: PULLED,
        most: 0,
        known: None,
    };
    let looked = look_within(store, matcher, build, now(), bounds).unwrap();
    let left_out = looked.problems.concat();
    let mut left_out: Vec<&str> = left_out.split(": ").last().unwrap().split(", ").collect();
    left_out.retain(|id| !id.is_empty());
    let kept = |m: &&Match| !left_out.contains(&m.fingerprint.as_str());
    let kept: Vec<Match> = expected.iter().filter(kept).cloned().collect();
    assert!(
        left_out.len() <= 5 && !left_out.contains(&"…"),
        "{left_out:?}"
    );
    assert_eq!(looked.matches, kept, "{name}");
    assert!(looked.requests <= 3, "{name}: {}", looked.requests);
    assert_eq!((looked.extra_pages, looked.splits), (0, 0), "{name}");
    kept.len()
}

fn rules(runner: &mut TestRunner, schema: &whorl::query::Schema) -> Matcher {
    let folder = tempfile::tempdir().unwrap();
    write_rules(runner, folder.path());
    let mut set = FingerprintSet::load_for(&[folder.path().to_owned()], schema);
    assert!(set.fingerprints.len() > 40, "{:?}", set.diagnostics);
    // Few without a word are kept of those that a cluster cannot count, so that all are named.
    let mut without = 0;
    set.fingerprints.retain(|f| {
        let simple =
            matches!(f.condition, whorl::fingerprint::Condition::Query(_)) && f.none.is_empty();
        without += usize::from(!simple && whorl::matcher::words_of(f).is_none());
        simple || whorl::matcher::words_of(f).is_some() || without <= 3
    });
    Matcher::new(Arc::new(set))
}

#[test]
fn random_fingerprints_find_the_same_in_our_indexes() {
    let mut runner = TestRunner::default();
    for (name, url) in clusters() {
        let store = ElasticStore::open(options(&url, prefix("random"))).unwrap();
        let mut found = 0;
        for round in 0..4 {
            let build = build(&format!("r{round}"));
            let matcher = rules(&mut runner, &whorl::query::Schema::default());
            let made = messages(&mut runner, 7_000);
            let mut events: Vec<Event> = made
                .into_iter()
                .map(|(text, console)| {
                    let mut event = Event::from_message(text);
                    if console {
                        event
                            .own
                            .set("tags", whorl::event::FieldValue::text("console"));
                    }
                    event
                })
                .collect();
            events_in_lines(&mut events);
            store.append(&build, &mut events.iter().cloned()).unwrap();
            found += is_the_same(&store, &matcher, &build, &name);
        }
        println!("{name}: {found} matches");
        assert!(found > 20);
    }
}

/// Somebody else's daily indexes: with the usual mapping, and with another analyser, where words say
/// nothing of ours and all is counted.
#[test]
fn random_fingerprints_find_the_same_in_other_indexes() {
    let mut runner = TestRunner::default();
    for (name, url) in clusters() {
        for analyser in ["standard", "whitespace"] {
            let prefix = prefix("others");
            let made = messages(&mut runner, 7_000);
            fill(&url, &prefix, analyser, &made);
            let mut layout = Layout::openstack();
            layout.indexes = vec![format!("{prefix}-%Y.%m.%d")];
            layout.order = vec!["n".into()];
            let of = Options {
                layout: Some(layout),
                read_only: true,
                ..options(&url, prefix.clone())
            };
            let store = ElasticStore::open(of).unwrap();
            let (schema, _) = store.schema().unwrap();
            let build = build("other");
            assert_eq!(store.view(&build).splits_words(), analyser == "standard");
            if analyser == "standard" {
                let found = is_the_same(&store, &rules(&mut runner, &schema), &build, &name);
                assert!(found > 3, "{name}: {found}");
            }
            let url = url
                .join(&format!("{prefix}-2026.11.29,{prefix}-2026.11.30"))
                .unwrap();
            assert!(
                reqwest::blocking::Client::new()
                    .delete(url)
                    .send()
                    .unwrap()
                    .status()
                    .is_success()
            );
        }
    }
}

/// Documents of one build in two daily indexes.
fn fill(url: &url::Url, prefix: &str, analyser: &str, made: &[(String, bool)]) {
    let client = reqwest::blocking::Client::new();
    let send = |method, path: String, kind: &str, body: String| {
        let request = client
            .request(method, url.join(&path).unwrap())
            .header("content-type", kind);
        let answer = request.body(body).send().unwrap();
        assert!(
            answer.status().is_success(),
            "{path}: {}",
            answer.text().unwrap()
        );
    };
    let message = serde_json::json!({"type": "text", "analyzer": analyser});
    let mapping = serde_json::json!({"mappings": {"properties": {"message": message}}});
    for day in 29..=30 {
        let index = format!("{prefix}-2026.11.{day}");
        send(
            reqwest::Method::PUT,
            index,
            "application/json",
            mapping.to_string(),
        );
    }
    let mut body = String::new();
    for (n, (text, console)) in made.iter().enumerate() {
        let day = 29 + n * 2 / made.len();
        let tags = if *console { "console" } else { "other" };
        let document = serde_json::json!({
            "@timestamp": format!("2026-11-{day}T10:00:00Z"), "n": n, "build_uuid": "other",
            "filename": "a.txt", "tags": [tags], "message": text,
        });
        writeln!(
            body,
            "{{\"index\":{{\"_index\":\"{prefix}-2026.11.{day}\"}}}}\n{document}"
        )
        .unwrap();
    }
    send(
        reqwest::Method::POST,
        "_bulk?refresh=true".into(),
        "application/x-ndjson",
        body,
    );
}
