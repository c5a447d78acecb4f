//! Where experiments come from: files and addresses, JSON and YAML.
//!
//! In: a path or a URL. Out: the experiment as a value, with its text so that places can be told.

mod fetch;
mod scalar;
mod yaml;

use super::place::{KeyPath, Place};
use serde_json::Value;
use std::path::Path;

/// How an experiment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Strict JSON.
    Json,
    /// YAML 1.1, as Python's loader reads it.
    Yaml,
}

/// An experiment as it was found.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path or address, for messages.
    pub name: String,
    /// What it says.
    pub text: String,
    /// How it is written.
    pub format: Format,
    /// What it means.
    pub value: Value,
}

/// Why an experiment could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What the original tool reports in its log.
    #[error("{0}")]
    Invalid(String),
    /// What makes the original tool end with a traceback.
    #[error("{0}")]
    Broken(String),
}

/// Where else than in files to look, and how.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Do not look at certificates.
    pub no_verify_tls: bool,
    /// Sent as `Authorization: bearer …`.
    pub bearer: Option<String>,
}

/// Finds and reads an experiment.
pub fn load(source: &str, access: &Access) -> Result<Source, SourceError> {
    let path = Path::new(source);
    if path.exists() {
        let format = match path.extension().and_then(|e| e.to_str()) {
            Some("yaml" | "yml") => Format::Yaml,
            Some("json") => Format::Json,
            _ => return Err(unknown_format()),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| SourceError::Broken(format!("{source}: {error}")))?;
        return read(source, text, format);
    }
    if source.starts_with("http://") || source.starts_with("https://") {
        return fetch::fetch(source, access);
    }
    Err(SourceError::Invalid(match source.split_once(':') {
        Some((scheme, _))
            if !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric()) =>
        {
            format!("'{scheme}' is not a supported source scheme.")
        }
        _ => format!("Path \"{source}\" does not exist."),
    }))
}

fn unknown_format() -> SourceError {
    SourceError::Broken("only files with json, yaml or yml extensions are supported".into())
}

/// Reads an experiment's text.
pub fn read(name: &str, text: String, format: Format) -> Result<Source, SourceError> {
    let value = match format {
        Format::Json => serde_json::from_str(&text)
            .map_err(|error| SourceError::Broken(not_json(name, &text, &error)))?,
        Format::Yaml => yaml::value(&text).map_err(|error| {
            SourceError::Invalid(format!("Failed parsing YAML experiment: {error}"))
        })?,
    };
    Ok(Source {
        name: name.to_owned(),
        text,
        format,
        value,
    })
}

fn not_json(name: &str, text: &str, error: &serde_json::Error) -> String {
    let (mut line, mut column) = (error.line(), error.column());
    if column == 0 && line > 1 {
        // A line break where none may be: it stands at the end of the line before.
        line -= 1;
        column = text
            .lines()
            .nth(line - 1)
            .map_or(0, |line| line.chars().count())
            + 1;
    }
    let said = error.to_string();
    let message = said.split(" at line ").next().unwrap_or(&said);
    let hint = if message.contains("control character") {
        "\n  try: write a line break in a text as \\n"
    } else {
        ""
    };
    format!("{name}:{line}:{column}: not JSON: {message}{hint}")
}

/// Reads any JSON or YAML file, by its ending.
pub(crate) fn value_of(path: &Path, text: &str) -> Option<Result<Value, String>> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("yaml" | "yml") => Some(yaml::value(text)),
        Some("json") => Some(serde_json::from_str(text).map_err(|error| error.to_string())),
        _ => None,
    }
}

impl Source {
    /// Where a key stands: itself, or the nearest above it that is there.
    pub fn place(&self, path: &KeyPath) -> Option<Place> {
        // JSON that was read is YAML enough to be walked through for places.
        let places = yaml::places(&self.text).ok()?;
        let mut path = path.clone();
        loop {
            if let Some(place) = places.get(&path) {
                return Some(*place);
            }
            path = path.up()?;
        }
    }
}
