//! `configuration`: literals, environment variables, and probes that are asked before the run.

use super::{SettingError, convert, variable};
use crate::chaos::env::Environment;
use crate::chaos::log::{Level, Log};
use crate::chaos::py;
use serde_json::{Map, Value};

/// Loads what is declared; `outside` stands in for declared keys.
pub fn load_configuration(
    declared: &Map<String, Value>,
    outside: &Map<String, Value>,
    environment: &Environment,
) -> Result<Map<String, Value>, SettingError> {
    let mut loaded = Map::new();
    for (key, value) in declared {
        // From outside may come the whole definition of a key, not its value only.
        let value = outside.get(key).unwrap_or(value);
        let value = match value.get("type").and_then(Value::as_str) {
            Some("env") => from_environment(key, value, environment)?,
            _ => value.clone(),
        };
        loaded.insert(key.clone(), value);
    }
    Ok(loaded)
}

fn from_environment(
    key: &str,
    definition: &Value,
    environment: &Environment,
) -> Result<Value, SettingError> {
    let name = variable(key, definition)?;
    let found = environment.get(name).map(Value::from);
    let Some(value) = found.or_else(|| definition.get("default").cloned()) else {
        return Err(SettingError::invalid(
            key,
            format!(
                "Configuration makes reference to an environment key that does not exist: {name}"
            ),
        ));
    };
    convert(definition.get("env_var_type"), value)
        .map_err(|message| SettingError::broken(key, message))
}

/// Asks the probes among the values. `ask` runs one, given what is known so far; a probe without an
/// answer loses its key.
pub fn dynamic(
    loaded: Map<String, Value>,
    log: &dyn Log,
    mut ask: impl FnMut(&Value, &Map<String, Value>) -> Result<Value, String>,
) -> Map<String, Value> {
    let mut known = Map::new();
    let mut failed = false;
    for (key, value) in loaded {
        if value.get("type").and_then(Value::as_str) != Some("probe") {
            known.insert(key, value);
            continue;
        }
        match ask(&value, &known).and_then(|output| answer(&value, output)) {
            Ok(value) => {
                known.insert(key, value);
            }
            Err(why) => {
                failed = true;
                log.log(
                    Level::Debug,
                    &format!("Failed to load configuration '{key}': {why}"),
                );
            }
        }
    }
    if failed {
        log.log(
            Level::Warning,
            "Some of the dynamic configuration failed to be loaded.\
             Please review the log file for understanding what happened.",
        );
    }
    known
}

/// What of a probe's output is the value.
fn answer(probe: &Value, output: Value) -> Result<Value, String> {
    match probe["provider"]["type"].as_str() {
        Some("process") if !py::equal(&output["status"], &Value::from(0)) => {
            Err(py::text(&output["stderr"]))
        }
        Some("process") => Ok(Value::from(py::text(&output["stdout"]).trim())),
        Some("http") => Ok(output.get("body").cloned().unwrap_or_default()),
        _ => Ok(output),
    }
}
