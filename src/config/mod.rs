//! The configuration: one YAML file, one small struct for each concern.
//!
//! In: the text of a YAML file and the environment. Out: a [`Config`] in which every value is
//! checked. Invariants: an unknown key is an error with its place; secrets come from `${NAME}` and
//! never show in `Debug`; `whorl.example.yaml` documents every key and equals the defaults.

mod chaos;
pub mod chat;
mod cluster;
mod commands;
mod download;
mod intake;
mod irc;
mod log;
pub mod mail;
mod notes;
mod place;
mod recheck;
mod redact;
mod report;
mod review;
mod secret;
mod sources;
mod state;
mod store;
mod trackers;
mod units;

pub use chaos::Chaos;
pub use cluster::{Cluster, Discover, LayoutOf, Ready, ReadyFiles};
pub use commands::Commands;
pub use download::Download;
pub use intake::Intake;
pub use irc::{Irc, IrcChannel, IrcKind, IrcMechanism, IrcSasl};
pub use log::{Log, LogFormat};
pub use notes::{Notes, Webhook};
pub use recheck::Recheck;
pub use redact::RedactRule;
pub use report::Report;
pub use review::{GerritAt, GitHubApp, GitHubAt, GitLabAt, Review, ReviewNotify, ReviewVote};
pub use secret::Secret;
pub use sources::{FolderAfter, FolderComplete, FolderSource, ZuulMqtt, ZuulSource};
pub use sources::{GerritRest, GerritSource, LogsOf};
pub use sources::{GithubApp, GithubCatchUp, GithubSource, GitlabSource};
pub use sources::{JenkinsPhase, JenkinsSource, Sources, WebhookSource};
pub use state::StatePlace;
pub use store::{Store, StoreKind};
pub use trackers::{Counts, TrackerKind, TrackerSite, Trackers};
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
    /// Where the state is kept.
    pub state: StatePlace,
    /// The log index.
    pub store: Store,
    /// What comes in.
    pub intake: Intake,
    /// Where builds are heard of.
    pub sources: Sources,
    /// Logs that are fetched.
    pub download: Download,
    /// The report.
    pub report: Report,
    /// What goes out.
    pub notes: Notes,
    /// Who may tell the service what to do.
    pub commands: Commands,
    /// When the CI is asked for another run.
    pub recheck: Recheck,
    /// Bug trackers.
    pub trackers: Trackers,
    /// The service's own log.
    pub log: Log,
    /// Calls that fail on purpose.
    pub chaos: Chaos,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("whorl-data"),
            fingerprints: vec![PathBuf::from("queries")],
            drain: Period::seconds(30),
            state: StatePlace::default(),
            store: Store::default(),
            intake: Intake::default(),
            sources: Sources::default(),
            download: Download::default(),
            report: Report::default(),
            notes: Notes::default(),
            commands: Commands::default(),
            recheck: Recheck::default(),
            trackers: Trackers::default(),
            log: Log::default(),
            chaos: Chaos::default(),
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
        /// Line, counted from 1.
        line: u64,
        /// Column, counted from 1.
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
        let wrong = variable_elsewhere(text).or_else(|| config.check().err());
        match wrong {
            None => Ok(config),
            Some(wrong) => Err(wrong.placed(file, text)),
        }
    }

    /// Folder of received logs and reports.
    pub fn shared_dir(&self) -> &Path {
        self.state.shared_dir.as_deref().unwrap_or(&self.data_dir)
    }

    fn secrets(&mut self) -> Vec<&mut Secret> {
        let mut all = self.notes.secrets();
        all.extend(self.intake.token.as_mut());
        all.extend(self.trackers.secrets());
        all.extend(self.sources.secrets());
        all.extend(self.state.url.as_mut());
        let cluster = self.store.elasticsearch.as_mut();
        all.extend(cluster.into_iter().flat_map(Cluster::secrets));
        all
    }

    fn check(&self) -> Result<(), Wrong> {
        if self.fingerprints.is_empty() {
            return Err(Wrong::new("fingerprints", "name at least one folder"));
        }
        if self.data_dir.as_os_str().is_empty() {
            return Err(Wrong::new("data-dir", "must not be empty"));
        }
        self.state.check()?;
        self.store.check()?;
        self.intake.check()?;
        self.sources.check()?;
        self.download.check()?;
        self.report.check()?;
        self.commands.check()?;
        self.recheck.check()?;
        self.trackers.check()?;
        self.chaos.check()?;
        self.notes.check()
    }
}

/// A value that cannot be, by its path in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The path: `report.schedule`, `notes.webhooks[0].url`.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl Wrong {
    /// About the value at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }

    /// The error with the place of the value in the file's text.
    pub fn placed(self, file: &str, text: &str) -> ConfigError {
        let (line, column) = place::place(&place::leaves(text), &self.path);
        ConfigError::Invalid {
            file: file.to_owned(),
            line,
            column,
            message: format!("{}: {}", self.path, self.message),
        }
    }
}

/// The single secrets.
const SECRETS: [&str; 5] = [
    "intake.token",
    "state.url",
    "store.elasticsearch.password",
    "store.elasticsearch.api-key",
    "store.elasticsearch.token",
];

/// Values in which a variable would be taken literally.
fn variable_elsewhere(text: &str) -> Option<Wrong> {
    let found = place::leaves(text).into_iter().find(|leaf| {
        let literal = leaf.text.as_ref().is_some_and(|text| text.contains("${"));
        let token = |path: &str| path.ends_with("].token") || path.ends_with("].token-secret");
        let secret = SECRETS.contains(&leaf.path.as_str())
            || leaf.path.starts_with("notes.webhooks[")
            || of_a_target(&leaf.path)
            || (leaf.path.starts_with("sources.") && sources::is_secret(&leaf.path))
            || (leaf.path.starts_with("trackers.sites[") && token(&leaf.path));
        literal && !secret
    })?;
    let message = "only secrets (tokens, passwords, keys, state.url, url and secret of a webhook) may contain ${NAME}";
    Some(Wrong::new(found.path, message))
}

/// The secrets of targets, by the last part of their paths.
fn of_a_target(path: &str) -> bool {
    let groups = ["notes.irc[", "notes.chat.", "notes.review.", "notes.mail."];
    let last = path.rsplit('.').next().unwrap_or_default();
    groups.iter().any(|group| path.starts_with(group))
        && (matches!(last, "password" | "token" | "key" | "private-key")
            || (last == "url" && path.starts_with("notes.chat.hooks[")))
}

/// The reader's message in our words, with the place it names taken apart.
fn yaml_error(file: &str, error: &serde_saphyr::Error) -> ConfigError {
    let place = error.location();
    ConfigError::Invalid {
        file: file.to_owned(),
        line: place.map_or(1, |p| p.line()),
        column: place.map_or(1, |p| p.column()),
        message: yaml_message(error.without_snippet()),
    }
}

fn yaml_message(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::SerdeUnknownField {
        field, expected, ..
    } = error
    {
        let hint = match nearest(field, expected) {
            Some(key) => format!("did you mean `{key}`?"),
            None => format!("use one of {}", expected.join(", ")),
        };
        return format!("unknown key `{field}`: {hint}");
    }
    let message = error.to_string();
    let first = message.lines().next().unwrap_or("not YAML");
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

/// The key that a misspelt one most likely means.
fn nearest<'a>(word: &str, keys: &[&'a str]) -> Option<&'a str> {
    let plain = word.replace('_', "-").to_lowercase();
    let best = keys.iter().min_by_key(|key| distance(&plain, key))?;
    (distance(&plain, best) <= 1 + word.len() / 4).then_some(best)
}

/// Letters to change, add or leave out to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let kept = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = kept.min(corner + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
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
        let config =
            Config::parse("x", &shown, &|_| Some("a-value-of-some-length".into())).unwrap();
        assert_eq!(config.notes.webhooks.len(), 1);
        assert!(config.intake.token.is_some());
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_place() {
        let error = parse("listen: 127.0.0.1:1\nintake:\n  max-boddy: 3\n").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("whorl.yaml:3:3: "), "{text}");
        assert!(
            text.contains("unknown key `max-boddy`: did you mean `max-body`?"),
            "{text}"
        );
        let error = parse("colour: red\n").unwrap_err().to_string();
        assert!(error.contains("use one of listen, data-dir"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_an_error_with_its_place() {
        let cases = [
            (
                "store:\n  retention-days: 0\n",
                "2:19: store.retention-days: ",
            ),
            ("intake:\n  queue: 0\n", "2:10: intake.queue: "),
            ("fingerprints: []\n", "1:15: fingerprints: "),
            ("download:\n  per-host: 99\n", "2:13: download.per-host: "),
            (
                "download:\n  idle-timeout: 0s\n",
                "2:17: download.idle-timeout: ",
            ),
            (
                "notes:\n  redact:\n    - {name: x, pattern: '('}\n",
                "3:26: notes.redact[0].pattern: unclosed group",
            ),
            (
                "commands:\n  silence: [ann, '[']\n",
                "2:18: commands.silence[1]: ",
            ),
            ("recheck: {per-day: 0}\n", "1:20: recheck.per-day: "),
            ("data-dir: '${HOME}/x'\n", "1:11: data-dir: only secrets"),
            ("notes:\n  base-url: ftp://x/\n", "2:13: notes.base-url: "),
            (
                "notes:\n  webhooks:\n    - url: ftp://x/\n      secret: s\n",
                "3:12: notes.webhooks[0].url: ",
            ),
        ];
        for (text, wanted) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("whorl.yaml:{wanted}")),
                "{error}"
            );
        }
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
            "state: {url: 'mysql://h/d'}",
            "state: {shared-dir: /srv}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
