//! The one connection that writes, for many threads.
//!
//! In: what threads want to write. Out: what came of it, once it is kept. The way: whoever has the connection while
//! others wait for it leaves its transaction open for them, and the last of them ends it for all (a group commit):
//! one wait for the disk where there would be one for each.
//! Invariants: nobody is told of what is not on the disk yet; of one call all is kept, or nothing; a call that
//! fails, or ends with a panic, takes nothing from others: where theirs went with it, they write again, each alone;
//! no transaction is open while nobody waits. A call must not go on when the database has refused something: all
//! that it did before may be gone.

use crate::state::StateError;
use crate::state::sql::Tx;
use rusqlite::Connection;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Most calls that end together.
const MOST: usize = 64;

#[derive(Debug)]
pub(super) struct Writer {
    desk: Mutex<Desk>,
    /// Threads that wait for the desk, and will write as soon as they have it.
    waiting: AtomicUsize,
    /// A group has ended.
    ended: Condvar,
}

#[derive(Debug)]
struct Desk {
    connection: Connection,
    /// Those whose transaction is open.
    group: Option<Group>,
    /// Transactions that were kept.
    #[cfg(test)]
    commits: usize,
}

#[derive(Debug, Default)]
struct Group {
    calls: usize,
    /// Whether all that was written is kept, when that is known.
    kept: Arc<OnceLock<bool>>,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        let desk = Desk {
            connection,
            group: None,
            #[cfg(test)]
            commits: 0,
        };
        Self {
            desk: Mutex::new(desk),
            waiting: AtomicUsize::new(0),
            ended: Condvar::new(),
        }
    }

    /// Runs `work` and keeps all that it wrote, or nothing. It may be run twice, the first time in vain.
    pub(super) fn write<T>(
        &self,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match self.with_others(&work) {
            Some(done) => done,
            None => self.alone(&work),
        }
    }

    /// Runs `work` in the group's transaction; `None` when nothing is kept and it was not this call's fault.
    fn with_others<T>(
        &self,
        work: &impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Option<Result<T, StateError>> {
        let mut desk = self.enter();
        let (calls, kept) = match desk.join() {
            Ok(joined) => joined,
            Err(error) => return Some(Err(error)),
        };
        let done = self.run(&mut desk, work);
        let others_wait = self.waiting.load(Ordering::SeqCst) > 0;
        if desk.group.is_some() && (!others_wait || calls + 1 >= MOST) {
            let ended = self.end(&mut desk);
            return match (done, ended) {
                (Ok(_), Err(_)) if calls > 0 => None,
                (Ok(_), Err(error)) => Some(Err(error)),
                (done, _) => Some(done),
            };
        }
        if done.is_err() {
            return Some(done);
        }
        while kept.get().is_none() {
            let waited = self.ended.wait(desk);
            desk = waited.unwrap_or_else(PoisonError::into_inner);
        }
        kept.get().copied().unwrap_or(false).then_some(done)
    }

    /// Runs `work` in a transaction of its own.
    fn alone<T>(&self, work: &impl Fn(Tx<'_>) -> Result<T, StateError>) -> Result<T, StateError> {
        let mut desk = self.enter();
        if desk.group.is_some() {
            // Those of the group are told by their own threads.
            let _ = self.end(&mut desk);
        }
        desk.join()?;
        let done = self.run(&mut desk, work);
        if desk.group.is_none() {
            return done;
        }
        // Also when it has failed without a change: nobody else would end it.
        let ended = self.end(&mut desk);
        done.and_then(|done| ended.map(|()| done))
    }

    fn enter(&self) -> MutexGuard<'_, Desk> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // Whoever panics gives up what was open, so a poisoned lock is still good.
        let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        desk
    }

    /// Runs `work`, which changes rows and no tables; when it fails behind its first change, or panics, the group's transaction is given up.
    fn run<T>(
        &self,
        desk: &mut Desk,
        work: &impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let before = desk.connection.total_changes();
        let mut giving_up = GivingUp::new(self, desk);
        let done = work(Tx::Sqlite(&giving_up.desk.connection));
        let connection = &giving_up.desk.connection;
        // The database itself gives up when the disk is full or fails.
        let clean = !connection.is_autocommit() && connection.total_changes() == before;
        if done.is_ok() || clean {
            giving_up.desk.count();
            giving_up.over = true;
        }
        done
    }

    /// Keeps what the group has written.
    fn end(&self, desk: &mut Desk) -> Result<(), StateError> {
        let mut giving_up = GivingUp::new(self, desk);
        giving_up.desk.connection.execute_batch("COMMIT")?;
        giving_up.over = true;
        giving_up.desk.close(true);
        self.ended.notify_all();
        Ok(())
    }
}

impl Desk {
    /// Opens a transaction where none is open. How many have written in it, and whether it is kept.
    fn join(&mut self) -> Result<(usize, Arc<OnceLock<bool>>), StateError> {
        if self.group.is_none() {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        let group = self.group.get_or_insert_default();
        Ok((group.calls, Arc::clone(&group.kept)))
    }

    fn count(&mut self) {
        if let Some(group) = &mut self.group {
            group.calls += 1;
        }
    }

    fn close(&mut self, kept: bool) {
        if let Some(group) = self.group.take() {
            let _ = group.kept.set(kept);
        }
        #[cfg(test)]
        {
            self.commits += usize::from(kept);
        }
    }
}

/// Rolls the group's transaction back unless all went well.
struct GivingUp<'w> {
    writer: &'w Writer,
    desk: &'w mut Desk,
    /// All went well.
    over: bool,
}

impl<'w> GivingUp<'w> {
    fn new(writer: &'w Writer, desk: &'w mut Desk) -> Self {
        let over = false;
        Self { writer, desk, over }
    }
}

impl Drop for GivingUp<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if !self.desk.connection.is_autocommit()
            && let Err(error) = self.desk.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction cannot be rolled back");
        }
        self.desk.close(false);
        self.writer.ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
