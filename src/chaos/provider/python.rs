//! `provider: {type: python}`: a function in a `python3` child.

use super::{Call, Failure, seconds};
use crate::chaos::bell::Stop;
use crate::chaos::child::ChildEnd;
use crate::chaos::python::NoAnswer;
use crate::chaos::substitute::substitute;
use serde_json::{Map, Value, json};

pub(super) fn run(call: &Call<'_>) -> Result<Value, Failure> {
    let provider = call.provider();
    let names = call.names();
    let mut arguments = provider
        .get("arguments")
        .cloned()
        .unwrap_or_else(|| json!({}));
    if names.any() {
        arguments = substitute(&arguments, names);
    }
    let request = json!({
        "kind": "run",
        "module": provider["module"],
        "func": provider["func"],
        "arguments": arguments,
        "secrets": wanted_secrets(provider, call.secrets),
        "configuration": call.configuration,
    });
    let timeout = seconds(provider.get("timeout").unwrap_or(&Value::Null))?;
    let tools = call.tools;
    let answer = tools
        .python
        .ask(&request, &tools.environment, &call.patience(timeout))
        .map_err(no_answer)?;
    read(&answer)
}

fn no_answer(why: NoAnswer) -> Failure {
    match why {
        NoAnswer::Broken(why) => Failure::Failed(why),
        NoAnswer::Ended(ChildEnd::Late) => {
            Failure::Failed("python activity took too long to complete".into())
        }
        NoAnswer::Ended(ChildEnd::Stopped(stop)) => Failure::Stopped(stop),
        NoAnswer::Ended(ChildEnd::Start(error)) => Failure::Unexpected(error.to_string()),
    }
}

fn read(answer: &Value) -> Result<Value, Failure> {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(message) = text("interrupt") {
        return Err(Failure::Stopped(Stop::Control(message)));
    }
    if let Some(message) = text("failed") {
        return Err(Failure::Failed(message));
    }
    if let Some(message) = text("broken") {
        return Err(Failure::Unexpected(message));
    }
    Ok(answer.get("output").cloned().unwrap_or_default())
}

/// The scopes of secrets that the activity names, poured into one.
fn wanted_secrets(provider: &Value, secrets: &Map<String, Value>) -> Value {
    let Some(wanted) = provider.get("secrets") else {
        return Value::Null;
    };
    let mut poured = Map::new();
    for scope in wanted
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let scope = secrets.get(scope).and_then(Value::as_object);
        poured.extend(scope.cloned().unwrap_or_default());
    }
    Value::Object(poured)
}
