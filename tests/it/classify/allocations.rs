//! A sweep allocates for each log and for what it finds, and nothing for a line.

use allocation_counter::measure;
use std::fmt::Write;
use std::sync::Arc;
use whorl::classify::one::sweep;
use whorl::event::{Build, Verdict};
use whorl::fingerprint::FingerprintSet;
use whorl::intake::{Limits, LogInput};
use whorl::matcher::Matcher;

const FEW: usize = 1_000;
const MANY: usize = 50_000;

/// Writes the line with a number.
type Line<'a> = &'a dyn Fn(usize, &mut String);

fn matcher(queries: &[&str]) -> Matcher {
    let folder = tempfile::tempdir().unwrap();
    for (number, query) in queries.iter().enumerate() {
        let path = folder.path().join(format!("{number}.yaml"));
        std::fs::write(path, format!("query: '{query}'\n")).unwrap();
    }
    let set = FingerprintSet::load(&[folder.path().to_owned()]);
    assert_eq!(set.diagnostics, []);
    Matcher::new(Arc::new(set))
}

/// How often this thread allocates for a log of so many lines, and what is found in it.
fn allocated(matcher: &Matcher, lines: usize, line: Line<'_>) -> (u64, Verdict) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("console.txt");
    let mut log = String::new();
    for number in 0..lines {
        line(number, &mut log);
    }
    std::fs::write(&path, log).unwrap();
    let logs = [LogInput::new("console.txt", &path)];
    let (build, limits) = (Build::new("b"), Limits::default());
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut verdict = None;
    let mut swept = || verdict = Some(sweep(matcher, &build, now, &logs, &limits, false).verdict);
    // What is made once and kept is not counted.
    swept();
    let counted = measure(swept).count_total;
    (counted, verdict.unwrap())
}

/// Counts for few and for many lines.
fn counts(matcher: &Matcher, line: Line<'_>, expected: Verdict) -> (u64, u64) {
    let (few, verdict) = allocated(matcher, FEW, line);
    assert_eq!(verdict, expected);
    let (many, verdict) = allocated(matcher, MANY, line);
    assert_eq!(verdict, expected);
    println!("{few} for {FEW} lines, {many} for {MANY}");
    (few, many)
}

const QUERIES: [&str; 4] = [
    "message:\"connection lost\"",
    "message:\"No space left\" AND tags:console",
    "\"went badly\" OR \"timed out\"",
    "message:\"step of doom\"",
];

#[test]
fn a_line_that_cannot_matter_costs_no_allocation() {
    let matcher = matcher(&QUERIES);
    let kinds: [Line<'_>; 4] = [
        &|n, to| writeln!(to, "  running test {n} of many: ok").unwrap(),
        &|n, to| {
            let (minute, second) = (n / 60 % 60, n % 60);
            writeln!(
                to,
                "2026-03-01 10:{minute:02}:{second:02}.123 | ubuntu | task {n} is done"
            )
            .unwrap();
        },
        &|n, to| {
            writeln!(to, "2026-03-01 10:00:00.123 7 INFO nova.compute [req-{n} - - - - -] [instance: x] all is well")
                .unwrap();
        },
        &|n, to| {
            writeln!(
                to,
                "\u{1b}[32mok\u{1b}[0m: [node-{n}] => changed: naïve words, größer als zuvor"
            )
            .unwrap();
        },
    ];
    for kind in kinds {
        let (few, many) = counts(&matcher, kind, Verdict::Unmatched);
        assert!(many < few + 100, "{few} for {FEW} lines, {many} for {MANY}");
    }
}

/// Its first word is what the sweep looks for, and the next is another.
#[test]
fn a_line_that_begins_like_a_match_costs_no_allocation() {
    let matcher = matcher(&QUERIES);
    let line = |n: usize, to: &mut String| {
        writeln!(
            to,
            "connection {n} went on, the step was badly timed and lost space"
        )
        .unwrap();
    };
    let (few, many) = counts(&matcher, &line, Verdict::Unmatched);
    assert!(many < few + 100, "{few} for {FEW} lines, {many} for {MANY}");
}

/// The first hits and the last are evidence, which is allocated; the others are counted.
#[test]
fn a_match_allocates_for_its_evidence_alone() {
    let matcher = matcher(&QUERIES);
    let line = |n: usize, to: &mut String| writeln!(to, "connection lost: {n}").unwrap();
    let (few, many) = counts(&matcher, &line, Verdict::Matched);
    assert!(few > 100, "{few} for {FEW} lines: nothing is counted?");
    assert!(many < few + 500, "{few} for {FEW} lines, {many} for {MANY}");
}
