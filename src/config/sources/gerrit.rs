//! Gerrit, as a source of builds.

use crate::config::{Period, Secret, Wrong};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// A Gerrit whose events are heard by `ssh … gerrit stream-events`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GerritSource {
    /// Its name here: how far it was heard is kept under it.
    pub name: String,
    /// Where its ssh server is.
    pub host: String,
    /// The port of its ssh server.
    #[serde(default = "port")]
    pub port: u16,
    /// The account.
    pub user: String,
    /// File of the account's private key; without one, ssh's own configuration decides.
    pub key: Option<PathBuf>,
    /// File of the server's public key; without one, ssh's own.
    pub known_hosts: Option<PathBuf>,
    /// The program, and what it is given before everything else.
    #[serde(default = "ssh")]
    pub ssh_command: Vec<String>,
    /// Where it is asked for what was missed while it could not be heard.
    pub rest: Option<GerritRest>,
    /// Whose comments are reports of a CI: globs of account names or full names.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Which comments are reports of a CI: globs of tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Accounts by which whorl itself writes, beside `user`: they are never listened to.
    #[serde(default)]
    pub own_accounts: Vec<String>,
    /// Projects that are listened to, as globs; without one, all.
    #[serde(default)]
    pub projects: Vec<String>,
    /// Whether the logs of the builds are fetched.
    #[serde(default)]
    pub logs: LogsOf,
    /// How often ssh asks a silent server whether it is there; three in vain end the connection.
    #[serde(default = "keep_alive")]
    pub keep_alive: Period,
    /// After so long without an event it is asked whether there was one.
    #[serde(default = "quiet")]
    pub quiet: Period,
    /// How far back the first look goes.
    #[serde(default = "since")]
    pub since: Period,
    /// How far back is looked after a long absence.
    #[serde(default = "catch_up")]
    pub catch_up: Period,
}

/// The REST API of a Gerrit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GerritRest {
    /// The address of its pages.
    pub url: Url,
    /// The account, if not that of ssh.
    pub user: Option<String>,
    /// Its HTTP password; without one, only what everybody may see is seen.
    pub password: Option<Secret>,
    /// PEM file of the authorities to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

/// Whether logs are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogsOf {
    /// From the address that the CI's comment says.
    #[default]
    Fetch,
    /// Somebody else brings them to where they are looked for.
    None,
}

fn port() -> u16 {
    29418
}

fn ssh() -> Vec<String> {
    vec!["ssh".to_owned()]
}

fn keep_alive() -> Period {
    Period::seconds(20)
}

fn quiet() -> Period {
    Period::seconds(600)
}

fn since() -> Period {
    Period::seconds(3600)
}

fn catch_up() -> Period {
    Period::seconds(72 * 3600)
}

fn timeout() -> Period {
    Period::seconds(60)
}

impl GerritSource {
    /// A source with the usual values.
    pub fn new(name: &str, host: &str, user: &str) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            port: port(),
            user: user.to_owned(),
            key: None,
            known_hosts: None,
            ssh_command: ssh(),
            rest: None,
            accounts: Vec::new(),
            tags: Vec::new(),
            own_accounts: Vec::new(),
            projects: Vec::new(),
            logs: LogsOf::default(),
            keep_alive: keep_alive(),
            quiet: quiet(),
            since: since(),
            catch_up: catch_up(),
        }
    }

    pub(super) fn secrets(&mut self) -> impl Iterator<Item = &mut Secret> {
        let rest = self.rest.iter_mut();
        rest.filter_map(|rest| rest.password.as_mut())
    }

    pub(super) fn check(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        // Both are words of a command line, where one that begins with `-` is an option.
        for (key, word) in [("host", &self.host), ("user", &self.user)] {
            let odd = |c: char| c.is_whitespace() || c.is_control() || "'\"\\/@`$".contains(c);
            if word.is_empty() || word.starts_with('-') || word.contains(odd) {
                return wrong(key, "not empty, not beginning with `-`, one word");
            }
        }
        if self.port == 0 {
            return wrong("port", "1 to 65535");
        }
        if self.ssh_command.first().is_none_or(String::is_empty) {
            return wrong("ssh-command", "name a program");
        }
        for (key, patterns) in [
            ("accounts", &self.accounts),
            ("tags", &self.tags),
            ("projects", &self.projects),
        ] {
            if let Some(error) = patterns
                .iter()
                .find_map(|one| globset::Glob::new(one).err())
            {
                return wrong(key, &error.to_string());
            }
        }
        self.check_periods(path)?;
        self.rest.as_ref().map_or(Ok(()), |rest| rest.check(path))
    }

    fn check_periods(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        if !(1..=600).contains(&self.keep_alive.0.as_secs()) {
            return wrong("keep-alive", "1s to 10m");
        }
        if self.quiet.0.is_zero() {
            return wrong("quiet", "more than nothing");
        }
        let month = Duration::from_secs(31 * 24 * 3600);
        if self.catch_up.0 > month {
            return wrong("catch-up", "at most 744h");
        }
        if self.since.0 > self.catch_up.0 {
            return wrong("since", "not more than `catch-up`");
        }
        Ok(())
    }
}

impl GerritRest {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.rest.{key}"), why));
        if !matches!(self.url.scheme(), "http" | "https") || !self.url.has_host() {
            return wrong("url", "an address begins with http:// or https://");
        }
        if !self.url.username().is_empty() || self.url.password().is_some() {
            return wrong("url", "give `user` and `password` for themselves");
        }
        let empty = |secret: &Secret| secret.expose().trim().is_empty();
        if self.password.as_ref().is_some_and(empty) {
            return wrong("password", "must not be empty");
        }
        if self.timeout.0.is_zero() || self.timeout.0 > Duration::from_secs(600) {
            return wrong("timeout", "more than nothing, at most 10m");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, LogsOf};

    fn parse(more: &str) -> Result<Config, String> {
        let text = format!(
            "sources:\n  gerrit:\n    - {{name: g, host: review.example, user: whorl{more}}}\n"
        );
        let lookup = |name: &str| (name == "PASSWORD").then(|| "hush-hush".to_owned());
        Config::parse("w.yaml", &text, &lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn a_source_is_read_and_its_password_is_not_shown() {
        let config = parse(
            ", logs: none, rest: {url: 'https://review.example/r/', password: '${PASSWORD}'}",
        )
        .unwrap();
        let source = &config.sources.gerrit[0];
        assert_eq!((source.port, source.logs), (29418, LogsOf::None));
        let password = source.rest.as_ref().unwrap().password.as_ref().unwrap();
        assert_eq!(password.expose(), "hush-hush");
        assert!(!format!("{config:?}").contains("hush"));
        assert!(parse("").unwrap().sources.gerrit[0].rest.is_none());
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        let cases = [
            (", colour: red", "unknown key `colour`"),
            (", port: 0", "gerrit[0].port: "),
            (", ssh-command: []", "gerrit[0].ssh-command: "),
            (", accounts: ['[x']", "gerrit[0].accounts: "),
            (", since: 100h", "gerrit[0].since: "),
            (", keep-alive: 0s", "gerrit[0].keep-alive: "),
            (", rest: {url: 'ssh://x/'}", "gerrit[0].rest.url: "),
            (", rest: {url: 'http://a:b@x/'}", "gerrit[0].rest.url: "),
            (
                ", rest: {url: 'http://x/', password: ''}",
                "rest.password: ",
            ),
            (", key: '${PASSWORD}'", "only secrets"),
            (
                "}\n    - {name: g, host: h, user: u",
                "another source has this name",
            ),
            (
                "}\n    - {name: 'a b', host: h, user: u",
                "gerrit[1].name: ",
            ),
            (
                "}\n    - {name: b, host: -oProxyCommand=x, user: u",
                "gerrit[1].host: ",
            ),
        ];
        for (more, wanted) in cases {
            let error = parse(more).unwrap_err();
            assert!(error.contains(wanted), "{more}: {error}");
        }
    }
}
