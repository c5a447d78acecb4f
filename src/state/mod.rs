//! What must survive a restart: builds, their logs' names, verdicts with matches and evidence, notes
//! that wait to be said, reports and the audit log. One `SQLite` file.
//!
//! In: builds, verdicts and notes. Out: rows and exact counts. Invariants: a verdict, its matches,
//! their evidence and its notes are written in one transaction; times are whole microseconds in UTC;
//! every call is idempotent or says what it changed. Calls block: an async caller uses
//! `spawn_blocking`.

mod audit;
mod builds;
mod list;
mod lock;
mod notes;
mod reports;
mod schema;
mod stats;
mod types;
mod verdicts;

pub use lock::FolderLock;
pub use types::{
    Age, AuditRow, BuildFilter, BuildRow, FingerprintStats, Job, LogRow, NewNote, Note, NoteFilter,
    NoteState, Page, PassedVerdict, ReportData, ReportRow, RowMatch, StoredBuild, StoredReport,
    Tally, VerdictRecord,
};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a connection waits for another one's lock before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Reading connections that are kept open between calls.
const KEPT_READERS: usize = 4;

/// What can go wrong with the state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The database refused.
    #[error("state database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A stored or given document is not what it should be.
    #[error("state database holds a document that cannot be read: {0}")]
    Document(#[from] serde_json::Error),
    /// The folder or file cannot be used.
    #[error("state file {path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file was written by a newer program.
    #[error(
        "state file {path} has format {found}, this program knows up to {known}: use the newer whorl that wrote it, or another folder"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// Another process uses the folder.
    #[error(
        "folder {path} is in use by another whorl ({holder}): stop it first, or choose another folder"
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who holds it, as far as it is known.
        holder: String,
    },
    /// The build's name is refused.
    #[error(transparent)]
    Build(#[from] crate::event::BuildError),
    /// No build of that name is known.
    #[error("no build {0}")]
    NoSuchBuild(String),
    /// No note of that number is known.
    #[error("no note {0}")]
    NoSuchNote(i64),
    /// A stored value is outside of its vocabulary.
    #[error("state database: {0}")]
    Value(String),
}

/// The state database. Share it by `Arc`; every method may be called from any thread.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl State {
    /// Opens the database at `path`, making or migrating it as needed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StateError> {
        let path = path.as_ref().to_owned();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| StateError::File {
                path: folder.to_owned(),
                source,
            })?;
        }
        let mut writer = connect(&path)?;
        schema::migrate(&mut writer, &path)?;
        Ok(Self {
            path,
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
        })
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True when the database answers; for readiness checks.
    pub fn check(&self) -> Result<(), StateError> {
        self.read(|tx| Ok(tx.query_row("SELECT 1", [], |_| Ok(()))?))
    }

    /// Runs `work` in one writing transaction: all of it is kept, or nothing.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut writer = held(&self.writer);
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&tx)?;
        tx.commit()?;
        Ok(done)
    }

    /// Runs `work` on one unchanging view of the database.
    fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let kept = held(&self.readers).pop();
        let mut reader = match kept {
            Some(reader) => reader,
            None => connect(&self.path)?,
        };
        let tx = reader.transaction()?;
        let found = work(&tx)?;
        tx.finish()?;
        let mut readers = held(&self.readers);
        if readers.len() < KEPT_READERS {
            readers.push(reader);
        }
        Ok(found)
    }
}

/// A panic elsewhere leaves no half-done transaction behind, so a poisoned lock is still good.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path) -> Result<Connection, StateError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What was acknowledged survives a power cut: a sender does not send it again.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // 32 MB: the report reads every match of the window once.
    connection.pragma_update(None, "cache_size", -32_768)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

fn time(micros: i64) -> Timestamp {
    let edge = if micros < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_microsecond(micros).unwrap_or(edge)
}

/// `SQLite` has no unsigned numbers; ours never come near the edge.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
