//! Tests of `whorl lint`, the real program.

use std::process::{Command, Output};

fn run(dir: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whorl"))
        .arg("lint")
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap()
}

fn folder(query: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("queries")).unwrap();
    std::fs::write(folder.path().join("queries/1.yaml"), query).unwrap();
    folder
}

#[test]
fn exit_codes_say_what_was_found() {
    let good = folder("query: message:a\n");
    assert_eq!(run(good.path(), &[]).status.code(), Some(0));
    let warned = folder("query: a b\n");
    assert_eq!(run(warned.path(), &[]).status.code(), Some(0));
    let bad = folder("query: (a\n");
    assert_eq!(run(bad.path(), &[]).status.code(), Some(1));
    let missing = run(bad.path(), &["elsewhere"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("elsewhere does not exist"));
}

#[test]
fn json_is_one_object() {
    let bad = folder("query: a\nexamples: {match: [b]}\n");
    let output = run(bad.path(), &["--format", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["files"], 1);
    assert_eq!(value["diagnostics"][0]["code"], "example-does-not-match");
    assert_eq!(value["diagnostics"][0]["line"], 2);
    assert!(value["diagnostics"][0]["suggestion"].is_null());
}

#[test]
fn sarif_points_at_the_line() {
    let bad = folder("title: x\nqueri: a\n");
    let output = run(bad.path(), &["queries", "--format", "sarif"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["version"], "2.1.0");
    let result = &value["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "unknown-key");
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!(region["startLine"], 2);
}
