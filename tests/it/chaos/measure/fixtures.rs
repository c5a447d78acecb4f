//! Runs of others: the project's own recordings.

use crate::chaos::Place;
use insta::assert_snapshot;
use serde_json::Value;
use std::path::Path;

fn import(place: &Place, more: &[&str]) -> crate::chaos::Ran {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (fixtures, queries) = (root.join("fixtures"), root.join("queries"));
    let (fixtures, queries) = (fixtures.to_str().unwrap(), queries.to_str().unwrap());
    place.chaos(&[&["import", fixtures, "--queries", queries][..], more].concat())
}

#[test]
fn the_recordings_measure_the_demos_fingerprints() {
    let place = Place::new();
    let ran = import(&place, &[]);
    assert_eq!(
        ran.code, 6,
        "connection-refused is too wide on purpose: {}",
        ran.err
    );
    assert_eq!(ran.err, "", "nobody is at a terminal");
    assert_snapshot!(ran.out);
    let allowed = ["--allow-on-controls", "connection-refused"];
    assert_eq!(import(&place, &allowed).code, 0);
}

#[test]
fn reports_are_written_in_all_forms() {
    let place = Place::new();
    let ran = import(&place, &["--out", "o", "--format", "json"]);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["totals"]["runs"], 103);
    assert_eq!(json["totals"]["failed"], 91);
    let score = json["fingerprints"].as_array().unwrap();
    let taken = score
        .iter()
        .find(|score| score["fingerprint"] == "port-taken")
        .unwrap();
    assert_eq!(
        (
            taken["recall"]["n"].as_u64(),
            taken["recall"]["of"].as_u64()
        ),
        (Some(7), Some(7))
    );
    assert!(place.read("o/report.md").contains("## Fingerprints"));
    let page = place.read("o/report.html");
    for part in ["<svg", "class=\"matrix\"", "◆ 7", "✕ 3", "<style>"] {
        assert!(page.contains(part), "{part}");
    }
    // All by itself: nothing is fetched and nothing is run.
    for part in ["<script", "src=", "url(", "@import", "<link"] {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn classify_says_what_was_measured() {
    let place = Place::new();
    import(&place, &["--out", "o"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let answer = |format: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_whorl"));
        command
            .arg("classify")
            .arg(root.join("fixtures/builds/001-redis-port-taken/logs"));
        command.arg("--queries").arg(root.join("queries"));
        command.arg("--measured").arg(place.path("o/report.json"));
        let output = command.args(["--format", format]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let words = "measured: recall 1.00 (7 of 7), precision 1.00 (7 of 7)";
    assert!(answer("text").contains(words), "{}", answer("text"));
    assert!(answer("markdown").contains(words), "{}", answer("markdown"));
    let json: Value = serde_json::from_str(&answer("json")).unwrap();
    assert_eq!(json["matches"][0]["measured"]["recall"]["of"], 7);
}

#[test]
fn what_is_wrong_with_a_folder_is_said_with_its_line() {
    let place = Place::new();
    std::fs::create_dir(place.path("queries")).unwrap();
    place.write(
        "queries/a.yaml",
        "bug: launchpad:1\nquery: message:\"a b\"\n",
    );
    std::fs::create_dir(place.path("d")).unwrap();
    for (text, said) in [
        (
            "{\"run\": \"a\", \"causes\": [], \"logs\": \"l\"}\n{\"run\": \"a\", \"logs\": \"l\"}",
            "runs.jsonl:2: there are two runs \"a\"",
        ),
        ("{\"run\": \"a\"}", "runs.jsonl:1: missing field `logs`"),
        ("{\"runs\": 1}", "runs.jsonl:1: a line has either `run`"),
        (
            "{\"run\": \"a\", \"logs\": \"l\", \"cause\": \"x\"}",
            "runs.jsonl:1: unknown field",
        ),
        ("nothing", "runs.jsonl:1: expected"),
        ("", "no run in it"),
        ("{\"run\": \"a\", \"logs\": \"missing\"}", "run a: "),
    ] {
        place.write("d/runs.jsonl", text);
        let ran = place.chaos(&["import", "d"]);
        assert_eq!(ran.code, 1, "{text}");
        assert!(ran.err.contains(said), "{text}: {}", ran.err);
    }
}

/// Labels of others: several causes at once, a cause with several fingerprints, builds said here.
#[test]
fn a_run_may_have_several_causes_and_a_cause_several_fingerprints() {
    let place = Place::new();
    for folder in ["queries", "d"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for (id, words) in [
        ("slow", "too late"),
        ("gone", "not there"),
        ("gate", "in the gate"),
    ] {
        let scope = if id == "gate" {
            "scope: {pipelines: [gate]}\n"
        } else {
            ""
        };
        let text = format!("bug: launchpad:1\nquery: message:\"{words}\"\n{scope}");
        place.write(&format!("queries/{id}.yaml"), text);
    }
    place.write(
        "d/both.log",
        "it was too late\nit was not there\nand in the gate\n",
    );
    place.write("d/fine.log", "all is well\n");
    place.write(
        "d/runs.jsonl",
        r#"{"cause": "net", "expects": ["slow", "gone"], "text": "the net is bad"}
{"run": "1", "causes": ["net", "gate"], "failed": true, "logs": "both.log", "build": {"pipeline": "gate"}}
{"run": "2", "causes": ["net", "gate"], "logs": "both.log", "build": {"pipeline": "check", "result": "FAILURE"}}
{"run": "3", "causes": ["net"], "verified": false, "why": "the net was well", "failed": false, "logs": "fine.log"}
{"run": "4", "failed": false, "logs": "fine.log"}
"#,
    );
    let ran = place.chaos(&["import", "d", "--format", "json"]);
    assert_eq!(ran.code, 4, "one run judges nobody: {}", ran.err);
    assert_eq!(place.chaos(&["import", "d", "--no-strict"]).code, 0);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    let recall = |id: &str| {
        let scores = json["fingerprints"].as_array().unwrap();
        let score = scores
            .iter()
            .find(|score| score["fingerprint"] == id)
            .unwrap();
        (
            score["recall"]["n"].as_u64().unwrap(),
            score["recall"]["of"].as_u64().unwrap(),
        )
    };
    assert_eq!((recall("slow"), recall("gone")), ((2, 2), (2, 2)));
    assert_eq!(
        recall("gate"),
        (1, 2),
        "its scope is asked with what the CI knew"
    );
    assert_eq!(json["causes"][0]["name"], "net + gate");
    assert_eq!(json["runs"][2]["why"], "the net was well");
    assert_eq!(json["totals"]["inconclusive"], 1);
}
