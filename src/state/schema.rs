//! The tables, as a list of steps; `PRAGMA user_version` counts the steps that a file has seen.

use super::StateError;
use rusqlite::Connection;
use std::path::Path;

/// Each step brings a file from one version to the next. Steps are never changed, only added.
const STEPS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// Brings the file to the newest version; refuses one that is newer.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StateError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StateError::Newer {
            path: path.to_owned(),
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
