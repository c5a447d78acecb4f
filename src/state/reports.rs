//! Kept reports.

use super::sql::{Row, values};
use super::{ReportRow, State, StateError, StoredReport, micros, signed, time};
use jiff::Timestamp;

impl State {
    /// Keeps a report and returns its number.
    pub fn put_report(&self, at: Timestamp, summary: &str, json: &str) -> Result<i64, StateError> {
        self.write(|tx| {
            tx.value(
                "INSERT INTO reports (at, summary, json) VALUES (?1, ?2, ?3) RETURNING id",
                values![micros(at), summary, json],
            )
        })
    }

    /// The kept reports, newest first.
    pub fn reports(&self, limit: u64) -> Result<Vec<ReportRow>, StateError> {
        self.read(|tx| {
            tx.rows(
                "SELECT id, at, summary FROM reports ORDER BY at DESC, id DESC LIMIT ?1",
                values![signed(limit)],
                |row| {
                    Ok(ReportRow {
                        id: row.get(0)?,
                        at: time(row.get(1)?),
                        summary: row.get(2)?,
                    })
                },
            )
        })
    }

    /// The newest report.
    pub fn latest_report(&self) -> Result<Option<StoredReport>, StateError> {
        self.read(|tx| {
            tx.maybe(
                "SELECT id, at, summary, json FROM reports ORDER BY at DESC, id DESC LIMIT 1",
                &[],
                stored,
            )
        })
    }

    /// The report of that number.
    pub fn report(&self, id: i64) -> Result<Option<StoredReport>, StateError> {
        self.read(|tx| {
            tx.maybe(
                "SELECT id, at, summary, json FROM reports WHERE id = ?1",
                values![id],
                stored,
            )
        })
    }

    /// Deletes reports of a time before `limit`; the newest one always stays.
    pub fn delete_reports_before(&self, limit: Timestamp) -> Result<u64, StateError> {
        self.write(|tx| {
            tx.run(
                "DELETE FROM reports WHERE at < ?1 AND at < (SELECT max(at) FROM reports)",
                values![micros(limit)],
            )
        })
    }
}

fn stored(row: &Row<'_>) -> Result<StoredReport, StateError> {
    Ok(StoredReport {
        id: row.get(0)?,
        at: time(row.get(1)?),
        summary: row.get(2)?,
        json: row.get(3)?,
    })
}
