//! Plans that are really run, on a system small enough to be run often.

use crate::chaos::{Place, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A system that reads a file: its tests fail when the file is not what it should be.
fn system(place: &Place) {
    fs::create_dir(place.path("queries")).unwrap();
    for (id, words) in [
        ("lost", "No such file"),
        ("wide", "reading"),
        ("strange", "strange content"),
    ] {
        let text = format!("bug: launchpad:1\nquery: message:\"{words}\"\n");
        place.write(&format!("queries/{id}.yaml"), text);
    }
    place.write("sys", include_str!("system.sh"));
}

/// A plan with these faults.
fn plan(place: &Place, more: &str, faults: &str) {
    system(place);
    let text = format!(
        "title: A file\n{more}\nsystem:\n  prepare: [sh, sys, prepare]\n  start: [sh, sys, start]\n  \
         test: [sh, sys, test]\n  stop: [sh, sys, stop]\n  time-limit: 20\n  build: {{job: unit}}\nfaults:\n{faults}"
    );
    place.write("plan.yaml", text);
}

const LOST: &str = "  - name: file-lost
    cause: The file is gone
    expects: [lost]
    method:
      - {type: action, name: lose, provider: {type: fault, fault: file-moved, arguments: {path: '${dir}/data'}}}
";
const CORRUPTED: &str = "  - name: file-corrupted
    expects: [strange]
    method:
      - {type: action, name: corrupt, provider: {type: fault, fault: file-corrupted, arguments: {path: '${dir}/data'}}}
";
const HARMLESS: &str = "  - name: harmless
    expects: []
    method:
      - {type: action, name: look, provider: {type: process, path: 'true'}}
";
const UNVERIFIED: &str = "  - name: unverified
    expects: [lost]
    method:
      - {type: action, name: do-nothing, provider: {type: process, path: 'true'}}
    verify:
      - {type: probe, name: it-is-gone, tolerance: 1, provider: {type: process, path: test, arguments: [-e, '${dir}/data']}}
";
const FAILS: &str = "  - name: cannot
    expects: [lost]
    method:
      - {type: action, name: lose, provider: {type: fault, fault: file-moved, arguments: {path: '${dir}/none'}}}
";
const AT_START: &str = "  - name: does-not-start
    at: start
    expects: [strange]
    method:
      - {type: action, name: break, provider: {type: process, path: touch, arguments: ['${dir}/broken']}}
";

fn without_time(text: &str) -> Value {
    let mut json: Value = serde_json::from_str(text).unwrap();
    json.as_object_mut().unwrap().remove("at").unwrap();
    json
}

fn run_of<'a>(json: &'a Value, name: &str) -> &'a Value {
    let runs = json["runs"].as_array().unwrap();
    runs.iter().find(|run| run["name"] == name).unwrap()
}

#[test]
fn kinds_are_kept_apart_and_the_same_seeds_give_the_same_verdicts() {
    let place = Place::new();
    let faults = [LOST, CORRUPTED, HARMLESS, AT_START].concat();
    plan(
        &place,
        "seeds: 2\nrepetitions: 2\nallow-on-controls: [wide]",
        &faults,
    );
    let ran = place.chaos(&["measure", "plan.yaml", "--format", "json", "--out", "one"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.err, "", "nobody is at a terminal");
    let json = without_time(&ran.out);
    assert_eq!(json["totals"]["runs"], 20);
    assert_eq!(run_of(&json, "file-lost-s01-r01")["kind"], "failed");
    assert_eq!(run_of(&json, "file-lost-s01-r01")["found"][0], "lost");
    assert_eq!(run_of(&json, "harmless-s02-r01")["kind"], "passed");
    assert_eq!(run_of(&json, "control-s01-r02")["kind"], "clean");
    assert_eq!(run_of(&json, "does-not-start-s01-r01")["kind"], "failed");
    assert_eq!(
        json["uncaught"][0]["cause"], "does-not-start",
        "{}",
        json["uncaught"]
    );
    assert_eq!(json["echoes"][0]["fingerprint"], "wide");
    let again = place.chaos(&["measure", "plan.yaml", "--format", "json", "--out", "two"]);
    assert_eq!(without_time(&again.out), json, "the same seeds");
    // What was corrupted depends on the seed.
    let log = |seed: &str| {
        let all = fs::read_dir(place.path("one/builds"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let name = format!("file-corrupted-{seed}-r01");
        let home = all
            .into_iter()
            .find(|path| path.to_str().unwrap().ends_with(&name))
            .unwrap();
        fs::read(home.join("logs/console.log")).unwrap()
    };
    assert_ne!(log("s01"), log("s02"));
    assert_eq!(place.runs().len(), 0, "no fault is left");
}

#[test]
fn kept_runs_are_what_import_reads() {
    let place = Place::new();
    plan(&place, "", &[LOST, UNVERIFIED].concat());
    let ran = place.chaos(&["measure", "plan.yaml", "--format", "json", "--out", "kept"]);
    // `wide` fires on the control run, and nobody allowed that.
    assert_eq!(ran.code, 6, "{}", ran.err);
    let mut there = without_time(&ran.out);
    let read = place.chaos(&["import", "kept", "--title", "A file", "--format", "json"]);
    assert_eq!(read.code, 6);
    assert_eq!(without_time(&read.out), there);
    let causes = place.json("kept/causes.json");
    let causes: Vec<&str> = causes
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(causes, ["passed", "file-lost", "unverified"]);
    let build = place.json("kept/builds/002-file-lost-s01/build.json");
    assert_eq!(
        (build["job"].as_str(), build["result"].as_str()),
        (Some("unit"), Some("FAILURE"))
    );
    let log = place.read("kept/builds/002-file-lost-s01/logs/console.log");
    assert!(log.contains("No such file"), "{log}");
    assert!(!place.path("kept/work").exists());
    // The same folder is not mixed with another measurement.
    let mixed = place.chaos(&["measure", "plan.yaml", "--out", "kept"]);
    assert_eq!(mixed.code, 1);
    assert!(mixed.err.contains("is there already"), "{}", mixed.err);
    there["runs"] = Value::Null;
}

#[test]
fn what_makes_numbers_weak_is_told_by_the_exit_code() {
    for (faults, healthy, code, why) in [
        (UNVERIFIED, "0", 4, "it-is-gone: not within its tolerance"),
        (FAILS, "0", 4, "none"),
        (HARMLESS, "0", 5, ""),
        (LOST, "7", 3, "not well before the fault"),
        (LOST, "0", 0, ""),
    ] {
        let place = Place::new();
        plan(&place, "allow-on-controls: [wide]", faults);
        let probe = format!(
            "  healthy:\n    - {{type: probe, name: h, tolerance: {healthy}, provider: {{type: process, path: 'true'}}}}\nfaults:"
        );
        let text = place.read("plan.yaml").replace("faults:", &probe);
        place.write("plan.yaml", text);
        let ran = place.chaos(&["measure", "plan.yaml"]);
        assert_eq!(ran.code, code, "{faults}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(why), "{why}: {}", ran.out);
        let ran = place.chaos(&["measure", "plan.yaml", "--no-strict"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_done() {
    let place = Place::new();
    plan(&place, "", &LOST.replace("file-moved", "file-eaten"));
    let ran = place.chaos(&["measure", "plan.yaml", "--out", "kept"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("fault file-lost: ") && ran.err.contains("unknown fault 'file-eaten'"),
        "{}",
        ran.err
    );
    assert!(!place.path("kept/runs.jsonl").exists());
    let ran = place.chaos(&["measure", "plan.yaml", "--fault", "none"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("the plan has no such fault"),
        "{}",
        ran.err
    );
    assert_eq!(
        place.chaos(&["measure", "plan.yaml", "--seeds", "0"]).code,
        2
    );
}

#[test]
fn tests_that_take_too_long_have_failed_and_are_ended() {
    let place = Place::new();
    let slow = HARMLESS.replace("path: 'true'", "path: touch, arguments: ['${dir}/hang']");
    plan(&place, "allow-on-controls: [wide]", &slow);
    let text = place
        .read("plan.yaml")
        .replace("time-limit: 20", "time-limit: 1.5");
    place.write("plan.yaml", text);
    let ran = place.chaos(&["measure", "plan.yaml", "--out", "kept"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let build = place.json("kept/builds/002-harmless-s01/build.json");
    assert_eq!(build["result"], "TIMED_OUT");
}

#[test]
fn who_interrupts_leaves_nothing_running() {
    let place = Place::new();
    let slow = HARMLESS.replace("path: 'true'", "path: touch, arguments: ['${dir}/hang']");
    plan(&place, "", &slow);
    let mut run = place.start(&["measure", "plan.yaml", "--out", "kept"]);
    let hangs = place.path("kept/work/harmless-s01/hangs");
    until("the tests hang", || hangs.exists());
    let pid: i32 = fs::read_to_string(&hangs).unwrap().trim().parse().unwrap();
    kill(
        Pid::from_raw(i32::try_from(run.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(1));
    until("the tests are ended", || {
        kill(Pid::from_raw(pid), None).is_err()
    });
    assert!(
        place.path("kept/work/harmless-s01/stopped").exists(),
        "stop is run"
    );
    assert_eq!(place.runs().len(), 0, "no fault is left");
    // What was done until then can be counted.
    let read = place.chaos(&["import", "kept", "--format", "json"]);
    let json: Value = serde_json::from_str(&read.out).unwrap();
    assert_eq!(json["totals"]["clean"], 1);
}

/// The process is there, and not only as a zombie that nobody asks for.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    !stat.is_empty() && !state.starts_with(['Z', 'X'])
}

fn number(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[test]
fn a_killed_measurement_leaves_nothing_of_the_system_running() {
    let place = Place::new();
    let slow = HARMLESS.replace("path: 'true'", "path: touch, arguments: ['${dir}/hang']");
    plan(&place, "controls: 0", &slow);
    place.write("grow", "");
    let mut run = place.start(&["measure", "plan.yaml", "--out", "kept"]);
    let work = place.path("kept/work/harmless-s01");
    let names = ["parent", "child", "apart", "bare", "hangs"];
    let pids =
        || -> Option<Vec<i32>> { names.iter().map(|name| number(&work.join(name))).collect() };
    until("the system runs and is tested", || pids().is_some());
    let pids = pids().unwrap();
    assert!(pids.iter().all(|pid| lives(*pid)), "{pids:?}");
    run.kill().unwrap();
    run.wait().unwrap();
    for (name, pid) in names.iter().zip(pids) {
        until(&format!("{name} is ended"), || !lives(pid));
    }
    until("`stop` was run", || work.join("stopped").exists());
    until("nobody has the run's folder any more", || {
        let folder = work.display().to_string();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let all = entries.map(|entry| fs::read(entry.path().join("environ")).unwrap_or_default());
        let mut all = all.map(|text| String::from_utf8_lossy(&text).into_owned());
        !all.any(|text| text.contains(&folder))
    });
    until("the fault is taken back", || place.runs().is_empty());
}
