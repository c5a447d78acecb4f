//! `--var` and `--var-file`.

use super::convert;
use crate::chaos::env::Environment;
use crate::chaos::log::{Level, Log};
use crate::chaos::source::value_of;
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// Values from outside of the experiment.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// In place of declared configuration.
    pub configuration: Map<String, Value>,
    /// In place of declared secrets.
    pub secrets: Map<String, Value>,
}

/// Reads `key=value` and `key:type=value`.
pub fn convert_variables(written: &[String]) -> Result<Map<String, Value>, String> {
    let mut variables = Map::new();
    for item in written {
        let Some((key, value)) = item.split_once('=') else {
            return Err(format!(
                "{item:?}: a variable is written as name=value or name:type=value"
            ));
        };
        let (key, kind) = match key.rsplit_once(':') {
            Some((key, kind)) => (key, Some(Value::from(kind))),
            None => (key, None),
        };
        let value = convert(kind.as_ref(), Value::from(value))
            .map_err(|error| format!("{item:?}: {error}"))?;
        variables.insert(key.to_owned(), value);
    }
    Ok(variables)
}

/// Reads files of variables: JSON and YAML with `configuration` and `secrets`, or `NAME=value` lines
/// that go into the environment. What cannot be read is logged and left out.
pub fn read_files(files: &[PathBuf], environment: &mut Environment, log: &dyn Log) -> Variables {
    let mut variables = Variables::default();
    for file in files {
        let shown = file.display();
        let Ok(text) = fs::read_to_string(file) else {
            log.log(Level::Error, &format!("Cannot read var file '{shown}'"));
            continue;
        };
        match value_of(file, &text) {
            Some(Err(error)) => {
                let message = format!("Failed to parse variable file '{shown}': {error}");
                log.log(Level::Error, &message);
            }
            Some(Ok(Value::Object(map))) => add(&mut variables, &map),
            Some(Ok(_)) if text.trim().is_empty() => {}
            Some(Ok(_)) => {
                let message = format!("Failed to parse variable file '{shown}': not a mapping");
                log.log(Level::Error, &message);
            }
            None => lines(file, &text, environment, log),
        }
    }
    variables
}

fn add(variables: &mut Variables, map: &Map<String, Value>) {
    let part = |key: &str| map.get(key).and_then(Value::as_object).cloned();
    variables
        .configuration
        .extend(part("configuration").unwrap_or_default());
    variables
        .secrets
        .extend(part("secrets").unwrap_or_default());
}

fn lines(file: &Path, text: &str, environment: &mut Environment, log: &dyn Log) {
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((key, value)) = line.split_once('=') {
            environment.set(key, value);
        } else {
            let message = format!("Variable file '{}': no `=` in {line:?}", file.display());
            log.log(Level::Error, &message);
        }
    }
}
