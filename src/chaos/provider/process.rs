//! `provider: {type: process}`.

use super::{Call, Failure, seconds};
use crate::chaos::child::{self, ChildEnd};
use crate::chaos::log::Level;
use crate::chaos::py;
use crate::chaos::substitute::substitute;
use serde_json::{Value, json};
use std::process::Command;

pub(super) fn run(call: &Call<'_>) -> Result<Value, Failure> {
    let provider = call.provider();
    let environment = &call.tools.environment;
    let names = call.names();
    let mut arguments = provider
        .get("arguments")
        .cloned()
        .unwrap_or_else(|| json!([]));
    if py::truth(&arguments) && names.any() {
        arguments = substitute(&arguments, names);
    }
    let path = provider["path"].as_str().unwrap_or_default();
    let found = environment.which(&environment.expand_user(path));
    let mut command = if let Value::String(line) = &arguments {
        let path = found.map_or_else(|| "None".into(), |path| path.display().to_string());
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{path} {line}"));
        command
    } else {
        let Some(path) = found else {
            return Err(Failure::Unexpected(format!("'{path}' is no longer there")));
        };
        let mut command = Command::new(path);
        command.args(list(&arguments)?);
        command
    };
    environment.give(&mut command);
    let timeout = seconds(provider.get("timeout").unwrap_or(&Value::Null))?;
    let output = child::run(command, None, &call.patience(timeout)).map_err(|end| match end {
        ChildEnd::Start(error) => Failure::Unexpected(format!("{path}: {error}")),
        ChildEnd::Late => Failure::Failed("process activity took too long to complete".into()),
        ChildEnd::Stopped(stop) => Failure::Stopped(stop),
    })?;
    if !call.judged() && output.status > 0 {
        call.tools.log.log(
            Level::Warning,
            "This process returned a non-zero exit code. This may indicate some error and not \
             what you expected. Please have a look at the logs.",
        );
    }
    Ok(json!({
        "status": output.status,
        "stdout": child::text(output.stdout),
        "stderr": child::text(output.stderr),
    }))
}

/// The arguments one by one; nulls and empty texts are none.
fn list(arguments: &Value) -> Result<Vec<String>, Failure> {
    let items: Vec<Value> = match arguments {
        Value::Array(items) => items.clone(),
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| [Value::from(key.as_str()), value.clone()])
            .collect(),
        other => {
            let kind = py::kind(other);
            return Err(Failure::Unexpected(format!(
                "'{kind}' object is not iterable"
            )));
        }
    };
    let meant = items
        .iter()
        .filter(|item| !item.is_null() && item.as_str() != Some(""));
    Ok(meant.map(py::text).collect())
}
