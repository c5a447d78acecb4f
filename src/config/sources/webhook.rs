//! The signed webhook as a source.

use super::super::{Period, Secret, Wrong};
use serde::Deserialize;

/// One sender of signed messages.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebhookSource {
    /// Its name: messages go to `/hooks/NAME`.
    pub name: String,
    /// The key of the signature.
    pub secret: Secret,
    /// How long logs that stand in messages are kept where they were written first.
    #[serde(default = "ten_days")]
    pub keep: Period,
}

fn ten_days() -> Period {
    Period::seconds(10 * 24 * 3600)
}

impl WebhookSource {
    pub(super) fn check(&self, path: &str) -> Result<(), Wrong> {
        super::strong(&format!("{path}.secret"), &self.secret)?;
        if self.keep.0.as_secs() < 3600 {
            let why = "at least 1h: they may not have been read before";
            return Err(Wrong::new(format!("{path}.keep"), why));
        }
        Ok(())
    }
}
