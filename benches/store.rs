//! How fast the embedded store takes events, how small it keeps them and how fast it answers.
//!
//! `cargo bench --bench store -- LOGS [EVENTS [FINGERPRINTS]]`
//!
//! LOGS is a folder of real logs, read by the intake. They are repeated, each time with other numbers
//! in them, until there are EVENTS (10,000,000 unless told), in builds of 11,000 lines spread over
//! fourteen days, each line with a moment of its own. What is timed is what the service does with a
//! log file: it is classified (by the fingerprint files below FINGERPRINTS; without it by none), read
//! once more and indexed, 64 builds with one commit. Bytes are those of the messages, without the
//! times before them. Phrases of three words are taken from the logs by how often they occur.
//! Everything is asked seven times and the median is printed; the store is warm.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a bench"
)]

use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use whorl::classify::one::sweep;
use whorl::event::{Build, Event};
use whorl::fingerprint::FingerprintSet;
use whorl::intake::{Limits, open_path, read_all};
use whorl::matcher::Matcher;
use whorl::query::analyser::analyse;
use whorl::query::{Query, Schema};
use whorl::store::{EmbeddedStore, Filters, LogStore, Options, SearchRequest, Selection};

/// Lines of one build: about a megabyte.
const BUILD: usize = 11_000;
/// Builds that are committed together.
const TOGETHER: usize = 64;
const DAYS: i64 = 14;
const RUNS: usize = 7;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let Some(logs) = args.next() else {
        println!("SKIPPED: cargo bench --bench store -- LOGS [EVENTS]");
        return;
    };
    let events: usize = args.next().map_or(10_000_000, |n| n.parse().unwrap());
    let roots: Vec<PathBuf> = args.next().into_iter().map(PathBuf::from).collect();
    let set = FingerprintSet::load(&roots);
    println!("{} fingerprints", set.fingerprints.len());
    let matcher = Matcher::new(Arc::new(set));
    let source = source(&PathBuf::from(logs));
    let phrases = phrases(&source);
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(root.path(), Options::default()).unwrap();
    fill(&store, &matcher, &source, events);
    for (how, phrase, occurs) in &phrases {
        println!(
            "{how}: \"{phrase}\", {occurs} of {} source events",
            source.len()
        );
        ask(&store, phrase);
    }
    histograms(&store);
    field(&store);
    let begun = Instant::now();
    let gone = store
        .delete_before(start() + SignedDuration::from_hours(24))
        .unwrap();
    println!(
        "retention of a day, {gone} events: {}",
        seconds(begun.elapsed())
    );
}

fn start() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

/// All events of the logs.
fn source(logs: &std::path::Path) -> Vec<Event> {
    let (limits, mut events) = (Limits::default(), Vec::new());
    let inputs = open_path(logs, &limits).unwrap();
    read_all(
        &inputs,
        &Build::new("source").fields(),
        &limits,
        &mut |event| events.push(event),
    );
    let bytes: usize = events.iter().map(|e| e.message.len() + 1).sum();
    println!("{} events, {} bytes in the logs", events.len(), bytes);
    events
}

fn build(number: usize, builds: usize) -> Build {
    let share = number as f64 / builds as f64;
    let seconds = (share * (DAYS * 86_400) as f64) as i64;
    let mut build = Build::new(format!("{number:08x}-5c1f-4f0e-9a35-0123456789ab"));
    build.set_field("build_name", &format!("job-{}", number % 10));
    build.set_field("build_branch", "master");
    build.finished = Some(start() + SignedDuration::from_secs(seconds));
    build
}

/// Writes the log of one build, and says how many bytes its messages have.
fn write_log(folder: &Path, source: &[Event], number: usize, build: &Build) -> u64 {
    std::fs::create_dir_all(folder).unwrap();
    let file = std::fs::File::create(folder.join("job-output.txt")).unwrap();
    let mut file = std::io::BufWriter::new(file);
    let (mut bytes, mut stamp) = (0, build.finished.unwrap());
    for n in 0..BUILD {
        let message = source[(number * BUILD + n) % source.len()].message.clone();
        let message = renumbered(message, number as u64);
        stamp += SignedDuration::from_micros(2_345);
        let time = stamp.strftime("%Y-%m-%d %H:%M:%S.%6f");
        for line in message.split('\n') {
            writeln!(file, "{time} | {line}").unwrap();
        }
        bytes += message.len() as u64 + 1;
    }
    bytes
}

/// Other digits in every number of five or more: no build has the identifiers of another.
fn renumbered(message: String, salt: u64) -> String {
    let mut bytes = message.into_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if length >= 5 {
            let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            for digit in &mut bytes[at..at + length] {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(u64::from(*digit));
                *digit = b'0' + (state >> 33) as u8 % 10;
            }
        }
        at += length.max(1);
    }
    String::from_utf8(bytes).unwrap()
}

fn fill(store: &EmbeddedStore, matcher: &Matcher, source: &[Event], events: usize) {
    let builds = events.div_ceil(BUILD);
    let all: Vec<Build> = (0..builds).map(|n| build(n, builds)).collect();
    let logs = tempfile::tempdir().unwrap();
    let (mut bytes, mut next, mut matches) = (0, 0, 0);
    let (mut classifying, mut indexing) = (Duration::ZERO, Duration::ZERO);
    let limits = Limits::default();
    while next < builds {
        let some = &all[next..builds.min(next + TOGETHER)];
        let folder = |build: &Build| logs.path().join(&build.uuid);
        for (n, build) in some.iter().enumerate() {
            bytes += write_log(&folder(build), source, next + n, build);
        }
        let begun = Instant::now();
        for build in some {
            let inputs = open_path(&folder(build), &limits).unwrap();
            let now = build.finished.unwrap();
            matches += sweep(matcher, build, now, &inputs, &limits, true)
                .matches
                .len();
        }
        classifying += begun.elapsed();
        let begun = Instant::now();
        let marked: Vec<(Build, u64)> = some.iter().map(|b| (b.clone(), 0)).collect();
        store
            .append_many(&marked, &mut |n, sink| {
                let inputs = open_path(&folder(&some[n]), &limits).unwrap();
                read_all(&inputs, &some[n].fields(), &limits, sink);
            })
            .unwrap();
        indexing += begun.elapsed();
        for build in some {
            std::fs::remove_dir_all(folder(build)).unwrap();
        }
        next += some.len();
    }
    let health = store.health();
    println!(
        "{} events, {bytes} bytes of messages, {} slices: {} to classify ({matches} matches), {} to index",
        health.documents,
        health.slices,
        seconds(classifying),
        seconds(indexing)
    );
    println!(
        "ingest with classification: {:.0} events/s, {:.0} without it; {:.3} bytes on disk for a byte of log",
        health.documents as f64 / (classifying + indexing).as_secs_f64(),
        health.documents as f64 / indexing.as_secs_f64(),
        health.bytes as f64 / bytes as f64
    );
}

/// Phrases of three words: how often they occur in words, they, and in how many events.
fn phrases(source: &[Event]) -> Vec<(&'static str, String, u64)> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for event in source {
        let words: Vec<_> = analyse(&event.message)
            .map(|w| w.text.into_owned())
            .collect();
        for three in words.windows(3) {
            let plain = three
                .iter()
                .all(|w| w.len() > 2 && w.bytes().all(|b| b.is_ascii_lowercase()));
            if plain {
                *counts.entry(three.join(" ")).or_default() += 1;
            }
        }
    }
    let kinds = [("rare", 1e-6), ("some", 3e-4), ("frequent", 1e-2)];
    let near = |share: f64| {
        let wanted = (share * source.len() as f64).max(1.0).ln();
        let mut all: Vec<_> = counts.iter().collect();
        all.sort();
        let apart = |count: u64| ((count as f64).ln() - wanted).abs();
        let best = all
            .into_iter()
            .min_by(|a, b| apart(*a.1).total_cmp(&apart(*b.1)));
        best.map(|(phrase, count)| (phrase.clone(), *count))
            .unwrap()
    };
    let found = kinds.map(|(how, share)| (how, near(share)));
    found
        .map(|(how, (phrase, count))| (how, phrase, count))
        .into()
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..=RUNS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .skip(1)
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn seconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn ask(store: &EmbeddedStore, phrase: &str) {
    let (schema, now) = (Schema::default(), Timestamp::now());
    let query = Query::parse(&format!("\"{phrase}\""), &schema).unwrap();
    let narrow = Selection {
        query: Some(&query),
        filters: Filters {
            equal: vec![("build_name".into(), "job-3".into())],
            voting: Some(true),
            ..Filters::default()
        },
        from: Some(start() + SignedDuration::from_hours(48)),
        to: Some(start() + SignedDuration::from_hours(120)),
        ..Selection::default()
    };
    let request = SearchRequest {
        selection: narrow.clone(),
        newest_first: true,
        limit: 25,
        highlight: true,
        ..SearchRequest::default()
    };
    let mut total = 0;
    let time = median(|| total = store.search(&request, now).unwrap().total);
    println!(
        "  with filters and three of fourteen days, {total} events: {}",
        seconds(time)
    );
    let wide = SearchRequest {
        selection: Selection {
            query: Some(&query),
            ..Selection::default()
        },
        ..request
    };
    let time = median(|| total = store.search(&wide, now).unwrap().total);
    println!("  in everything, {total} events: {}", seconds(time));
    let rule = format!("message:\"{phrase}\" AND build_branch:\"master\" AND NOT tags:\"none\"");
    let rule = Query::parse(&rule, &schema).unwrap();
    let tried = SearchRequest {
        selection: Selection {
            query: Some(&rule),
            ..Selection::default()
        },
        ..wide
    };
    let mut builds = 0;
    let time = median(|| {
        let (found, all) = store.search_with_builds(&tried, now).unwrap();
        (total, builds) = (found.total, all.len());
    });
    println!(
        "  a new fingerprint, {total} events in {builds} builds: {}",
        seconds(time)
    );
    let time = median(|| {
        store.histogram(&wide.selection, 3600, now).unwrap();
    });
    println!("  histogram by the hour: {}", seconds(time));
}

fn histograms(store: &EmbeddedStore) {
    let now = Timestamp::now();
    let all = Selection {
        from: Some(start() + SignedDuration::from_hours(2 * 24 + 7)),
        to: Some(start() + SignedDuration::from_hours(12 * 24 + 7)),
        ..Selection::default()
    };
    for (what, width) in [("day", 86_400), ("hour", 3600), ("minute", 60)] {
        let mut spans = 0;
        let time = median(|| spans = store.histogram(&all, width, now).unwrap().len());
        println!(
            "histogram of ten days by the {what}, {spans} spans: {}",
            seconds(time)
        );
    }
}

fn field(store: &EmbeddedStore) {
    let (all, now) = (Selection::default(), Timestamp::now());
    let time = median(|| {
        store.count_by_field(&all, "build_name", 10, now).unwrap();
    });
    println!("all by job: {}", seconds(time));
    let query = Query::parse(
        "build_name:\"job-3\" AND NOT loglevel:\"ERROR\"",
        &Schema::default(),
    )
    .unwrap();
    let some = Selection {
        query: Some(&query),
        ..Selection::default()
    };
    let time = median(|| {
        store.histogram(&some, 3600, now).unwrap();
    });
    println!(
        "histogram by the hour of one job without errors: {}",
        seconds(time)
    );
}
