//! Who does what, where several processes share a state.
//!
//! In: what a process would like to do. Out: whether it may. Invariants: a build is looked at by one
//! process at a time, and one process at a time has a role; what a process does not renew is free for
//! the others after [`LEASE`], by the server's clock; a verdict is only kept, and a note only begun,
//! by who holds the lease in that very transaction. An embedded state has one process, which may do
//! everything: nothing is written for it.

use super::sql::{Tx, values};
use super::{Database, Note, State, StateError, micros, notes, signed};
use crate::state::postgres::unlike;
use jiff::Timestamp;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a lease holds when it is not renewed.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How long a process believes in its own roles: a little less.
const BELIEVED: Duration = Duration::from_secs(13);
/// The server's time in microseconds.
const NOW: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
/// Name of the file that tells one folder of logs from another.
const MARK: &str = ".whorl-logs";

/// What one process does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Makes reports on schedule, drops what is old, looks again at stored builds.
    Keeper,
    /// Says notes.
    Sender,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Keeper, Self::Sender];

    fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Sender => "sender",
        }
    }
}

/// Until when this process may believe that it has a role.
#[derive(Debug, Default)]
pub(super) struct Held([Mutex<Option<Instant>>; Role::ALL.len()]);

impl Held {
    fn set(&self, role: Role, until: Option<Instant>) {
        *self.0[role as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn now(&self, role: Role) -> bool {
        let until = *self.0[role as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

impl State {
    /// How often [`State::renew`] is to be called, where it has to be.
    pub fn renewal(&self) -> Option<Duration> {
        self.shared().then_some(LEASE / 5)
    }

    /// True when this process may look at the build: it is complete and waits for a verdict (or
    /// `again` asks for another look), and no other process is at it.
    pub fn take(&self, uuid: &str, again: bool) -> Result<bool, StateError> {
        let Database::Postgres(server) = &self.database else {
            return Ok(true);
        };
        let sql = format!(
            "UPDATE builds SET lease_owner = ?2, lease_until = {NOW} + ?3
             WHERE uuid = ?1 AND ((waiting = 1 AND completed_at IS NOT NULL) OR ?4 = 1)
             AND (lease_owner IS NULL OR lease_owner = ?2 OR lease_until < {NOW})"
        );
        self.write(|tx| {
            let taken = tx.run(&sql, values![uuid, server.owner(), length(), again])?;
            Ok(taken == 1)
        })
    }

    /// Takes up to `limit` complete builds that wait for a verdict and that no other process is at,
    /// oldest first; those that this process has taken before are among them.
    pub fn take_pending(&self, limit: u64) -> Result<Vec<String>, StateError> {
        let Database::Postgres(server) = &self.database else {
            return self.pending();
        };
        let sql = format!(
            "WITH free AS MATERIALIZED (
                 SELECT id FROM builds WHERE waiting = 1 AND completed_at IS NOT NULL
                 AND (lease_owner IS NULL OR lease_owner = ?1 OR lease_until < {NOW})
                 ORDER BY completed_at, id LIMIT ?3 FOR UPDATE SKIP LOCKED)
             UPDATE builds SET lease_owner = ?1, lease_until = {NOW} + ?2
             FROM free WHERE builds.id = free.id
             RETURNING builds.completed_at, builds.id, builds.uuid"
        );
        let mut taken = self.write(|tx| {
            tx.rows(
                &sql,
                values![server.owner(), length(), signed(limit)],
                |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get(2)?)),
            )
        })?;
        taken.sort_unstable_by_key(|(at, id, _)| (*at, *id));
        Ok(taken.into_iter().map(|(_, _, uuid)| uuid).collect())
    }

    /// True when this process has the role, as far as it can know without asking.
    pub fn holds(&self, role: Role) -> bool {
        match &self.database {
            Database::Sqlite(_) => true,
            Database::Postgres(server) => server.held().now(role),
        }
    }

    /// Renews all that this process has taken, and takes every role that no other process has.
    pub fn renew(&self) -> Result<(), StateError> {
        let Database::Postgres(server) = &self.database else {
            return Ok(());
        };
        for role in Role::ALL {
            // Before it is asked for, so that nobody believes longer than the server.
            let until = Instant::now() + BELIEVED;
            let had = server.held().now(role);
            let has = self.write(|tx| has_role(tx, role, server.owner()))?;
            if had != has {
                tracing::info!(role = role.name(), has, "a role has changed hands");
            }
            server.held().set(role, has.then_some(until));
        }
        let sql = format!("UPDATE builds SET lease_until = {NOW} + ?2 WHERE lease_owner = ?1");
        self.write(|tx| tx.run(&sql, values![server.owner(), length()]))?;
        Ok(())
    }

    /// Gives back all that this process has taken, so that others need not wait.
    pub fn resign(&self) -> Result<(), StateError> {
        let Database::Postgres(server) = &self.database else {
            return Ok(());
        };
        for role in Role::ALL {
            server.held().set(role, None);
        }
        self.write(|tx| {
            tx.run(
                "DELETE FROM leases WHERE owner = ?1",
                values![server.owner()],
            )?;
            tx.run(
                "UPDATE builds SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = ?1",
                values![server.owner()],
            )?;
            Ok(())
        })
    }

    /// Notes for a target that are to be tried now, the longest waiting first, marked as begun by this process.
    /// None when another process says the notes.
    pub fn take_notes(
        &self,
        target: &str,
        now: Timestamp,
        limit: u64,
    ) -> Result<Vec<Note>, StateError> {
        let Database::Postgres(server) = &self.database else {
            return self.due_notes(target, now, limit);
        };
        // Most of the time nothing waits, and asking that disturbs nobody.
        if self.due_notes(target, now, 1)?.is_empty() {
            return Ok(Vec::new());
        }
        let role = format!(
            "SELECT owner FROM leases WHERE name = ?1 AND owner = ?2 AND expires > {NOW} FOR UPDATE"
        );
        let mark = format!(
            "UPDATE notes SET sender = ?2, sent_at = {NOW} WHERE id = ?1 AND state = 'due'"
        );
        self.write(|tx| {
            let sender = values![Role::Sender.name(), server.owner()];
            if tx
                .rows(&role, sender, |row| row.get::<String>(0))?
                .is_empty()
            {
                return Ok(Vec::new());
            }
            let mut begun = Vec::new();
            for note in notes::due(tx, target, micros(now), signed(limit))? {
                // A verdict of this moment may have taken it back.
                if tx.run(&mark, values![note.id, server.owner()])? == 1 {
                    begun.push(note);
                }
            }
            Ok(begun)
        })
    }

    /// Says that the received logs are in `folder`. Where several processes share the state, all of
    /// them must say the same folder: a build whose logs one of them cannot read would seem to have
    /// none.
    pub fn own_logs(&self, folder: &Path) -> Result<(), StateError> {
        let mark = mark(folder)?;
        let other = || StateError::OtherLogs {
            path: folder.to_owned(),
            place: self.place(),
        };
        let Database::Postgres(server) = &self.database else {
            return mark.map_or(Ok(()), |_| Err(other()));
        };
        let (mark, fresh) = match mark {
            Some(mark) => (mark, false),
            None => write_mark(folder)?,
        };
        let known: String = server.write(|tx| {
            tx.run(
                "INSERT INTO facts (name, value) VALUES ('logs', ?1) ON CONFLICT (name) DO NOTHING",
                values![&mark],
            )?;
            tx.value("SELECT value FROM facts WHERE name = 'logs'", &[])
        })?;
        if known == mark {
            return Ok(());
        }
        if fresh {
            // The folder is nobody's yet; the refusal is what counts.
            let _ = std::fs::remove_file(folder.join(MARK));
        }
        Err(other())
    }

    /// True when this process still has the build, which is given back with that.
    pub(super) fn give_back(&self, tx: Tx<'_>, build: i64) -> Result<bool, StateError> {
        let Database::Postgres(server) = &self.database else {
            return Ok(true);
        };
        let had = tx.run(
            "UPDATE builds SET lease_owner = NULL, lease_until = NULL
             WHERE id = ?1 AND lease_owner = ?2",
            values![build, server.owner()],
        )?;
        Ok(had == 1)
    }
}

/// Takes a role, or renews it; false when another process has it.
fn has_role(tx: Tx<'_>, role: Role, owner: &str) -> Result<bool, StateError> {
    let sql = format!(
        "INSERT INTO leases (name, owner, expires) VALUES (?1, ?2, {NOW} + ?3)
         ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires = excluded.expires
         WHERE leases.owner = excluded.owner OR leases.expires < {NOW}"
    );
    Ok(tx.run(&sql, values![role.name(), owner, length()])? == 1)
}

fn length() -> i64 {
    i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX)
}

/// What a folder of logs is known by, if it was used by several processes before.
fn mark(folder: &Path) -> Result<Option<String>, StateError> {
    match std::fs::read_to_string(folder.join(MARK)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(folder, source)),
    }
}

/// Marks a folder, whole and once; true when it was not marked meanwhile by somebody else.
fn write_mark(folder: &Path) -> Result<(String, bool), StateError> {
    let wrong = |source| failed(folder, source);
    std::fs::create_dir_all(folder).map_err(wrong)?;
    let drawn = unlike();
    let file = tempfile::NamedTempFile::new_in(folder).map_err(wrong)?;
    std::fs::write(file.path(), format!("{drawn}\n")).map_err(wrong)?;
    match file.persist_noclobber(folder.join(MARK)) {
        Ok(_) => Ok((drawn, true)),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
            Ok((mark(folder)?.unwrap_or_default(), false))
        }
        Err(error) => Err(failed(folder, error.error)),
    }
}

fn failed(folder: &Path, source: std::io::Error) -> StateError {
    StateError::File {
        path: folder.join(MARK),
        source,
    }
}
