//! What activities do: HTTP calls, processes, Python functions, faults.
//!
//! In: an activity, names for substitution. Out: its output, or how it failed.

pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod python;

use super::bell::{Bell, Ear, Stop};
use super::child::Patience;
use super::env::Environment;
use super::fault::Faults;
use super::log::Log;
use super::python::Python;
use super::substitute::Names;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// Why an activity has no output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The activity failed: noted in the journal.
    Failed(String),
    /// Something nobody planned for: the method is aborted.
    Unexpected(String),
    /// The run is to end.
    Stopped(Stop),
}

/// What providers work with.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) environment: Arc<Environment>,
    pub(crate) python: Arc<Python>,
    pub(crate) faults: Arc<Faults>,
}

/// One call of an activity.
pub(crate) struct Call<'a> {
    pub(crate) activity: &'a Value,
    pub(crate) configuration: &'a Map<String, Value>,
    pub(crate) secrets: &'a Map<String, Value>,
    pub(crate) tools: &'a Tools,
    pub(crate) ear: Ear,
}

impl Call<'_> {
    pub(crate) fn names(&self) -> Names<'_> {
        Names::new(self.configuration, self.secrets)
    }

    pub(crate) fn provider(&self) -> &Value {
        &self.activity["provider"]
    }

    fn patience(&self, timeout: Option<Duration>) -> Patience {
        Patience {
            bell: Arc::clone(&self.tools.bell),
            ear: self.ear,
            timeout,
        }
    }

    /// Whether somebody judges the output: then nothing is said of what looks like a failure.
    fn judged(&self) -> bool {
        self.activity.get("tolerance").is_some()
    }
}

/// Does what the activity says.
pub(crate) fn call(call: &Call<'_>) -> Result<Value, Failure> {
    match call.provider()["type"].as_str() {
        Some("process") => process::run(call),
        Some("http") => http::run(call),
        Some("python") => python::run(call),
        Some("fault") => call.tools.faults.activity(call),
        _ => Ok(Value::Null),
    }
}

/// A number of seconds; nothing when there is none.
pub(crate) fn seconds(value: &Value) -> Result<Option<Duration>, Failure> {
    if value.is_null() {
        return Ok(None);
    }
    let number = value
        .as_f64()
        .or_else(|| value.as_bool().map(|b| f64::from(u8::from(b))));
    let number =
        number.ok_or_else(|| Failure::Unexpected(format!("{value} is no number of seconds")))?;
    if number <= 0.0 {
        return Ok(Some(Duration::ZERO));
    }
    Ok(Some(
        Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX),
    ))
}
