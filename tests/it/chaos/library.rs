//! Inputs and recorded answers of the real tool's functions.

use crate::query::conformance;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use whorl::chaos::env::Environment;
use whorl::chaos::log::KeptLog;
use whorl::chaos::python::Python;
use whorl::chaos::settings::{convert_variables, load_configuration, load_secrets};
use whorl::chaos::source::{Access, load};
use whorl::chaos::substitute::{Names, substitute};
use whorl::chaos::tolerance::within;
use whorl::chaos::validate::{Problem, Validator, tolerance};

fn cases(file: &str) -> Option<Vec<Value>> {
    let path = conformance()?.join("experiments").join(file);
    Some(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
}

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn environment(case: &Value) -> Environment {
    let given = map(&case["env"]).into_iter();
    let mut environment: Vec<(String, String)> = given
        .map(|(key, value)| (key, value.as_str().unwrap().to_owned()))
        .collect();
    // One case was recorded with this set, but does not say so.
    environment.push(("KUBE_API_URL".into(), "http://1.2.3.4".into()));
    Environment::only(environment)
}

/// Compares answers and errors with what is recorded.
fn compare(file: &str, answer: impl Fn(&Value) -> Result<Value, String>) {
    let Some(cases) = cases(file) else { return };
    let mut wrong = Vec::new();
    for case in &cases {
        let found = answer(case);
        let expected = match case.get("message") {
            Some(message) => Err(message.as_str().unwrap().to_owned()),
            None => Ok(case["result"].clone()),
        };
        if found != expected {
            wrong.push(format!(
                "{}: found {found:?}, expected {expected:?}",
                case["input"]
            ));
        }
    }
    println!("{file}: {} compared", cases.len());
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A module that recorded cases call.
fn fixtures() -> (tempfile::TempDir, Environment) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("fixtures")).unwrap();
    let module = "def must_be_in_range(a, b, value=None):\n    return a < int(value['body']) < b\n";
    fs::write(folder.path().join("fixtures/probes.py"), module).unwrap();
    let mut environment = Environment::default();
    environment.set("PYTHONPATH", folder.path().to_str().unwrap());
    (folder, environment)
}

fn said(result: Result<(), Problem>) -> Result<Value, String> {
    result
        .map(|()| Value::Null)
        .map_err(|problem| problem.message)
}

#[test]
fn variables() {
    compare("cases_convert_vars.json", |case| {
        let written = case["input"]["vars"].as_array().unwrap().iter();
        let written: Vec<String> = written
            .map(|text| text.as_str().unwrap().to_owned())
            .collect();
        convert_variables(&written).map(Value::Object)
    });
}

#[test]
fn configuration() {
    compare("cases_load_configuration.json", |case| {
        let input = &case["input"];
        load_configuration(
            &map(&input["configuration"]),
            &map(&input["extra_vars"]),
            &environment(case),
        )
        .map(Value::Object)
        .map_err(|error| error.to_string())
    });
}

#[test]
fn secrets() {
    compare("cases_load_secrets.json", |case| {
        let input = &case["input"];
        let configuration = map(&input["configuration"]);
        load_secrets(
            &map(&input["secrets"]),
            &configuration,
            &map(&input["extra_vars"]),
            &environment(case),
        )
        .map(Value::Object)
        .map_err(|error| error.to_string())
    });
}

#[test]
fn substitution() {
    compare("cases_substitute.json", |case| {
        let input = &case["input"];
        let (configuration, secrets) = (map(&input["configuration"]), map(&input["secrets"]));
        Ok(substitute(
            &input["data"],
            Names::new(&configuration, &secrets),
        ))
    });
}

#[test]
fn tolerances_are_judged() {
    compare("cases_tolerance_eval.json", |case| {
        let input = &case["input"];
        let (configuration, secrets) = (map(&input["configuration"]), map(&input["secrets"]));
        // One case calls a Python function, which says so; `providers` calls real ones.
        let mut ask = |_: &Value| Ok(true);
        within(
            &input["tolerance"],
            &input["value"],
            Names::new(&configuration, &secrets),
            &mut ask,
        )
        .map(Value::Bool)
        .map_err(|error| error.to_string())
    });
}

#[test]
fn tolerances_are_checked() {
    let (_folder, environment) = fixtures();
    let python = Python::default();
    compare("cases_tolerance_validity.json", |case| {
        let nothing = json!({});
        let validator = Validator::new(&nothing, &environment, &python);
        said(tolerance(&validator, &case["input"]["tolerance"]))
    });
}

#[test]
fn activities_are_checked() {
    let (_folder, environment) = fixtures();
    let python = Python::default();
    compare("cases_activity_validity_inline.json", |case| {
        let nothing = json!({});
        said(Validator::new(&nothing, &environment, &python).activity(&case["input"]["activity"]))
    });
}

fn validity(folder: &Path, item: &Value) -> Result<Value, String> {
    let path = folder.join(item["file"].as_str().unwrap());
    let (_fixtures, mut environment) = fixtures();
    // The fixtures were recorded with these.
    environment.set("USER", "somebody");
    let python = Python::default();
    if item["kind"] == "activity" {
        let activity: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let nothing = json!({});
        return said(Validator::new(&nothing, &environment, &python).activity(&activity));
    }
    let source =
        load(path.to_str().unwrap(), &Access::default()).map_err(|error| error.to_string())?;
    said(Validator::new(&source.value, &environment, &python).experiment(&KeptLog::default()))
}

#[test]
fn experiments_and_activities_are_valid_or_not() {
    let Some(folder) = conformance() else { return };
    let folder = folder.join("experiments");
    let index: Value =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let items = index["experiments_and_activities"].as_array().unwrap();
    let mut wrong = Vec::new();
    for item in items.iter().filter(|item| item["portable"] == true) {
        let found = validity(&folder, item);
        let expected = match item["valid"].as_bool() {
            Some(true) => Ok(Value::Null),
            _ => Err(item["message"].as_str().unwrap().to_owned()),
        };
        if found != expected {
            wrong.push(format!(
                "{}: found {found:?}, expected {expected:?}",
                item["id"]
            ));
        }
    }
    println!("{} compared", items.len());
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
