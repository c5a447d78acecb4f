//! HTTP to chat services: with an end to every wait and every answer, to no other host, and with no
//! secret in what is said of a failure.

use super::text::one_line;
use crate::note::webhook::retry_after;
use crate::note::{Refusal, Then};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use std::error::Error;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

/// Longest answer that is read.
const LONGEST: usize = 4 << 20;
/// Longest part of what a service said that is kept, in characters.
const KEPT: usize = 200;

/// A client that knows what must not be shown.
pub(super) struct Http {
    client: Client,
    secrets: Mutex<Vec<String>>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// When to come back, if it says so.
    pub(super) wish: Option<Duration>,
    body: Vec<u8>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Http {
    pub(super) fn new(timeout: Duration, ca: Option<&[u8]>) -> Result<Self, String> {
        let mut builder = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .user_agent("whorl")
            // What holds a token goes to the configured host and to no other.
            .redirect(reqwest::redirect::Policy::none());
        for one in ca.map(certificates).transpose()?.unwrap_or_default() {
            builder = builder.add_root_certificate(one);
        }
        let client = builder.build().map_err(|error| reason(&error))?;
        let secrets = Mutex::default();
        Ok(Self { client, secrets })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// From now on `secret` is not shown.
    pub(super) fn hide(&self, secret: &str) {
        if let Ok(mut all) = self.secrets.lock()
            && !secret.is_empty()
            && !all.iter().any(|known| known == secret)
        {
            all.push(secret.to_owned());
        }
    }

    /// What a service said of an error, fit for people.
    pub(super) fn shown(&self, said: &str) -> String {
        let mut text = said.to_owned();
        for secret in self.secrets.lock().iter().flat_map(|all| all.iter()) {
            text = text.replace(secret.as_str(), "(hidden)");
        }
        one_line(&text).chars().take(KEPT).collect()
    }

    /// Sends, and reads the whole answer.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, Refusal> {
        let sent = crate::chance::http::send(request)
            .await
            .map_err(|e| self.failed(e))?;
        let (status, wish) = (sent.status(), wish(&sent));
        if status.is_redirection() {
            return Err(Refusal::park(format!(
                "answered {status}: sent elsewhere, which is not followed; configure the final address"
            )));
        }
        let body = self.read(sent).await?;
        Ok(Answer { status, wish, body })
    }

    async fn read(&self, mut answer: reqwest::Response) -> Result<Vec<u8>, Refusal> {
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|e| self.failed(e))? {
            if body.len() + part.len() > LONGEST {
                return Err(Refusal::again("the answer has no end"));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn failed(&self, error: reqwest::Error) -> Refusal {
        let away = error.is_connect();
        let error = self.shown(&reason(&error.without_url()));
        let then = if away {
            Then::Rest(None)
        } else {
            Then::Again(None)
        };
        Refusal { error, then }
    }
}

impl Answer {
    /// The body as JSON; what is not is null.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, String> {
    let all = reqwest::Certificate::from_pem_bundle(pem).map_err(|e| reason(&e))?;
    if all.is_empty() {
        return Err("there is no certificate in the file".to_owned());
    }
    Ok(all)
}

fn wish(answer: &reqwest::Response) -> Option<Duration> {
    let value = answer.headers().get("Retry-After")?.to_str().ok()?;
    retry_after(value, Timestamp::now())
}

/// A failure with its causes, in one line.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() && !error.is_connect() {
        return "no answer in time".to_owned();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let more = one.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = one.source();
    }
    text
}

/// What any service means by a status that its own words do not explain.
pub(super) fn by_status(status: StatusCode, wish: Option<Duration>, said: &str) -> Refusal {
    let said = if said.is_empty() {
        format!("answered {status}")
    } else {
        format!("answered {status}: {said}")
    };
    match status.as_u16() {
        429 | 503 => Refusal::rest(said, wish),
        408 | 409 | 425 | 500..=599 => Refusal {
            error: said,
            then: Then::Again(wish),
        },
        200..=299 => Refusal::again(format!("{said} (not understood)")),
        _ => Refusal::park(said),
    }
}
