//! Jenkins as a source.

use super::super::{Secret, Wrong};
use serde::Deserialize;
use url::Url;

/// One Jenkins.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JenkinsSource {
    /// Its name: notifications go to `/hooks/NAME`.
    pub name: String,
    /// The address of its first page.
    pub url: Url,
    /// The token that notifications bring.
    pub secret: Secret,
    /// Our account there, where logs cannot be read without.
    pub user: Option<String>,
    /// Its API token.
    pub token: Option<Secret>,
    /// When a build counts as ended.
    #[serde(default)]
    pub phase: JenkinsPhase,
}

/// When a build counts as ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JenkinsPhase {
    /// When its log is complete.
    #[default]
    Finalized,
    /// When it has a result.
    Completed,
}

impl JenkinsSource {
    pub(super) fn secrets(&mut self) -> impl Iterator<Item = &mut Secret> {
        [Some(&mut self.secret), self.token.as_mut()]
            .into_iter()
            .flatten()
    }

    pub(super) fn check(&self, path: &str) -> Result<(), Wrong> {
        super::strong(&format!("{path}.secret"), &self.secret)?;
        super::http(&format!("{path}.url"), &self.url)?;
        super::not_empty(&format!("{path}.token"), self.token.as_ref())?;
        if self.user.is_some() != self.token.is_some() {
            let why = "`user` and `token` belong together";
            return Err(Wrong::new(format!("{path}.user"), why));
        }
        Ok(())
    }
}
