//! Kept reports.

use super::{ReportRow, State, StateError, StoredReport, micros, signed, time};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

impl State {
    /// Keeps a report and returns its number.
    pub fn put_report(&self, at: Timestamp, summary: &str, json: &str) -> Result<i64, StateError> {
        self.write(|tx| {
            tx.execute(
                "INSERT INTO reports (at, summary, json) VALUES (?1, ?2, ?3)",
                params![micros(at), summary, json],
            )?;
            Ok(tx.last_insert_rowid())
        })
    }

    /// The kept reports, newest first.
    pub fn reports(&self, limit: u64) -> Result<Vec<ReportRow>, StateError> {
        self.read(|tx| {
            let mut query = tx.prepare_cached(
                "SELECT id, at, summary FROM reports ORDER BY at DESC, id DESC LIMIT ?1",
            )?;
            let rows = query.query_map([signed(limit)], |row| {
                Ok(ReportRow {
                    id: row.get(0)?,
                    at: time(row.get(1)?),
                    summary: row.get(2)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The newest report.
    pub fn latest_report(&self) -> Result<Option<StoredReport>, StateError> {
        self.read(|tx| {
            Ok(tx
                .query_row(
                    "SELECT id, at, summary, json FROM reports ORDER BY at DESC, id DESC LIMIT 1",
                    [],
                    stored,
                )
                .optional()?)
        })
    }

    /// The report of that number.
    pub fn report(&self, id: i64) -> Result<Option<StoredReport>, StateError> {
        self.read(|tx| {
            Ok(tx
                .query_row(
                    "SELECT id, at, summary, json FROM reports WHERE id = ?1",
                    [id],
                    stored,
                )
                .optional()?)
        })
    }

    /// Deletes reports of a time before `limit`; the newest one always stays.
    pub fn delete_reports_before(&self, limit: Timestamp) -> Result<u64, StateError> {
        self.write(|tx| {
            let gone = tx.execute(
                "DELETE FROM reports WHERE at < ?1 AND at < (SELECT max(at) FROM reports)",
                [micros(limit)],
            )?;
            Ok(gone as u64)
        })
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredReport> {
    Ok(StoredReport {
        id: row.get(0)?,
        at: time(row.get(1)?),
        summary: row.get(2)?,
        json: row.get(3)?,
    })
}
