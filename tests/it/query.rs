//! The query language against the answers of a real cluster that are kept beside the checkout, and
//! `whorl query` as people run it.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use insta::assert_snapshot;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use whorl::event::Event;
use whorl::query::{Document, Query, Schema};

/// The shared conformance data, when this checkout has it beside itself.
pub(crate) fn conformance() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance");
    if folder.is_dir() {
        return Some(folder);
    }
    crate::skip(&format!("no conformance data at {}", folder.display()));
    None
}

pub(crate) fn gzip_json_lines(path: &Path) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let reader = BufReader::new(GzDecoder::new(File::open(path).unwrap()));
    reader
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

#[test]
fn every_answer_equals_the_clusters() {
    let Some(folder) = conformance() else { return };
    let events: Vec<Event> = gzip_json_lines(&folder.join("query/events.jsonl.gz"))
        .iter()
        .map(Event::from_json)
        .collect();
    let documents: Vec<Document<'_>> = events.iter().map(Document::new).collect();
    let schema = Schema::infer(&events);
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut wrong = Vec::new();
    let (mut hits_seen, mut refusals) = (0, 0);
    for truth in gzip_json_lines(&folder.join("query/truth.jsonl.gz")) {
        let text = truth["query"].as_str().unwrap();
        let expected: Option<BTreeSet<usize>> = truth.get("hits").map(|hits| {
            let numbers = hits.as_array().unwrap().iter();
            numbers
                .map(|n| usize::try_from(n.as_u64().unwrap()).unwrap())
                .collect()
        });
        let found: Option<BTreeSet<usize>> = Query::parse(text, &schema).ok().map(|query| {
            (0..documents.len())
                .filter(|&n| query.matches(&documents[n], now))
                .collect()
        });
        hits_seen += expected.as_ref().map_or(0, BTreeSet::len);
        refusals += usize::from(expected.is_none());
        if expected != found {
            let count = |set: &Option<BTreeSet<usize>>| {
                set.as_ref()
                    .map_or("refused".into(), |s| s.len().to_string())
            };
            wrong.push(format!(
                "{} {text:?}: expected {}, found {}",
                truth["id"],
                count(&expected),
                count(&found)
            ));
        }
    }
    println!("{hits_seen} hits and {refusals} refusals compared");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

// --- the program ---------------------------------------------------------------------------

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs `whorl query` in a folder with some events.
fn ask(args: &[&str]) -> Ran {
    ask_with_input(args, b"")
}

fn ask_with_input(args: &[&str], input: &[u8]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("events.jsonl", EVENTS.as_bytes());
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(EVENTS.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    write("events.jsonl.gz", &packed);
    write("cut.jsonl.gz", &packed[..packed.len() - 12]);
    write(
        "bad.jsonl",
        b"{\"message\":\"a\"}\n\n{\"message\":\"b\",}\n",
    );
    write("list.jsonl", b"[1]\n");
    write(
        "latin.jsonl",
        b"{\"message\":\"a\"}\n{\"message\":\"\xe9\"}\n",
    );
    write("queries.jsonl", QUERIES.as_bytes());
    write("good.jsonl", QUERIES.lines().next().unwrap().as_bytes());
    write(
        "no-id.jsonl",
        b"{\"id\":\"a\",\"query\":\"x\"}\n{\"query\":\"x\"}\n",
    );
    write("no-query.jsonl", b"{\"id\":\"a\",\"query\":7}\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_whorl"));
    command.arg("query").args(args).current_dir(dir.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().expect("ended by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

const EVENTS: &str = r#"{"message":"connection refused by 10.0.0.7","tags":["console","x.txt"],"build_change":7}
{"message":"Traceback (most recent call last):\n  File \"a.py\"\nConnectionRefusedError: [Errno 111] Connection refused","tags":["n-api.txt"]}

{"message":"all is well","tags":["console"]}
"#;

const QUERIES: &str = r#"{"id":"1226337","query":"message:\"connection refused\" AND tags:console"}
{"id":7,"query":"message:refused"}

{"id":"broken","query":"message:\"refused\" AND ("}
{"id":"none","query":"message:nowhere"}
"#;

#[test]
fn one_query_as_text() {
    let ran = ask(&["message:\"connection refused\"", "--events", "events.jsonl"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_snapshot!(ran.out, @r#"
    0: connection refused by 10.0.0.7
    1: Traceback (most recent call last):   File "a.py" ConnectionRefusedError: [Errno 111] Connection refused
    2 of 3 events match
    "#);
    let ran = ask(&["nowhere", "--events", "events.jsonl"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "0 of 3 events match\n"));
}

#[test]
fn many_queries_as_json_lines() {
    for events in ["events.jsonl", "events.jsonl.gz"] {
        let args = [
            "--queries",
            "queries.jsonl",
            "--events",
            events,
            "--format",
            "json",
        ];
        let ran = ask(&args);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "one is refused");
        assert_snapshot!("many_queries_as_json_lines", ran.out);
    }
    let ran = ask(&[
        "--queries",
        "good.jsonl",
        "--events",
        "events.jsonl",
        "--format",
        "json",
    ]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "{\"id\":\"1226337\",\"hits\":[0]}\n")
    );
}

#[test]
fn many_queries_as_text() {
    let ran = ask(&["--queries", "queries.jsonl", "--events", "events.jsonl"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    assert_snapshot!(ran.out);
}

#[test]
fn events_may_come_by_a_pipe() {
    let ran = ask_with_input(
        &["well", "--events", "-", "--format", "json"],
        EVENTS.as_bytes(),
    );
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "{\"id\":\"query\",\"hits\":[2]}\n")
    );
    let ran = ask(&["--queries", "-", "--events", "-"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("cannot both be standard input"),
        "{}",
        ran.err
    );
}

#[test]
fn a_refusal_points_at_the_place() {
    let ran = ask(&[
        "message:a AND\n\ttags:\"日本\" OR (b",
        "--events",
        "events.jsonl",
    ]);
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.out, @r#"
    refused: this `(` is never closed
      	tags:"日本" OR (b
      	             ^
    "#);
    let ran = ask(&["a AND", "--explain", "--format", "json"]);
    assert_eq!(ran.code, 1);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["error"]["offset"], 5);
    assert!(answer["error"]["message"].is_string());
}

#[test]
fn explain_shows_the_clauses_as_a_cluster_reads_them() {
    let ran = ask(&["--explain", "a OR b AND NOT tags:c"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "message:a +message:b -tags:c\n")
    );
    let ran = ask(&[
        "--explain",
        "refused",
        "--events",
        "events.jsonl",
        "--format",
        "json",
    ]);
    assert_eq!(
        ran.out,
        "{\"id\":\"query\",\"hits\":[0,1],\"explain\":\"message:refused\"}\n"
    );
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let cases: [(&[&str], &str); 9] = [
        (
            &["x", "--events", "none.jsonl"],
            "error: cannot open none.jsonl: No such file",
        ),
        (
            &["x", "--events", "."],
            "error: cannot read .: Is a directory",
        ),
        (
            &["x", "--events", "bad.jsonl"],
            "error: bad.jsonl:3:16: trailing comma; each line must be one JSON object",
        ),
        (
            &["x", "--events", "list.jsonl"],
            "error: list.jsonl:1:1: invalid type: sequence, expected a map; each line",
        ),
        (&["x", "--events", "latin.jsonl"], "error: latin.jsonl:2: "),
        (&["x", "--events", "cut.jsonl.gz"], "error: cut.jsonl.gz:"),
        (
            &["--queries", "no-id.jsonl", "--events", "events.jsonl"],
            "error: no-id.jsonl:2: `id` is missing, or neither text nor number",
        ),
        (
            &["--queries", "no-query.jsonl", "--events", "events.jsonl"],
            "error: no-query.jsonl:1: `query` is missing, or no text",
        ),
        (
            &["--queries", "gone.jsonl", "--explain"],
            "error: cannot open gone.jsonl: ",
        ),
    ];
    for (args, told) in cases {
        let ran = ask(args);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (1, ""),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.starts_with(told), "{args:?}: {}", ran.err);
    }
}

#[test]
fn usage_errors() {
    let cases: [&[&str]; 4] = [
        &[],
        &["x"],
        &[
            "x",
            "--queries",
            "queries.jsonl",
            "--events",
            "events.jsonl",
        ],
        &["x", "--events", "events.jsonl", "--format", "xml"],
    ];
    for args in cases {
        let ran = ask(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(ran.err.starts_with("error: "), "{}", ran.err);
    }
    assert_snapshot!("help", ask(&["--help"]).out);
}
