//! What must survive a restart: builds, their logs' names, verdicts with matches and evidence, notes
//! that wait to be said, reports and the audit log. One `SQLite` file, or a `PostgreSQL` database that
//! several processes share.
//!
//! In: builds, verdicts and notes. Out: rows and exact counts. Invariants: a verdict, its matches,
//! their evidence and its notes are written in one transaction; times are whole microseconds in UTC;
//! every call is idempotent or says what it changed. Calls block: an async caller uses
//! `spawn_blocking`. What is said in SQL is said once for both databases (`sql.rs`).

mod around;
mod audit;
mod bugs;
mod builds;
mod counts;
mod decisions;
mod digest;
mod faults;
mod fetches;
mod hush;
mod lease;
mod list;
mod lock;
mod notes;
mod outbox;
mod postgres;
mod rechecks;
mod reports;
mod sql;
mod sqlite;
mod stats;
mod survey;
mod tally;
mod types;
mod verdicts;
mod window;

pub use around::{Late, OutdatedBy, PatchsetBuild, Surroundings, patchset_topic};
pub use bugs::{BugHits, BugRow, ReturnedBug, SeenBug};
pub use decisions::{DecideBy, Decided, DueRecheck, RecheckAnswer, RecheckDecision};
pub use digest::{DigestBug, DigestData};
pub use faults::{METHODS, ROOM as FAULTS};
pub use fetches::{Fetch, Fetched};
pub use hush::{Hush, NewOutage, NewSilence, Outage, Silence, SilenceKind};
pub use lease::Role;
pub use lock::FolderLock;
pub use outbox::LATE_LOG;
pub use postgres::ServerError;
pub use rechecks::{Recheck, RecheckCount, RecheckFacts, RecheckKind, recheck_topic};
pub use survey::{ClusterBuild, ClusterCounts, ClusterRow, Mark, Surveyed};
pub use types::{
    Age, AuditRow, BuildFilter, BuildRow, Counting, FingerprintStats, Job, LogRow, Manner, NewNote,
    Note, NoteFilter, NoteState, Page, PassedVerdict, Place, ReportData, ReportRow, RowMatch,
    StoredBuild, StoredReport, Tally, VerdictRecord,
};
pub use verdicts::{Speaker, Spot};

use crate::chance::Plan;
use faults::{Access, Faults};
use jiff::Timestamp;
use rusqlite::ErrorCode;
use sql::Tx;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What can go wrong with the state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The database refused.
    #[error("state database: {0}")]
    Database(#[from] rusqlite::Error),
    /// There is no room for what should be kept.
    #[error("no room for the state in {place}: {source}; make room, nothing that was kept is lost")]
    Full {
        /// The file.
        place: String,
        /// What the database says.
        source: rusqlite::Error,
    },
    /// The file is not what was written.
    #[error(
        "state file {place} is damaged: {source}. Stop whorl and put a backup of it in its place; without one, \
         move it away together with {place}-wal and {place}-shm: whorl then begins anew, and what \
         `sqlite3 {place} .recover` still finds can be looked at"
    )]
    Damaged {
        /// The file.
        place: String,
        /// What the database says.
        source: rusqlite::Error,
    },
    /// The file is empty, and logs of builds say that it was not.
    #[error(
        "state file {place} is empty, though there are logs of builds in {logs}: put a backup of it in its place, or \
         remove it to begin anew without what was known of these builds"
    )]
    Emptied {
        /// The file.
        place: String,
        /// The folder of the logs.
        logs: String,
    },
    /// The server refused or cannot be reached.
    #[error("state database: {0}")]
    Server(#[from] ServerError),
    /// The logs in the shared folder belong to another state.
    #[error(
        "folder {path} does not hold the logs of the state in {place}, other whorls use another folder: give all of them the same `state.shared-dir`"
    )]
    OtherLogs {
        /// The folder.
        path: PathBuf,
        /// The database.
        place: String,
    },
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
    /// The database was written by a newer program.
    #[error(
        "state {place} has format {found}, this program knows up to {known}: use the newer whorl that wrote it, or another place"
    )]
    Newer {
        /// The file or database.
        place: String,
        /// The version that it has.
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

impl StateError {
    /// True when there is no room for what should be kept.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Database(error) => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            _ => false,
        }
    }

    /// True when the same may go well later: the disk or the server does not do what it should, or
    /// others are in the way.
    pub fn is_passing(&self) -> bool {
        use ErrorCode::{DatabaseBusy, DatabaseLocked, ReadOnly, SystemIoFailure};
        match self {
            Self::Server(_) => true,
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(DatabaseBusy | DatabaseLocked | ReadOnly | SystemIoFailure)
            ),
            _ => false,
        }
    }
}

impl From<tokio_postgres::Error> for StateError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error.into())
    }
}

/// The state database. Share it by `Arc`; every method may be called from any thread.
#[derive(Debug)]
pub struct State {
    database: Database,
    /// Has calls fail on purpose; hardly ever there.
    faults: Option<Box<Faults>>,
    /// Verdicts since news were last added to the kept counts.
    news: AtomicU64,
}

#[derive(Debug)]
enum Database {
    Sqlite(Box<sqlite::Sqlite>),
    Postgres(Box<postgres::Postgres>),
}

impl State {
    /// Opens the `SQLite` file at `path`, making or migrating it as needed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StateError> {
        let database = Database::Sqlite(Box::new(sqlite::Sqlite::open(path.as_ref())?));
        let state = Self {
            database,
            faults: None,
            news: AtomicU64::new(0),
        };
        state.check()?;
        Ok(state)
    }

    /// Connects to the `PostgreSQL` database at `url` (`postgres://user:password@host:port/name`),
    /// making or migrating the tables as needed.
    pub fn connect(url: &str) -> Result<Self, StateError> {
        let database = Database::Postgres(Box::new(postgres::Postgres::connect(url)?));
        Ok(Self {
            database,
            faults: None,
            news: AtomicU64::new(0),
        })
    }

    /// The same state, of which calls fail as the plan says.
    #[must_use]
    pub fn failing(mut self, plan: Arc<Plan>) -> Self {
        self.faults = Some(Box::new(Faults::new(plan, self.shared())));
        self
    }

    /// The plan by which calls fail on purpose, if there is one.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.faults.as_ref().map(|faults| faults.plan())
    }

    /// Where the state is, without any secret.
    pub fn place(&self) -> String {
        match &self.database {
            Database::Sqlite(file) => file.path().display().to_string(),
            Database::Postgres(server) => server.place().to_owned(),
        }
    }

    /// True when several processes may use this state at the same time.
    pub fn shared(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    /// True when the database answers; for readiness checks.
    pub fn check(&self) -> Result<(), StateError> {
        // A file may answer that is no more than its first page.
        let sql = "SELECT CAST(count(*) AS BIGINT) FROM (SELECT id FROM builds LIMIT 1) AS one";
        self.read(|tx| tx.value::<i64>(sql, &[]).map(|_| ()))
    }

    /// Runs `work` in one writing transaction: all of it is kept, or nothing. It may run more than
    /// once, until nobody else was in its way.
    fn write<T>(&self, work: impl Fn(Tx<'_>) -> Result<T, StateError>) -> Result<T, StateError> {
        self.write_of("", work)
    }

    /// [`State::write`] about something, such as a build: its calls fail by themselves where calls fail
    /// on purpose, whatever is called for others meanwhile.
    fn write_of<T>(
        &self,
        what: &str,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match &self.faults {
            None => self.database.write(work),
            Some(faults) => {
                faults.around(Access::Write, what, work, |work| self.database.write(work))
            }
        }
    }

    /// Runs `work` on one unchanging view of the database.
    fn read<T>(&self, work: impl Fn(Tx<'_>) -> Result<T, StateError>) -> Result<T, StateError> {
        self.read_of("", work)
    }

    /// [`State::read`] about something, such as a build.
    fn read_of<T>(
        &self,
        what: &str,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match &self.faults {
            None => self.database.read(work),
            Some(faults) => {
                faults.around(Access::Read, what, work, |work| self.database.read(work))
            }
        }
    }
}

impl Database {
    fn write<T>(&self, work: impl Fn(Tx<'_>) -> Result<T, StateError>) -> Result<T, StateError> {
        match self {
            Self::Sqlite(file) => file.write(work),
            Self::Postgres(server) => server.write(work),
        }
    }

    fn read<T>(&self, work: impl Fn(Tx<'_>) -> Result<T, StateError>) -> Result<T, StateError> {
        match self {
            Self::Sqlite(file) => file.read(work),
            Self::Postgres(server) => server.read(work),
        }
    }
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

/// How `SQLite` goes about a question.
#[cfg(test)]
fn query_plan(sql: &str, values: &[sql::Value<'_>]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path().join("state.db")).unwrap();
    let asked = format!("EXPLAIN QUERY PLAN {sql}");
    let steps = state.read(|tx| tx.rows(&asked, values, |row| row.get::<String>(3)));
    steps.unwrap().join("; ")
}
