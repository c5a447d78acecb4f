//! The audit log: who did what.

use super::sql::{Tx, values};
use super::{AuditRow, State, StateError, micros, signed, time};

impl State {
    /// Adds an entry.
    pub fn audit(&self, row: &AuditRow) -> Result<(), StateError> {
        self.write(|tx| add(tx, row))
    }

    /// The latest entries, newest first.
    pub fn audit_log(&self, limit: u64) -> Result<Vec<AuditRow>, StateError> {
        self.read(|tx| {
            tx.rows(
                "SELECT at, actor, action, subject, detail FROM audit ORDER BY id DESC LIMIT ?1",
                values![signed(limit)],
                |row| {
                    Ok(AuditRow {
                        at: time(row.get(0)?),
                        actor: row.get(1)?,
                        action: row.get(2)?,
                        subject: row.get(3)?,
                        detail: row.get(4)?,
                    })
                },
            )
        })
    }
}

/// Adds an entry to what is written together with it.
pub(super) fn add(tx: Tx<'_>, row: &AuditRow) -> Result<(), StateError> {
    tx.run(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
        values![
            micros(row.at),
            &row.actor,
            &row.action,
            &row.subject,
            &row.detail
        ],
    )?;
    Ok(())
}
