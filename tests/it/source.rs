//! What CIs say on code review: the samples that are kept beside the checkout, and
//! `whorl source parse` as people run it.

mod forges;
mod live;

use crate::query::conformance;
use insta::assert_snapshot;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs `whorl source parse` in the folder of our own events and comments.
fn parse(args: &[&str], input: &[u8]) -> Ran {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gerrit");
    let mut command = Command::new(env!("CARGO_BIN_EXE_whorl"));
    command
        .args(["source", "parse"])
        .args(args)
        .current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // A program that ends early reads no more.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().expect("ended by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_shared_samples_are_read_line_for_line() {
    let Some(folder) = conformance() else { return };
    let folder = folder.join("gerrit");
    for (file, expected) in [
        ("events.json", "events.expected.jsonl"),
        ("comment-samples.jsonl", "comment-samples.expected.jsonl"),
    ] {
        let path = folder.join(file);
        let ran = parse(&[path.to_str().unwrap()], b"");
        let expected = fs::read_to_string(folder.join(expected)).unwrap();
        for (number, (found, expected)) in ran.out.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "{file}: line {number}");
        }
        assert_eq!(ran.out.lines().count(), expected.lines().count(), "{file}");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{file}");
    }
}

#[test]
fn events_of_a_stream() {
    let ran = parse(&["stream.jsonl"], b"");
    assert_snapshot!(ran.out);
    assert_snapshot!(ran.err);
    assert_eq!(ran.code, 4, "one says what no CI is known to say");
    // As an array they are the same.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gerrit");
    let lines = fs::read_to_string(folder.join("stream.jsonl")).unwrap();
    let array = format!("[{}]", lines.trim().replace('\n', ","));
    let of_array = parse(&["-"], array.as_bytes());
    assert_eq!((of_array.code, of_array.out), (4, ran.out));
}

#[test]
fn comments_of_many_systems() {
    let ran = parse(&["comments.jsonl"], b"");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_snapshot!(ran.out);
}

#[test]
fn the_text_of_one_comment() {
    let text = "Patch Set 3: Verified-1\n\nBuild failed (check pipeline).\n\n- unit https://ci.example/x/1 : FAILURE in 2s\n";
    let ran = parse(&["-"], text.as_bytes());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(
        ran.out,
        "{\"sample\": 0, \"status\": \"failed\", \"pipeline\": \"check\", \"builds\": [{\"name\": \"unit\", \"url\": \"https://ci.example/x/1\", \"result\": \"FAILURE\", \"voting\": true}]}\n"
    );
    // A byte that is no UTF-8 spoils nothing else.
    let mut broken = text.as_bytes().to_vec();
    broken.extend(b"\xff\xfe");
    assert_eq!(parse(&["-"], &broken).out, ran.out);
}

#[test]
fn only_the_accounts_that_are_asked_for_count() {
    let ran = parse(&["stream.jsonl", "--account", "SHOP-*"], b"");
    assert_snapshot!(ran.out);
    let told = "event 8 by shop-bot is no report that is known: The machine room is closed today.";
    assert!(ran.err.contains(told), "{}", ran.err);
    let ran = parse(&["stream.jsonl", "--account", "zuul"], b"");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, ""),
        "nobody asked for that bot"
    );
}

#[test]
fn what_is_not_understood_is_told() {
    let ran = parse(&["broken.jsonl"], b"");
    assert_eq!(ran.code, 4);
    assert_snapshot!(format!("{}---\n{}", ran.out, ran.err));
    let many = "- unit https://ci.example/x/1 : it is fine\n".repeat(50);
    let ran = parse(&["-"], many.as_bytes());
    assert_eq!(ran.code, 4);
    assert!(
        ran.err
            .contains("not understood: 30 more\nstandard input: 50 things were not understood\n"),
        "{}",
        ran.err
    );
}

#[test]
fn what_zuul_says() {
    for (file, code) in [
        ("builds.json", 0),
        ("mqtt.jsonl", 0),
        ("manifest.json", 4),
        ("job-output.json", 0),
    ] {
        let ran = parse(&[&format!("../zuul/{file}")], b"");
        assert_eq!(ran.code, code, "{file}: {}", ran.err);
        let name = file.replace(['.', '-'], "_");
        assert_snapshot!(
            format!("zuul_{name}"),
            format!("{}---\n{}", ran.out, ran.err)
        );
    }
}

#[test]
fn errors_say_what_to_do() {
    let absent = parse(&["nowhere.json"], b"");
    let array = parse(&["-"], b"[{\"type\": \"comment-added\",\n");
    let glob = parse(&["-", "--account", "[x"], b"");
    let nothing = parse(&[], b"");
    assert_eq!(
        [absent.code, array.code, glob.code, nothing.code],
        [1, 1, 2, 2]
    );
    assert!(
        [&absent, &array, &glob, &nothing]
            .iter()
            .all(|ran| ran.out.is_empty())
    );
    assert_snapshot!([absent.err, array.err, glob.err, nothing.err].join("---\n"));
}

#[test]
fn the_help_says_what_one_must_know() {
    assert_snapshot!(parse(&["--help"], b"").out);
}
