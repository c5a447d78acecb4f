//! The cluster that keeps the logs, when it is not this machine.

use super::{Period, Secret, Wrong};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use url::Url;

/// How to reach a cluster and how its indexes are laid out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cluster {
    /// Addresses of its nodes.
    pub urls: Vec<Url>,
    /// User, with `password`.
    pub user: Option<String>,
    /// Password of the user.
    pub password: Option<Secret>,
    /// API key, as the cluster gave it.
    pub api_key: Option<Secret>,
    /// Bearer token.
    pub token: Option<Secret>,
    /// PEM file of the authorities to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Period,
    /// How often a request is sent again.
    pub retries: u32,
    /// What the names of our own indexes begin with.
    pub prefix: String,
    /// Shards of one day's index of ours.
    pub shards: u32,
    /// Events that are pulled for one build at most, where the cluster cannot answer itself.
    pub max_events: u64,
    /// How indexes are laid out that somebody else fills; without it we fill our own.
    pub layout: Option<LayoutOf>,
    /// When a build's log is complete in indexes that somebody else fills.
    pub ready: Ready,
    /// How often builds are looked for in these indexes; without it a CI has to announce them.
    pub discover: Option<Discover>,
}

/// How builds are found in the indexes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Discover {
    /// How often.
    pub every: Period,
    /// How far back the first look goes.
    pub since: Period,
}

impl Default for Discover {
    fn default() -> Self {
        Self {
            every: Period::seconds(60),
            since: Period::seconds(24 * 3600),
        }
    }
}

/// When a build's log is complete.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ready {
    /// A query that must find an event of the build, such as the last line of its console log.
    pub last_line: Option<String>,
    /// Files that builds of some jobs must have.
    pub files: Vec<ReadyFiles>,
    /// The number of events must not grow for this long.
    pub quiet: Period,
    /// When a build is looked at although its log is not complete (verdict `partial-log`, or
    /// `no-log`).
    pub deadline: Period,
}

/// Files that builds must have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadyFiles {
    /// A glob over the name of the job.
    pub jobs: String,
    /// Names of files; in any folder.
    pub names: Vec<String>,
}

impl Default for Ready {
    fn default() -> Self {
        Self {
            last_line: None,
            files: Vec::new(),
            quiet: Period::seconds(10),
            deadline: Period::seconds(1200),
        }
    }
}

/// The layout of indexes that somebody else fills.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LayoutOf {
    /// A layout that is known: `openstack` or `elastic-recheck`. The other keys change it.
    pub preset: Option<String>,
    /// Names of indexes, aliases or data streams, with `*` and `%Y.%m.%d`.
    pub indexes: Vec<String>,
    /// What the cluster calls a field, by the name that fingerprints use.
    pub names: BTreeMap<String, String>,
    /// Fields that give the order of the events of one moment.
    pub order: Vec<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            user: None,
            password: None,
            api_key: None,
            token: None,
            ca_file: None,
            timeout: Period::seconds(30),
            retries: 4,
            prefix: "whorl".into(),
            shards: 1,
            max_events: 200_000,
            layout: None,
            ready: Ready::default(),
            discover: None,
        }
    }
}

impl Cluster {
    pub(super) fn secrets(&mut self) -> impl Iterator<Item = &mut Secret> {
        let all = [&mut self.password, &mut self.api_key, &mut self.token];
        all.into_iter().flatten()
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        let wrong =
            |key: &str, why: &str| Err(Wrong::new(format!("store.elasticsearch.{key}"), why));
        if self.urls.is_empty() {
            return wrong("urls", "give at least one address of the cluster");
        }
        if self
            .urls
            .iter()
            .any(|url| !matches!(url.scheme(), "http" | "https"))
        {
            return wrong("urls", "an address begins with http:// or https://");
        }
        if self.user.is_some() != self.password.is_some() {
            return wrong("user", "`user` and `password` belong together");
        }
        let ways = [
            self.user.is_some(),
            self.api_key.is_some(),
            self.token.is_some(),
        ];
        if ways.into_iter().filter(|given| *given).count() > 1 {
            return wrong("user", "give one of `user`, `api-key` and `token`");
        }
        let free = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        let begins = self.prefix.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || !self.prefix.chars().all(free) {
            return wrong("prefix", "lower-case letters, digits, `-`, `_` and `.`");
        }
        let parts = self.prefix.split('-');
        if parts
            .skip(1)
            .any(|part| part.starts_with(|c: char| c.is_ascii_digit()))
        {
            // Else it could not be told from the days of a service whose prefix is the part before.
            return wrong(
                "prefix",
                "no digit after `-`: there the days of our indexes stand",
            );
        }
        if !(1..=100).contains(&self.shards) {
            return wrong("shards", "1 to 100");
        }
        match &self.layout {
            Some(layout) if layout.preset.is_none() && layout.indexes.is_empty() => {
                wrong("layout", "give `preset` or `indexes`")
            }
            _ => Ok(()),
        }
    }
}
