//! What a sweep finds is what all events give.

use crate::event::{Build, FieldValue, Match};
use crate::fingerprint::FingerprintSet;
use crate::intake::{BuildSummary, Limits, LogInput, read_all, take_all};
use crate::matcher::Matcher;
use crate::query::Schema;
use proptest::prelude::*;
use std::sync::Arc;

/// Conditions of all kinds over few words, so that they meet often.
const RULES: [&str; 16] = [
    "query: 'message:\"alpha beta\"'",
    "query: 'gamma AND tags:console'",
    "query: 'gamma AND loglevel:ERROR'",
    "query: 'alpha OR kappa'",
    "query: '\"delta alpha\" AND NOT beta'",
    "query: '\"alpha gamma\"~2'",
    "query: 'ValueError'",
    "query: '\"node.alpha\" OR \"x:beta\"'",
    "query: 'café'",
    "query: '__beta__ AND _exists_:module'",
    "query: '\"last beta\"'",
    "pattern: 'alpha: new \\w+'",
    "pattern: '(?i) KAPPA '",
    "pattern: '\\A.*\\n.* gamma is'",
    "sequence: [alpha, beta]\nwithin: 3",
    "all: [alpha, delta]\nany: [beta, gamma]\nnone: ['\"kappa kappa\"']",
];

/// Those that any event may meet: the log is then read as a whole.
const OPEN: [&str; 3] = [
    "query: 'alph* AND NOT beta'",
    "query: 'tags:syslog AND NOT alpha'",
    "pattern: 'eta'",
];

fn matcher(rules: &[&str]) -> Matcher {
    let folder = tempfile::tempdir().unwrap();
    for (number, rule) in rules.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.yaml")), rule).unwrap();
    }
    let set = FingerprintSet::load_for(&[folder.path().to_owned()], &Schema::default());
    assert_eq!(set.diagnostics, [], "{rules:?}");
    assert_eq!(set.fingerprints.len(), rules.len());
    Matcher::new(Arc::new(set))
}

/// What one way finds.
struct Outcome {
    matches: Vec<Match>,
    summary: BuildSummary,
}

/// Both ways over the same bytes: by a sweep, and by all events.
fn both(matcher: &Matcher, log: &[u8], limits: &Limits, beside: bool) -> (Outcome, Outcome) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    std::fs::write(&path, log).unwrap();
    let logs = [LogInput::new("a.log", &path)];
    let build = Build::new("b");
    let (now, fields) = (jiff::Timestamp::UNIX_EPOCH, build.fields());
    let mut run = matcher.start(&build, now);
    let summary = read_all(&logs, &fields, limits, &mut |event| run.event(&event));
    let all = Outcome {
        matches: run.finish(),
        summary,
    };
    let mut run = matcher.start(&build, now);
    let summary = take_all(&logs, &fields, limits, &mut run.sweep(beside));
    let swept = Outcome {
        matches: run.finish(),
        summary,
    };
    (swept, all)
}

fn assert_same(swept: &Outcome, all: &Outcome, log: &[u8]) {
    let text = String::from_utf8_lossy(log);
    assert_eq!(swept.matches, all.matches, "{text}");
    for ((_, one), (_, other)) in swept.summary.files.iter().zip(&all.summary.files) {
        assert_eq!((one.bytes, one.lines), (other.bytes, other.lines));
        assert_eq!(one.problems, other.problems, "{text}");
        assert!(one.events <= other.events);
    }
}

/// What formats put before a line.
fn prefix(format: usize, n: usize) -> String {
    let second = n % 60;
    match format {
        0 => String::new(),
        1 => format!("2022-05-20 13:15:{second:02}.453441 | node{} | ", n % 2),
        2 => format!("2014-05-07 12:13:{second:02}.123 | "),
        3 => {
            let level = ["ERROR", "TRACE", "INFO", "ERROR"][n % 4];
            format!("2014-05-07 12:13:{second:02}.123 77 {level} nova.api [req-1] ")
        }
        4 => format!("May  7 12:13:{second:02} host prog[{}]: ", n % 2),
        5 => format!("12:13:{second:02} "),
        6 => format!("2022-05-20T13:15:{second:02}.4534411Z "),
        7 => format!("2024-05-07T12:13:{second:02}.123456Z 00O "),
        _ => format!("ERROR [x{}] ", n % 2),
    }
}

const PIECES: [&str; 53] = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "kappa",
    "alpha beta",
    "ALPHA  Beta",
    "alpha: new beta",
    " Kappa ",
    "alpha, gamma",
    "delta\talpha",
    "node.alpha",
    "x:beta",
    "café",
    "__beta__",
    "alpha _ beta",
    " ",
    "  ",
    "\t",
    "Traceback (most recent call last):",
    "  File \"x.py\", line 1, in alpha",
    "ValueError: gamma is bad",
    "ValueError",
    "xTraceback (most recent call last): beta",
    "last beta",
    "During handling of the above exception, another exception occurred:",
    "goroutine 1 [running]:",
    "main.f(0x1)",
    "\t/x.go:1 beta",
    "panic: alpha",
    "fatal error: kappa",
    "WARNING: DATA RACE",
    "  Read at 0x1 by beta",
    "thread 'main' panicked at src/x.rs:1:",
    "thread 'alpha' panicked at 'x'",
    "note: run with gamma",
    "    at f.g(h.java:1)",
    "    at Object.x (x.js:1:2) {",
    "  code: 'beta'",
    "}",
    "Caused by:",
    "Caused by: alpha",
    "... 12 more",
    "java.lang.Error: gamma",
    "\u{1b}[31malpha\u{1b}[0m",
    "al\u{1b}[1mpha",
    "\r",
    "\u{130}",
    "\u{212a}appa",
    "kap\u{17f}",
    "\u{1b}]0;title\u{7}beta",
    "section_start:123:x\ralpha",
    "section_start:123:-delta\ralpha",
];

/// A line, its prefix or none, and how often it comes.
fn line() -> impl Strategy<Value = (Vec<usize>, bool, usize)> {
    let pieces = prop::collection::vec(0..PIECES.len(), 0..4);
    (
        pieces,
        prop::bool::weighted(0.85),
        prop_oneof![9 => Just(1_usize), 1 => 2_usize..6],
    )
}

fn log() -> impl Strategy<Value = Vec<u8>> {
    log_of(prop::collection::vec(line(), 0..60))
}

/// Few different lines, each many times.
fn dense_log() -> impl Strategy<Value = Vec<u8>> {
    let few = prop::collection::vec(line(), 1..12);
    let order = prop::collection::vec(any::<prop::sample::Index>(), 0..150);
    let lines = (few, order).prop_map(|(few, order)| {
        let line = |at: prop::sample::Index| at.get(&few).clone();
        order.into_iter().map(line).collect::<Vec<_>>()
    });
    log_of(lines)
}

fn log_of(
    lines: impl Strategy<Value = Vec<(Vec<usize>, bool, usize)>>,
) -> impl Strategy<Value = Vec<u8>> {
    let extra = prop_oneof![
        8 => Just(Vec::new()),
        1 => Just(b"\xff\xfe beta".to_vec()),
        1 => Just(b"a\0beta".to_vec()),
        1 => (250_usize..300).prop_map(|n| [vec![b'y'; n], b"alpha beta".to_vec()].concat()),
        1 => (240_usize..270).prop_map(|n| [vec![b'y'; n], b"y.alpha:beta.node.alpha gamma".to_vec()].concat()),
    ];
    (0_usize..9, lines, extra, any::<bool>()).prop_map(|(format, lines, extra, ended)| {
        let mut all = Vec::new();
        let mut number = 0;
        for (at, (pieces, prefixed, times)) in lines.into_iter().enumerate() {
            for _ in 0..times {
                if prefixed {
                    all.extend(prefix(format, number).into_bytes());
                }
                for piece in &pieces {
                    all.extend(PIECES[*piece].as_bytes());
                    all.push(b' ');
                }
                if at % 7 == 3 {
                    all.extend(&extra);
                }
                all.push(b'\n');
                number += 1;
            }
        }
        if !ended {
            all.pop();
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_sweep_finds_what_all_events_give(log in log(), small in 0_usize..4) {
        thread_local!(static RULED: Matcher = matcher(&RULES));
        let limits = match small {
            0 => Limits { max_line: 64, ..Limits::default() },
            1 => Limits { max_event_lines: 3, max_line: 700, ..Limits::default() },
            2 => Limits { max_event_bytes: 60, max_line: 300, ..Limits::default() },
            _ => Limits::default(),
        };
        RULED.with(|matcher| {
            let (swept, all) = both(matcher, &log, &limits, false);
            assert_same(&swept, &all, &log);
        });
    }
}

/// Else both ways would be the same one, and comparing them would show nothing.
#[test]
fn the_rules_of_these_tests_do_not_ask_for_all_events() {
    let mut shared = Build::new("b").fields();
    shared.add("tags", FieldValue::text("console"));
    shared.add("tags", FieldValue::text("a.log"));
    let shared = Arc::new(shared);
    let with_sure: Vec<&str> = RULES[..12].iter().chain(&SURE).copied().collect();
    for rules in [&RULES[..], &with_sure, &COUNTED] {
        let matcher = matcher(rules);
        let run = matcher.start(&Build::new("b"), jiff::Timestamp::UNIX_EPOCH);
        let open = run.open(matcher.filter(), &shared, "a.log");
        assert!(matches!(open, super::Open::Sure(_)), "{rules:?}");
    }
}

#[test]
fn conditions_that_any_event_may_meet_are_not_lost() {
    let rules: Vec<&str> = RULES.iter().chain(&OPEN).copied().collect();
    let log = b"zeta\nalphabet\nalpha\n".as_slice();
    let (swept, all) = both(&matcher(&rules), log, &Limits::default(), false);
    assert_same(&swept, &all, log);
    assert_eq!(swept.matches.len(), 3, "{:?}", swept.matches);
}

/// Conditions that hold for all events of a log, by its fields alone.
const SURE: [&str; 3] = [
    "query: 'tags:console OR \"alpha beta\"'",
    "query: '\"alpha beta\" OR gamma tags:\"a.log\"'",
    "query: 'NOT tags:syslog'",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn conditions_that_hold_for_all_events_are_counted(log in log(), small in 0_usize..2) {
        thread_local!(static RULED: Matcher = {
            // Without what may hold for any event, for which all are looked at.
            let rules: Vec<&str> = RULES[..12].iter().chain(&SURE).copied().collect();
            matcher(&rules)
        });
        let max_line = if small == 0 { 64 } else { 1 << 20 };
        let limits = Limits { max_line, ..Limits::default() };
        RULED.with(|matcher| {
            let (swept, all) = both(matcher, &log, &limits, false);
            assert_same(&swept, &all, &log);
        });
    }
}

/// Conditions whose hits can be counted line by line.
const COUNTED: [&str; 12] = [
    "query: 'message:\"alpha beta\"'",
    "query: 'gamma AND tags:console'",
    "query: 'delta AND NOT tags:syslog'",
    "query: 'node.alpha'",
    "query: '\"new beta\"'",
    "query: 'ValueError'",
    "query: 'kappa AND tags:syslog'",
    "query: '\"x:beta\"'",
    "query: '13 AND NOT tags:syslog'",
    "query: 'alpha'\nnone: ['\"kappa kappa\"']",
    "query: 'java.lang.Error'",
    "query: 'code'",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn lines_are_counted_as_events_would_be(log in dense_log(), small in 0_usize..4) {
        thread_local!(static RULED: Matcher = matcher(&COUNTED));
        let limits = match small {
            0 => Limits { max_line: 64, ..Limits::default() },
            1 => Limits { max_event_lines: 3, max_line: 700, ..Limits::default() },
            _ => Limits::default(),
        };
        RULED.with(|matcher| {
            let (swept, all) = both(matcher, &log, &limits, false);
            assert_same(&swept, &all, &log);
        });
    }
}

/// The matches of a log of which a sweep makes few events.
fn counted(rules: &[&str], log: &str) -> Vec<Match> {
    let (swept, all) = both(&matcher(rules), log.as_bytes(), &Limits::default(), false);
    assert_same(&swept, &all, log.as_bytes());
    let events = swept.summary.files[0].1.events;
    assert!(events < 20, "{events}");
    swept.matches
}

#[test]
fn no_event_is_made_of_a_line_that_is_only_counted() {
    let lines = (0..1000).map(|n| format!("{n} alpha beta, gamma\n  under it\n\n"));
    let matches = counted(&COUNTED, &lines.collect::<String>());
    let found = &matches[0];
    assert_eq!((found.hits, found.evidence[4].line), (1000, 2998));
}

#[test]
fn no_event_is_made_for_what_holds_for_all_when_enough_are_shown() {
    let lines = (0..1000).map(|n| format!("{n} all is well\n"));
    let matches = counted(&SURE, &lines.collect::<String>());
    assert_eq!(matches.len(), SURE.len());
    for found in matches {
        assert_eq!((found.hits, found.evidence[4].line), (1000, 1000));
    }
}

/// A part of a block that is too large for one event comes behind the one that was looked for.
#[test]
fn events_are_counted_with_their_own_places_only() {
    let limits = Limits {
        max_event_lines: 3,
        ..Limits::default()
    };
    let line = "alpha beta Traceback (most recent call last):\n";
    let log = format!("{}\n\n\t/x.go:1 beta\n{line}", line.repeat(5));
    let (swept, all) = both(&matcher(&COUNTED), log.as_bytes(), &limits, false);
    assert_same(&swept, &all, log.as_bytes());
}

#[test]
fn an_event_of_many_lines_is_counted_without_being_made() {
    let event = "Traceback (most recent call last):\n  File \"x.py\", line 1, in gamma\nValueError: alpha beta\n";
    let matches = counted(&COUNTED, &format!("well\n{event}").repeat(1000));
    assert!(matches.iter().any(|found| found.hits == 1000));
}

#[test]
fn a_second_thread_changes_nothing() {
    let mut log = Vec::new();
    for number in 0..120_000_u32 {
        let line: &[u8] = match number % 1000 {
            0 => b"Traceback (most recent call last):\n  File \"x\"\n",
            1 => b"ValueError: alpha beta\n",
            2 if number % 3000 == 2 => b"\x1b[1mgam\x1b[0mma delta \xff\n",
            _ => b"all is well in this line of a log that is long enough\n",
        };
        log.extend(line);
    }
    let matcher = matcher(&RULES);
    let alone = both(&matcher, &log, &Limits::default(), false);
    assert_same(&alone.0, &alone.1, b"alone");
    assert!(alone.0.matches.len() > 3);
    let shared = both(&matcher, &log, &Limits::default(), true);
    assert_same(&shared.0, &alone.1, b"shared");
}
