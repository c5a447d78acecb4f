//! What goes out.

use super::{Period, Secret};
use serde::Deserialize;

/// Whom to tell.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Notes {
    /// Address of this service as people see it, for the links in notes.
    pub base_url: Option<String>,
    /// Addresses that get every note as signed JSON.
    pub webhooks: Vec<Webhook>,
}

/// One receiver of notes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Webhook {
    /// Where the note is posted (may hold a secret itself).
    pub url: Secret,
    /// Key of the signature (HMAC-SHA-256).
    pub secret: Secret,
    /// How long one try may take.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// Tries until the note is given up.
    #[serde(default = "default_tries")]
    pub max_tries: u32,
}

fn default_timeout() -> Period {
    Period::seconds(10)
}

fn default_tries() -> u32 {
    8
}

impl Notes {
    pub(super) fn check(&self) -> Result<(), String> {
        for (n, hook) in self.webhooks.iter().enumerate() {
            let url = url::Url::parse(hook.url.expose());
            if !url.is_ok_and(|u| matches!(u.scheme(), "http" | "https")) {
                return Err(format!("notes.webhooks[{n}].url: not an http(s) address"));
            }
            if hook.secret.expose().is_empty() || hook.max_tries == 0 {
                return Err(format!(
                    "notes.webhooks[{n}]: secret must not be empty, max-tries at least 1"
                ));
            }
        }
        let Some(base) = &self.base_url else {
            return Ok(());
        };
        url::Url::parse(base)
            .map(|_| ())
            .map_err(|error| format!("notes.base-url: {error}"))
    }
}
