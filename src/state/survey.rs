//! What a cluster was asked for reports, kept so that each report asks only for what is new.

use super::sql::{Tx, values};
use super::stats::{DAY, TEN_DAYS, back};
use super::{State, StateError, micros, signed, time, unsigned};
use crate::event::Build;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A fingerprint and up to when the cluster was asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The fingerprint's id.
    pub fingerprint: String,
    /// Up to this moment.
    pub upto: Timestamp,
}

/// Distinct builds of a cluster in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterCounts {
    /// Failed builds.
    pub failed: u64,
    /// Those of them that a fingerprint finds.
    pub explained: u64,
    /// Builds that did not fail.
    pub passing: u64,
}

/// Distinct builds of a cluster that one fingerprint finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRow {
    /// Its id.
    pub fingerprint: String,
    /// Failed builds in the last 24 hours.
    pub builds_24h: u64,
    /// Failed builds in the last 10 days.
    pub builds_10d: u64,
    /// Builds in the last 10 days that did not fail.
    pub passing_builds_10d: u64,
}

/// A failed build of a cluster that nothing explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterBuild {
    /// Its name.
    pub uuid: String,
    /// Its job.
    pub job: Option<String>,
    /// Its project.
    pub project: Option<String>,
    /// The moment of its last event.
    pub at: Timestamp,
}

/// What is known of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// Every fingerprint was asked for up to this moment.
    pub upto: Timestamp,
    /// The last 24 hours.
    pub day: ClusterCounts,
    /// The last ten days.
    pub ten_days: ClusterCounts,
    /// The fingerprints that find a build, most failed builds first.
    pub fingerprints: Vec<ClusterRow>,
    /// The newest failed builds of ten days that nothing explains.
    pub unexplained: Vec<ClusterBuild>,
}

impl State {
    /// Up to when each of these fingerprints (id and meaning) was asked for; at least `since`. What
    /// is known of other fingerprints, of other meanings and of builds before `since` is dropped.
    pub fn survey_marks(
        &self,
        wanted: &[(String, String)],
        since: Timestamp,
    ) -> Result<Vec<Mark>, StateError> {
        let since = micros(since);
        self.write(|tx| {
            let known = known(tx)?;
            let same = |(id, meaning): &(String, String)| {
                known
                    .get(id)
                    .filter(|(m, _)| m == meaning)
                    .map(|(_, at)| *at)
            };
            for id in known.keys() {
                let kept = wanted.iter().find(|(wanted, _)| wanted == id);
                if kept.is_none_or(|one| same(one).is_none()) {
                    drop_fingerprint(tx, id)?;
                }
            }
            drop_builds(tx, since)?;
            let mut marks = Vec::new();
            for one in wanted {
                let upto = same(one).unwrap_or(since).max(since);
                put_mark(tx, &one.0, &one.1, upto)?;
                marks.push(Mark {
                    fingerprint: one.0.clone(),
                    upto: time(upto),
                });
            }
            Ok(marks)
        })
    }

    /// Keeps what was heard of a span: its builds, which fingerprint finds which of them, and that
    /// these fingerprints were asked for up to `upto`. All of it, or nothing.
    pub fn survey_keep(
        &self,
        builds: &[Build],
        hits: &[(&str, &str)],
        asked: &[String],
        upto: Timestamp,
    ) -> Result<(), StateError> {
        self.write(|tx| {
            for build in builds {
                put_build(tx, build, upto)?;
            }
            for (fingerprint, uuid) in hits {
                tx.run(
                    "INSERT INTO survey_hits (fingerprint, uuid) VALUES (?1, ?2)
                     ON CONFLICT DO NOTHING",
                    values![*fingerprint, *uuid],
                )?;
            }
            for fingerprint in asked {
                tx.run(
                    "UPDATE survey_marks SET upto = ?2 WHERE fingerprint = ?1",
                    values![fingerprint, micros(upto)],
                )?;
            }
            Ok(())
        })
    }

    /// What is known of the cluster at `now`, with at most `listed` unexplained builds; none when it
    /// was never asked.
    pub fn surveyed(&self, now: Timestamp, listed: u64) -> Result<Option<Surveyed>, StateError> {
        let (ten, day) = (micros(back(now, TEN_DAYS)), micros(back(now, DAY)));
        self.read(|tx| {
            let upto: Option<i64> = tx.value("SELECT min(upto) FROM survey_marks", &[])?;
            let Some(upto) = upto else { return Ok(None) };
            Ok(Some(Surveyed {
                upto: time(upto),
                day: counts(tx, day)?,
                ten_days: counts(tx, ten)?,
                fingerprints: rows(tx, ten, day)?,
                unexplained: unexplained(tx, ten, listed)?,
            }))
        })
    }
}

type Known = BTreeMap<String, (String, i64)>;

fn known(tx: Tx<'_>) -> Result<Known, StateError> {
    let rows = tx.rows(
        "SELECT fingerprint, meaning, upto FROM survey_marks",
        &[],
        |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))),
    )?;
    Ok(rows.into_iter().collect())
}

fn drop_fingerprint(tx: Tx<'_>, id: &str) -> Result<(), StateError> {
    tx.run(
        "DELETE FROM survey_hits WHERE fingerprint = ?1",
        values![id],
    )?;
    tx.run(
        "DELETE FROM survey_marks WHERE fingerprint = ?1",
        values![id],
    )?;
    Ok(())
}

fn drop_builds(tx: Tx<'_>, before: i64) -> Result<(), StateError> {
    tx.run(
        "DELETE FROM survey_hits WHERE uuid IN (SELECT uuid FROM survey_builds WHERE at < ?1)",
        values![before],
    )?;
    tx.run("DELETE FROM survey_builds WHERE at < ?1", values![before])?;
    Ok(())
}

fn put_mark(tx: Tx<'_>, id: &str, meaning: &str, upto: i64) -> Result<(), StateError> {
    tx.run(
        "INSERT INTO survey_marks (fingerprint, meaning, upto) VALUES (?1, ?2, ?3)
         ON CONFLICT (fingerprint) DO UPDATE SET meaning = ?2, upto = ?3",
        values![id, meaning, upto],
    )?;
    Ok(())
}

/// A build can be heard of in several spans: its last event and its failure count.
fn put_build(tx: Tx<'_>, build: &Build, upto: Timestamp) -> Result<(), StateError> {
    tx.run(
        "INSERT INTO survey_builds (uuid, at, failed, job, project) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (uuid) DO UPDATE SET
           at = CASE WHEN excluded.at > survey_builds.at THEN excluded.at ELSE survey_builds.at END,
           failed = CASE WHEN excluded.failed = 1 THEN 1 ELSE survey_builds.failed END,
           job = coalesce(excluded.job, survey_builds.job),
           project = coalesce(excluded.project, survey_builds.project)",
        values![
            &build.uuid,
            micros(build.finished.unwrap_or(upto)),
            build.failed(),
            &build.job,
            &build.project,
        ],
    )?;
    Ok(())
}

fn counts(tx: Tx<'_>, since: i64) -> Result<ClusterCounts, StateError> {
    tx.one(
        "SELECT count(*) FILTER (WHERE failed = 1),
                count(*) FILTER (WHERE failed = 1 AND EXISTS
                  (SELECT 1 FROM survey_hits h WHERE h.uuid = survey_builds.uuid)),
                count(*) FILTER (WHERE failed = 0)
         FROM survey_builds WHERE at >= ?1",
        values![since],
        |row| {
            Ok(ClusterCounts {
                failed: unsigned(row.get(0)?),
                explained: unsigned(row.get(1)?),
                passing: unsigned(row.get(2)?),
            })
        },
    )
}

fn rows(tx: Tx<'_>, ten: i64, day: i64) -> Result<Vec<ClusterRow>, StateError> {
    tx.rows(
        "SELECT h.fingerprint, count(*) FILTER (WHERE b.failed = 1 AND b.at >= ?2),
                count(*) FILTER (WHERE b.failed = 1), count(*) FILTER (WHERE b.failed = 0)
         FROM survey_hits h JOIN survey_builds b ON b.uuid = h.uuid WHERE b.at >= ?1
         GROUP BY h.fingerprint ORDER BY 3 DESC, 2 DESC, 1",
        values![ten, day],
        |row| {
            Ok(ClusterRow {
                fingerprint: row.get(0)?,
                builds_24h: unsigned(row.get(1)?),
                builds_10d: unsigned(row.get(2)?),
                passing_builds_10d: unsigned(row.get(3)?),
            })
        },
    )
}

/// What a verdict explains is explained, though the cluster itself cannot be asked for patterns and
/// for conditions over several events.
fn unexplained(tx: Tx<'_>, since: i64, limit: u64) -> Result<Vec<ClusterBuild>, StateError> {
    tx.rows(
        "SELECT uuid, job, project, at FROM survey_builds s WHERE failed = 1 AND at >= ?1
         AND NOT EXISTS (SELECT 1 FROM survey_hits h WHERE h.uuid = s.uuid)
         AND NOT EXISTS (SELECT 1 FROM builds b WHERE b.uuid = s.uuid AND b.verdict = 'matched')
         ORDER BY at DESC, uuid LIMIT ?2",
        values![since, signed(limit)],
        |row| {
            Ok(ClusterBuild {
                uuid: row.get(0)?,
                job: row.get(1)?,
                project: row.get(2)?,
                at: time(row.get(3)?),
            })
        },
    )
}
