//! One connection, used by one thread at a time that waits for each answer.

use super::value::numbered;
use super::{ServerError, in_the_way, lost};
use crate::state::StateError;
use crate::state::sql::{Tx, Value};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row, Statement};

/// How long one statement may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);
/// How long a step from one version of the tables to the next may take: it may read all of them.
const MIGRATION: Duration = Duration::from_secs(3600);
/// Statements that a connection keeps ready.
const KEPT: usize = 200;

/// A connection.
pub(crate) struct Link {
    client: Client,
    task: JoinHandle<()>,
    runtime: Handle,
    statements: RefCell<HashMap<String, Statement>>,
    broken: Cell<bool>,
}

/// Why a transaction was not kept.
pub(super) struct Failure {
    /// The reason.
    pub(super) error: StateError,
    /// True when nothing was kept for certain and another attempt may go better.
    pub(super) again: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A server that does not answer would keep the task for ever.
        self.task.abort();
    }
}

impl Link {
    /// A connection that `task` drives.
    pub(super) fn new(client: Client, task: JoinHandle<()>, runtime: Handle) -> Self {
        Self {
            client,
            task,
            runtime,
            statements: RefCell::default(),
            broken: Cell::new(false),
        }
    }

    /// True when it must not be used again.
    pub(super) fn broken(&self) -> bool {
        self.broken.get() || self.client.is_closed()
    }

    /// Runs statements without values.
    pub(super) fn batch(&self, sql: &str) -> Result<(), StateError> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Runs statements that read and write whole tables.
    pub(super) fn long_batch(&self, sql: &str) -> Result<(), StateError> {
        self.wait_for(MIGRATION, self.client.batch_execute(sql))
    }

    /// Changes something and returns how many rows it concerned.
    pub(crate) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StateError> {
        let statement = self.prepared(sql)?;
        self.wait(self.client.execute_raw(&statement, values))
    }

    /// The rows of an answer.
    pub(crate) fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StateError> {
        let statement = self.prepared(sql)?;
        let mut all: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = Vec::new();
        for value in values {
            all.push(value);
        }
        self.wait(self.client.query(&statement, &all))
    }

    /// Runs `work` between `begin` and `COMMIT`, or takes it all back.
    pub(super) fn transaction<T>(
        &self,
        begin: &str,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, Failure> {
        let done = self.batch(begin).and_then(|()| work(Tx::Postgres(self)));
        match done {
            Ok(done) => match self.batch("COMMIT") {
                Ok(()) => Ok(done),
                Err(error) => Err(Failure {
                    again: matches!(&error, StateError::Server(ServerError::Database(e)) if in_the_way(e)),
                    error,
                }),
            },
            Err(error) => Err(self.undone(error)),
        }
    }

    /// Takes back what was done before the error.
    fn undone(&self, error: StateError) -> Failure {
        if !self.broken() && self.batch("ROLLBACK").is_err() {
            self.broken.set(true);
        }
        let again = match &error {
            StateError::Server(ServerError::Database(e)) => in_the_way(e) || lost(e),
            _ => false,
        };
        Failure { error, again }
    }

    fn prepared(&self, sql: &str) -> Result<Statement, StateError> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(self.client.prepare(&numbered(sql)))?;
        let mut kept = self.statements.borrow_mut();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StateError> {
        self.wait_for(DEADLINE, work)
    }

    fn wait_for<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StateError> {
        let answer = within(&self.runtime, limit, work);
        match answer {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                if lost(&error) {
                    self.broken.set(true);
                }
                Err(error.into())
            }
            Err(late) => {
                self.broken.set(true);
                Err(late.into())
            }
        }
    }
}

/// Waits for `work`, which others drive, no longer than `limit`. Unlike a runtime's own waiting this
/// may be called from anywhere.
pub(super) fn within<T>(
    runtime: &Handle,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, ServerError> {
    let _inside = runtime.enter();
    let mut work = pin!(tokio::time::timeout(limit, work));
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match work.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done.map_err(|_| ServerError::Deadline(limit)),
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
