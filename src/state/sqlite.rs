//! The embedded database: one file, one writer, several readers.

use super::StateError;
use super::sql::Tx;
use rusqlite::{Connection, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a connection waits for another one's lock before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Reading connections that are kept open between calls.
const KEPT_READERS: usize = 4;
/// Each step brings a file from one version to the next; `PRAGMA user_version` counts the steps that
/// a file has seen. Steps are never changed, only added.
const STEPS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
];

/// One file.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Sqlite {
    /// Opens the file, making or migrating it as needed.
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| StateError::File {
                path: folder.to_owned(),
                source,
            })?;
        }
        let mut writer = connect(path)?;
        migrate(&mut writer, path)?;
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` in one writing transaction: all of it is kept, or nothing.
    pub(super) fn write<T>(
        &self,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut writer = held(&self.writer);
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(Tx::Sqlite(&tx))?;
        tx.commit()?;
        Ok(done)
    }

    /// Runs `work` on one unchanging view of the database.
    pub(super) fn read<T>(
        &self,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let kept = held(&self.readers).pop();
        let mut reader = match kept {
            Some(reader) => reader,
            None => connect(&self.path)?,
        };
        let tx = reader.transaction()?;
        let found = work(Tx::Sqlite(&tx))?;
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
    // 32 MB: the counts of a report's window fit.
    connection.pragma_update(None, "cache_size", -32_768)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Brings the file to the newest version; refuses one that is newer.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StateError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StateError::Newer {
            place: path.display().to_string(),
            found,
            known,
        });
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", known)?;
    Ok(tx.commit()?)
}
