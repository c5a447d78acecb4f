//! How fast the embedded store takes events, how small it keeps them and how fast it answers.
//!
//! `cargo bench --bench store -- LOGS [EVENTS]`
//!
//! LOGS is a folder of real logs, read by the intake. They are repeated, each time with other numbers
//! in them, until there are EVENTS (10,000,000 unless told), in builds of 11,000 events spread over
//! ten days, each event with a moment of its own. Phrases of three words are taken from the logs by
//! how often they occur. Everything is asked seven times and the median is printed; the store is
//! warm.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a bench"
)]

use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use whorl::event::{Build, Event, FieldValue};
use whorl::intake::{Limits, open_path, read_all};
use whorl::query::analyser::analyse;
use whorl::query::{Query, Schema};
use whorl::store::{EmbeddedStore, Filters, LogStore, Options, SearchRequest, Selection};

/// Events of one build: about a megabyte.
const BUILD: usize = 11_000;
/// Builds that are committed together.
const TOGETHER: usize = 64;
const DAYS: i64 = 10;
const RUNS: usize = 7;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let Some(logs) = args.next() else {
        println!("SKIPPED: cargo bench --bench store -- LOGS [EVENTS]");
        return;
    };
    let events: usize = args.next().map_or(10_000_000, |n| n.parse().unwrap());
    let source = source(&PathBuf::from(logs));
    let phrases = phrases(&source);
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(root.path(), Options::default()).unwrap();
    fill(&store, &source, events);
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

/// The events of one build, and their bytes in a log.
fn each(source: &[Event], number: usize, build: &Build, sink: &mut dyn FnMut(Event)) -> u64 {
    let (mut bytes, mut stamp) = (0, build.finished.unwrap());
    let mut shared: HashMap<*const u8, Arc<whorl::event::Fields>> = HashMap::new();
    for n in 0..BUILD {
        let mut event = source[(number * BUILD + n) % source.len()].clone();
        event.message = renumbered(event.message, number as u64);
        let of_file = shared.entry(Arc::as_ptr(&event.shared).cast());
        let fields = of_file.or_insert_with(|| {
            let mut fields = (*event.shared).clone();
            build
                .fields()
                .iter()
                .for_each(|(name, value)| fields.set(name, value.clone()));
            Arc::new(fields)
        });
        event.shared = Arc::clone(fields);
        stamp += SignedDuration::from_micros(2_345);
        event
            .own
            .set("@timestamp", FieldValue::text(stamp.to_string()));
        bytes += event.message.len() as u64 + 1;
        sink(event);
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

fn fill(store: &EmbeddedStore, source: &[Event], events: usize) {
    let builds = events.div_ceil(BUILD);
    let all: Vec<Build> = (0..builds).map(|n| build(n, builds)).collect();
    let begun = Instant::now();
    for (number, build) in all.iter().enumerate().take(100) {
        each(source, number, build, &mut |event| {
            drop(std::hint::black_box(event));
        });
    }
    let making = begun
        .elapsed()
        .mul_f64(builds as f64 / builds.min(100) as f64);
    let (begun, mut bytes, mut next) = (Instant::now(), 0, 0);
    let mut days: Vec<(Duration, usize)> = Vec::new();
    while next < builds {
        let some = &all[next..builds.min(next + TOGETHER)];
        let marked: Vec<(Build, u64)> = some.iter().map(|b| (b.clone(), 0)).collect();
        let started = Instant::now();
        store
            .append_many(&marked, &mut |n, sink| {
                bytes += each(source, next + n, &some[n], sink);
            })
            .unwrap();
        days.push((started.elapsed(), some.len()));
        next += some.len();
    }
    let took = begun.elapsed();
    let net = took.saturating_sub(making);
    let health = store.health();
    println!(
        "{} events, {bytes} bytes of log, {} slices: {} ({} to make the events)",
        health.documents,
        health.slices,
        seconds(took),
        seconds(making)
    );
    println!(
        "ingest: {:.0} events/s, {:.0} without making them; {:.3} bytes on disk for a byte of log",
        health.documents as f64 / took.as_secs_f64(),
        health.documents as f64 / net.as_secs_f64(),
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
        "  with filters and three of ten days, {total} events: {}",
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
        total = store.search(&tried, now).unwrap().total;
        builds = store.distinct_builds(&tried.selection, now).unwrap().len();
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
    let (all, now) = (Selection::default(), Timestamp::now());
    for (what, width) in [("day", 86_400), ("hour", 3600), ("minute", 60)] {
        let mut spans = 0;
        let time = median(|| spans = store.histogram(&all, width, now).unwrap().len());
        println!(
            "histogram of all by the {what}, {spans} spans: {}",
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
