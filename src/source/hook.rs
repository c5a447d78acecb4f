//! The door for notifications: who may knock, how much may come in, and that each is heard once.
//!
//! A sender is answered with success only after what it brought is durable. Strangers learn nothing:
//! they get 401 whatever was wrong, and what they sent is neither read as JSON nor counted as heard.

use super::Source;
use super::desk::Desk;
use super::recent::Recent;
use crate::state::StateError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tower_http::timeout::RequestBodyTimeoutLayer;

/// Notifications that are remembered.
const REMEMBERED: usize = 20_000;
/// How long a sender may be silent in the middle of a notification.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came in from somebody who may.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) headers: HeaderMap,
    pub(super) query: String,
    pub(super) body: Bytes,
}

/// What was in a notification.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Parts of it that were not understood.
    pub(super) not_understood: Vec<String>,
}

/// Why a notification is not taken.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is nothing that could be read; the words are for its sender.
    Bad(String),
    /// It could not be made durable: the sender may try again.
    State(StateError),
}

impl From<StateError> for Trouble {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// Something at work for a notification.
pub(super) type Hearing<'a> = Pin<Box<dyn Future<Output = Result<Heard, Trouble>> + Send + 'a>>;

/// A source that notifications come to.
pub(super) trait Hook: Source + 'static {
    /// What it remembers.
    fn door(&self) -> &Door;
    /// Largest notification.
    fn limit(&self) -> usize;
    /// False for somebody who need not be read any further.
    fn may_knock(&self, headers: &HeaderMap, query: &str) -> bool;
    /// True when it comes from who it should come from.
    fn proven(&self, incoming: &Incoming, now: Timestamp) -> bool;
    /// What a repetition of this notification has in common with it, beside its body.
    fn key(&self, incoming: &Incoming) -> Option<String>;
    /// Brings it to the desk.
    fn hear<'a>(&'a self, desk: &'a Arc<Desk>, incoming: &'a Incoming) -> Hearing<'a>;
}

/// What was heard already, or is being heard.
#[derive(Debug)]
pub(super) struct Door {
    seen: Mutex<Recent<String, bool>>,
}

/// Keeps others from hearing the same; forgets it unless it was heard to the end.
struct Turn<'a> {
    door: &'a Door,
    keys: Vec<String>,
    done: bool,
}

enum Before {
    Never,
    UnderWay,
    Heard,
}

impl Door {
    pub(super) fn new() -> Self {
        Self {
            seen: Mutex::new(Recent::new(REMEMBERED)),
        }
    }

    fn held(&self) -> MutexGuard<'_, Recent<String, bool>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, keys: Vec<String>) -> Result<Turn<'_>, Before> {
        let mut seen = self.held();
        let before = keys
            .iter()
            .fold(Before::Never, |before, key| match (seen.get(key), before) {
                (Some(true), _) | (_, Before::Heard) => Before::Heard,
                (Some(false), _) | (_, Before::UnderWay) => Before::UnderWay,
                (None, Before::Never) => Before::Never,
            });
        let Before::Never = before else {
            return Err(before);
        };
        for key in &keys {
            seen.put(key.clone(), false);
        }
        Ok(Turn {
            door: self,
            keys,
            done: false,
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut seen = self.door.held();
        for key in self.keys.drain(..) {
            if self.done {
                seen.put(key, true);
            } else {
                seen.forget(&key);
            }
        }
    }
}

/// The address of a source.
pub(super) fn routes<H: Hook>(hook: Arc<H>, desk: Arc<Desk>) -> Router {
    let limit = hook.limit();
    Router::new()
        .route("/", post(knock::<H>))
        .layer(DefaultBodyLimit::max(limit))
        .layer(RequestBodyTimeoutLayer::new(PATIENCE))
        .with_state((hook, desk))
}

async fn knock<H: Hook>(
    State((hook, desk)): State<(Arc<H>, Arc<Desk>)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    if !hook.may_knock(&parts.headers, &query) {
        return stranger(hook.name());
    }
    if announced(&parts).is_some_and(|bytes| bytes > hook.limit()) {
        return answer(StatusCode::PAYLOAD_TOO_LARGE, "too large");
    }
    let headers = parts.headers.clone();
    let body = match Bytes::from_request(Request::from_parts(parts, body), &()).await {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return answer(StatusCode::PAYLOAD_TOO_LARGE, "too large");
        }
        Err(_) => return answer(StatusCode::BAD_REQUEST, "the body did not arrive whole"),
    };
    let incoming = Incoming {
        headers,
        query,
        body,
    };
    if !hook.proven(&incoming, Timestamp::now()) {
        return stranger(hook.name());
    }
    hear(&*hook, &desk, &incoming).await
}

async fn hear<H: Hook>(hook: &H, desk: &Arc<Desk>, incoming: &Incoming) -> Response {
    let mut keys = vec![hex(&Sha256::digest(&incoming.body))];
    keys.extend(hook.key(incoming).map(|key| format!("id {key}")));
    let mut turn = match hook.door().enter(keys) {
        Ok(turn) => turn,
        Err(Before::UnderWay) => return later(),
        Err(_) => return answer(StatusCode::OK, "heard before"),
    };
    let done = hook.hear(desk, incoming).await;
    let now = Timestamp::now();
    match done {
        Ok(heard) => {
            turn.done = true;
            desk.heard(hook.name(), now, 1, &heard.not_understood);
            let text = if heard.not_understood.is_empty() {
                "heard"
            } else {
                "heard, but not all of it understood"
            };
            answer(StatusCode::OK, text)
        }
        Err(Trouble::Bad(why)) => {
            desk.heard(hook.name(), now, 1, std::slice::from_ref(&why));
            answer(StatusCode::BAD_REQUEST, why)
        }
        Err(Trouble::State(error)) => {
            tracing::error!(source = hook.name(), %error, "a notification was not kept");
            later()
        }
    }
}

/// How long the body says it is.
fn announced(parts: &Parts) -> Option<usize> {
    let length = parts.headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

fn stranger(name: &str) -> Response {
    metrics::counter!("whorl_hooks_refused_total", "source" => name.to_owned()).increment(1);
    answer(StatusCode::UNAUTHORIZED, "no")
}

fn later() -> Response {
    let text = "could not be kept: send it again\n";
    let retry = [(header::RETRY_AFTER, "10")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response()
}

fn answer(status: StatusCode, text: impl std::fmt::Display) -> Response {
    (status, format!("{text}\n")).into_response()
}

/// True when `given` is `sha256=` and the hex HMAC-SHA-256 of the parts. Takes as long for every
/// signature of the right length.
pub(super) fn signed(secret: &str, parts: &[&[u8]], given: &str) -> bool {
    let Some(given) = given.strip_prefix("sha256=").and_then(bytes) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    for part in parts {
        mac.update(part);
    }
    !secret.is_empty() && mac.verify_slice(&given).is_ok()
}

/// True when both are the same. Compares digests to the end, so that time tells nothing.
pub(super) fn same(given: &str, wanted: &str) -> bool {
    let (given, wanted_digest) = (Sha256::digest(given), Sha256::digest(wanted));
    let pairs = given.iter().zip(wanted_digest.iter());
    let difference = pairs.fold(0, |sum, (a, b)| sum | (a ^ b));
    !wanted.is_empty() && difference == 0
}

/// The text of a header.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// JSON, or what its sender is told.
pub(super) fn json(incoming: &Incoming) -> Result<serde_json::Value, Trouble> {
    serde_json::from_slice(&incoming.body)
        .map_err(|error| Trouble::Bad(format!("the body is not JSON: {error}")))
}

/// The 32 bytes that hexadecimal digits stand for.
fn bytes(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut all = [0; 32];
    for (byte, pair) in all.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(all)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_documented_one() {
        // The example of GitHub's page on validating deliveries.
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let secret = "It's a Secret to Everybody";
        assert!(signed(secret, &[b"Hello, World!"], good));
        assert!(signed(secret, &[b"Hello,", b" World!"], good));
        assert!(!signed(secret, &[b"Hello, World?"], good));
        assert!(!signed("", &[b"Hello, World!"], good));
        for wrong in [
            "",
            "sha256=",
            &good[..70],
            &good[7..],
            &format!("{good}0"),
            "sha256=ä",
        ] {
            assert!(!signed(secret, &[b"Hello, World!"], wrong), "{wrong}");
        }
        let z = format!("sha256={}", "+1".repeat(32));
        assert!(!signed(secret, &[b"Hello, World!"], &z));
    }

    #[test]
    fn an_empty_token_opens_nothing() {
        assert!(same("abc", "abc"));
        assert!(!same("abd", "abc") && !same("ab", "abc") && !same("", ""));
    }

    #[test]
    fn what_failed_may_come_again_and_what_was_heard_not() {
        let door = Door::new();
        let keys = || vec!["a".to_owned(), "b".to_owned()];
        let first = door.enter(keys()).ok().unwrap();
        assert!(matches!(
            door.enter(vec!["b".into()]),
            Err(Before::UnderWay)
        ));
        drop(first);
        let mut second = door.enter(keys()).ok().unwrap();
        second.done = true;
        drop(second);
        assert!(matches!(door.enter(vec!["a".into()]), Err(Before::Heard)));
    }
}
