//! Bug trackers.

use super::{Period, Secret, Wrong};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

/// Which bug trackers are asked, and how often. Without sites none is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trackers {
    /// How often a bug that was hit in the last week is looked at; others at an eighth of it.
    pub every: Period,
    /// Bugs that one tracker is asked for in a minute at most.
    pub per_minute: u32,
    /// How long one request may take.
    pub timeout: Period,
    /// What is older than this is shown as such.
    pub stale_after: Period,
    /// A hit this long after a bug was closed makes it a returned bug.
    pub returned_after: Period,
    /// A Gerrit whose open changes are searched for the bug's number.
    pub gerrit: Option<Url>,
    /// The trackers.
    pub sites: Vec<TrackerSite>,
}

/// One bug tracker.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrackerSite {
    /// What it runs.
    pub kind: TrackerKind,
    /// Address of its pages, for `bug:` values that are URLs and for links.
    pub web: Option<Url>,
    /// Address of its API, where it is not the usual one.
    pub api: Option<Url>,
    /// The account: see `docs/trackers.md` for what each kind needs.
    pub user: Option<String>,
    /// Its token, API key or password.
    pub token: Option<Secret>,
    /// Launchpad only: the secret that belongs to the token.
    pub token_secret: Option<Secret>,
    /// Whether counts of failed builds are written into a comment of the bug.
    #[serde(default)]
    pub counts: Counts,
    /// How often that comment may change.
    #[serde(default = "day")]
    pub counts_every: Period,
}

/// What a tracker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackerKind {
    /// Launchpad.
    Launchpad,
    /// GitHub or GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Jira, in the cloud or not.
    Jira,
    /// Bugzilla.
    Bugzilla,
}

/// Whether counts are written into bugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// Nothing is written.
    #[default]
    Never,
    /// What would be written goes to the log.
    DryRun,
    /// One comment in each bug is kept up to date.
    Write,
}

impl TrackerKind {
    /// The word in files: also the prefix of `bug:` values.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launchpad => "launchpad",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Jira => "jira",
            Self::Bugzilla => "bugzilla",
        }
    }

    /// The public instance's pages, where there is one.
    pub fn public(self) -> Option<&'static str> {
        match self {
            Self::Launchpad => Some("https://bugs.launchpad.net/"),
            Self::Github => Some("https://github.com/"),
            Self::Gitlab => Some("https://gitlab.com/"),
            Self::Jira | Self::Bugzilla => None,
        }
    }
}

fn day() -> Period {
    Period::seconds(24 * 3600)
}

impl Default for Trackers {
    fn default() -> Self {
        Self {
            every: Period::seconds(30 * 60),
            per_minute: 20,
            timeout: Period::seconds(15),
            stale_after: Period::seconds(6 * 3600),
            returned_after: Period::seconds(6 * 3600),
            gerrit: None,
            sites: Vec::new(),
        }
    }
}

impl TrackerSite {
    /// A site of this kind at its usual place, asked without an account.
    pub fn new(kind: TrackerKind) -> Self {
        Self {
            kind,
            web: None,
            api: None,
            user: None,
            token: None,
            token_secret: None,
            counts: Counts::Never,
            counts_every: day(),
        }
    }

    /// Address of its pages; `check` makes sure that there is one.
    pub fn pages(&self) -> Option<Url> {
        let public = || self.kind.public()?.parse().ok();
        self.web.clone().or_else(public)
    }

    fn check(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        for (key, url) in [("web", &self.web), ("api", &self.api)] {
            if url.as_ref().is_some_and(|url| !is_http(url)) {
                return wrong(
                    key,
                    "an address begins with http:// or https:// and names a host",
                );
            }
        }
        if self.pages().is_none() {
            return Err(Wrong::new(path, "give `web`: the address of its pages"));
        }
        if self.user.is_some() && self.token.is_none() {
            return wrong("user", "`user` needs `token`");
        }
        let launchpad = self.kind == TrackerKind::Launchpad;
        if !launchpad && self.token_secret.is_some() {
            return wrong("token-secret", "only Launchpad has one");
        }
        let whole = self.user.is_some() && self.token_secret.is_some();
        if launchpad && self.token.is_some() && !whole {
            let why = "Launchpad needs `user` (the consumer key), `token` and `token-secret`";
            return wrong("token", why);
        }
        let secrets = [&self.token, &self.token_secret];
        if secrets
            .into_iter()
            .flatten()
            .any(|s| s.expose().trim().is_empty())
        {
            return wrong("token", "must not be empty");
        }
        self.check_counts(path)
    }

    fn check_counts(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        if self.counts != Counts::Never && self.kind == TrackerKind::Bugzilla {
            return wrong(
                "counts",
                "Bugzilla's API cannot edit a comment: leave this out",
            );
        }
        if self.counts != Counts::Never && self.token.is_none() {
            return wrong("counts", "writing needs an account: give `token`");
        }
        if self.counts_every.0 < Duration::from_secs(3600) {
            return wrong(
                "counts-every",
                "at least 1h: every change is mailed to people",
            );
        }
        Ok(())
    }
}

impl Trackers {
    pub(super) fn secrets(&mut self) -> impl Iterator<Item = &mut Secret> {
        let sites = self.sites.iter_mut();
        sites.flat_map(|site| {
            [&mut site.token, &mut site.token_secret]
                .into_iter()
                .flatten()
        })
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("trackers.{key}"), why));
        if self.every.0 < Duration::from_secs(60) {
            return wrong("every", "at least 1m");
        }
        if !(1..=600).contains(&self.per_minute) {
            return wrong("per-minute", "1 to 600");
        }
        if self.timeout.0.is_zero() || self.timeout.0 > Duration::from_secs(120) {
            return wrong("timeout", "more than nothing, at most 2m");
        }
        if self.stale_after.0 < self.every.0 {
            return wrong("stale-after", "not less than `every`");
        }
        if self.gerrit.as_ref().is_some_and(|url| !is_http(url)) {
            return wrong("gerrit", "an address begins with http:// or https://");
        }
        for (n, site) in self.sites.iter().enumerate() {
            let path = format!("trackers.sites[{n}]");
            site.check(&path)?;
            let same =
                |other: &TrackerSite| (other.kind, other.pages()) == (site.kind, site.pages());
            if self.sites[..n].iter().any(same) {
                return Err(Wrong::new(path, "this tracker is named twice"));
            }
        }
        Ok(())
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Counts, TrackerKind};

    fn parse(sites: &str) -> Result<Config, String> {
        let text = format!("trackers:\n  sites:\n    - {{{sites}}}\n");
        let lookup = |name: &str| (name == "TOKEN").then(|| "hush-hush".to_owned());
        Config::parse("w.yaml", &text, &lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn a_site_is_read_and_its_token_is_not_shown() {
        let config = parse("kind: github, token: '${TOKEN}', counts: write").unwrap();
        let site = &config.trackers.sites[0];
        assert_eq!(
            (site.kind, site.counts),
            (TrackerKind::Github, Counts::Write)
        );
        assert_eq!(site.token.as_ref().unwrap().expose(), "hush-hush");
        assert!(!format!("{config:?}").contains("hush"));
        assert_eq!(site.pages().unwrap().as_str(), "https://github.com/");
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        let cases = [
            ("kind: mantis", "w.yaml:3:14: "),
            ("kind: jira", "sites[0]: give `web`"),
            ("kind: github, colour: red", "unknown key `colour`"),
            ("kind: github, web: 'ftp://x/'", "sites[0].web: "),
            ("kind: github, user: me", "sites[0].user: "),
            (
                "kind: github, counts: write",
                "sites[0].counts: writing needs an account",
            ),
            (
                "kind: gitlab, token: t, token-secret: s",
                "sites[0].token-secret: ",
            ),
            (
                "kind: launchpad, token: t",
                "sites[0].token: Launchpad needs",
            ),
            (
                "kind: github, token: ''",
                "sites[0].token: must not be empty",
            ),
            (
                "kind: bugzilla, web: 'https://b/', token: t, counts: dry-run",
                "cannot edit a comment",
            ),
            (
                "kind: github, token: t, counts: write, counts-every: 1m",
                "sites[0].counts-every: ",
            ),
            ("kind: github, web: 'https://${TOKEN}/'", "only secrets"),
        ];
        for (sites, wanted) in cases {
            let error = parse(sites).unwrap_err();
            assert!(error.contains(wanted), "{sites}: {error}");
        }
        let twice =
            "trackers: {sites: [{kind: github}, {kind: github, web: 'https://github.com/'}]}";
        let error = Config::parse("w.yaml", twice, &|_| None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("named twice"), "{error}");
    }
}
