//! Where failed builds come from.

mod folder;
mod gerrit;
mod github;
mod gitlab;
mod jenkins;
mod webhook;
mod zuul;

pub use folder::{FolderAfter, FolderComplete, FolderSource};
pub use gerrit::{GerritRest, GerritSource, LogsOf};
pub use github::{GithubApp, GithubCatchUp, GithubSource};
pub use gitlab::GitlabSource;
pub use jenkins::{JenkinsPhase, JenkinsSource};
pub use webhook::WebhookSource;
pub use zuul::{ZuulMqtt, ZuulSource};

use super::{Secret, Wrong};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Systems that tell of builds.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sources {
    /// Gerrits whose events are heard.
    pub gerrit: Vec<GerritSource>,
    /// Zuul: its REST API and its MQTT reporter.
    pub zuul: Vec<ZuulSource>,
    /// Folders in which a CI drops builds.
    pub folder: Vec<FolderSource>,
    /// Repositories on GitHub.
    pub github: Vec<GithubSource>,
    /// Projects on GitLab.
    pub gitlab: Vec<GitlabSource>,
    /// Jenkins servers.
    pub jenkins: Vec<JenkinsSource>,
    /// Whatever else can send a signed message.
    pub webhook: Vec<WebhookSource>,
}

impl Sources {
    pub(super) fn secrets(&mut self) -> Vec<&mut Secret> {
        let mut all: Vec<&mut Secret> = Vec::new();
        all.extend(self.gerrit.iter_mut().flat_map(GerritSource::secrets));
        all.extend(self.zuul.iter_mut().flat_map(ZuulSource::secrets));
        all.extend(self.github.iter_mut().flat_map(GithubSource::secrets));
        all.extend(self.gitlab.iter_mut().flat_map(GitlabSource::secrets));
        all.extend(self.jenkins.iter_mut().flat_map(JenkinsSource::secrets));
        all.extend(self.webhook.iter_mut().map(|source| &mut source.secret));
        all
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        let mut names = BTreeSet::new();
        for (n, source) in self.gerrit.iter().enumerate() {
            let path = format!("sources.gerrit[{n}]");
            named(&mut names, &path, &source.name)?;
            source.check(&path)?;
        }
        for (n, source) in self.zuul.iter().enumerate() {
            let path = format!("sources.zuul[{n}]");
            named(&mut names, &path, &source.name)?;
            source.check(&path)?;
        }
        for (n, source) in self.folder.iter().enumerate() {
            let path = format!("sources.folder[{n}]");
            named(&mut names, &path, &source.name)?;
            source.check(&path)?;
        }
        for (n, source) in self.github.iter().enumerate() {
            let path = format!("sources.github[{n}]");
            named(&mut names, &path, &source.name)?;
            source.check(&path)?;
        }
        for (n, source) in self.gitlab.iter().enumerate() {
            let path = format!("sources.gitlab[{n}]");
            named(&mut names, &path, &source.name)?;
            source.check(&path)?;
        }
        for (n, source) in self.jenkins.iter().enumerate() {
            let path = format!("sources.jenkins[{n}]");
            named(&mut names, &path, &source.name)?;
            source.check(&path)?;
        }
        for (n, source) in self.webhook.iter().enumerate() {
            let path = format!("sources.webhook[{n}]");
            named(&mut names, &path, &source.name)?;
            source.check(&path)?;
        }
        Ok(())
    }
}

/// True for the path of a value that may come from the environment.
pub(super) fn is_secret(path: &str) -> bool {
    let ends = ["].secret", "].token", ".app.key", ".password"];
    ends.iter().any(|end| path.ends_with(end))
}

/// A name stands in addresses and tells sources apart.
fn named(names: &mut BTreeSet<String>, path: &str, name: &str) -> Result<(), Wrong> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    if !(1..=40).contains(&name.len()) || !name.bytes().all(plain) {
        let why = "use 1 to 40 of the characters a-z 0-9 - _: it is part of an address";
        return Err(Wrong::new(format!("{path}.name"), why));
    }
    if !names.insert(name.to_owned()) {
        let why = "another source has this name";
        return Err(Wrong::new(format!("{path}.name"), why));
    }
    Ok(())
}

/// Who knows a short secret can guess it.
fn strong(path: &str, secret: &Secret) -> Result<(), Wrong> {
    if secret.expose().trim().len() < 16 {
        return Err(Wrong::new(path, "give at least 16 characters"));
    }
    Ok(())
}

fn not_empty(path: &str, secret: Option<&Secret>) -> Result<(), Wrong> {
    if secret.is_some_and(|secret| secret.expose().trim().is_empty()) {
        return Err(Wrong::new(path, "must not be empty"));
    }
    Ok(())
}

fn http(path: &str, url: &url::Url) -> Result<(), Wrong> {
    let plain = url.username().is_empty() && url.password().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && plain {
        return Ok(());
    }
    let why = "an address begins with http:// or https:// and names a host, without a password";
    Err(Wrong::new(path, why))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, JenkinsPhase};

    fn parse(kind: &str, keys: &str) -> Result<Config, String> {
        let text = format!("sources:\n  {kind}:\n    - {{{keys}}}\n");
        let lookup = |name: &str| (name == "S").then(|| "hush-hush-hush-hush".to_owned());
        Config::parse("w.yaml", &text, &lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn sources_are_read_and_no_secret_is_shown() {
        let keys = "name: a, secret: '${S}', app: {id: 7, key: '${S}', installation: 9}";
        let config = parse("github", keys).unwrap();
        let github = &config.sources.github[0];
        let api = github.address().unwrap();
        assert_eq!(api.as_str(), "https://api.github.com/");
        assert_eq!(github.app.as_ref().unwrap().id, "7");
        assert!(!format!("{config:?}").contains("hush"));
        let keys = "name: j, url: 'https://ci/', secret: '${S}', phase: completed";
        let config = parse("jenkins", keys).unwrap();
        assert_eq!(config.sources.jenkins[0].phase, JenkinsPhase::Completed);
        let keys = "name: g, secret: '${S}', token: '${S}'";
        let config = parse("gitlab", keys).unwrap();
        let api = config.sources.gitlab[0].address().unwrap();
        assert_eq!(api.as_str(), "https://gitlab.com/api/v4");
        assert!(parse("webhook", "name: w, secret: '${S}'").is_ok());
    }

    /// What stands between the braces, `SECRET` for a good one, and what is said.
    const WRONG: &[(&str, &str, &str)] = &[
        ("webhook", "name: w, secret: short", "webhook[0].secret: "),
        ("webhook", "name: '', secret: x", "webhook[0].name: "),
        ("webhook", "name: A/B, secret: x", "webhook[0].name: "),
        ("webhook", "name: w", "missing field `secret`"),
        (
            "github",
            "name: g, SECRET",
            "github[0]: give `token` or `app`",
        ),
        (
            "github",
            "name: g, SECRET, token: t, app: {id: 1, key: k}",
            "github[0]: give `token` or `app`",
        ),
        (
            "github",
            "name: g, SECRET, app: {id: 1}",
            "github[0].app: give `key` or `key-file`",
        ),
        (
            "github",
            "name: g, SECRET, token: t, non-voting: ['[']",
            "github[0].non-voting[0]: ",
        ),
        (
            "github",
            "name: g, SECRET, token: t, catch-up: {repositories: [x]}",
            "catch-up.repositories[0]: ",
        ),
        (
            "github",
            "name: g, SECRET, token: t, catch-up: {repositories: [a/b], every: 1s}",
            "catch-up.every: ",
        ),
        ("gitlab", "name: g, SECRET, token: ''", "gitlab[0].token: "),
        (
            "gitlab",
            "name: g, SECRET, token: t, api: 'ftp://x/'",
            "gitlab[0].api: ",
        ),
        (
            "jenkins",
            "name: j, SECRET, url: 'https://ci/', user: me",
            "jenkins[0].user: ",
        ),
        (
            "jenkins",
            "name: j, SECRET, url: 'https://me:pw@ci/'",
            "jenkins[0].url: ",
        ),
        (
            "jenkins",
            "name: '${S}', url: 'https://ci/', secret: x",
            "only secrets",
        ),
    ];

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        let secret = "secret: '0123456789abcdef'";
        for (kind, keys, wanted) in WRONG {
            let keys = keys.replace("SECRET", secret);
            let error = parse(kind, &keys).unwrap_err();
            assert!(error.contains(wanted), "{keys}: {error}");
        }
        let twice = format!(
            "sources:\n  webhook: [{{name: a, {secret}}}]\n  gitlab: [{{name: a, {secret}, token: t}}]\n"
        );
        let error = Config::parse("w.yaml", &twice, &|_| None).unwrap_err();
        assert!(error.to_string().contains("another source"), "{error}");
    }
}
