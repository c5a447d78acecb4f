//! GitLab as a source.

use super::super::{Period, Secret, Wrong};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

/// Projects on one GitLab.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GitlabSource {
    /// Its name: notifications go to `/hooks/NAME`.
    pub name: String,
    /// The token that notifications bring.
    pub secret: Secret,
    /// Address of the API, where it is not the public one.
    pub api: Option<Url>,
    /// Our token at the API (`read_api`).
    pub token: Secret,
    /// How long one request may take.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

fn timeout() -> Period {
    Period::seconds(15)
}

/// The public API.
const PUBLIC: &str = "https://gitlab.com/api/v4";

impl GitlabSource {
    /// The address of the API.
    pub fn address(&self) -> Option<Url> {
        let public = || PUBLIC.parse().ok();
        self.api.clone().or_else(public)
    }

    pub(super) fn secrets(&mut self) -> impl Iterator<Item = &mut Secret> {
        [&mut self.secret, &mut self.token].into_iter()
    }

    pub(super) fn check(&self, path: &str) -> Result<(), Wrong> {
        super::strong(&format!("{path}.secret"), &self.secret)?;
        let api = self.api.as_ref();
        api.map_or(Ok(()), |url| super::http(&format!("{path}.api"), url))?;
        super::not_empty(&format!("{path}.token"), Some(&self.token))?;
        if self.timeout.0.is_zero() || self.timeout.0 > Duration::from_secs(120) {
            let why = "more than nothing, at most 2m";
            return Err(Wrong::new(format!("{path}.timeout"), why));
        }
        Ok(())
    }
}
