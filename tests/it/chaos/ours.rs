//! What goes beyond the original tool: strict exit codes, stop conditions, places of errors, reports.

use super::Place;
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

fn process(kind: &str, name: &str, path: &str, arguments: &[&str]) -> Value {
    json!({"type": kind, "name": name, "provider": {"type": "process", "path": path, "arguments": arguments}})
}

fn experiment(place: &Place, hypothesis: &Value, method: &[Value]) {
    let experiment = json!({"title": "t", "description": "d", "steady-state-hypothesis": hypothesis, "method": method});
    let mut experiment = experiment;
    if hypothesis.is_null() {
        experiment
            .as_object_mut()
            .unwrap()
            .remove("steady-state-hypothesis");
    }
    place.write("e.json", experiment.to_string());
}

fn well(path: &str) -> Value {
    let mut probe = process("probe", "p", path, &[]);
    probe["tolerance"] = json!(0);
    json!({"title": "h", "probes": [probe]})
}

#[test]
fn strict_tells_apart_what_zero_hides() {
    let place = Place::new();
    let mut slow = process("action", "slow", "sleep", &["5"]);
    slow["provider"]["timeout"] = json!(0.05);
    for (hypothesis, method, usual, strict) in [
        (well("true"), vec![], 0, 0),
        (well("false"), vec![], 0, 3),
        (well("true"), vec![slow.clone()], 0, 4),
        (Value::Null, vec![], 0, 5),
        (Value::Null, vec![slow], 0, 4),
    ] {
        experiment(&place, &hypothesis, &method);
        assert_eq!(place.chaos(&["run", "e.json"]).code, usual, "{hypothesis}");
        assert_eq!(
            place.chaos(&["run", "--strict", "e.json"]).code,
            strict,
            "{hypothesis}"
        );
    }
}

#[test]
fn a_stop_condition_ends_the_run() {
    let place = Place::new();
    let mut probe = process("probe", "still-well", "test", &["!", "-e", "marker"]);
    probe["tolerance"] = json!(0);
    probe["frequency"] = json!(0.05);
    let experiment = json!({
        "title": "t", "description": "d", "stop-conditions": [probe],
        "method": [process("action", "harm", "touch", &["marker"]), process("action", "wait", "sleep", &["20"])],
        "rollbacks": [process("action", "repair", "rm", &["marker"])],
    });
    place.write("e.json", experiment.to_string());
    let began = Instant::now();
    let ran = place.chaos(&["run", "--result", "r.json", "e.json"]);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.contains("Stop condition 'still-well' is met"),
        "{}",
        ran.err
    );
    let journal = place.json("journal.json");
    assert_eq!(journal["status"], "aborted");
    assert!(
        journal["run"][1].get("status").is_none(),
        "it did not end by itself"
    );
    assert!(!place.path("marker").exists(), "rollbacks are played");
    assert_eq!(place.json("r.json")["outcome"], "aborted");
}

#[test]
fn events_tell_what_happens() {
    let place = Place::new();
    experiment(
        &place,
        &well("true"),
        &[process("action", "a", "echo", &["hi"])],
    );
    assert_eq!(
        place
            .chaos(&["run", "--events-file", "events", "e.json"])
            .code,
        0
    );
    let events: Vec<Value> = place
        .read("events")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "run-started",
            "hypothesis-started",
            "activity-started",
            "activity-completed",
            "hypothesis-completed",
            "method-started",
            "activity-started",
            "activity-completed",
            "method-completed",
            "hypothesis-started",
            "activity-started",
            "activity-completed",
            "hypothesis-completed",
            "rollbacks-started",
            "rollbacks-completed",
            "run-finished",
        ]
    );
    assert_eq!(events[7]["output"]["stdout"], "hi\n");
    assert_eq!(events[15]["status"], "completed");
}

#[test]
fn what_is_wrong_is_shown_where_it_is() {
    let place = Place::new();
    let mut shown = String::new();
    for (name, text) in [
        (
            "provider.yaml",
            "title: t\ndescription: d\nsteady-state-hypotesis: {}\nmethod:\n  - type: action\n    name: a\n    provider: {type: proces, path: ls}\n",
        ),
        (
            "pause.json",
            "{\"title\": \"t\", \"description\": \"d\",\n \"method\": [\n  {\"type\": \"action\", \"name\": \"a\", \"provider\": {\"type\": \"process\", \"path\": \"ls\"},\n   \"pauses\": {\"before\": \"soon\"}}]}\n",
        ),
        (
            "path.yaml",
            "title: t\ndescription: d\nmethod: [{type: action, name: a, provider: {type: process, path: \"ls -l\"}}]\n",
        ),
        (
            "ref.yaml",
            "title: t\ndescription: d\nmethod:\n- {type: action, name: move-file, provider: {type: process, path: ls}}\n- ref: move-fil\n",
        ),
        ("null.yaml", "title: t\ndescription: d\nmethod:\n"),
        (
            "jsonpath.yaml",
            "title: t\ndescription: d\nmethod: []\nsteady-state-hypothesis:\n  title: h\n  probes:\n    - type: probe\n      name: p\n      tolerance: {type: jsonpath, path: \"$.a[?(@.b==1)]\"}\n      provider: {type: process, path: ls}\n",
        ),
        ("text.json", "{\"title\": \"a\nb\"}"),
        ("missing.yaml", "description: d\nmethod: []\n"),
    ] {
        place.write(name, text);
        let ran = place.chaos(&["validate", name]);
        assert_eq!(ran.code, 1, "{}", ran.err);
        let plain = ran.err.lines().filter(|line| !line.starts_with('['));
        shown.push_str(&plain.collect::<Vec<_>>().join("\n"));
        shown.push_str("\n\n");
    }
    assert_snapshot!(shown);
}

#[test]
fn begun_experiments_can_be_run() {
    let place = Place::new();
    for name in ["e.json", "e.yaml"] {
        assert_eq!(
            place
                .chaos(&["init", name, "--title", "What: \"if\"?"])
                .code,
            0
        );
        let ran = place.chaos(&["run", "--strict", name]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(
            place.json("journal.json")["experiment"]["title"],
            "What: \"if\"?"
        );
        assert_ne!(
            place.chaos(&["init", name, "--title", "x"]).code,
            0,
            "nothing is overwritten"
        );
    }
}

#[test]
fn a_journal_is_shown_to_people() {
    let place = Place::new();
    experiment(
        &place,
        &well("true"),
        &[process("action", "<b>|", "echo", &["<i>"])],
    );
    place.chaos(&["run", "e.json"]);
    let text = place.chaos(&["report", "journal.json"]).out;
    assert!(
        text.contains("## Hypothesis after the method held: h"),
        "{text}"
    );
    assert!(text.contains("| &lt;b>\\| | succeeded |"), "{text}");
    assert_eq!(
        place.chaos(&["report", "journal.json", "report.html"]).code,
        0
    );
    let page = fs::read_to_string(place.path("report.html")).unwrap();
    assert!(
        page.contains("&lt;i&gt;") && !page.contains("<i>"),
        "{page}"
    );
}

#[test]
fn what_breaks_in_the_middle_is_rolled_back() {
    let place = Place::new();
    let experiment = json!({
        "title": "t", "description": "d",
        "method": [process("action", "harm", "touch", &["marker"])],
        "rollbacks": [{"ref": "nothing"}, process("action", "repair", "rm", &["marker"])],
    });
    place.write("e.json", experiment.to_string());
    let ran = place.chaos(&["run", "e.json"]);
    assert_eq!(ran.code, 1);
    assert!(!place.path("journal.json").exists(), "as the original tool");
    assert!(
        !place.path("marker").exists(),
        "the other rollback is played"
    );
    assert_eq!(place.json("journal.broken.json")["status"], "aborted");
}

#[test]
fn children_can_be_ended_by_signals() {
    let place = Place::new();
    let line = "grep SigBlk /proc/self/status; sh -c 'kill -TERM $$; echo lives on'; true";
    let experiment = json!({"title": "t", "description": "d", "method": [
        {"type": "probe", "name": "p", "provider": {
            "type": "process", "path": "sh", "arguments": ["-c", line]}},
    ]});
    place.write("e.json", experiment.to_string());
    assert_eq!(place.chaos(&["run", "e.json"]).code, 0);
    let journal = place.json("journal.json");
    let said = journal["run"][0]["output"]["stdout"].as_str().unwrap();
    assert_eq!(said, "SigBlk:\t0000000000000000\n", "{journal}");
}
