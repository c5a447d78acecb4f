//! Notes to a webhook: signed JSON.

use super::target::{Refusal, Said, Saying, Target, Then};
use crate::state::Note;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use std::time::Duration;
use url::Url;

/// Header with `sha256=` and the hex HMAC-SHA-256 of the body.
pub const SIGNATURE_HEADER: &str = "X-Whorl-Signature-256";
/// Header with the note's number: the same for every try of a note.
pub const DELIVERY_HEADER: &str = "X-Whorl-Delivery";

/// Longest part of a refusal that is kept.
const KEPT_ERROR: usize = 300;

/// Where notes go and how patient we are.
#[derive(Clone)]
pub struct Settings {
    /// The receiver.
    pub url: Url,
    /// The key of the signature.
    pub secret: String,
    /// How long one try may take.
    pub timeout: Duration,
}

impl Settings {
    /// Ten seconds for a try.
    pub fn new(url: Url, secret: impl Into<String>) -> Self {
        Self {
            url,
            secret: secret.into(),
            timeout: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the secret nor an address that may hold one goes into logs.
        f.debug_struct("Settings")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// Why a webhook cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("webhook: {0}")]
pub struct WebhookError(reqwest::Error);

/// One receiver.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    settings: Settings,
    client: reqwest::Client,
}

impl Webhook {
    /// Makes ready; nothing is sent yet.
    pub fn new(settings: Settings) -> Result<Self, WebhookError> {
        let client = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            // A signed note goes to the configured address and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| WebhookError(error.without_url()))?;
        let digest = Sha256::digest(settings.url.as_str());
        let number = digest
            .iter()
            .take(4)
            .fold(0_u32, |n, b| n << 8 | u32::from(*b));
        let host = settings.url.host_str().unwrap_or_default();
        Ok(Self {
            name: format!("webhook {host}#{number:08x}"),
            settings,
            client,
        })
    }

    /// What it is called in the outbox: tells receivers apart and holds no secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn post(&self, note: &Note) -> Result<Said, Refusal> {
        let body = body(note);
        let request = self
            .client
            .post(self.settings.url.clone())
            .header("Content-Type", "application/json")
            .header("User-Agent", "whorl")
            .header(SIGNATURE_HEADER, signature(&self.settings.secret, &body))
            .header(DELIVERY_HEADER, note.id.to_string())
            .body(body);
        let answer = match crate::chance::http::send(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(Refusal::again(chain(&error.without_url()))),
        };
        if answer.status().is_success() {
            return Ok(Said::default());
        }
        let wish = answer.headers().get("Retry-After");
        let wish = wish.and_then(|value| retry_after(value.to_str().ok()?, Timestamp::now()));
        Err(Refusal {
            error: format!("answered {}", answer.status()),
            then: Then::Again(wish),
        })
    }
}

impl Target for Webhook {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(self.post(note))
    }
}

/// `sha256=` and the hex HMAC-SHA-256 of `body`.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut text = "sha256=".to_owned();
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// Reads `Retry-After`: seconds, or a date.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// The same bytes for every try of a note.
fn body(note: &Note) -> Vec<u8> {
    serde_json::json!({
        "id": note.id, "build": note.build, "target": note.target, "kind": note.kind,
        "text": note.text, "created_at": note.created_at, "data": note.json,
    })
    .to_string()
    .into_bytes()
}

/// An error with its causes: the first one alone seldom says more than "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let _ = write!(text, ": {one}");
        cause = one.source();
    }
    text.chars().take(KEPT_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_hmac_sha_256() {
        assert_eq!(
            signature("key", b"The quick brown fox jumps over the lazy dog"),
            "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(60)));
        let later: Timestamp = "2016-10-21T07:27:00Z".parse().unwrap();
        assert_eq!(retry_after(date, later), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn settings_do_not_show_their_secret() {
        let url = Url::parse("https://example.org/hook?token=abc").unwrap();
        let shown = format!("{:?}", Settings::new(url, "hidden"));
        assert!(
            !shown.contains("hidden") && !shown.contains("abc"),
            "{shown}"
        );
    }
}
