//! Whether what a probe saw is within its tolerance.
//!
//! The order of the questions matters, and `[200, 503]` is a list of two for what has a status, but a
//! pair of bounds for plain values: that is what the original tool does.

use super::decimal::{Decimal, NotDecimal};
use super::jsonpath::Path;
use super::pattern::Pattern;
use super::py;
use super::substitute::{Names, substitute};
use serde_json::Value;

/// A tolerance that cannot be applied to a value: the original tool ends with a traceback.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tolerance cannot be applied: {0}")]
pub struct NotApplicable(pub String);

/// Asks a probe, given as a tolerance, what it says; a probe that fails says no.
pub type AskProbe<'a> = &'a mut dyn FnMut(&Value) -> Result<bool, NotApplicable>;

/// Whether the value is within the tolerance.
pub fn within(
    tolerance: &Value,
    value: &Value,
    names: Names<'_>,
    ask: AskProbe<'_>,
) -> Result<bool, NotApplicable> {
    match tolerance {
        Value::Bool(_) | Value::String(_) => Ok(py::equal(value, tolerance)),
        Value::Number(n) if !n.is_f64() => Ok(py::equal(status_or(value), tolerance)),
        Value::Array(list) => in_list(list, value),
        Value::Object(_) => by_type(tolerance, value, names, ask),
        Value::Null | Value::Number(_) => Ok(false),
    }
}

fn status_or(value: &Value) -> &Value {
    value.get("status").unwrap_or(value)
}

fn in_list(list: &[Value], value: &Value) -> Result<bool, NotApplicable> {
    if let Some(status) = value.get("status") {
        return Ok(py::contains(list, status));
    }
    let [low, high] = list else {
        return Ok(py::contains(list, value));
    };
    let bounds = |a: &Value, b: &Value| {
        py::at_most(a, b).ok_or_else(|| {
            let (a, b) = (py::kind(a), py::kind(b));
            NotApplicable(format!(
                "'<=' not supported between instances of '{a}' and '{b}'"
            ))
        })
    };
    Ok(bounds(low, value)? && bounds(value, high)?)
}

fn by_type(
    tolerance: &Value,
    value: &Value,
    names: Names<'_>,
    ask: AskProbe<'_>,
) -> Result<bool, NotApplicable> {
    match tolerance["type"].as_str() {
        Some("probe") => ask(tolerance),
        Some("regex") => regex(tolerance, target(tolerance, value)?, names),
        Some("jsonpath") => json_path(tolerance, target(tolerance, value)?, names),
        Some("range") => range(tolerance, target(tolerance, value)?),
        _ => Ok(false),
    }
}

/// The part of the value that is meant.
fn target<'v>(tolerance: &Value, value: &'v Value) -> Result<&'v Value, NotApplicable> {
    let Some(target) = tolerance.get("target").filter(|target| py::truth(target)) else {
        return Ok(value);
    };
    if !value.is_object() {
        let kind = py::kind(value);
        return Err(NotApplicable(format!(
            "`target` needs a value with parts, and this one is of type '{kind}'"
        )));
    }
    let part = target.as_str().and_then(|target| value.get(target));
    Ok(part.unwrap_or(value))
}

fn regex(tolerance: &Value, value: &Value, names: Names<'_>) -> Result<bool, NotApplicable> {
    let pattern = substitute(&tolerance["pattern"], names);
    let Value::String(pattern) = pattern else {
        return Err(NotApplicable("the pattern is not text".into()));
    };
    let Value::String(text) = value else {
        return Err(NotApplicable(format!(
            "expected text for the pattern, got '{}': is a `target` missing?",
            py::kind(value)
        )));
    };
    Pattern::new(&pattern)
        .and_then(|pattern| pattern.search(text))
        .map_err(|error| NotApplicable(error.to_string()))
}

fn json_path(tolerance: &Value, value: &Value, names: Names<'_>) -> Result<bool, NotApplicable> {
    let path = substitute(&tolerance["path"], names);
    let path = path
        .as_str()
        .ok_or_else(|| NotApplicable("the path is not text".into()))?;
    let path = Path::parse(path).map_err(|error| NotApplicable(error.to_string()))?;
    let text = py::as_bytes(value).or(value.as_str());
    let parsed = text.and_then(|text| serde_json::from_str(text).ok());
    let found = path.find(parsed.as_ref().unwrap_or(value));
    if let Some(expected) = tolerance.get("expect") {
        return Ok(match substitute(expected, names) {
            Value::Array(list) => py::equal(&Value::Array(found), &Value::Array(list)),
            one => found.len() == 1 && py::equal(&found[0], &one),
        });
    }
    match tolerance.get("count").filter(|count| !count.is_null()) {
        Some(count) => Ok(py::equal(&Value::from(found.len()), count)),
        None => Ok(!found.is_empty()),
    }
}

fn range(tolerance: &Value, value: &Value) -> Result<bool, NotApplicable> {
    let wrong = |message: String| NotApplicable(message);
    let value = match Decimal::new(value) {
        Ok(value) => value,
        Err(NotDecimal::Text) => return Ok(false),
        Err(NotDecimal::Type(message)) => return Err(wrong(message)),
    };
    let bound = |index: usize| {
        Decimal::new(&tolerance["range"][index]).map_err(|_| wrong("a bound is no number".into()))
    };
    Ok(bound(0)?.order(&value).is_le() && value.order(&bound(1)?).is_le())
}
