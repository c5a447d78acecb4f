//! GitHub as a source.

use super::super::{Period, Secret, Wrong};
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Repositories on one GitHub.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GithubSource {
    /// Its name: notifications go to `/hooks/NAME`.
    pub name: String,
    /// The key of the notifications' signature.
    pub secret: Secret,
    /// Address of the API, where it is not the public one.
    pub api: Option<Url>,
    /// A token that may read Actions and pull requests.
    pub token: Option<Secret>,
    /// A GitHub App, in place of a token.
    pub app: Option<GithubApp>,
    /// Jobs that do not count for a change: globs over `WORKFLOW / JOB`.
    #[serde(default)]
    pub non_voting: Vec<String>,
    /// Apps whose check runs are builds too, by the names in their addresses.
    #[serde(default)]
    pub checks: Vec<String>,
    /// How long one request may take.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// Looks for what no notification told.
    pub catch_up: Option<GithubCatchUp>,
}

/// A GitHub App.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GithubApp {
    /// Its number or client id.
    #[serde(deserialize_with = "text_or_number")]
    pub id: String,
    /// Its private key (PEM).
    pub key: Option<Secret>,
    /// A file with its private key.
    pub key_file: Option<PathBuf>,
    /// The installation; not needed when there is only one.
    pub installation: Option<u64>,
}

/// Which repositories are looked at beside the notifications.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GithubCatchUp {
    /// The repositories, as `OWNER/NAME`.
    pub repositories: Vec<String>,
    /// How often.
    #[serde(default = "often")]
    pub every: Period,
    /// How far back the first look goes.
    #[serde(default = "day")]
    pub since: Period,
}

fn timeout() -> Period {
    Period::seconds(15)
}

fn often() -> Period {
    Period::seconds(600)
}

fn day() -> Period {
    Period::seconds(24 * 3600)
}

fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    Ok(match Either::deserialize(from)? {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    })
}

/// The public API.
const PUBLIC: &str = "https://api.github.com/";

impl GithubSource {
    /// The address of the API.
    pub fn address(&self) -> Option<Url> {
        let public = || PUBLIC.parse().ok();
        self.api.clone().or_else(public)
    }

    pub(super) fn secrets(&mut self) -> impl Iterator<Item = &mut Secret> {
        let key = self.app.as_mut().and_then(|app| app.key.as_mut());
        [Some(&mut self.secret), self.token.as_mut(), key]
            .into_iter()
            .flatten()
    }

    pub(super) fn check(&self, path: &str) -> Result<(), Wrong> {
        super::strong(&format!("{path}.secret"), &self.secret)?;
        let api = self.api.as_ref();
        api.map_or(Ok(()), |url| super::http(&format!("{path}.api"), url))?;
        super::not_empty(&format!("{path}.token"), self.token.as_ref())?;
        let app = match (&self.token, &self.app) {
            (Some(_), None) => None,
            (None, Some(app)) => Some(app),
            _ => return Err(Wrong::new(path, "give `token` or `app`, and not both")),
        };
        app.map_or(Ok(()), |app| app.check(&format!("{path}.app")))?;
        for (n, glob) in self.non_voting.iter().enumerate() {
            globset::Glob::new(glob).map_err(|error| {
                Wrong::new(format!("{path}.non-voting[{n}]"), error.to_string())
            })?;
        }
        if self.timeout.0.is_zero() || self.timeout.0 > Duration::from_secs(120) {
            let why = "more than nothing, at most 2m";
            return Err(Wrong::new(format!("{path}.timeout"), why));
        }
        let catch_up = self.catch_up.as_ref();
        catch_up.map_or(Ok(()), |one| one.check(&format!("{path}.catch-up")))
    }
}

impl GithubApp {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        super::not_empty(&format!("{path}.key"), self.key.as_ref())?;
        if self.key.is_some() == self.key_file.is_some() {
            return Err(Wrong::new(path, "give `key` or `key-file`, and not both"));
        }
        Ok(())
    }
}

impl GithubCatchUp {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        for (n, name) in self.repositories.iter().enumerate() {
            if name.split('/').filter(|part| !part.is_empty()).count() != 2 {
                let why = "write OWNER/NAME";
                return Err(Wrong::new(format!("{path}.repositories[{n}]"), why));
            }
        }
        if self.repositories.is_empty() {
            let why = "name at least one";
            return Err(Wrong::new(format!("{path}.repositories"), why));
        }
        if self.every.0 < Duration::from_secs(60) {
            return Err(Wrong::new(format!("{path}.every"), "at least 1m"));
        }
        Ok(())
    }
}
