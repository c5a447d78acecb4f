//! `PostgreSQL`, for several processes that share the work.
//!
//! In: an address. Out: transactions. Invariants: a bounded number of connections; every wait has a
//! deadline; a lost connection is made again; what another transaction was in the way of is tried
//! again, a bounded number of times; whether a lost `COMMIT` was kept is never guessed.

mod address;
mod link;
mod pool;
mod schema;
mod tls;
mod value;

pub(super) use link::Link;

use super::StateError;
use super::lease::Held;
use super::sql::Tx;
use address::Address;
use link::Failure;
use pool::Pool;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// How often a transaction is begun at most.
const ATTEMPTS: u32 = 7;
/// The wait before the second attempt; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// What can go wrong with a server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be understood.
    #[error("state.url: {0}")]
    Address(String),
    /// The server does not let us in, or cannot be reached.
    #[error("cannot connect to {place}: {why}")]
    Connect {
        /// The server and database.
        place: String,
        /// What was said.
        why: String,
    },
    /// The server refused a statement, or the connection was lost.
    #[error("{}", chain(.0))]
    Database(#[from] tokio_postgres::Error),
    /// The server did not answer.
    #[error("no answer within {} s", .0.as_secs())]
    Deadline(Duration),
    /// All connections are in use.
    #[error("all {0} connections are in use")]
    Busy(usize),
    /// No runtime for the connections.
    #[error("cannot start the connections' runtime: {0}")]
    Runtime(std::io::Error),
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
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

/// One database on a server.
#[derive(Debug)]
pub(super) struct Postgres {
    pool: Pool,
    /// What this process is called in leases; no two are called alike.
    owner: String,
    /// The roles that it has.
    held: Held,
}

impl Postgres {
    /// Connects, and brings the tables to the newest version.
    pub(super) fn connect(url: &str) -> Result<Self, StateError> {
        let pool = Pool::new(Address::parse(url)?)?;
        let link = pool.take()?;
        schema::migrate(&link, pool.place())?;
        pool.give(link);
        Ok(Self {
            pool,
            owner: format!("{}-{}", std::process::id(), unlike()),
            held: Held::default(),
        })
    }

    /// Server and database, without secrets.
    pub(super) fn place(&self) -> &str {
        self.pool.place()
    }

    /// The name of this process.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// The roles of this process.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// Runs `work` in one writing transaction.
    ///
    /// Writers lock the build that they change first (`Tx::lock`), so that a later statement of the
    /// same transaction sees what the one before them has done.
    pub(super) fn write<T>(
        &self,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.transaction("BEGIN ISOLATION LEVEL READ COMMITTED", work)
    }

    /// Runs `work` on one unchanging view.
    pub(super) fn read<T>(
        &self,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work)
    }

    fn transaction<T>(
        &self,
        begin: &str,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            match self.once(begin, &work) {
                Err(failure) if failure.again => {
                    tracing::debug!(error = %failure.error, "a transaction is tried again");
                }
                done => return done.map_err(|failure| failure.error),
            }
            std::thread::sleep(wait.mul_f64(0.5 + random() / 2.0));
            wait *= 2;
        }
        self.once(begin, &work).map_err(|failure| failure.error)
    }

    fn once<T>(
        &self,
        begin: &str,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, Failure> {
        let link = self.pool.take().map_err(|error| Failure {
            again: matches!(error, ServerError::Connect { .. }),
            error: error.into(),
        })?;
        let done = link.transaction(begin, work);
        if link.broken() {
            // The others were lost with it, or will say so themselves.
            self.pool.forget(link);
        } else {
            self.pool.give(link);
        }
        done
    }
}

/// True when another transaction was in the way, and nothing of ours was kept.
fn in_the_way(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(code)
    })
}

/// True when the connection is of no more use.
fn lost(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        let cause = std::error::Error::source(error);
        return error.is_closed()
            || cause.is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    };
    // 57P0x: the server goes down; 08: the connection.
    code.code().starts_with("57P0") || code.code().starts_with("08")
}

/// A number from 0 to 1, from the seed that the standard library draws for its hash tables.
fn random() -> f64 {
    let drawn = RandomState::new().build_hasher().finish();
    drawn as f64 / u64::MAX as f64
}

/// A word that is drawn anew each time.
pub(super) fn unlike() -> String {
    let drawn = || RandomState::new().build_hasher().finish();
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let time = since.map_or(0, |since| since.subsec_nanos());
    format!("{:016x}{:016x}{time:08x}", drawn(), drawn())
}
