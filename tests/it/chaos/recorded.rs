//! Recorded runs of the real command: exit code, journal, what is left, log lines, result.

use super::{Place, Ran, beside, until};
use crate::query::conformance;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn entry(entry: &Value) -> Value {
    json!([entry["activity"]["name"], entry["status"]])
}

fn state(state: &Value) -> Value {
    if state.is_null() {
        return Value::Null;
    }
    let probes = state["probes"].as_array().unwrap().iter();
    let probes: Vec<Value> = probes
        .map(|probe| {
            json!([
                probe["activity"]["name"],
                probe["status"],
                probe["tolerance_met"]
            ])
        })
        .collect();
    json!({"met": state["steady_state_met"], "probes": probes})
}

/// The journal as it is recorded, with the keys that the record has.
fn journal(place: &Place, keys: &Value) -> Value {
    if !place.path("journal.json").exists() {
        return Value::Null;
    }
    let journal = place.json("journal.json");
    let list = |key: &str| journal[key].as_array().unwrap().iter();
    let all = json!({
        "status": journal["status"],
        "deviated": journal["deviated"],
        "before": state(&journal["steady_states"]["before"]),
        "after": state(&journal["steady_states"]["after"]),
        "run": list("run").map(entry).collect::<Vec<_>>(),
        "rollbacks": list("rollbacks").map(entry).collect::<Vec<_>>(),
        "outputs": list("run").map(|run| run["output"].clone()).collect::<Vec<_>>(),
    });
    let Some(keys) = keys.as_object() else {
        return all;
    };
    keys.keys()
        .map(|key| (key.clone(), all[key].clone()))
        .collect()
}

fn put(place: &Place, name: &str, experiment: &Value) {
    let text = experiment
        .as_str()
        .map_or_else(|| experiment.to_string(), str::to_owned);
    place.write(name, text);
}

/// Runs many cases at a time; gives what differs.
fn all(cases: &[Value], check: impl Fn(&Value) -> Vec<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    wrong.lock().unwrap().extend(check(case));
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

fn differ(wrong: &mut Vec<String>, what: &str, found: &Value, expected: &Value) {
    if found != expected {
        wrong.push(format!("{what}: found {found}, expected {expected}"));
    }
}

/// Lines that two threads write come in any order, and how often the hypothesis is looked at while the
/// method runs is a matter of time.
fn compare_logs(wrong: &mut Vec<String>, racy: bool, found: &[String], expected: &Value) {
    if !racy {
        return differ(wrong, "log", &json!(found), expected);
    }
    let during = |line: &&str| {
        !line.contains("Continuous steady state probe") && !line.contains("% hypothesis deviated")
    };
    let found: BTreeSet<&str> = found.iter().map(String::as_str).filter(during).collect();
    let lines = expected
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap());
    let expected: BTreeSet<&str> = lines.filter(during).collect();
    let looked = "[INFO] Steady state hypothesis is met!";
    let same = found
        .symmetric_difference(&expected)
        .all(|line| *line == looked);
    if !same {
        wrong.push(format!("log: found {found:?}, expected {expected:?}"));
    }
}

fn run(place: &Place, case: &Value) -> Ran {
    let mut args = vec!["run", "--result", "result.json"];
    args.extend(
        case["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap()),
    );
    args.push("experiment.json");
    let child = place.start(&args);
    if let Some(signal) = case["signal"].as_str() {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        // The second action of these experiments waits for three seconds: by then it has begun.
        until("the method", || place.path("marker").exists());
        thread::sleep(std::time::Duration::from_millis(400));
        kill(pid, signal.parse::<Signal>().unwrap()).unwrap();
    }
    Ran::of(&child.wait_with_output().unwrap())
}

fn shared(case: &Value) -> Vec<String> {
    let place = Place::plain();
    let mut wrong = Vec::new();
    put(&place, "experiment.json", &case["experiment"]);
    let validated = place.chaos(&["validate", "experiment.json"]);
    differ(
        &mut wrong,
        "validate",
        &json!(validated.code),
        &case["validate_rc"],
    );
    let error = case["validate_error"].as_str();
    if let Some(error) = error.filter(|error| error.starts_with('['))
        && !validated.log().contains(&error.to_owned())
    {
        wrong.push(format!(
            "validate: {error:?} is missing in {}",
            validated.err
        ));
    }
    let ran = run(&place, case);
    let killed = case["signal"] == "SIGKILL";
    let code = if killed { -9 } else { ran.code };
    differ(&mut wrong, "exit", &json!(code), &case["run_rc"]);
    differ(
        &mut wrong,
        "journal",
        &journal(&place, &case["journal"]),
        &case["journal"],
    );
    differ(
        &mut wrong,
        "marker",
        &json!(place.path("marker").exists()),
        &case["marker_left"],
    );
    let id = case["id"].as_str().unwrap();
    let racy = id.contains("continuously") || id.contains("during");
    compare_logs(&mut wrong, racy, &ran.log(), &case["log"]);
    if !racy {
        let there = place.path("result.json").exists();
        let result = if there {
            place.json("result.json")
        } else {
            Value::Null
        };
        differ(&mut wrong, "result", &result, &case["result"]);
    }
    wrong
        .into_iter()
        .map(|line| format!("{id}: {line}"))
        .collect()
}

#[test]
fn recorded_runs_are_repeated() {
    let Some(folder) = conformance() else { return };
    let folder = folder.join("experiments");
    let index: Value =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let portable = index["cli_runs"].as_array().unwrap().iter();
    let cases: Vec<Value> = portable
        .filter(|case| case["portable"] == true)
        .map(|case| fs::read(folder.join(case["file"].as_str().unwrap())).unwrap())
        .map(|bytes| serde_json::from_slice(&bytes).unwrap())
        .collect();
    let wrong = all(&cases, shared);
    println!("{} runs compared", cases.len());
    assert!(!cases.is_empty());
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn own(case: &Value, recorded: &Value) -> Vec<String> {
    let place = Place::plain();
    let name = case["name"].as_str().unwrap();
    let source = format!("experiment.{}", case["format"].as_str().unwrap_or("json"));
    put(&place, &source, &case["experiment"]);
    for (file, text) in case["files"].as_object().into_iter().flatten() {
        place.write(file, text.as_str().unwrap());
    }
    let mut wrong = Vec::new();
    let environment = || case["env"].as_object().into_iter().flatten();
    let environment = || environment().map(|(key, value)| (key, value.as_str().unwrap()));
    let go = |args: &[&str]| Ran::of(&place.command(args).envs(environment()).output().unwrap());
    differ(
        &mut wrong,
        "validate",
        &json!(go(&["validate", &source]).code),
        &recorded["validate"],
    );
    let mut args = vec!["run"];
    args.extend(
        case["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap()),
    );
    args.push(&source);
    let ran = go(&args);
    differ(&mut wrong, "exit", &json!(ran.code), &recorded["exit"]);
    // The secret of one of them, which the real tool writes into its journal.
    let masked = recorded["journal"].to_string().replace("hush", "*****");
    let expected: Value = serde_json::from_str(&masked).unwrap();
    differ(
        &mut wrong,
        "journal",
        &journal(&place, &expected),
        &expected,
    );
    differ(
        &mut wrong,
        "marker",
        &json!(place.path("marker").exists()),
        &recorded["marker"],
    );
    // What is wrong with YAML is said by another parser in other words.
    if name != "yaml-broken" {
        let racy = name.contains("fail-fast") || name == "background-after-pause";
        compare_logs(&mut wrong, racy, &ran.log(), &recorded["log"]);
    }
    wrong
        .into_iter()
        .map(|line| format!("{name}: {line}"))
        .collect()
}

#[test]
fn our_own_experiments_go_as_the_real_tool_runs_them() {
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(beside(name)).unwrap()).unwrap() };
    let (cases, recorded) = (read("experiments.json"), read("recorded.json"));
    let cases = cases.as_array().unwrap();
    let wrong = all(cases, |case| {
        own(case, &recorded[case["name"].as_str().unwrap()])
    });
    assert!(cases.len() > 100);
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
