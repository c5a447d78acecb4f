//! The configuration: one YAML file, one small struct for each concern.
//!
//! In: the text of a YAML file and the environment. Out: a [`Config`] in which every value is
//! checked. Invariants: an unknown key is an error with its place; secrets come from `${NAME}` and
//! never show in `Debug`; `whorl.example.yaml` documents every key and equals the defaults.

mod intake;
mod log;
mod notes;
mod report;
mod secret;
mod store;
mod units;

pub use intake::Intake;
pub use log::{Log, LogFormat};
pub use notes::{Notes, Webhook};
pub use report::Report;
pub use secret::Secret;
pub use store::{Store, StoreKind};
pub use units::{Period, Size};

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Everything that `whorl serve` can be told.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Address and port of the service.
    pub listen: SocketAddr,
    /// Folder of everything that must survive.
    pub data_dir: PathBuf,
    /// Folders of fingerprint files.
    pub fingerprints: Vec<PathBuf>,
    /// How long a stopping service may take to finish what it has begun.
    pub drain: Period,
    /// The log index.
    pub store: Store,
    /// What comes in.
    pub intake: Intake,
    /// The report.
    pub report: Report,
    /// What goes out.
    pub notes: Notes,
    /// The service's own log.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("whorl-data"),
            fingerprints: vec![PathBuf::from("queries")],
            drain: Period::seconds(30),
            store: Store::default(),
            intake: Intake::default(),
            report: Report::default(),
            notes: Notes::default(),
            log: Log::default(),
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that cannot be.
    #[error("{file}:{line}:{column}: {message}")]
    Invalid {
        /// The file.
        file: String,
        /// Line, counted from 1; 0 when no place is known.
        line: u64,
        /// Column, counted from 1; 0 when no place is known.
        column: u64,
        /// What is wrong.
        message: String,
    },
}

impl Config {
    /// Reads a file, with secrets from the process's environment.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Read {
            file: name.clone(),
            source,
        })?;
        Self::parse(&name, &text, &|variable| std::env::var(variable).ok())
    }

    /// Reads a text; `lookup` gives the value of an environment variable.
    pub fn parse(
        file: &str,
        text: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        if text
            .lines()
            .all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'))
        {
            return Ok(Self::default());
        }
        let mut config: Self =
            serde_saphyr::from_str(text).map_err(|error| yaml_error(file, &error))?;
        for secret in config.secrets() {
            secret
                .expand(lookup)
                .map_err(|(message, line, column)| ConfigError::Invalid {
                    file: file.to_owned(),
                    line,
                    column,
                    message,
                })?;
        }
        config.check().map_err(|message| ConfigError::Invalid {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message,
        })?;
        Ok(config)
    }

    fn secrets(&mut self) -> Vec<&mut Secret> {
        let hooks = self.notes.webhooks.iter_mut();
        let mut all: Vec<&mut Secret> = hooks.flat_map(|h| [&mut h.url, &mut h.secret]).collect();
        all.extend(self.intake.token.as_mut());
        all
    }

    fn check(&self) -> Result<(), String> {
        if self.fingerprints.is_empty() {
            return Err("fingerprints: name at least one folder".into());
        }
        self.store.check()?;
        self.intake.check()?;
        self.report.check()?;
        self.notes.check()
    }
}

/// The first line of the reader's message, with the place it names taken apart.
fn yaml_error(file: &str, error: &serde_saphyr::Error) -> ConfigError {
    let place = error.location();
    let message = error.without_snippet().to_string();
    let first = message.lines().next().unwrap_or("not YAML");
    let first = first.strip_prefix("error: ").unwrap_or(first);
    ConfigError::Invalid {
        file: file.to_owned(),
        line: place.map_or(0, |p| p.line()),
        column: place.map_or(0, |p| p.column()),
        message: first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../whorl.example.yaml");

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse("whorl.yaml", text, &|name| {
            (name == "HOOK").then(|| "s3cret-value".to_owned())
        })
    }

    #[test]
    fn the_example_says_the_defaults() {
        assert_eq!(parse(EXAMPLE).unwrap(), Config::default());
        assert_eq!(parse("# nothing\n").unwrap(), Config::default());
    }

    #[test]
    fn what_the_example_shows_in_comments_is_accepted() {
        let mut shown = String::new();
        for line in EXAMPLE.lines() {
            match line.split_once("#! ") {
                Some((indent, rest)) => shown.extend([indent, rest, "\n"]),
                None if line.contains("# (instead)") => {}
                None => shown.extend([line, "\n"]),
            }
        }
        let config = Config::parse("x", &shown, &|_| Some("value".into())).unwrap();
        assert_eq!(config.notes.webhooks.len(), 1);
        assert!(config.intake.token.is_some());
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_place() {
        let error = parse("listen: 127.0.0.1:1\nintake:\n  max-boddy: 3\n").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("whorl.yaml:3:3: "), "{text}");
        assert!(text.contains("max-boddy"), "{text}");
    }

    #[test]
    fn a_missing_variable_is_an_error_with_name_and_place() {
        let text = "intake:\n  token: ${NOPE}\n";
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("whorl.yaml:2:10: "), "{error}");
        assert!(error.contains("NOPE"), "{error}");
    }

    #[test]
    fn secrets_are_expanded_and_never_shown() {
        let config = parse("intake: {token: 'x-${HOOK}'}\n").unwrap();
        let token = config.intake.token.clone().unwrap();
        assert_eq!(token.expose(), "x-s3cret-value");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            "fingerprints: []",
            "intake: {queue: 0}",
            "store: {retention-days: 0}",
            "log: {format: yaml}",
            "listen: here",
            "drain: soon",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
