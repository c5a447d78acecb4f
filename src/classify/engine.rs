//! What the service needs from the rooms that know fingerprints, logs, the index and reports.

use super::pipeline::{Looker, Outcome};
use crate::event::{BugRef, Build, Evidence};
use crate::state::{NewNote, Outage, ReturnedBug, SeenBug, Surroundings};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// One fingerprint as pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// Its title, or the id.
    pub title: String,
    /// Its bug.
    pub bug: BugRef,
    /// Its group in reports.
    pub category: Option<String>,
    /// Who looks after it.
    pub owner: Option<String>,
    /// What it advises.
    pub advice: Option<String>,
    /// How often another run of a change may be asked for because of it.
    pub retry: Option<u32>,
    /// When the bug counted as fixed.
    pub resolved_at: Option<Timestamp>,
    /// True when it is left out of the ranking.
    pub hidden: bool,
    /// The file's text.
    pub source: String,
}

/// A fingerprint file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenFile {
    /// File, line and column.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// The fingerprints in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Rules {
    /// The version that verdicts record.
    pub version: String,
    /// All of them, by id.
    pub fingerprints: Vec<Rule>,
    /// The files that cannot be used.
    pub broken: Vec<BrokenFile>,
}

/// A report that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeReport {
    /// One line about it.
    pub summary: String,
    /// For machines.
    pub json: String,
    /// For people: one page that needs nothing else.
    pub html: String,
}

/// What a query finds in the stored events.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Searched {
    /// Number of events, exact.
    pub events: u64,
    /// The builds that have such an event, by name.
    pub builds: Vec<String>,
    /// The newest of the events.
    pub newest: Vec<SearchedEvent>,
}

/// One event that a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SearchedEvent {
    /// Its build.
    pub build: String,
    /// Its moment.
    pub time: Timestamp,
    /// Where it is and what it says.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// How it stands with a cluster that keeps the logs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ClusterStatus {
    /// True when somebody else fills its indexes.
    pub foreign: bool,
    /// True once it has answered and was made ready, as far as it needs to be.
    pub reached: bool,
    /// True while nothing is sent to it, after failures in a row.
    pub breaker_open: bool,
    /// What is wrong, in one sentence.
    pub problem: Option<String>,
    /// Requests sent, repetitions included.
    pub requests: u64,
    /// Repetitions among them.
    pub repeated: u64,
    /// Bytes of the requests.
    pub sent_bytes: u64,
    /// Bytes of the answers.
    pub received_bytes: u64,
    /// Requests for further pages of a build's events, beyond the first.
    pub extra_pages: u64,
    /// Requests that were needed because one could not hold all queries.
    pub splits: u64,
    /// Builds that wait until their log is complete in the index.
    pub waiting_builds: u64,
    /// Builds whose events are still to be indexed.
    pub unindexed_builds: u64,
}

/// How far the index of this machine is behind the verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct IndexStatus {
    /// Builds that were looked at and cannot be searched yet.
    pub waiting_builds: u64,
    /// How long the first of them has waited.
    pub lag_seconds: u64,
    /// True while it is looked for builds that the index lacks: there may be more.
    pub comparing: bool,
}

/// Why a search gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The query cannot be read.
    #[error("column {column}: {message}")]
    Query {
        /// What is wrong.
        message: String,
        /// Where, in characters from 1.
        column: usize,
    },
    /// The index cannot answer.
    #[error("{0}")]
    Store(String),
    /// The index was given too little time for so much.
    #[error("{0}")]
    TooLong(String),
}

/// The knowing half of the service; calls block.
pub trait Engine: Looker {
    /// The fingerprints in force.
    fn rules(&self) -> Arc<Rules>;
    /// Reads the fingerprint folders again.
    fn reload(&self);
    /// What should be said about an outcome.
    fn notes(&self, build: &Build, outcome: &Outcome, around: &Surroundings) -> Vec<NewNote>;
    /// What should be said of notes on older patchsets of a change (target and topic).
    fn outdated(&self, _older: &[(String, String)]) -> Vec<NewNote> {
        Vec::new()
    }
    /// What should be said of a closed bug that a build has hit again.
    fn returned(&self, _back: &ReturnedBug, _seen: &SeenBug, _now: Timestamp) -> Vec<NewNote> {
        Vec::new()
    }
    /// What should be said of an outage that begins, or that is over after so long.
    fn outage(&self, _outage: &Outage, _lasted: Option<SignedDuration>) -> Vec<NewNote> {
        Vec::new()
    }
    /// The builds whose logs have become complete elsewhere, or for which it is too late: they should
    /// be looked at. Called again and again.
    fn settled(&self, _now: Timestamp) -> Vec<String> {
        Vec::new()
    }
    /// The builds that have ended elsewhere since `from`; none where builds are announced.
    fn ended_since(&self, _from: Timestamp) -> Result<Vec<Build>, String> {
        Ok(Vec::new())
    }
    /// Does what was put off while the cluster that keeps the logs was away. Called again and again.
    fn tend(&self) {}
    /// How it stands with the cluster that keeps the logs, without asking it; `None` when the logs are
    /// on this machine.
    fn cluster(&self) -> Option<ClusterStatus> {
        None
    }
    /// Fills the index of this machine until it is told to end; returns at once where there is none.
    fn keep_index(&self, _drain: &CancellationToken, _quit: &CancellationToken) {}
    /// How far the index of this machine is behind; `None` where there is none.
    fn index_status(&self) -> Option<IndexStatus> {
        None
    }
    /// False while no build can be looked at, because its logs are where nobody answers.
    fn can_look(&self) -> bool {
        true
    }
    /// True while a build's logs can still be read; a build without them keeps its verdict.
    fn has_logs(&self, uuid: &str) -> bool;
    /// Makes a report.
    fn report(&self, now: Timestamp) -> Result<MadeReport, String>;
    /// Why the service cannot do its work, if it cannot.
    fn troubles(&self) -> Vec<String>;
    /// What went wrong although the service can do its work.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
    /// Looks for a query in all stored events and shows at most `limit` of them.
    fn search(&self, query: &str, limit: usize, now: Timestamp) -> Result<Searched, SearchError>;
    /// Drops what is older than `limit`.
    fn forget(&self, limit: Timestamp) -> Result<(), String>;
}
