//! Where the events of builds are kept and searched.
//!
//! In: a build with its events; a [`Query`] with filters and a span of time. Out: events, counts
//! and lists of builds. Invariants: an answer is exactly what [`Query::matches`] says of every
//! stored event (never an estimate); a build is visible whole or not at all; all calls block, so
//! asynchronous callers use a blocking thread. Every store passes the one contract suite.

mod background;
pub mod elastic;
pub mod embedded;
pub mod faults;
mod fields;

pub(crate) use background::Background;
pub use embedded::{EmbeddedStore, Options};
pub use fields::keyword_of;

use crate::event::{Build, Event};
use crate::query::Query;
use jiff::Timestamp;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process (or another part of this one) has the store open.
    #[error(
        "the log store {folder} is in use by {holder}; stop it or give this process another folder",
        folder = folder.display()
    )]
    Locked {
        /// The store's folder.
        folder: PathBuf,
        /// Who holds it, as far as known.
        holder: String,
    },
    /// The file system refused something.
    #[error("log store: cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part of the store cannot be read; it is set aside and shown in [`Health`].
    #[error("log store: {0} is damaged")]
    Damaged(String),
    /// What was configured cannot work.
    #[error("log store: {0}")]
    Setup(String),
    /// The cluster does not answer, or not in time.
    #[error("log store: {0}")]
    Unavailable(String),
    /// The cluster does not do what it was asked.
    #[error("log store: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the cluster said.
        message: String,
    },
    /// The deadline of a selection came before its answer.
    #[error(
        "the search took too long and was ended; ask for less: a span of time, one job, rarer words"
    )]
    TooLong,
    /// The index refused an operation.
    #[error("log store: {0}")]
    Index(String),
}

impl StoreError {
    /// True when the same may go well later without anybody changing what is configured: the cluster
    /// is away, busy or ill.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }

    /// True when the cluster does not let us in: that says nothing of what was asked.
    pub fn is_barred(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403,
                ..
            }
        )
    }
}

/// Conditions beside the query, never glued onto its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// Only events of this build.
    pub build_uuid: Option<String>,
    /// Only events that have exactly this value in this field (one of its values, for a list).
    pub equal: Vec<(String, String)>,
    /// `Some(true)`: no events of builds that do not vote; `Some(false)`: only those.
    pub voting: Option<bool>,
}

/// Which events are meant.
#[derive(Debug, Clone, Default)]
pub struct Selection<'a> {
    /// Only events that match; `None` is every event.
    pub query: Option<&'a Query>,
    /// Conditions beside the query.
    pub filters: Filters,
    /// Only events at or after this moment.
    pub from: Option<Timestamp>,
    /// Only events before this moment.
    pub to: Option<Timestamp>,
    /// When nobody waits for the answer any more; a cluster has time-outs of its own.
    pub deadline: Option<Instant>,
}

/// A search for events, one page of it.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest<'a> {
    /// Which events are meant.
    pub selection: Selection<'a>,
    /// Newest first; else oldest first. Events of one moment stand in the order of their builds'
    /// names and of the log.
    pub newest_first: bool,
    /// How many hits to leave out.
    pub offset: usize,
    /// How many hits to give at most.
    pub limit: usize,
    /// Whether the hits say where the query's words stand.
    pub highlight: bool,
}

/// The answer to a search.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SearchResult {
    /// How many events are meant in all, exact.
    pub total: u64,
    /// One page of them.
    pub hits: Vec<StoredHit>,
}

/// One event that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHit {
    /// The event as it was appended.
    pub event: Event,
    /// The build that it was appended for.
    pub build_uuid: String,
    /// Its moment: its own `@timestamp`, else the build's end.
    pub time: Timestamp,
    /// Byte ranges of the message that the query covers; empty unless highlights were asked for.
    pub spans: Vec<(usize, usize)>,
}

/// How well a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthState {
    /// Everything that was appended can be searched.
    Ok,
    /// It works, but something was lost or set aside.
    Degraded,
    /// It cannot be used.
    Down,
}

/// How well a store is, and how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// In one word.
    pub state: HealthState,
    /// Number of events.
    pub documents: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Number of time slices.
    pub slices: u64,
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// A place that keeps events. Queries must have been read with the schema that the store has.
pub trait LogStore: Send + Sync {
    /// Stores the events of a build in place of those it had, and returns their number. They are
    /// visible when this returns, and until then, or if it fails, those before are.
    fn append(
        &self,
        build: &Build,
        events: &mut dyn Iterator<Item = Event>,
    ) -> Result<u64, StoreError>;

    /// One page of the events that are meant, and their number; `now` is what date maths calls now.
    fn search(
        &self,
        request: &SearchRequest<'_>,
        now: Timestamp,
    ) -> Result<SearchResult, StoreError>;

    /// [`LogStore::search`] and [`LogStore::distinct_builds`] at once: what a draft finds.
    fn search_with_builds(
        &self,
        request: &SearchRequest<'_>,
        now: Timestamp,
    ) -> Result<(SearchResult, Vec<String>), StoreError> {
        let found = self.search(request, now)?;
        Ok((found, self.distinct_builds(&request.selection, now)?))
    }

    /// How many of the events have which value of `field`: the most frequent first, at most
    /// `limit`, equal counts in the order of the values. Events with several values count for each.
    fn count_by_field(
        &self,
        selection: &Selection<'_>,
        field: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(String, u64)>, StoreError>;

    /// How many of the events fall into which span of `interval` seconds (counted from 1970), in
    /// the order of time; empty spans are left out.
    fn histogram(
        &self,
        selection: &Selection<'_>,
        interval: u64,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, u64)>, StoreError>;

    /// The builds that have such an event, in the order of their names.
    fn distinct_builds(
        &self,
        selection: &Selection<'_>,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError>;

    /// All events of a build in the order in which they were appended.
    fn events_of(&self, build_uuid: &str) -> Result<Vec<Event>, StoreError>;

    /// Drops the slices that hold only builds that ended on a day before that of `limit`; returns
    /// how many events went.
    fn delete_before(&self, limit: Timestamp) -> Result<u64, StoreError>;

    /// How well the store is.
    fn health(&self) -> Health;
}

/// Hands the events of one of several builds, by its place in their list, to the function that it is
/// given.
pub type ReadEvents<'a> = dyn FnMut(usize, &mut dyn FnMut(Event)) + 'a;

/// A store that takes several builds together and remembers in which state it has each.
pub trait MarkedStore: LogStore {
    /// Stores the events of several builds in place of those they had, and returns their numbers.
    /// `read` hands over the events of the build with the given place in the list. Each build is
    /// visible whole or not at all, whatever happens; when this returns, all are. With each build goes
    /// a number that [`MarkedStore::marks`] gives back.
    fn append_many(
        &self,
        builds: &[(Build, u64)],
        read: &mut ReadEvents<'_>,
    ) -> Result<Vec<u64>, StoreError>;

    /// The builds that the store has, events or not, with what each was marked with when it was
    /// appended.
    fn marks(&self) -> Result<HashMap<String, u64>, StoreError>;

    /// How often something of the store was set aside since it was opened: then builds are missing.
    fn losses(&self) -> u64;
}
