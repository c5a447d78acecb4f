//! Exact counts. A match is stored once per build, so counting its rows counts distinct builds.

use super::sql::{Tx, values};
use super::{
    BuildFilter, FingerprintStats, ReportData, State, StateError, Tally, builds, list, micros,
    time, unsigned,
};
use crate::event::Verdict;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// The short window.
pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The long window.
pub(super) const TEN_DAYS: SignedDuration = SignedDuration::from_hours(240);
/// Microseconds in an hour.
const HOUR: i64 = 3_600_000_000;

impl State {
    /// How each fingerprint that ever matched did up to `now`, by fingerprint id.
    pub fn fingerprint_stats(&self, now: Timestamp) -> Result<Vec<FingerprintStats>, StateError> {
        self.read(|tx| fingerprints(tx, now))
    }

    /// What a report is made of, with at most `unexplained` unexplained builds listed.
    pub fn report_data(&self, now: Timestamp, unexplained: u64) -> Result<ReportData, StateError> {
        let filter = BuildFilter {
            verdict: Some(Verdict::Unmatched),
            failed_only: true,
            since: Some(back(now, TEN_DAYS)),
            limit: unexplained,
            ..BuildFilter::default()
        };
        self.read(|tx| {
            Ok(ReportData {
                tallies: tallies(tx, now)?,
                fingerprints: fingerprints(tx, now)?,
                unexplained: list::select(tx, &filter, Some(now))?,
                rules_version: latest_rules(tx)?,
            })
        })
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

fn latest_rules(tx: Tx<'_>) -> Result<Option<String>, StateError> {
    tx.maybe(
        "SELECT rules_version FROM verdicts ORDER BY id DESC LIMIT 1",
        &[],
        |row| row.get(0),
    )
}

fn tallies(tx: Tx<'_>, now: Timestamp) -> Result<Vec<Tally>, StateError> {
    tx.rows(
        "SELECT project, pipeline, job, branch, verdict, count(*),
                count(*) FILTER (WHERE at >= ?2) FROM builds
         WHERE failed = 1 AND at >= ?1 AND at <= ?3
         GROUP BY project, pipeline, job, branch, verdict",
        values![
            micros(back(now, TEN_DAYS)),
            micros(back(now, DAY)),
            micros(now)
        ],
        |row| {
            let verdict: String = row.get(4)?;
            Ok(Tally {
                project: row.get(0)?,
                pipeline: row.get(1)?,
                job: row.get(2)?,
                branch: row.get(3)?,
                verdict: builds::word(&verdict)?,
                builds_10d: unsigned(row.get(5)?),
                builds_24h: unsigned(row.get(6)?),
            })
        },
    )
}

fn fingerprints(tx: Tx<'_>, now: Timestamp) -> Result<Vec<FingerprintStats>, StateError> {
    let mut all = tx.rows(
        "SELECT fingerprint,
                CAST(coalesce(sum(hits) FILTER (WHERE failed = 1 AND at >= ?2), 0) AS BIGINT),
                CAST(coalesce(sum(hits) FILTER (WHERE failed = 1 AND at >= ?1), 0) AS BIGINT),
                count(*) FILTER (WHERE failed = 1 AND at >= ?2),
                count(*) FILTER (WHERE failed = 1 AND at >= ?1),
                count(*) FILTER (WHERE failed = 0 AND at >= ?1),
                min(at) FILTER (WHERE failed = 1),
                max(at) FILTER (WHERE failed = 1)
         FROM matches WHERE at <= ?3 GROUP BY fingerprint ORDER BY fingerprint",
        values![
            micros(back(now, TEN_DAYS)),
            micros(back(now, DAY)),
            micros(now)
        ],
        |row| {
            Ok(FingerprintStats {
                fingerprint: row.get(0)?,
                hits_24h: unsigned(row.get(1)?),
                hits_10d: unsigned(row.get(2)?),
                builds_24h: unsigned(row.get(3)?),
                builds_10d: unsigned(row.get(4)?),
                passing_builds_10d: unsigned(row.get(5)?),
                first_seen: row.get::<Option<i64>>(6)?.map(time),
                last_seen: row.get::<Option<i64>>(7)?.map(time),
                histogram: Vec::new(),
            })
        },
    )?;
    let mut hours = hours(tx, now)?;
    for one in &mut all {
        one.histogram = hours.remove(&one.fingerprint).unwrap_or_default();
    }
    Ok(all)
}

type Hours = BTreeMap<String, Vec<(Timestamp, u64)>>;

fn hours(tx: Tx<'_>, now: Timestamp) -> Result<Hours, StateError> {
    let rows = tx.rows(
        "SELECT fingerprint, at / ?3 AS hour, count(*) FROM matches
         WHERE failed = 1 AND at >= ?1 AND at <= ?2 GROUP BY fingerprint, hour
         ORDER BY fingerprint, hour",
        values![micros(back(now, TEN_DAYS)), micros(now), HOUR],
        |row| {
            let hour: i64 = row.get(1)?;
            Ok((row.get(0)?, time(hour * HOUR), unsigned(row.get(2)?)))
        },
    )?;
    let mut hours = Hours::new();
    for (fingerprint, hour, count) in rows {
        hours.entry(fingerprint).or_default().push((hour, count));
    }
    Ok(hours)
}
