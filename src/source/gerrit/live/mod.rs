//! Gerrit as a source: its events by `ssh`, and what was missed of them by its REST API.
//!
//! The stream is connected first; then a query closes the gap to what was heard before. Because a
//! server lets us in a moment before it notes that we listen, it is asked once more a little later,
//! and only then the gap counts as closed. What comes both ways is taken once: see [`mark`].

mod ask;
mod hear;
mod lines;
mod mark;
mod query;
mod session;
mod stream;
mod tell;

use crate::config::GerritSource;
use crate::source::{Desk, Running, Source};
use hear::Listener;
use jiff::Timestamp;
use mark::Mark;
use query::Rest;
use session::{Ended, Session};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The first pause between two connections, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// Types of events that are told apart.
const TYPES: usize = 50;

/// Why a Gerrit cannot be heard as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum GerritError {
    /// A glob that is none.
    #[error(transparent)]
    Glob(#[from] globset::Error),
    /// The way to its REST API.
    #[error("{0}")]
    Rest(String),
}

/// A Gerrit whose events are heard.
#[derive(Debug)]
pub struct Gerrit {
    source: GerritSource,
    listener: Listener,
    rest: Option<Arc<Rest>>,
    types: Mutex<BTreeMap<String, u64>>,
}

impl Gerrit {
    /// The one that the configuration names.
    pub fn new(source: &GerritSource) -> Result<Self, GerritError> {
        Ok(Self {
            listener: Listener::new(source)?,
            rest: Rest::new(source).map_err(GerritError::Rest)?.map(Arc::new),
            source: source.clone(),
            types: Mutex::default(),
        })
    }

    /// Events of the stream that were heard, by their types; rare ones together as `other`.
    pub fn types(&self) -> BTreeMap<String, u64> {
        self.types
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn count(&self, kind: String) {
        let mut types = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        let known = types.contains_key(&kind) || (types.len() < TYPES && kind.len() <= 64);
        *types
            .entry(if known { kind } else { "other".into() })
            .or_default() += 1;
    }

    async fn listen(&self, desk: Arc<Desk>, stop: CancellationToken) {
        let Some(mark) = self.load(&desk, &stop).await else {
            return;
        };
        let mut session = Session::new(self, desk.clone(), stop.clone(), mark);
        let mut failures = 0;
        while !stop.is_cancelled() {
            let Ended { why, good } = session.run().await;
            if stop.is_cancelled() {
                break;
            }
            tracing::warn!(source = self.source.name, why, "Gerrit is not heard");
            desk.connected(&self.source.name, Timestamp::now(), Some(why));
            failures = if good { 0 } else { failures + 1 };
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(back_off(failures, FIRST, LONGEST)) => {}
            }
        }
        session.keep().await;
        desk.connected(&self.source.name, Timestamp::now(), Some("stopped".into()));
    }

    /// How far it was heard before; none when stopped.
    async fn load(&self, desk: &Arc<Desk>, stop: &CancellationToken) -> Option<Option<Mark>> {
        let name = &self.source.name;
        for failures in 0.. {
            match desk.mark(name).await {
                Ok(None) => return Some(None),
                Ok(Some(text)) => {
                    let mark = Mark::read(&text);
                    if mark.is_none() {
                        tracing::error!(source = name, "how far it was heard cannot be read");
                    }
                    return Some(mark);
                }
                Err(error) => {
                    let why = format!("the state cannot be read: {error}");
                    desk.connected(name, Timestamp::now(), Some(why));
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = sleep(back_off(failures, FIRST, LONGEST)) => {}
            }
        }
        None
    }
}

impl Source for Gerrit {
    fn name(&self) -> &str {
        &self.source.name
    }

    fn run(&self, desk: Arc<Desk>, stop: CancellationToken) -> Running<'_> {
        Box::pin(self.listen(desk, stop))
    }
}

/// The pause after failure `n`, doubled each time, of which chance takes away up to the half.
fn back_off(n: u32, first: Duration, longest: Duration) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(n)).min(longest);
    // The seed that the standard library draws for its hash tables.
    let drawn = RandomState::new().build_hasher().finish();
    doubled.mul_f64(1.0 - 0.5 * (drawn as f64 / u64::MAX as f64))
}
