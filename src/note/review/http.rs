//! Requests to a review service: bounded in time and size, without redirects, errors without secrets.

use super::plain::one_line;
use crate::note::webhook::retry_after;
use crate::note::{Refusal, Said, Then};
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use std::fmt::{self, Write as _};
use std::time::Duration;
use url::Url;

/// Largest answer that is read.
const LARGEST: usize = 16 << 20;
/// Pages of a list that are read.
pub(super) const PAGES: usize = 100;
/// Longest part of an answer that is quoted.
const QUOTED: usize = 200;
/// The wait before a service is asked again that needs a person first, such as for a password.
const PERSON: Duration = Duration::from_secs(60);
/// Longest wait that a service can ask for.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);

/// How many time-outs of a request all requests for a note may take together.
const ALL_REQUESTS: u32 = 10;

/// Why a review target cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The HTTP client cannot be made.
    #[error("review: {0}")]
    Client(reqwest::Error),
    /// The address cannot have paths.
    #[error("review: the address must begin with http:// or https:// and a host")]
    Address,
}

/// A service by HTTP.
pub(super) struct Service {
    client: Client,
    base: Url,
    secrets: Vec<String>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("host", &self.base.host_str())
            .finish_non_exhaustive()
    }
}

/// What a service answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
    secrets: Vec<String>,
}

impl Service {
    /// `secrets` are left out wherever an answer is quoted.
    pub(super) fn new(
        base: &Url,
        timeout: Duration,
        secrets: Vec<String>,
    ) -> Result<Self, SetUpError> {
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .user_agent("whorl")
            // Credentials go to the configured address and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| SetUpError::Client(error.without_url()))?;
        let mut base = base.clone();
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(SetUpError::Address);
        }
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self {
            client,
            base,
            secrets,
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The address of a resource; each segment is one, whatever it holds.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// True for an address on the same host that credentials may be sent to.
    pub(super) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, Refusal> {
        let mut answer = crate::chance::http::send(request).await.map_err(away)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > LARGEST {
                return Err(Refusal::park("answered more than 16 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            body,
            secrets: self.secrets.clone(),
        })
    }
}

impl Answer {
    /// The JSON of an answer that is what was hoped for, or what follows from it.
    pub(super) fn json(&self) -> Result<Value, Refusal> {
        if !self.status.is_success() {
            return Err(self.refusal());
        }
        let text = self.body.strip_prefix(b")]}'").unwrap_or(&self.body);
        serde_json::from_slice(text).map_err(|_| self.not_understood("not JSON, or not all of it"))
    }

    /// It cannot be what was asked for: something else answered, or the connection broke. Only this
    /// note waits, for it may be the only one that meets this.
    pub(super) fn not_understood(&self, why: &str) -> Refusal {
        let status = self.status.as_u16();
        Refusal::again(format!("answered {status} with something else: {why}"))
    }

    /// What follows from an answer that is not what was hoped for.
    pub(super) fn refusal(&self) -> Refusal {
        let error = format!("answered {}{}", self.status, self.quote());
        match self.status.as_u16() {
            300..=399 => Refusal::rest(
                format!(
                    "answered {}: redirects are not followed, name the final address",
                    self.status
                ),
                Some(PERSON),
            ),
            401 => Refusal::rest(
                format!("does not take the credentials: {error}"),
                Some(PERSON),
            ),
            429 | 502..=504 => Refusal::rest(error, self.wish()),
            // It may be this note that the service stumbles over: the others are tried.
            408 | 409 | 412 | 423 | 425 | 500..=599 => Refusal {
                error,
                then: Then::Again(self.wish()),
            },
            _ => Refusal::park(error),
        }
    }

    /// The wait that the service asks for, if any.
    pub(super) fn wish(&self) -> Option<Duration> {
        let header = |name: &str| self.headers.get(name)?.to_str().ok();
        let now = Timestamp::now();
        if let Some(wait) = header("Retry-After").and_then(|value| retry_after(value, now)) {
            return Some(wait.min(LONGEST_WISH));
        }
        let spent = |name| header(name).is_some_and(|left| left.trim() == "0");
        let reset = if spent("X-RateLimit-Remaining") {
            header("X-RateLimit-Reset")
        } else if spent("RateLimit-Remaining") {
            header("RateLimit-Reset")
        } else {
            None
        };
        let at = Timestamp::from_second(reset?.trim().parse().ok()?).ok()?;
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        // Clocks differ; a second too early is one more refusal.
        Some((wait + Duration::from_secs(1)).min(LONGEST_WISH))
    }

    /// What the service says about it, with `: ` before it, or nothing.
    pub(super) fn quote(&self) -> String {
        let said = match serde_json::from_slice::<Value>(&self.body) {
            Ok(value) => match value.get("message").or_else(|| value.get("error")) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => return String::new(),
            },
            Err(_) => self.first_line(),
        };
        let said = self
            .secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(said, |said, secret| said.replace(secret.as_str(), "…"));
        let said: String = one_line(said.trim()).chars().take(QUOTED).collect();
        if said.is_empty() {
            return said;
        }
        format!(": {said}")
    }

    /// The first line of a plain text; nothing of a page.
    fn first_line(&self) -> String {
        let start = &self.body[..self.body.len().min(1024)];
        let text = String::from_utf8_lossy(start);
        let text = text.trim_start();
        if text.starts_with('<') {
            return String::new();
        }
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// The address of the next page by `Link`.
    pub(super) fn next_link(&self) -> Option<Url> {
        let header = self.headers.get("Link")?.to_str().ok()?;
        header.split(',').find_map(|link| {
            let (target, parameters) = link.split_once(';')?;
            let next = parameters
                .split(';')
                .any(|one| matches!(one.trim(), "rel=\"next\"" | "rel=next"));
            let target = target.trim().strip_prefix('<')?.strip_suffix('>')?;
            next.then(|| Url::parse(target).ok()).flatten()
        })
    }
}

/// What comes of saying a note, unless all its requests together take too long.
pub(super) async fn in_time(
    timeout: Duration,
    told: impl Future<Output = Result<Said, Refusal>>,
) -> Result<Said, Refusal> {
    let all = timeout.saturating_mul(ALL_REQUESTS);
    let told = tokio::time::timeout(all, told).await;
    told.unwrap_or_else(|_| Err(Refusal::again(format!("took longer than {all:?}"))))
}

/// The service is away, or it is there and its answer did not come, or not whole.
fn away(error: reqwest::Error) -> Refusal {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(one) = cause {
        let _ = write!(text, ": {one}");
        cause = one.source();
    }
    let text: String = text.chars().take(2 * QUOTED).collect();
    if error.is_connect() {
        return Refusal::rest(text, None);
    }
    Refusal::again(text)
}
