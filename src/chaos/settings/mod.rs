//! Configuration, secrets and variables of an experiment.
//!
//! In: what the experiment declares, `--var`, files of variables, the environment. Out: values for
//! substitution.

mod configuration;
mod secrets;
mod variables;
mod vault;

pub use configuration::{dynamic, load_configuration};
pub use secrets::load_secrets;
pub use variables::{Variables, convert_variables, read_files};

use serde_json::Value;

/// Why values could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// What the original tool reports as an invalid experiment.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// The key whose value it is, below `configuration` or `secrets`.
        key: String,
    },
    /// What makes the original tool end with a traceback.
    #[error("{message}")]
    Broken {
        /// What is wrong.
        message: String,
        /// The key whose value it is.
        key: String,
    },
}

impl SettingError {
    fn invalid(key: &str, message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            key: key.to_owned(),
        }
    }

    fn broken(key: &str, message: impl Into<String>) -> Self {
        Self::Broken {
            message: message.into(),
            key: key.to_owned(),
        }
    }
}

/// The environment variable that a value of `type: env` names.
fn variable<'d>(key: &str, definition: &'d Value) -> Result<&'d str, SettingError> {
    let name = definition.get("key").and_then(Value::as_str);
    name.ok_or_else(|| SettingError::broken(key, "an environment value needs a `key`"))
}

/// Makes a value of the type that a variable asks for.
fn convert(kind: Option<&Value>, value: Value) -> Result<Value, String> {
    let kind = match kind {
        None | Some(Value::Null) => return Ok(value),
        Some(kind) => kind.as_str().unwrap_or_default(),
    };
    let text = value.as_str().map(str::to_owned);
    match kind {
        "str" | "string" => Ok(value),
        "int" | "integer" => integer(&value),
        "float" | "number" => float(&value),
        "bytes" => text
            .map(|text| super::py::bytes(&text))
            .ok_or_else(|| format!("{value} is not text that could be bytes")),
        "bool" => match (value, text) {
            (Value::Bool(yes), _) => Ok(Value::Bool(yes)),
            (_, Some(text)) => {
                let text = text.to_lowercase();
                Ok(Value::Bool(!["false", "0", "no"].contains(&text.as_str())))
            }
            (other, None) => Err(format!("{other} is neither text nor a boolean")),
        },
        "json" => match text {
            Some(text) if !text.is_empty() => {
                serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}"))
            }
            _ => Ok(value),
        },
        _ => Err("variable type can only be: bool, str, int, float, bytes or json".into()),
    }
}

fn integer(value: &Value) -> Result<Value, String> {
    let wrong = || {
        format!(
            "invalid literal for int() with base 10: {}",
            super::py::repr(value)
        )
    };
    match value {
        Value::Bool(yes) => Ok(Value::from(i64::from(*yes))),
        Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
            #[expect(clippy::cast_possible_truncation, reason = "Python's int() cuts, too")]
            Some(float) => Ok(Value::from(float.trunc() as i64)),
            None => Ok(value.clone()),
        },
        Value::String(text) => {
            let digits = text.trim().replace('_', "");
            let digits = digits.strip_prefix('+').unwrap_or(&digits);
            digits.parse::<i64>().map(Value::from).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

fn float(value: &Value) -> Result<Value, String> {
    let wrong = || {
        format!(
            "could not convert string to float: {}",
            super::py::repr(value)
        )
    };
    let float = match value {
        Value::Bool(yes) => f64::from(u8::from(*yes)),
        Value::Number(n) => n.as_f64().ok_or_else(wrong)?,
        Value::String(text) => text.trim().replace('_', "").parse().map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    serde_json::Number::from_f64(float)
        .map(Value::Number)
        .ok_or_else(wrong)
}
