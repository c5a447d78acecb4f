//! Where failed builds come from: what code review and CI say, read into builds.
//!
//! In: events, comments and answers of other systems. Out: [`crate::event::Build`]s, and what could
//! not be understood, counted. Invariants: reading does no I/O, never panics and takes time linear in
//! the input; nothing that was not understood is dropped without being counted.

mod desk;
mod digest;
pub mod faults;
pub mod folder;
pub mod gerrit;
pub mod github;
pub mod gitlab;
mod hook;
pub mod jenkins;
mod lenient;
mod pace;
mod recent;
pub mod webhook;
pub mod zuul;

pub(crate) use digest::digest;

pub use desk::{Announced, Desk, FetchOf, Logs, Outdated, Said, SourceStatus};

use reqwest::header::{HeaderName, HeaderValue};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A source at work.
pub type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
/// What a server wants to see with a request for a log.
pub type Headers<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<(HeaderName, HeaderValue)>, String>> + Send + 'a>>;

/// Where failed builds come from. A source that cannot be reached says so at the desk and goes on
/// trying; it hears nothing twice and loses nothing, with the mark that it leaves at the desk.
pub trait Source: fmt::Debug + Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Brings what it hears to the desk until it is stopped.
    fn run(&self, desk: Arc<Desk>, stop: CancellationToken) -> Running<'_>;

    /// What has to go along with a request for a log that this source announced.
    fn headers(&self) -> Headers<'_> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// What the names of a forge's builds begin with: its kind, and for all but the public one a part that
/// tells it from others, whose builds may have the same numbers.
fn forge_name(kind: &str, api: &url::Url, public: &str) -> String {
    if api.host_str() == Some(public) {
        return kind.to_owned();
    }
    let digest = digest(&[&api.origin().ascii_serialization()]);
    format!("{kind}-{}", &digest[..8])
}
