//! The matcher with real rule sets: regular expressions of another classifier, and agreement with
//! the plain evaluator.

use crate::query::{conformance, gzip_json_lines};
use jiff::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use whorl::event::{Build, Event, FieldValue, Location};
use whorl::fingerprint::{Fingerprint, FingerprintSet};
use whorl::intake::{Limits, read_stream};
use whorl::matcher::Matcher;
use whorl::query::{Document, Query, Schema};

/// A set made of `(id, yaml)` files.
fn set(files: &[(String, String)]) -> Arc<FingerprintSet> {
    let folder = tempfile::tempdir().unwrap();
    for (id, text) in files {
        fs::write(folder.path().join(format!("{id}.yaml")), text).unwrap();
    }
    Arc::new(FingerprintSet::load(&[folder.path().to_owned()]))
}

fn yaml_text(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Hits of each fingerprint over the events, all in one build.
fn hits(matcher: &Matcher, events: &[Event]) -> BTreeMap<String, u64> {
    let mut run = matcher.start(&Build::new("u"), now());
    for event in events {
        run.event(event);
    }
    run.finish()
        .into_iter()
        .map(|m| (m.fingerprint, m.hits))
        .collect()
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// The fingerprints that match a build of this one event.
fn matched(matcher: &Matcher, event: &Event) -> BTreeSet<String> {
    hits(matcher, std::slice::from_ref(event))
        .into_keys()
        .collect()
}

/// Event by event, so that what is too much here cannot hide what is missing there.
#[test]
fn agrees_with_the_evaluator_on_every_real_fingerprint_and_event() {
    let Some(folder) = conformance() else { return };
    let set = Arc::new(FingerprintSet::load(&[folder.join("fingerprints")]));
    assert_eq!(set.fingerprints.len(), 644);
    let matcher = Matcher::new(Arc::clone(&set));
    let events: Vec<Event> = gzip_json_lines(&folder.join("query/events.jsonl.gz"))
        .iter()
        .map(Event::from_json)
        .collect();
    let mut compared = 0;
    for (number, event) in events.iter().enumerate() {
        let document = Document::new(event);
        let holds = |f: &&Arc<Fingerprint>| {
            let query = f.queries().next().unwrap();
            query.matches(&document, now())
        };
        let expected = set.fingerprints.iter().filter(holds);
        let expected: BTreeSet<String> = expected.map(|f| f.id.clone()).collect();
        assert_eq!(matched(&matcher, event), expected, "event {number}");
        compared += expected.len();
    }
    println!(
        "{compared} hits of 644 fingerprints in {} events",
        events.len()
    );
    assert!(compared > 4_000);
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("alpha"),
        Just("beta"),
        Just("gamma"),
        Just("a.b"),
        Just("don't"),
        Just("x")
    ]
    .prop_map(str::to_owned)
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        word(),
        (word(), word()).prop_map(|(a, b)| format!("\"{a} {b}\"")),
        (word(), word(), 0..4_u8).prop_map(|(a, b, n)| format!("\"{a} {b}\"~{n}")),
        word().prop_map(|w| format!("{}*", &w[..1])),
        word().prop_map(|w| format!("{w}~1")),
        Just("tags:console".to_owned()),
        Just("tags:(syslog OR console)".to_owned()),
        Just("tags:con*".to_owned()),
        Just("tags:/sys.+/".to_owned()),
        Just("voting:[1 TO *]".to_owned()),
        Just("took:>=2".to_owned()),
        Just("_exists_:took".to_owned()),
        Just("al?ha".to_owned()),
        Just("*mm*".to_owned()),
        Just("/b.t[a-z]/".to_owned()),
        Just("message:{a TO b}".to_owned()),
        Just("*".to_owned()),
    ]
}

/// An event of a few words with some fields.
fn log_event() -> impl Strategy<Value = Event> {
    let tag = proptest::option::of(prop_oneof![Just("console"), Just("syslog")]);
    let words = proptest::collection::vec(word(), 0..6);
    let numbers = (
        proptest::option::of(0..3_i64),
        proptest::option::of(0..4_i64),
    );
    (words, tag, numbers).prop_map(|(words, tag, (voting, took))| {
        let mut event = Event::from_message(words.join(" "));
        if let Some(tag) = tag {
            event.own.set("tags", FieldValue::text(tag));
        }
        for (name, number) in [("voting", voting), ("took", took)] {
            if let Some(number) = number {
                event.own.set(name, FieldValue::Integer(number));
            }
        }
        event
    })
}

fn query() -> impl Strategy<Value = String> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        let sign = prop_oneof![Just(""), Just("NOT "), Just("+"), Just("-")];
        let joint = prop_oneof![Just(" AND "), Just(" OR "), Just(" ")];
        proptest::collection::vec((sign, inner, joint), 1..4).prop_map(|parts| {
            let mut text = String::new();
            for (n, (sign, part, joint)) in parts.into_iter().enumerate() {
                text.push_str(if n == 0 { "" } else { joint });
                text.push_str(sign);
                text.extend(["(", &part, ")"]);
            }
            text
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn agrees_with_the_evaluator_on_random_queries_and_logs(
        queries in proptest::collection::vec(query(), 1..12),
        events in proptest::collection::vec(log_event(), 1..12),
    ) {
        let files: Vec<(String, String)> = queries
            .iter()
            .enumerate()
            .map(|(n, q)| (format!("q{n:02}"), format!("query: {}\n", yaml_text(q))))
            .collect();
        let matcher = Matcher::new(set(&files));
        let read: Vec<Option<Query>> = queries
            .iter()
            .map(|text| Query::parse(text, &Schema::default()).ok())
            .collect();
        prop_assert!(read.iter().all(Option::is_some), "all of these can be read: {queries:?}");
        for event in &events {
            let document = Document::new(event);
            let holds = |query: &Option<Query>| query.as_ref().is_some_and(|q| q.matches(&document, now()));
            let expected = (0..).zip(&read).filter(|(_, query)| holds(query));
            let expected: BTreeSet<String> = expected.map(|(n, _): (i32, _)| format!("q{n:02}")).collect();
            prop_assert_eq!(matched(&matcher, event), expected, "{:?} of {:?}", event, &queries);
        }
    }
}

/// What the build conditions of a fingerprint come to, counted event by event and nothing else.
fn plain_count(all: &[&str], any: &[&str], none: &[&str], events: &[Event]) -> Option<u64> {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let parsed = |texts: &[&str]| -> Vec<Query> {
        let schema = Schema::default();
        texts
            .iter()
            .map(|text| Query::parse(text, &schema).unwrap())
            .collect()
    };
    let meets = |query: &Query, event: &Event| query.matches(&Document::new(event), now);
    let seen = |query: &Query| events.iter().any(|event| meets(query, event));
    let (all, any, none) = (parsed(all), parsed(any), parsed(none));
    if !all.iter().all(seen) || !(any.is_empty() || any.iter().any(seen)) || none.iter().any(seen) {
        return None;
    }
    let counts = |event: &&Event| all.iter().chain(&any).any(|query| meets(query, event));
    Some(events.iter().filter(counts).count() as u64)
}

const PARTS: [&str; 9] = [
    "alpha",
    "beta",
    "alpha OR beta",
    "alpha AND beta",
    "\"alpha beta\"",
    "gam*",
    "NOT alpha",
    "tags:console",
    "*",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn hits_of_build_conditions_are_distinct_events(
        all in proptest::sample::subsequence(PARTS.to_vec(), 0..4),
        any in proptest::sample::subsequence(PARTS.to_vec(), 0..4),
        none in proptest::sample::subsequence(PARTS.to_vec(), 0..2),
        lines in proptest::collection::vec((0..3_u8, proptest::collection::vec(word(), 0..4)), 0..14),
    ) {
        prop_assume!(!all.is_empty() || !any.is_empty());
        let mut yaml = String::new();
        for (key, list) in [("all", &all), ("any", &any), ("none", &none)] {
            if !list.is_empty() {
                yaml.extend([key, ": ", &serde_json::to_string(list).unwrap(), "\n"]);
            }
        }
        let matcher = Matcher::new(set(&[("f".into(), yaml)]));
        prop_assert_eq!(matcher.set().fingerprints.len(), 1);
        // Several files, and lines that are the same text at the same place in another file.
        let mut lines = lines;
        lines.sort_by_key(|(file, _)| *file);
        let events: Vec<Event> = lines
            .iter()
            .enumerate()
            .map(|(n, (file, words))| at(&format!("{file}.log"), n as u64 / 2, &words.join(" ")))
            .collect();
        let found = hits(&matcher, &events);
        prop_assert_eq!(found.get("f").copied(), plain_count(&all, &any, &none, &events));
    }

    #[test]
    fn hits_of_a_sequence_are_its_last_events(
        lines in proptest::collection::vec((0..2_u8, word(), 1..4_u64), 0..14),
        within in proptest::option::of(0..8_u32),
    ) {
        let within_text = within.map_or(String::new(), |n| format!("within: {n} lines\n"));
        let yaml = format!("sequence: [alpha, 'beta OR x', gamma]\n{within_text}");
        let matcher = Matcher::new(set(&[("f".into(), yaml)]));
        let mut lines = lines;
        lines.sort_by_key(|(file, _, _)| *file);
        let mut line = 0;
        let steps: Vec<(u8, &str, u64)> = lines
            .iter()
            .map(|(file, word, gap)| {
                line += gap;
                (*file, word.as_str(), line)
            })
            .collect();
        let events: Vec<Event> =
            steps.iter().map(|(file, word, line)| at(&file.to_string(), *line, word)).collect();
        // Every way to choose three events is tried.
        let ends = |end: usize| {
            let (file, word, last) = steps[end];
            word == "gamma" && (0..end).any(|middle| {
                let (other, word, _) = steps[middle];
                other == file && ["beta", "x"].contains(&word) && (0..middle).any(|first| {
                    let (other, word, begin) = steps[first];
                    let near = within.is_none_or(|n| last - begin <= u64::from(n));
                    other == file && word == "alpha" && near
                })
            })
        };
        let expected = (0..steps.len()).filter(|end| ends(*end)).count() as u64;
        prop_assert_eq!(hits(&matcher, &events).get("f").copied().unwrap_or(0), expected);
    }
}

fn at(file: &str, line: u64, message: &str) -> Event {
    let at = Location {
        file: file.into(),
        line,
        lines: 1,
        ..Location::default()
    };
    Event {
        at,
        ..Event::from_message(message)
    }
}

#[test]
fn conditions_over_a_build() {
    let file = |id: &str, text: &str| (id.to_owned(), text.to_owned());
    let matcher = Matcher::new(set(&[
        file("all", "all: [alpha, beta]\n"),
        file("any", "any: [beta, nothing]\nnone: [gamma]\n"),
        file("near", "sequence: [alpha, beta]\nwithin: 2\n"),
        file("far", "sequence: [alpha, beta]\nwithin: 1\n"),
        file("other-way", "sequence: [beta, alpha]\n"),
    ]));
    let events = [
        at("a.log", 1, "alpha"),
        at("a.log", 3, "beta"),
        at("b.log", 1, "alpha"),
    ];
    let found: Vec<String> = hits(&matcher, &events).into_keys().collect();
    assert_eq!(found, ["all", "any", "near"]);
    let spoiled = [at("a.log", 1, "beta"), at("b.log", 9, "gamma")];
    assert!(hits(&matcher, &spoiled).is_empty());
}

#[test]
fn a_sequence_needs_two_events_of_one_file() {
    let matcher = Matcher::new(set(&[("s".into(), "sequence: [alpha, alpha]\n".into())]));
    assert!(hits(&matcher, &[at("a", 1, "alpha alpha"), at("b", 1, "alpha")]).is_empty());
    assert_eq!(
        hits(&matcher, &[at("a", 1, "alpha"), at("a", 2, "alpha")]).len(),
        1
    );
}

/// Where the program's own log goes in a test.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn unknown_test_results_are_said_when_they_matter() {
    let matcher = Matcher::new(set(&[
        ("7".into(), "query: alpha\ntest_ids: [a.b.c]\n".into()),
        ("8".into(), "query: alpha\n".into()),
    ]));
    let said = |failed: Option<Vec<String>>| {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let found: Vec<String> = tracing::subscriber::with_default(subscriber, || {
            let mut build = Build::new("u1");
            build.failed_tests = failed;
            let mut run = matcher.start(&build, "2026-01-01T00:00:00Z".parse().unwrap());
            run.event(&at("a", 1, "alpha"));
            run.finish().into_iter().map(|m| m.fingerprint).collect()
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        (found, text)
    };
    let (found, text) = said(None);
    assert_eq!(found, ["7", "8"]);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("test_ids is ignored") && text.contains("\"7\""),
        "{text}"
    );
    assert_eq!(
        said(Some(vec!["a.b.c".into()])),
        (vec!["7".into(), "8".into()], String::new())
    );
    assert_eq!(
        said(Some(vec!["other".into()])),
        (vec!["8".into()], String::new())
    );
}

#[derive(Deserialize)]
struct Rule {
    name: String,
    pattern: String,
}

/// The rules in their order: `[[rule]]` tables with `name` and `pattern` lines.
fn rules(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in text.lines().map(str::trim) {
        let value = |key: &str| {
            let rest = line
                .strip_prefix(key)?
                .trim_start()
                .strip_prefix('=')?
                .trim();
            Some(toml_string(rest))
        };
        if let Some(name) = value("name") {
            rules.push(Rule {
                name,
                pattern: String::new(),
            });
        } else if let (Some(pattern), Some(rule)) = (value("pattern"), rules.last_mut()) {
            rule.pattern = pattern;
        }
    }
    rules
}

fn toml_string(text: &str) -> String {
    for quotes in ["'''", "'"] {
        if let Some(rest) = text.strip_prefix(quotes) {
            return rest[..rest.rfind(quotes).unwrap()].to_owned();
        }
    }
    let end = text.rfind('"').unwrap();
    serde_json::from_str(&text[..=end]).unwrap()
}

fn rule_set_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/pytorch-log-classifier/aws/lambda/log-classifier");
    if folder.is_dir() {
        return Some(folder);
    }
    crate::skip(&format!("no rule set at {}", folder.display()));
    None
}

/// What stands before the line that wins; other lines that begin like it say where the log is from.
const WINNER: &str = "#=MATCH=# ";
const HEADER: &str = "#=";

/// What the runner says of every step that fails. The classifier that the rules are from never looks
/// at these lines; a rule for any `##[error]` would always win with them.
const RUNNER_SAYS: [&str; 3] = [
    "##[error]Process completed with exit code",
    "##[error]Executing the custom container implementation failed",
    "[OSDC] Step cancelled by GitHub Actions",
];

/// A log as it was before it was marked, and the line that wins.
struct Fragment {
    log: String,
    number: u64,
    line: String,
    captures: Vec<String>,
}

fn fragment(text: &str) -> Fragment {
    let mut lines = Vec::new();
    let mut won = None;
    for line in text.lines() {
        if let Some(marked) = line.strip_prefix(WINNER) {
            lines.push(marked.replace(['‹', '›'], ""));
            won = Some((lines.len() as u64, captures(marked)));
        } else if RUNNER_SAYS.iter().any(|words| line.contains(words)) {
            // The line stays, so that the lines after it keep their numbers.
            lines.push(String::new());
        } else if !line.starts_with(HEADER) {
            lines.push(line.to_owned());
        }
    }
    let (number, captures) = won.unwrap();
    Fragment {
        line: lines[usize::try_from(number).unwrap() - 1].clone(),
        log: lines.join("\n") + "\n",
        number,
        captures,
    }
}

/// The texts between the marks.
fn captures(marked: &str) -> Vec<String> {
    let parts = marked.split('‹').skip(1);
    parts
        .map(|part| part.split('›').next().unwrap().to_owned())
        .collect()
}

/// The rules as fingerprints: the earlier a rule stands, the higher its priority.
fn rule_fingerprints(rules: &[Rule]) -> Arc<FingerprintSet> {
    let file = |(n, rule): (usize, &Rule)| {
        let text = format!(
            "title: {}\npattern: {}\npriority: {}\n",
            yaml_text(&rule.name),
            yaml_text(&rule.pattern),
            rules.len() - n
        );
        (format!("r{n:03}"), text)
    };
    let files: Vec<(String, String)> = rules.iter().enumerate().map(file).collect();
    set(&files)
}

#[test]
fn the_marked_line_of_each_fragment_wins() {
    let Some(folder) = rule_set_folder() else {
        return;
    };
    let rules = rules(&fs::read_to_string(folder.join("ruleset.toml")).unwrap());
    assert_eq!(rules.len(), 102);
    let set = rule_fingerprints(&rules);
    assert_eq!(set.fingerprints.len(), 102, "{:?}", set.diagnostics);
    let matcher = Matcher::new(set);
    let mut seen = 0;
    for entry in fs::read_dir(folder.join("fixtures/classify")).unwrap() {
        let path = entry.unwrap().path();
        let fragment = fragment(&fs::read_to_string(&path).unwrap());
        wins(&matcher, &rules, &fragment, &path.display().to_string());
        seen += 1;
    }
    assert_eq!(seen, 24);
}

/// The headline's last hit is the event with the marked line, and its last span is in that line.
fn wins(matcher: &Matcher, rules: &[Rule], fragment: &Fragment, name: &str) {
    let build = Build::new("u");
    let mut run = matcher.start(&build, "2026-01-01T00:00:00Z".parse().unwrap());
    let mut places = BTreeMap::new();
    read_stream(
        "log",
        &mut fragment.log.as_bytes(),
        &build.fields(),
        &Limits::default(),
        &mut |event| {
            places.insert(event.at.line, u64::from(event.at.lines));
            run.event(&event);
        },
    );
    let matches = run.finish();
    let headline = matches.first().expect(name);
    let last = headline.evidence.last().unwrap();
    let lines = last.line..last.line + places[&last.line];
    assert!(
        lines.contains(&fragment.number),
        "{name}: {} wins at {lines:?}, not at {}",
        headline.title,
        fragment.number
    );
    // A span is of one line here, and no text before it is cut away with a prefix.
    let (from, to) = *last.spans.last().unwrap();
    let line_start = last.excerpt[..from].rfind('\n').map_or(0, |at| at + 1);
    let line_end = last.excerpt[to..]
        .find('\n')
        .map_or(last.excerpt.len(), |at| to + at);
    let line = &last.excerpt[line_start..line_end];
    let number: usize = headline.fingerprint[1..].parse().unwrap();
    let found = regex::Regex::new(&rules[number].pattern).unwrap();
    let found = found.captures(line).expect(name);
    let groups: Vec<String> = (usize::from(found.len() > 1)..found.len())
        .map(|n| found[n].to_owned())
        .collect();
    assert_eq!(groups, fragment.captures, "{name}: {}", fragment.line);
}
