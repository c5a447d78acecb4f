//! Any CI: a signed webhook with a documented schema.
//!
//! In: messages with a signature over their time and body. Out: builds with the address of their
//! logs, or with small logs that stand in the message and are kept in a folder until they are read.

mod keep;
mod message;

use super::hook::{self, Door, Heard, Hearing, Hook, Incoming, Trouble};
use super::{Announced, Desk, Running, Source};
use crate::state::StateError;
use axum::Router;
use axum::http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use keep::Keep;
use message::{Message, Where};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Largest message.
const LARGEST: usize = 16 << 20;
/// How old a message may be, or how far ahead the sender's clock.
const FRESH: SignedDuration = SignedDuration::from_mins(5);
/// How often old folders are looked for.
const TIDY: Duration = Duration::from_secs(3600);
/// The header with the signature: `sha256=` and the hex HMAC-SHA-256 of `TIME.BODY`.
const SIGNATURE: &str = "x-whorl-signature-256";
/// The header with the time, in seconds since 1970.
const TIME: &str = "x-whorl-timestamp";

/// One sender.
pub struct Settings {
    /// The source's name.
    pub name: String,
    /// The key of the signature.
    pub secret: String,
    /// Folder for logs that stand in messages.
    pub folder: PathBuf,
    /// How long they are kept.
    pub keep: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A CI that tells of its builds by the signed webhook.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    secret: String,
    keep: Keep,
    door: Door,
}

impl Webhook {
    /// Makes ready.
    pub fn new(settings: Settings) -> Self {
        Self {
            keep: Keep::new(settings.folder, settings.keep),
            name: settings.name,
            secret: settings.secret,
            door: Door::new(),
        }
    }

    /// The address of the messages.
    pub fn routes(self: Arc<Self>, desk: Arc<Desk>) -> Router {
        hook::routes(self, desk)
    }

    async fn told(&self, desk: &Arc<Desk>, incoming: &Incoming) -> Result<Heard, Trouble> {
        let message = message::read(&incoming.body).map_err(Trouble::Bad)?;
        let builds = self.kept(&message).await?;
        desk.announce(&self.name, builds, None).await?;
        for one in &message.patchsets {
            desk.patchset(&one.project, &one.change, &one.patchset)
                .await?;
        }
        Ok(Heard::default())
    }

    /// The builds, once the logs that came with them are on the disk.
    async fn kept(&self, message: &Message) -> Result<Vec<Announced>, StateError> {
        let mut builds = Vec::with_capacity(message.builds.len());
        for told in &message.builds {
            let logs = match &told.logs {
                Some(Where::Inline(files)) => {
                    Some(self.keep.put(&told.build.uuid, files.clone()).await?)
                }
                Some(elsewhere) => elsewhere.in_web(),
                None => None,
            };
            builds.push(Announced {
                build: told.build.clone(),
                logs,
            });
        }
        Ok(builds)
    }

    async fn work(&self, desk: Arc<Desk>, stop: CancellationToken) {
        desk.connected(&self.name, Timestamp::now(), None);
        while !stop.is_cancelled() {
            self.keep.tidy().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TIDY) => {}
            }
        }
    }
}

impl Hook for Webhook {
    fn door(&self) -> &Door {
        &self.door
    }

    fn limit(&self) -> usize {
        LARGEST
    }

    fn may_knock(&self, headers: &HeaderMap, _query: &str) -> bool {
        let signature = hook::text(headers, SIGNATURE).is_some_and(|text| text.len() == 71);
        signature && sent(headers).is_some_and(|at| is_fresh(at, Timestamp::now()))
    }

    fn proven(&self, incoming: &Incoming, now: Timestamp) -> bool {
        let Some(at) = sent(&incoming.headers).filter(|at| is_fresh(*at, now)) else {
            return false;
        };
        let given = hook::text(&incoming.headers, SIGNATURE).unwrap_or_default();
        let time = at.as_second().to_string();
        hook::signed(
            &self.secret,
            &[time.as_bytes(), b".", &incoming.body],
            given,
        )
    }

    fn key(&self, _incoming: &Incoming) -> Option<String> {
        None
    }

    fn hear<'a>(&'a self, desk: &'a Arc<Desk>, incoming: &'a Incoming) -> Hearing<'a> {
        Box::pin(self.told(desk, incoming))
    }
}

impl Source for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, desk: Arc<Desk>, stop: CancellationToken) -> Running<'_> {
        Box::pin(self.work(desk, stop))
    }
}

/// When a message was sent, as its sender says; written without sign or leading zeros, so that one
/// time has one signature.
fn sent(headers: &HeaderMap) -> Option<Timestamp> {
    let text = hook::text(headers, TIME)?;
    let seconds: i64 = text.parse().ok()?;
    let at = Timestamp::from_second(seconds).ok()?;
    (seconds.to_string() == text).then_some(at)
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).abs() <= FRESH
}
