//! What goes out.

use super::chat::Chat;
use super::mail::Mail;
use super::{Irc, Period, RedactRule, Review, Secret, Wrong, redact};
use serde::Deserialize;
use std::path::PathBuf;

/// Whom to tell.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Notes {
    /// Address of this service as people see it, for the links in notes.
    pub base_url: Option<String>,
    /// Folder of templates that replace those of the same name.
    pub templates: Option<PathBuf>,
    /// Nobody is told anything: the notes are only shown on the page.
    pub dry_run: bool,
    /// Code review services that are told.
    pub review: Review,
    /// Servers of IRC.
    pub irc: Vec<Irc>,
    /// Channels of other chat services.
    pub chat: Chat,
    /// Mail.
    pub mail: Option<Mail>,
    /// What is taken out of log lines beside the secrets that everybody has.
    pub redact: Vec<RedactRule>,
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
    /// Nothing is sent: its notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// How long one try may take.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// Wait after the first try in vain; it doubles each time.
    #[serde(default = "default_retry")]
    pub retry: Period,
    /// Tries until the note is given up.
    #[serde(default = "default_tries")]
    pub max_tries: u32,
}

fn default_timeout() -> Period {
    Period::seconds(10)
}

fn default_retry() -> Period {
    Period::seconds(5)
}

fn default_tries() -> u32 {
    8
}

impl Notes {
    pub(super) fn secrets(&mut self) -> Vec<&mut Secret> {
        let hooks = self.webhooks.iter_mut();
        let mut all: Vec<&mut Secret> = hooks.flat_map(|h| [&mut h.url, &mut h.secret]).collect();
        all.extend(self.review.secrets());
        all.extend(self.irc.iter_mut().flat_map(Irc::secrets));
        all.extend(self.chat.secrets());
        all.extend(self.mail.iter_mut().flat_map(Mail::secrets));
        all
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        redact::check(&self.redact)?;
        for (n, hook) in self.webhooks.iter().enumerate() {
            let path = format!("notes.webhooks[{n}]");
            http(&format!("{path}.url"), hook.url.expose())?;
            if hook.secret.expose().is_empty() {
                return Err(Wrong::new(format!("{path}.secret"), "must not be empty"));
            }
            if hook.max_tries == 0 {
                return Err(Wrong::new(format!("{path}.max-tries"), "give at least 1"));
            }
            if hook.timeout.0.is_zero() {
                return Err(Wrong::new(
                    format!("{path}.timeout"),
                    "give more than nothing",
                ));
            }
        }
        self.review.check("notes.review")?;
        self.chat.check("notes.chat")?;
        if let Some(mail) = &self.mail {
            mail.check("notes.mail")?;
        }
        for (n, irc) in self.irc.iter().enumerate() {
            irc.check(&format!("notes.irc[{n}]"))?;
        }
        let base = self.base_url.as_deref();
        base.map_or(Ok(()), |url| http("notes.base-url", url))
    }
}

/// The address itself may be a secret, so the message does not repeat it.
fn http(path: &str, text: &str) -> Result<(), Wrong> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(()),
        Ok(_) => Err(Wrong::new(path, "must begin with http:// or https://")),
        Err(error) => Err(Wrong::new(path, format!("not an address: {error}"))),
    }
}
