//! Requests to Zuul's API, bounded in time and size.

use crate::config::ZuulSource;
use crate::source::zuul::Unusable;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, StatusCode};
use serde_json::Value;
use std::error::Error as _;
use std::time::Duration;
use url::Url;

/// No good answer is larger.
const LARGEST: usize = 32 << 20;
/// As much is read of an answer that refuses.
const REFUSAL: usize = 4 << 10;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody answered, or not to the end.
    #[error("{0}")]
    Network(String),
    /// It was refused.
    #[error("status {status}{}", said(.text))]
    Status {
        status: u16,
        text: String,
        wait: Option<Duration>,
    },
    /// Something else than the API answered.
    #[error("the answer is not what Zuul says: {0}")]
    Malformed(String),
    /// The answer has no end.
    #[error("the answer is larger than {} MiB", LARGEST >> 20)]
    TooLarge,
}

fn said(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// A good answer.
pub(super) enum Reply {
    /// What it says, with what the server calls this state of it.
    Json(Value, Option<String>),
    /// Nothing has changed.
    Same,
}

/// Asks one Zuul.
#[derive(Debug)]
pub(super) struct Ask {
    client: Client,
    base: Url,
    token: Option<HeaderValue>,
}

impl Ask {
    pub(super) fn new(config: &ZuulSource, base: &Url) -> Result<Self, Unusable> {
        let mut client = Client::builder()
            .timeout(config.timeout.0)
            .connect_timeout(config.timeout.0)
            .user_agent("whorl")
            // The token goes to no other place.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(file) = &config.ca_file {
            let wrong = |why: String| Unusable(format!("{}: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
            let all =
                Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
            client = all
                .into_iter()
                .fold(client, reqwest::ClientBuilder::add_root_certificate);
        }
        let client = client
            .build()
            .map_err(|error| Unusable(error.to_string()))?;
        let token = config.token.as_ref().map(|token| {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            value.map_err(|_| Unusable("the token cannot be sent".into()))
        });
        let mut token = token.transpose()?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok(Self {
            client,
            base: base.clone(),
            token,
        })
    }

    /// The address of a part of the API, of a tenant or of the only one.
    pub(super) fn at(&self, tenant: &str, parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("api");
            if !tenant.is_empty() {
                path.extend(["tenant", tenant]);
            }
            path.extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Reads something, unless it is still what `etag` stands for.
    pub(super) async fn get(&self, url: Url, etag: Option<&str>) -> Result<Reply, AskError> {
        let mut request = self.client.get(url);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let answer = crate::chance::http::send(request)
            .await
            .map_err(|error| network(&error))?;
        if etag.is_some() && answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(Reply::Same);
        }
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let etag = answer
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok());
        let etag = etag.filter(|etag| etag.len() <= 300).map(str::to_owned);
        let body = body(answer, LARGEST).await?;
        let json = serde_json::from_slice(&body)
            .map_err(|error| AskError::Malformed(error.to_string()))?;
        Ok(Reply::Json(json, etag))
    }
}

async fn refused(answer: Response) -> AskError {
    let status = answer.status().as_u16();
    let header = answer.headers().get(RETRY_AFTER);
    let wait = header.and_then(|value| retry_after(value.to_str().ok()?.trim()));
    let said = body(answer, REFUSAL).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&said);
    // A page for people says no more than its status; errors of the API are one line of text.
    let text = if text.contains('<') {
        String::new()
    } else {
        text.trim().chars().take(200).collect()
    };
    AskError::Status { status, text, wait }
}

/// Seconds, or a moment.
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Duration::try_from(date.duration_since(Timestamp::now())).ok()
}

async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, AskError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| network(&error))? {
        if bytes.len() + chunk.len() > most {
            return Err(AskError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The error with what is behind it, and without the address.
fn network(error: &reqwest::Error) -> AskError {
    if error.is_timeout() {
        return AskError::Network("it did not answer in time".into());
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let what = if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    if error.source().is_none() {
        return AskError::Network(what.into());
    }
    AskError::Network(format!("{what}: {deepest}"))
}
