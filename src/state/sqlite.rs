//! The embedded database: one file, one writer, several readers.

mod writer;

use super::StateError;
use super::sql::Tx;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use writer::Writer;

/// How long a connection waits for another one's lock before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Every page has this many bytes, or a multiple of it.
const SMALLEST_PAGE: u64 = 512;
/// Reading connections that are kept open between calls.
const KEPT_READERS: usize = 4;
/// Pages that a connection keeps while it works, in KiB. More made no report faster: what a connection does not keep
/// the system mostly does.
const CACHE_KIB: i64 = 8_192;
/// Pages that a reading connection keeps between two calls, in KiB. The system keeps the file in memory where it
/// can; what a connection keeps is there for each of them again.
const IDLE_CACHE_KIB: i64 = 4_096;
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
    include_str!("schema_10.sql"),
    include_str!("schema_11.sql"),
    include_str!("schema_12.sql"),
];

/// One file.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    writer: Writer,
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
        let opened = whole(path).and_then(|()| connect(path));
        let opened = opened.and_then(|mut writer| {
            migrate(&mut writer, path)?;
            Ok(writer)
        });
        let writer = opened.map_err(|error| named(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            writer: Writer::new(writer),
            readers: Mutex::new(Vec::new()),
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` and keeps all that it writes, or nothing; see [`writer`].
    pub(super) fn write<T>(
        &self,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let done = self.writer.write(work);
        done.map_err(|error| named(&self.path, error))
    }

    /// Runs `work` on one unchanging view of the database.
    pub(super) fn read<T>(
        &self,
        work: impl Fn(Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let kept = held(&self.readers).pop();
        let opened = kept.map_or_else(|| connect(&self.path), Ok);
        let (found, reader) = opened
            .and_then(|mut reader| {
                keep_pages(&reader, CACHE_KIB)?;
                let found = seen(&mut reader, work)?;
                keep_pages(&reader, IDLE_CACHE_KIB)?;
                Ok((found, reader))
            })
            .map_err(|error| named(&self.path, error))?;
        let mut readers = held(&self.readers);
        if readers.len() < KEPT_READERS {
            readers.push(reader);
        }
        Ok(found)
    }
}

/// The database takes the missing end of a last page for zeros, and goes on. A file that is at rest, as all
/// is in it, ends with a page.
fn whole(path: &Path) -> Result<(), StateError> {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |facts| facts.len());
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if length(path).is_multiple_of(SMALLEST_PAGE) || length(Path::new(&log)) > 0 {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let why = "its end is missing".to_owned();
    Err(rusqlite::Error::SqliteFailure(code, Some(why)).into())
}

fn seen<T>(
    reader: &mut Connection,
    work: impl Fn(Tx<'_>) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let tx = reader.transaction()?;
    let found = work(Tx::Sqlite(&tx))?;
    tx.finish()?;
    Ok(found)
}

/// Errors that somebody must do something about say which file it is and what can be done.
fn named(path: &Path, error: StateError) -> StateError {
    let StateError::Database(source) = error else {
        return error;
    };
    let place = path.display().to_string();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StateError::Full { place, source },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StateError::Damaged { place, source }
        }
        _ => StateError::Database(source),
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
    keep_pages(&connection, CACHE_KIB)?;
    // A statement that is made ready stays so, whatever it is asked with; else each one whose plan might depend on
    // that, which is many, is made ready again for each call.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Says how many KiB of pages a connection keeps; what is more is given back at once.
fn keep_pages(connection: &Connection, kib: i64) -> Result<(), StateError> {
    // Below 0 the number means KiB, above pages.
    Ok(connection.pragma_update(None, "cache_size", -kib)?)
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
    if found == known {
        // Nothing is written, so that a service starts on a full disk too.
        return Ok(());
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", known)?;
    Ok(tx.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_waits_keeps_few_pages() {
        let folder = tempfile::tempdir().unwrap();
        let file = Sqlite::open(&folder.path().join("state.db")).unwrap();
        let size = "PRAGMA cache_size";
        let busy = file.read(|tx| tx.value::<i64>(size, &[])).unwrap();
        assert_eq!(busy, -CACHE_KIB);
        let waiting = held(&file.readers);
        let idle: i64 = waiting[0].query_row(size, [], |row| row.get(0)).unwrap();
        assert_eq!((waiting.len(), idle), (1, -IDLE_CACHE_KIB));
    }
}
