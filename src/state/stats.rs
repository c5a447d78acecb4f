//! Exact counts. A match is stored once per build, so counting its rows counts distinct builds.

use super::sql::{Tx, values};
use super::tally::{self, Windows};
use super::{
    BuildFilter, Counting, FingerprintStats, ReportData, State, StateError, builds, list, micros,
    unsigned,
};
use crate::event::Verdict;
use jiff::{SignedDuration, Timestamp};

/// The short window.
pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The long window.
pub(super) const TEN_DAYS: SignedDuration = SignedDuration::from_hours(240);

impl State {
    /// How each fingerprint that ever matched did up to `now`, by fingerprint id.
    pub fn fingerprint_stats(&self, now: Timestamp) -> Result<Vec<FingerprintStats>, StateError> {
        let windows = windows(now, Counting::Kept);
        self.read(|tx| tally::fingerprints(tx, &windows, micros(now)))
    }

    /// What a report is made of, with at most `unexplained` unexplained builds listed.
    pub fn report_data(&self, now: Timestamp, unexplained: u64) -> Result<ReportData, StateError> {
        self.report_data_of(now, unexplained, Counting::Kept)
    }

    /// [`State::report_data`], counted as told. The same comes of both ways.
    pub fn report_data_of(
        &self,
        now: Timestamp,
        unexplained: u64,
        counting: Counting,
    ) -> Result<ReportData, StateError> {
        let filter = BuildFilter {
            verdict: Some(Verdict::Unmatched),
            failed_only: true,
            since: Some(back(now, TEN_DAYS)),
            limit: unexplained,
            ..BuildFilter::default()
        };
        let windows = windows(now, counting);
        self.read(|tx| {
            let tallies = tally::tallies(tx, &windows)?;
            let total = tally::total(&tallies, Verdict::Unmatched);
            Ok(ReportData {
                tallies,
                fingerprints: tally::fingerprints(tx, &windows, micros(now))?,
                unexplained: list::part(tx, &filter, Some(now), total)?,
                rules_version: latest_rules(tx)?,
            })
        })
    }

    /// Failed builds of the last ten days by hour (its start): explained ones, and all others. Hours
    /// without any are left out.
    pub fn failures_by_hour(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, u64, u64)>, StateError> {
        let windows = windows(now, Counting::Kept);
        self.read(|tx| tally::hours(tx, &windows, Verdict::Matched))
    }

    /// Number of failed builds that ended since a moment, by verdict.
    pub fn failed_since(&self, since: Timestamp) -> Result<Vec<(Verdict, u64)>, StateError> {
        self.read(|tx| {
            tx.rows(
                "SELECT verdict, count(*) FROM builds WHERE failed = 1 AND at >= ?1
                 GROUP BY verdict",
                values![micros(since)],
                |row| {
                    let verdict: String = row.get(0)?;
                    Ok((builds::word(&verdict)?, unsigned(row.get(1)?)))
                },
            )
        })
    }

    /// Number of builds by verdict, of all that are stored.
    pub fn verdict_counts(&self) -> Result<Vec<(Verdict, u64)>, StateError> {
        self.read(|tx| {
            tx.rows(
                "SELECT verdict, count(*) FROM builds GROUP BY verdict",
                &[],
                |row| {
                    let verdict: String = row.get(0)?;
                    Ok((builds::word(&verdict)?, unsigned(row.get(1)?)))
                },
            )
        })
    }
}

pub(super) fn back(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn windows(now: Timestamp, counting: Counting) -> Windows {
    let (ten_days, day) = (micros(back(now, TEN_DAYS)), micros(back(now, DAY)));
    Windows::new(ten_days, day, micros(now), counting)
}

fn latest_rules(tx: Tx<'_>) -> Result<Option<String>, StateError> {
    tx.maybe(
        "SELECT rules_version FROM verdicts ORDER BY id DESC LIMIT 1",
        &[],
        |row| row.get(0),
    )
}
