//! The targets with bytes of all kinds: from a dictionary of what their grammars know, whole texts by their
//! grammar, and whole texts that were then damaged. `PROPTEST_CASES` says how many of each.

use super::targets;
use crate::serve::program::{Home, gzip};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use std::io::Write;
use whorl::intake::Format;

const QUERY: &[&str] = &[
    "message",
    "tags",
    "build_uuid",
    "@timestamp",
    "voting",
    "_exists_",
    "_all",
    ":",
    "\"",
    "'",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    " TO ",
    " AND ",
    " OR ",
    " NOT ",
    "&&",
    "||",
    "!",
    "+",
    "-",
    "*",
    "?",
    "~",
    "~2",
    "^",
    "^2.5",
    "/",
    "\\",
    "\\u0041",
    "\\\"",
    " ",
    "\u{3000}",
    "\n",
    ">",
    ">=",
    "<",
    "<=",
    "a",
    "boom",
    "failed to spawn",
    "10.0.0.1",
    "2025-01-01",
    "now-1d/d",
    "2025-01-01||/M",
    "[a-z]+",
    "(a|b){2,5}",
    "1e400",
    "-0",
    "\u{1f600}",
    "\u{212a}",
    "stra\u{df}e",
    "e\u{301}",
];

const LOG: &[&str] = &[
    "\n",
    "\r\n",
    "\r",
    "\u{1b}[31m",
    "\u{1b}[0K",
    "\0",
    "Traceback (most recent call last):\n",
    "  File \"x\", line 1\n",
    "ValueError: x\n",
    "\nDuring handling of the above exception, another exception occurred:\n",
    "\tat a.b(c)\n",
    "Caused by: x\n",
    "panic: x\n",
    "goroutine 1 [running]:\n",
    "2013-10-07 07:13:05.523 414 TRACE n.r ",
    "2013-10-07 07:13:05.523 414 ERROR n.r [-] x\n",
    "2022-05-20 13:15:39.453441 | node | text\n",
    "2022-05-20T13:15:39.4534411Z ##[error]x\n",
    "##[group]x\n",
    "::error file=a::b\n",
    "May  7 12:13:14 h p[1]: x\n",
    "section_start:1:a\r\u{1b}[0Kx\n",
    "travis_fold:start:x\r",
    "travis_time:end:1:start=1,finish=2\r",
    "[Pipeline] sh\n",
    "[2022-05-20T13:15:39.453Z] x\n",
    "<span class='x'>",
    "&lt;&#65;&amp;</pre>",
    "[{\"plays\":",
    "{\"message\":\"x\"}\n",
    "{\"hosts\":{\"h\":",
    "\"tasks\":[",
    "\"failed\":true,",
    "\"msg\":\"x\"",
    "}]",
    "null",
    "9999-99-99T99:99:99Z ",
    "\u{feff}",
    "\u{2028}",
    "long ",
];

/// Words that the rules of a sweep ask for, and what stands between them.
const RULED: &[&str] = &[
    "alpha",
    "beta",
    "gamma",
    "delta",
    "ValueError",
    "x:beta",
    "a_b.c",
    " ",
    " ",
    " ",
    ": ",
    "\n",
    "\n",
    "_",
    ", ",
];

const YAML: &[&str] = &[
    "\n",
    "\n  ",
    "\n    - ",
    ": ",
    ":",
    "- ",
    "query",
    "title",
    "bug",
    "pattern",
    "files",
    "all",
    "any",
    "none",
    "sequence",
    "within",
    "scope",
    "projects",
    "examples",
    "match",
    "no-match",
    "suppress-graph",
    "resolved_at",
    "valid-until",
    "retry",
    "max",
    ">",
    "|",
    ">-",
    "|2",
    "'",
    "\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    "#",
    "&a",
    "*a",
    "<<",
    "!!str",
    "---",
    "...",
    "%YAML 1.2",
    "\t",
    "message:boom",
    "true",
    "1226337",
    "2026-01-01",
    "200 lines",
    "launchpad:1",
    "github:o/r#1",
    "(?i)x",
    "?",
    "~",
    "\\",
    "\u{feff}",
    "\u{85}",
    "listen",
    "notes",
];

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e999",
    "\"uuid\"",
    "\"job\"",
    "\"change\"",
    "\"result\"",
    "\"FAILURE\"",
    "\"finished\"",
    "\"2026-11-22T05:00:00Z\"",
    "\"voting\"",
    "\"patchset\"",
    "\"url\"",
    "\"http://127.0.0.1:1/\"",
    "\"name\"",
    "\"../x\"",
    " ",
    "\"\"",
    "\0",
    "18446744073709551616",
];

/// What takes bodies.
const PLACES: [(&str, &str); 8] = [
    ("PUT", "/api/v1/builds/u"),
    ("PUT", "/api/v1/builds/u/logs/a.txt"),
    ("PUT", "/api/v1/builds/u/logs/x.tar.gz"),
    ("POST", "/api/v1/builds/u/complete"),
    ("POST", "/api/v1/builds/u/fetch"),
    ("POST", "/api/v1/report"),
    ("POST", "/api/v1/silences"),
    ("POST", "/api/v1/outage"),
];

/// How lines of each format begin. A document of Zuul's is told by its name, not by its lines.
const LINES: [(Format, &str); 11] = [
    (Format::Plain, "+ "),
    (Format::Zuul, "2022-05-20 13:15:39.453441 | node | "),
    (Format::Console, "2022-05-20 13:15:39.453441 | "),
    (Format::Oslo, "2013-10-07 07:13:05.523 414 ERROR n.r [-] "),
    (Format::Syslog, "May  7 12:13:14 h p[1]: "),
    (Format::Jenkins, "[2022-05-20T13:15:39.453Z] "),
    (Format::Jenkins, "13:15:39 "),
    (Format::GitHub, "2022-05-20T13:15:39.4534411Z "),
    (Format::Stamped, "2022-05-20T13:15:39.453441123Z stdout F "),
    (Format::GitLab, "section_start:1:a\r\u{1b}[0K"),
    (Format::Travis, "travis_fold:start:x\r"),
];

/// The same cases each time, so that what is found is found where it was made; others, and more of them,
/// with `PROPTEST_CASES`.
fn cases(count: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let hunting = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig {
        cases: if hunting { default.cases } else { count },
        rng_seed: if hunting {
            default.rng_seed
        } else {
            RngSeed::Fixed(20_261_122)
        },
        // Cases that were found stand beside this file as tests of their own.
        failure_persistence: None,
        ..default
    }
}

/// Words of a dictionary between random bytes.
fn soup(words: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    let word = select(words).prop_map(|word| word.as_bytes().to_vec());
    let piece = prop_oneof![12 => word, 1 => vec(any::<u8>(), 0..6), 1 => "\\PC{0,4}".prop_map(String::into_bytes)];
    vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

/// Logs all of whose lines are as one format has them, whatever stands behind the prefix.
fn formatted() -> impl Strategy<Value = (Format, Vec<u8>)> {
    // One of these anywhere makes a log one of its format.
    let is_marker = |word: &str| word.starts_with("section_") || word.starts_with("travis_");
    let words: Vec<&str> = LOG.iter().chain(RULED).copied().collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !is_marker(word)).collect();
    let lines = vec(vec(select(words), 0..6), 6..20);
    (select(&LINES[..]), lines).prop_map(|((format, start), lines)| {
        let mut log = String::new();
        for words in lines {
            // What stands behind a line's end has no beginning of its own.
            let text = words.concat().replace(['\n', '\r'], " ");
            log.extend([start, text.as_str(), "\n"]);
        }
        (format, log.into_bytes())
    })
}

/// Texts that are queries.
fn grammar() -> impl Strategy<Value = String> {
    let field = select(
        &[
            "",
            "message:",
            "tags:",
            "@timestamp:",
            "voting:",
            "build_change:",
            "mess*:",
        ][..],
    );
    let value = select(
        &[
            "boom",
            "\"failed to spawn\"",
            "\"a b\"~3",
            "b?om*",
            "*",
            "bom~1",
            "[a TO z}",
            "[* TO 5]",
            ">=3",
            "/b[aeiou]m+/",
            "(a OR b)",
            "\\(x\\)",
            "\"\"",
            "2025-01-01",
            "[now-1d/d TO now]",
            "10.0.0.1",
            "\u{65e5}\u{672c}",
        ][..],
    );
    let leaf = (field, value).prop_map(|(field, value)| format!("{field}{value}"));
    leaf.prop_recursive(6, 40, 4, |inner| {
        let joined = |by: &'static str| {
            vec(inner.clone(), 1..4).prop_map(move |all| format!("({})", all.join(by)))
        };
        prop_oneof![
            joined(" AND "),
            joined(" OR "),
            joined(" "),
            joined(" && NOT "),
            inner.clone().prop_map(|one| format!("NOT {one}")),
            inner.clone().prop_map(|one| format!("+({one})^2 -x")),
            inner.prop_map(|one| format!("message:({one})")),
        ]
    })
}

/// How bytes are damaged.
#[derive(Debug, Clone)]
enum Harm {
    Flip(Index, u8),
    Cut(Index),
    Drop(Index, Index),
    Twice(Index, Index),
    Write(Index, Vec<u8>),
}

fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let numbers = select(vec![
        vec![0xff; 4],
        vec![0; 4],
        vec![0x7f, 0xff, 0xff, 0xff],
        vec![0xff, 0xff, 0xff, 0x7f],
        vec![0xff; 8],
    ]);
    let one = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, by)| Harm::Flip(at, by)),
        1 => any::<Index>().prop_map(Harm::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Harm::Drop(a, b)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Harm::Twice(a, b)),
        2 => (any::<Index>(), numbers).prop_map(|(at, some)| Harm::Write(at, some)),
    ];
    vec(one, 0..5)
}

fn damaged(mut bytes: Vec<u8>, harms: &[Harm]) -> Vec<u8> {
    for harm in harms {
        if bytes.is_empty() {
            break;
        }
        let span = |a: &Index, b: &Index, length: usize| {
            let (a, b) = (a.index(length), b.index(length));
            a.min(b)..a.max(b)
        };
        let length = bytes.len();
        match harm {
            Harm::Flip(at, by) => bytes[at.index(length)] ^= by,
            Harm::Cut(at) => bytes.truncate(at.index(length)),
            Harm::Drop(a, b) => drop(bytes.drain(span(a, b, length))),
            Harm::Twice(a, b) => bytes.extend_from_within(span(a, b, length)),
            Harm::Write(at, some) => {
                let at = at.index(length);
                let end = length.min(at + some.len());
                bytes[at..end].copy_from_slice(&some[..end - at]);
            }
        }
    }
    bytes
}

fn tar(log: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in ["logs/console.txt", "logs/inner/job-output.json"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(log.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, log).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zipped(log: &[u8]) -> Vec<u8> {
    let mut writer = zip::write::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["1_build.txt", "build/2_test.txt"] {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(name, options).unwrap();
        writer.write_all(log).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A log packed in one of the ways that are known.
fn packed(way: usize, log: &[u8]) -> (&'static str, Vec<u8>) {
    match way {
        0 => ("x.tar", tar(log)),
        1 => ("x.tar.gz", gzip(&tar(log))),
        2 => ("x.zip", zipped(log)),
        3 => ("x.txt.gz", gzip(log)),
        4 => ("x.txt.zst", zstd::encode_all(log, 1).unwrap()),
        5 => ("x.txt.gz", gzip(&gzip(log))),
        6 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(log).unwrap();
            ("x.txt.bz2", encoder.finish().unwrap())
        }
        _ => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(log).unwrap();
            ("x.txt.xz", encoder.finish().unwrap())
        }
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn queries_of_words(bytes in soup(QUERY, 24)) {
        targets::query(&bytes);
        targets::words(&bytes);
    }

    #[test]
    fn queries_by_their_grammar(text in grammar(), harms in harms()) {
        targets::query(text.as_bytes());
        targets::query(&damaged(text.into_bytes(), &harms));
    }

    #[test]
    fn logs_of_words(bytes in soup(LOG, 60), name in select(&targets::NAMES[..])) {
        targets::log(name, &bytes);
        targets::colours(&bytes);
        targets::words(&bytes);
    }

    #[test]
    fn fingerprints_of_words(bytes in soup(YAML, 30), harms in harms()) {
        targets::fingerprint(&bytes);
        let good = b"title: t\nquery: >-\n  message:\"a b\" AND tags:x\nscope: {projects: [a*]}\nexamples:\n  match: ['a b']\n".to_vec();
        targets::fingerprint(&damaged([good, bytes].concat(), &harms));
    }

    #[test]
    fn configurations_of_words(bytes in soup(YAML, 30), harms in harms()) {
        targets::config(&bytes);
        targets::config(&damaged(b"listen: 127.0.0.1:0\nnotes: {webhooks: [{url: 'http://h/', secret: x}]}\n".to_vec(), &harms));
    }

    #[test]
    fn builds_of_words(bytes in soup(JSON, 20), harms in harms()) {
        targets::build(&bytes);
        let good = br#"{"uuid":"u","job":"j","change":"7","patchset":"1","result":"FAILURE","finished":"2026-11-22T05:00:00Z","voting":true}"#;
        targets::build(&damaged(good.to_vec(), &harms));
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn logs_of_each_format(log in formatted(), rest in soup(LOG, 12)) {
        let (format, bytes) = log;
        prop_assert_eq!(Format::detect(&bytes), format, "{:?}", String::from_utf8_lossy(&bytes));
        let bytes = [bytes, rest].concat();
        targets::log("x.txt", &bytes);
        targets::colours(&bytes);
        targets::swept("x.txt", &bytes);
    }

    #[test]
    fn swept_logs_of_words(bytes in soup(LOG, 60), words in soup(RULED, 40), name in select(&targets::NAMES[..])) {
        targets::swept(name, &[words.clone(), bytes, words].concat());
    }

    #[test]
    fn archives_that_were_damaged(log in soup(LOG, 60), way in 0..8_usize, harms in harms()) {
        let (name, bytes) = packed(way, &log);
        targets::archive(name, &damaged(bytes, &harms));
    }
}

/// Bodies for each address of the API: whatever comes, the service answers, and lives on.
#[test]
fn bodies_of_words() {
    let home = Home::new("");
    let program = home.start();
    assert_eq!(program.feed("u", b"boom\n"), 202);
    let body = prop_oneof![
        soup(JSON, 16),
        (soup(JSON, 4), harms()).prop_map(|(some, harms)| {
            let good = br#"{"job":"j","result":"FAILURE","finished":"2026-11-22T05:00:00Z","url":"http://127.0.0.1:1/x","name":"#;
            damaged([good.to_vec(), some, b"}".to_vec()].concat(), &harms)
        }),
    ];
    let call = (select(&PLACES[..]), body);
    proptest!(cases(500), |(call in call)| {
        let ((method, path), body) = call;
        let (status, text) = program.send_json(method, path, body);
        prop_assert!((200..500).contains(&status), "{} {}: {} {}", method, path, status, text);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
    });
    assert_eq!(program.get("/healthz"), "ok\n");
    assert!(
        !program.log().iter().any(|line| line.contains("panicked")),
        "{:?}",
        program.log()
    );
    program.build("u");
}

/// Cases that were found, and stay.
#[test]
fn what_was_found_stays_mended() {
    for text in [
        "",
        "\"",
        "message:\"",
        "/",
        "[",
        "a:[b TO",
        "\\",
        "((((((((((",
        "NOT",
        "^2",
        "~",
        "\u{212a}~2",
        "/d[\u{212a}/",
        "now-1d/d[\u{212a}//now-1d/d",
    ] {
        targets::query(text.as_bytes());
    }
    for text in ["", "-", "query: >", "&a [*a]", "%", "\u{feff}query: x"] {
        targets::fingerprint(text.as_bytes());
    }
}
