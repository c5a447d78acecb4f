//! A server of IRC and the channels there.

use super::{Period, Secret, Wrong};
use serde::Deserialize;
use std::path::PathBuf;

/// How to reach one server, who we are there, and how we speak.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Irc {
    /// Name or address of the server.
    pub host: String,
    /// Port; 6697 with TLS and 6667 without when it is not given.
    pub port: Option<u16>,
    /// Encrypt; off, everything goes in the clear.
    #[serde(default = "yes")]
    pub tls: bool,
    /// PEM file of the authorities to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate, with `key-file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
    /// Password of the server itself, not of an account.
    pub password: Option<Secret>,
    /// Account; when it cannot be proven, nothing is joined and nothing is said.
    pub sasl: Option<IrcSasl>,
    /// The nick we want.
    #[serde(default = "whorl")]
    pub nick: String,
    /// The name before the host.
    #[serde(default = "whorl")]
    pub user: String,
    /// The name shown by WHOIS.
    #[serde(default = "whorl")]
    pub real_name: String,
    /// Which kind of line a note is.
    #[serde(default)]
    pub say: IrcKind,
    /// Lines that may be said at once.
    #[serde(default = "burst")]
    pub burst: u32,
    /// Time between lines after that.
    #[serde(default = "pace")]
    pub pace: Period,
    /// Lines of one note at most.
    #[serde(default = "max_lines")]
    pub max_lines: usize,
    /// How long connecting, registering, or the server's word that it has a line may take.
    #[serde(default = "half_a_minute")]
    pub timeout: Period,
    /// How long the server may be silent before it is asked whether it is there.
    #[serde(default = "keep_alive")]
    pub keep_alive: Period,
    /// First wait before connecting again; it doubles each time.
    #[serde(default = "retry")]
    pub retry: Period,
    /// Longest such wait.
    #[serde(default = "max_retry")]
    pub max_retry: Period,
    /// Wait before a channel is joined again after a kick or a refusal; it doubles each time.
    #[serde(default = "half_a_minute")]
    pub rejoin: Period,
    /// How often a nick is asked for that somebody else has.
    #[serde(default = "reclaim")]
    pub reclaim: Period,
    /// Nothing is said there, and the server is not connected to: notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// Where we speak.
    pub channels: Vec<IrcChannel>,
}

/// How an account is proven.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IrcSasl {
    /// By password, or by the certificate of `cert-file`.
    #[serde(default)]
    pub mechanism: IrcMechanism,
    /// Name of the account, for `plain`.
    pub account: Option<String>,
    /// Its password, for `plain`.
    pub password: Option<Secret>,
}

/// Ways to prove an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IrcMechanism {
    /// By name and password.
    #[default]
    Plain,
    /// By certificate.
    External,
}

/// Kinds of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IrcKind {
    /// As people speak.
    #[default]
    Message,
    /// As programs speak; not every server says when it does not pass one on.
    Notice,
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IrcChannel {
    /// Its name with the sign before it; quoted, as `#` begins a comment in YAML.
    pub name: String,
    /// Its key, if it has one.
    pub key: Option<Secret>,
    /// Nothing is sent: its notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// Globs for the project of the change or of the bug; empty: all.
    #[serde(default)]
    pub projects: Vec<String>,
    /// What it hears of; empty: everything.
    #[serde(default)]
    pub events: Vec<super::chat::ChatEvent>,
    /// Globs for the pipeline; empty: all.
    #[serde(default)]
    pub pipelines: Vec<String>,
    /// Globs for the branch; empty: all.
    #[serde(default)]
    pub branches: Vec<String>,
    /// Only builds that vote (`true`), or only those that do not (`false`).
    #[serde(default)]
    pub voting: Option<bool>,
    /// How many notes within `per`; without it, no limit.
    #[serde(default)]
    pub limit: Option<u32>,
    /// The span of the limit.
    #[serde(default)]
    pub per: Option<Period>,
    /// When nothing is said.
    #[serde(default)]
    pub quiet: Vec<super::chat::QuietHours>,
    /// Whose clock that is, such as `Europe/Berlin`.
    #[serde(default)]
    pub time_zone: Option<String>,
}

fn yes() -> bool {
    true
}

fn whorl() -> String {
    "whorl".to_owned()
}

fn burst() -> u32 {
    5
}

fn pace() -> Period {
    Period::seconds(2)
}

fn max_lines() -> usize {
    12
}

fn half_a_minute() -> Period {
    Period::seconds(30)
}

fn keep_alive() -> Period {
    Period::seconds(90)
}

fn retry() -> Period {
    Period::seconds(2)
}

fn max_retry() -> Period {
    Period::seconds(300)
}

fn reclaim() -> Period {
    Period::seconds(60)
}

impl Irc {
    /// The port, given or usual.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 6697 } else { 6667 })
    }

    /// Every value that may come from the environment.
    pub fn secrets(&mut self) -> Vec<&mut Secret> {
        let mut all: Vec<&mut Secret> = self.password.iter_mut().collect();
        all.extend(self.sasl.iter_mut().filter_map(|s| s.password.as_mut()));
        all.extend(self.channels.iter_mut().filter_map(|c| c.key.as_mut()));
        all
    }

    /// Refuses what cannot be; `path` is where this stands in the file, such as `notes.irc[0]`.
    pub fn check(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        if self.host.is_empty() || self.host.contains(['/', ' ']) {
            return wrong("host", "give the server's name, without a scheme");
        }
        if self.channels.is_empty() {
            return wrong("channels", "name at least one channel");
        }
        for (n, channel) in self.channels.iter().enumerate() {
            let name = &channel.name;
            if !name.starts_with(['#', '&', '+', '!']) || name.contains([' ', ',']) {
                return wrong(
                    &format!("channels[{n}].name"),
                    "not the name of a channel, such as \"#ci\"",
                );
            }
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return wrong("cert-file", "`cert-file` and `key-file` belong together");
        }
        if !self.tls && (self.ca_file.is_some() || self.cert_file.is_some()) {
            return wrong("tls", "files are given for TLS, which is off");
        }
        self.check_pace(path)?;
        self.sasl
            .as_ref()
            .map_or(Ok(()), |sasl| self.check_sasl(path, sasl))
    }

    fn check_pace(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        if self.burst == 0 {
            return wrong("burst", "give at least 1");
        }
        if self.max_lines == 0 {
            return wrong("max-lines", "give at least 1");
        }
        for (key, period) in [
            ("timeout", self.timeout),
            ("keep-alive", self.keep_alive),
            ("retry", self.retry),
            ("max-retry", self.max_retry),
            ("rejoin", self.rejoin),
            ("reclaim", self.reclaim),
        ] {
            if period.0.is_zero() {
                return wrong(key, "give more than nothing");
            }
        }
        Ok(())
    }

    fn check_sasl(&self, path: &str, sasl: &IrcSasl) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        match sasl.mechanism {
            IrcMechanism::Plain if sasl.account.is_none() || sasl.password.is_none() => {
                wrong("sasl", "`plain` needs `account` and `password`")
            }
            IrcMechanism::External if self.cert_file.is_none() => {
                wrong("sasl", "`external` needs `cert-file` and `key-file`")
            }
            IrcMechanism::External if sasl.password.is_some() => {
                wrong("sasl", "`external` takes no password")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/targets/irc.md");

    #[derive(Debug, Deserialize)]
    struct File {
        notes: Notes,
    }

    #[derive(Debug, Deserialize)]
    struct Notes {
        irc: Vec<Irc>,
    }

    fn parse(text: &str) -> Result<Irc, String> {
        let mut irc: Irc = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        for secret in irc.secrets() {
            secret
                .expand(&|name| Some(format!("value of {name}")))
                .map_err(|e| e.0)?;
        }
        irc.check("notes.irc[0]")
            .map_err(|wrong| format!("{}: {}", wrong.path, wrong.message))?;
        Ok(irc)
    }

    #[test]
    fn little_has_to_be_said() {
        let irc = parse("{host: irc.example.org, channels: [{name: '#ci'}]}").unwrap();
        assert_eq!(
            (irc.port(), irc.nick.as_str(), irc.burst),
            (6697, "whorl", 5)
        );
        let irc = parse("{host: h, tls: false, channels: [{name: '#ci'}]}").unwrap();
        assert_eq!(irc.port(), 6667);
    }

    #[test]
    fn what_the_page_shows_is_accepted() {
        let mut seen = 0;
        for block in PAGE.split("```yaml\n").skip(1) {
            let text = block.split("```").next().unwrap();
            let file: File = serde_saphyr::from_str(text).unwrap();
            for irc in file.notes.irc {
                irc.check("notes.irc[0]").unwrap();
                seen += 1;
            }
        }
        assert_eq!(seen, 3);
    }

    #[test]
    fn the_page_says_the_defaults() {
        let text = PAGE
            .split("```yaml\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let file: File = serde_saphyr::from_str(text).unwrap();
        let full = &file.notes.irc[0];
        let short = parse("{host: irc.example.org, channels: [{name: '#ci'}]}").unwrap();
        let plain = Irc {
            ca_file: None,
            password: None,
            sasl: None,
            port: None,
            channels: short.channels.clone(),
            ..full.clone()
        };
        assert_eq!(plain, short);
    }

    #[test]
    fn secrets_are_expanded_and_never_shown() {
        let text = "{host: h, password: '${A}', sasl: {account: a, password: '${B}'}, \
                    channels: [{name: '#c', key: '${C}'}]}";
        let irc = parse(text).unwrap();
        assert_eq!(
            irc.sasl
                .as_ref()
                .unwrap()
                .password
                .as_ref()
                .unwrap()
                .expose(),
            "value of B"
        );
        assert!(!format!("{irc:?}").contains("value of"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        for (text, place) in [
            ("{host: 'irc://h', channels: [{name: '#c'}]}", "host"),
            ("{host: h, channels: []}", "channels"),
            ("{host: h, channels: [{name: c}]}", "channels[0].name"),
            (
                "{host: h, cert-file: a, channels: [{name: '#c'}]}",
                "cert-file",
            ),
            (
                "{host: h, tls: false, ca-file: a, channels: [{name: '#c'}]}",
                "tls",
            ),
            ("{host: h, burst: 0, channels: [{name: '#c'}]}", "burst"),
            ("{host: h, retry: 0s, channels: [{name: '#c'}]}", "retry"),
            (
                "{host: h, sasl: {account: a}, channels: [{name: '#c'}]}",
                "sasl",
            ),
            (
                "{host: h, sasl: {mechanism: external}, channels: [{name: '#c'}]}",
                "sasl",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.starts_with(&format!("notes.irc[0].{place}: ")),
                "{error}"
            );
        }
        assert!(parse("{host: h, chanels: []}").is_err());
        assert!(parse("{host: h, sasl: {mechanism: scram}, channels: [{name: '#c'}]}").is_err());
    }
}
