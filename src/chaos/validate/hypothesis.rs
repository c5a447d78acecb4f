//! The hypothesis and its tolerances.

use super::{Problem, Validator, activity};
use crate::chaos::jsonpath::Path;
use crate::chaos::pattern::Pattern;
use crate::chaos::place::KeyPath;
use crate::chaos::py;
use serde_json::{Map, Value};

const TOLERANCES: &str = "hypothesis probe tolerance must either be an integer, a string, a boolean or \
     a pair of values for boundaries. It can also be a dictionary which is a probe activity definition \
     that takes an argument called `value` with the value of the probe itself to be validated";

pub(super) fn hypothesis(
    validator: &Validator<'_>,
    map: &Map<String, Value>,
) -> Result<(), Problem> {
    let path = KeyPath::top().key("steady-state-hypothesis");
    let Some(hypothesis) = map.get("steady-state-hypothesis") else {
        return Ok(());
    };
    if !py::truth_of(hypothesis.get("title")) {
        return Err(Problem::invalid(
            &path.key("title"),
            "hypothesis requires a title",
        ));
    }
    let probes = hypothesis.get("probes").and_then(Value::as_array);
    for (n, one) in probes.into_iter().flatten().enumerate() {
        probe(validator, one, &path.key("probes").item(n))?;
    }
    Ok(())
}

pub(super) fn probe(
    validator: &Validator<'_>,
    probe: &Value,
    path: &KeyPath,
) -> Result<(), Problem> {
    activity::activity(validator, probe, path)?;
    let Some(allowed) = probe.get("tolerance") else {
        let message = "hypothesis probe must have a tolerance entry";
        return Err(Problem::invalid(path, message)
            .suggest("add `tolerance: 0` for a process, `tolerance: 200` for an HTTP call"));
    };
    checked(validator, allowed, &path.key("tolerance"))
}

/// Whether a tolerance can be applied at all.
pub fn tolerance(validator: &Validator<'_>, tolerance: &Value) -> Result<(), Problem> {
    checked(validator, tolerance, &KeyPath::top().key("tolerance"))
}

fn checked(validator: &Validator<'_>, tolerance: &Value, path: &KeyPath) -> Result<(), Problem> {
    match tolerance {
        Value::Bool(_) | Value::String(_) | Value::Array(_) => Ok(()),
        Value::Number(n) if !n.is_f64() => Ok(()),
        Value::Number(_) => Err(Problem::invalid(path, TOLERANCES)
            .suggest("for fractions use `{type: range, range: [low, high]}`")),
        Value::Null => Err(Problem::invalid(path, TOLERANCES)),
        Value::Object(_) => match tolerance["type"].as_str() {
            Some("probe") => activity::activity(validator, tolerance, path),
            Some("regex") => regex(tolerance, path),
            Some("jsonpath") => json_path(tolerance, path),
            Some("range") => range(tolerance, path),
            _ => {
                let kind = py::text(tolerance.get("type").unwrap_or(&Value::Null));
                let message = format!("hypothesis probe tolerance type '{kind}' is unsupported");
                Err(Problem::invalid(&path.key("type"), message)
                    .suggest("write one of probe, regex, jsonpath, range"))
            }
        },
    }
}

fn regex(tolerance: &Value, path: &KeyPath) -> Result<(), Problem> {
    let at = path.key("pattern");
    let Some(pattern) = tolerance.get("pattern") else {
        let message = "hypothesis regex probe tolerance must have a `pattern` key";
        return Err(Problem::invalid(path, message));
    };
    let Some(text) = pattern.as_str() else {
        let message = format!(
            "hypothesis probe tolerance pattern {} has an invalid type",
            py::text(pattern)
        );
        return Err(Problem::invalid(&at, message));
    };
    Pattern::new(text).map(drop).map_err(|error| {
        let message = format!("hypothesis probe tolerance pattern {text} seems invalid: {error}");
        Problem::invalid(&at, message)
    })
}

fn json_path(tolerance: &Value, path: &KeyPath) -> Result<(), Problem> {
    let at = path.key("path");
    let Some(written) = tolerance.get("path") else {
        let message = "hypothesis jsonpath probe tolerance must have a `path` key";
        return Err(Problem::invalid(path, message));
    };
    let Some(text) = written.as_str() else {
        return Err(Problem::broken(&at, "the path must be a text"));
    };
    if text.trim().is_empty() {
        let message = "hypothesis probe tolerance JSON path cannot be empty";
        return Err(Problem::invalid(&at, message));
    }
    Path::parse(text.trim()).map(drop).map_err(|error| {
        let message = format!(
            "hypothesis probe tolerance JSON path {} is invalid",
            text.trim()
        );
        Problem::invalid(&at, message).suggest(error.to_string())
    })
}

fn range(tolerance: &Value, path: &KeyPath) -> Result<(), Problem> {
    let at = path.key("range");
    let Some(range) = tolerance.get("range") else {
        let message = "hypothesis range probe tolerance must have a `range` key";
        return Err(Problem::invalid(path, message));
    };
    let Some(range) = range.as_array() else {
        return Err(Problem::invalid(&at, "hypothesis range must be a sequence"));
    };
    let [low, high] = range.as_slice() else {
        let message = "hypothesis range sequence must be made of two values";
        return Err(Problem::invalid(&at, message));
    };
    for (n, (bound, word)) in [(low, "lower"), (high, "upper")].into_iter().enumerate() {
        if !bound.is_number() && !bound.is_boolean() {
            let message = format!("hypothesis range {word} boundary must be a number");
            return Err(Problem::invalid(&at.item(n), message));
        }
    }
    Ok(())
}
