//! Controls.

use super::{Problem, Validator};
use crate::chaos::log::{Level, Log};
use crate::chaos::place::KeyPath;
use crate::chaos::py;
use crate::chaos::python::Host;
use serde_json::{Map, Value, json};

/// Whether controls are declared as they should be. A module that is not there is only warned of.
pub(super) fn controls(
    validator: &Validator<'_>,
    map: &Map<String, Value>,
    log: &dyn Log,
) -> Result<(), Problem> {
    let found = declared(map)?;
    let names: Vec<&Value> = found
        .iter()
        .filter(|(_, control)| control.get("ref").is_none())
        .filter_map(|(_, control)| control.get("name"))
        .collect();
    let mut host = None;
    for (path, control) in &found {
        let reference = control.get("ref");
        if reference.is_some_and(|reference| !names.contains(&reference)) {
            let message = "Control reference '{}' declaration cannot be found";
            return Err(Problem::invalid(&path.key("ref"), message));
        }
        one(control, path)?;
        let provider = &control["provider"];
        if provider["type"] == "python" {
            python(validator, control, path, &mut host, log)?;
        }
    }
    Ok(())
}

fn one(control: &Value, path: &KeyPath) -> Result<(), Problem> {
    let Some(name) = control.get("name") else {
        return Err(Problem::invalid(
            path,
            "A control must have a `name` property",
        ));
    };
    let name = py::text(name);
    if control.get("provider").is_none() {
        let message = format!("Control '{name}' must have a `provider` property");
        return Err(Problem::invalid(path, message));
    }
    let scope = control.get("scope").filter(|scope| py::truth(scope));
    if scope.is_some_and(|scope| scope != "before" && scope != "after") {
        let message = format!("Control '{name}' scope property must be 'before' or 'after' only");
        return Err(Problem::invalid(&path.key("scope"), message));
    }
    Ok(())
}

fn python(
    validator: &Validator<'_>,
    control: &Value,
    path: &KeyPath,
    host: &mut Option<Host>,
    log: &dyn Log,
) -> Result<(), Problem> {
    let name = py::text(&control["name"]);
    let Some(module) = control["provider"]["module"]
        .as_str()
        .filter(|module| !module.is_empty())
    else {
        let message = format!("Control '{name}' must have a module path");
        return Err(Problem::invalid(
            &path.key("provider").key("module"),
            message,
        ));
    };
    if host.is_none() {
        *host = Host::start(validator.python, validator.environment).ok();
    }
    let request = json!({
        "kind": "control", "module": module, "hook": "validate_control", "given": {"control": control},
    });
    let answer = host
        .as_mut()
        .and_then(|host| host.ask(&request).ok())
        .unwrap_or_default();
    if let Some(message) = answer.get("failed").and_then(Value::as_str) {
        return Err(Problem::invalid(&path.key("provider"), message));
    }
    if answer["found"] != true {
        let message = format!(
            "Could not find Python module '{module}' in control '{name}'. Did you install the Python \
             module? The experiment will carry on running nonetheless."
        );
        log.log(Level::Warning, &message);
    }
    Ok(())
}

/// All controls: of the experiment, the hypothesis, the activities.
fn declared(map: &Map<String, Value>) -> Result<Vec<(KeyPath, &Value)>, Problem> {
    let top = KeyPath::top();
    let mut found = Vec::new();
    push(&mut found, map.get("controls"), &top)?;
    if let Some(hypothesis) = map.get("steady-state-hypothesis") {
        let path = top.key("steady-state-hypothesis");
        push(&mut found, hypothesis.get("controls"), &path)?;
        of_activities(&mut found, hypothesis.get("probes"), &path.key("probes"))?;
    }
    for key in ["method", "rollbacks"] {
        of_activities(&mut found, map.get(key), &top.key(key))?;
    }
    Ok(found)
}

fn of_activities<'a>(
    found: &mut Vec<(KeyPath, &'a Value)>,
    activities: Option<&'a Value>,
    path: &KeyPath,
) -> Result<(), Problem> {
    let activities = activities.and_then(Value::as_array);
    for (n, activity) in activities.into_iter().flatten().enumerate() {
        push(found, activity.get("controls"), &path.item(n))?;
    }
    Ok(())
}

fn push<'a>(
    found: &mut Vec<(KeyPath, &'a Value)>,
    controls: Option<&'a Value>,
    path: &KeyPath,
) -> Result<(), Problem> {
    let path = path.key("controls");
    let Some(controls) = controls else {
        return Ok(());
    };
    let Some(controls) = controls.as_array() else {
        return Err(Problem::broken(&path, "controls must be a list"));
    };
    for (n, control) in controls.iter().enumerate() {
        if !control.is_object() {
            return Err(Problem::broken(&path.item(n), "a control is a mapping"));
        }
        found.push((path.item(n), control));
    }
    Ok(())
}
