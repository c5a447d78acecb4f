//! Counts by hour and day that are kept with the state.
//!
//! Triggers of the database say in `build_news` and `match_news` what a transaction changed, in that
//! same transaction: a stop at any moment keeps both or neither. Here the news are added to the counts,
//! one adder at a time, now and then: the writers of verdicts never wait for each other because of it.
//! Whoever reads takes counts and news together, from one view, and is exact at every time.

use super::sql::{Tx, values};
use super::{State, StateError};
use std::sync::atomic::Ordering;

/// Microseconds in an hour.
pub(super) const HOUR: i64 = 3_600_000_000;
/// Microseconds in a day.
pub(super) const DAY: i64 = 24 * HOUR;
/// Verdicts of this process after which their news are added to the counts.
const OFTEN: u64 = 2000;

/// What the builds of a row of `build_counts` have in common: its `kind`, and their column.
pub(super) const PLACES: [(i64, &str); 4] =
    [(1, "project"), (2, "pipeline"), (3, "job"), (4, "branch")];

impl State {
    /// Adds what has changed to the kept counts, so that who reads them has less to add up. Counts
    /// are exact before and after.
    pub fn settle_counts(&self) -> Result<(), StateError> {
        self.news.store(0, Ordering::Relaxed);
        self.write_of("counts", |tx| {
            only_one(tx)?;
            settle(tx)
        })
    }

    /// Makes the kept counts anew from all builds and matches.
    pub fn recount(&self) -> Result<(), StateError> {
        self.write_of("counts", |tx| {
            if let Tx::Postgres(_) = tx {
                // What another process adds between two statements would be counted twice.
                tx.run("LOCK TABLE builds, matches IN SHARE MODE", &[])?;
            }
            only_one(tx)?;
            for table in ["build_news", "match_news", "build_counts", "match_counts"] {
                tx.run(&format!("DELETE FROM {table}"), &[])?;
            }
            tx.run(&add_builds(&split(RAW_BUILDS)), &[])?;
            tx.run(ADD_DAYS, &[])?;
            tx.run(&add_matches(RAW_MATCHES), &[])?;
            Ok(())
        })
    }

    /// What the kept counts and a plain count of all builds and matches do not agree about, at most
    /// twenty lines of each; empty unless somebody else has written to the database.
    pub fn miscounted(&self) -> Result<Vec<String>, StateError> {
        self.read(|tx| {
            let mut wrong = wrong(tx, &wrong_builds())?;
            wrong.extend(self::wrong(tx, WRONG_MATCHES)?);
            Ok(wrong)
        })
    }

    /// Verdicts of that many builds were kept, or went. What goes wrong when the news are added is no
    /// matter of theirs: the news stay, and are added another time.
    pub(super) fn counted(&self, builds: u64) {
        if self.news.fetch_add(builds, Ordering::Relaxed) + builds < OFTEN {
            return;
        }
        if let Err(error) = self.settle_counts() {
            tracing::debug!(%error, "news were not added to the counts");
        }
    }
}

/// Waits until nobody else adds.
fn only_one(tx: Tx<'_>) -> Result<(), StateError> {
    let sql = format!("SELECT one FROM count_lock{}", tx.lock());
    tx.value::<i64>(&sql, &[]).map(|_| ())
}

/// Takes the news that are there and adds them. Others may go on adding news meanwhile: only what was
/// taken is added and goes.
fn settle(tx: Tx<'_>) -> Result<(), StateError> {
    if tx.run("UPDATE build_news SET taken = 1", &[])? > 0 {
        tx.run(&add_builds(&split(TAKEN_BUILDS)), &[])?;
        tx.run(&add_builds(&format!("{}{DAYS}", split(TAKEN_BUILDS))), &[])?;
        tx.run("DELETE FROM build_news WHERE taken = 1", &[])?;
        tx.run("DELETE FROM build_counts WHERE builds = 0", &[])?;
    }
    if tx.run("UPDATE match_news SET taken = 1", &[])? > 0 {
        tx.run(&add_matches(TAKEN_MATCHES), &[])?;
        tx.run("DELETE FROM match_news WHERE taken = 1", &[])?;
        tx.run(
            "DELETE FROM match_counts WHERE failed = 0 AND passed = 0",
            &[],
        )?;
    }
    Ok(())
}

/// Where rows come from: hour, verdict, project, pipeline, job, branch, builds.
const TAKEN_BUILDS: &str = "SELECT hour, verdict, project, pipeline, job, branch, builds
     FROM build_news WHERE taken = 1";
const RAW_BUILDS: &str = "SELECT at - (at % 3600000000 + 3600000000) % 3600000000 AS hour, verdict,
     project, pipeline, job, branch, 1 AS builds FROM builds WHERE failed = 1";
/// Hour, fingerprint, failed, passed, hits.
const TAKEN_MATCHES: &str =
    "SELECT hour, fingerprint, failed, passed, hits FROM match_news WHERE taken = 1";
const RAW_MATCHES: &str = "SELECT at - (at % 3600000000 + 3600000000) % 3600000000 AS hour,
     fingerprint, failed, 1 - failed AS passed, failed * hits AS hits FROM matches";
/// From hours to days, of what is in `build_counts`.
const ADD_DAYS: &str = "INSERT INTO build_counts (width, start, kind, name, verdict, builds)
     SELECT 86400000000, start - (start % 86400000000 + 86400000000) % 86400000000, kind, name,
            verdict, CAST(sum(builds) AS BIGINT)
     FROM build_counts WHERE width = 3600000000 GROUP BY 2, kind, name, verdict";
/// Goes behind [`split`]: the same by the day.
const DAYS: &str = ", days AS (SELECT 86400000000 AS width,
     start - (start % 86400000000 + 86400000000) % 86400000000 AS start, kind, name, verdict, builds
     FROM hours)";

/// Each build once for all, and once for each of its places, by the hour, as table `hours`.
fn split(rows: &str) -> String {
    let places = PLACES.map(|(kind, place)| {
        format!(
            "UNION ALL SELECT 3600000000, hour, CASE WHEN {place} IS NULL THEN -{kind} ELSE {kind} END,
             coalesce({place}, ''), verdict, CAST(sum(builds) AS BIGINT) FROM source
             GROUP BY hour, {place}, verdict"
        )
    });
    format!(
        "WITH source AS ({rows}), hours (width, start, kind, name, verdict, builds) AS (
         SELECT 3600000000, hour, 0, '', verdict, CAST(sum(builds) AS BIGINT) FROM source
         GROUP BY hour, verdict {})",
        places.join(" ")
    )
}

/// Adds the last table of `with` to the counts.
fn add_builds(with: &str) -> String {
    let last = if with.ends_with(DAYS) {
        "days"
    } else {
        "hours"
    };
    format!(
        "{with} INSERT INTO build_counts (width, start, kind, name, verdict, builds)
         SELECT width, start, kind, name, verdict, CAST(sum(builds) AS BIGINT) FROM {last}
         WHERE true GROUP BY width, start, kind, name, verdict
         ON CONFLICT (width, kind, start, name, verdict)
         DO UPDATE SET builds = build_counts.builds + excluded.builds"
    )
}

fn add_matches(rows: &str) -> String {
    format!(
        "WITH source AS ({rows})
         INSERT INTO match_counts (start, fingerprint, failed, passed, hits)
         SELECT hour, fingerprint, CAST(sum(failed) AS BIGINT), CAST(sum(passed) AS BIGINT),
                CAST(sum(hits) AS BIGINT)
         FROM source WHERE true GROUP BY hour, fingerprint
         ON CONFLICT (start, fingerprint) DO UPDATE SET failed = match_counts.failed + excluded.failed,
            passed = match_counts.passed + excluded.passed, hits = match_counts.hits + excluded.hits"
    )
}

/// Rows of the counts and news, taken away what a plain count gives: nothing must be left.
fn wrong_builds() -> String {
    let plain = "SELECT hour, verdict, project, pipeline, job, branch, builds FROM build_news
         UNION ALL SELECT at - (at % 3600000000 + 3600000000) % 3600000000, verdict, project,
         pipeline, job, branch, -1 FROM builds WHERE failed = 1";
    format!(
        "{}{DAYS} SELECT 'builds ' || width || ' ' || start || ' ' || kind || ' ' || name || ' '
            || verdict || ': ' || CAST(sum(builds) AS BIGINT) FROM (
            SELECT width, start, kind, name, verdict, builds FROM build_counts
            UNION ALL SELECT width, start, kind, name, verdict, builds FROM hours
            UNION ALL SELECT width, start, kind, name, verdict, builds FROM days) AS every
         GROUP BY width, start, kind, name, verdict HAVING sum(builds) <> 0 LIMIT 20",
        split(plain)
    )
}

/// The same for matches.
const WRONG_MATCHES: &str = "SELECT 'matches ' || start || ' ' || fingerprint || ': '
        || CAST(sum(failed) AS BIGINT) || ' ' || CAST(sum(passed) AS BIGINT) || ' '
        || CAST(sum(hits) AS BIGINT) FROM (
        SELECT start, fingerprint, failed, passed, hits FROM match_counts
        UNION ALL SELECT hour, fingerprint, failed, passed, hits FROM match_news
        UNION ALL SELECT at - (at % 3600000000 + 3600000000) % 3600000000, fingerprint, - failed,
            failed - 1, - failed * hits FROM matches) AS every
     GROUP BY start, fingerprint
     HAVING sum(failed) <> 0 OR sum(passed) <> 0 OR sum(hits) <> 0 LIMIT 20";

fn wrong(tx: Tx<'_>, sql: &str) -> Result<Vec<String>, StateError> {
    tx.rows(sql, values![], |row| row.get(0))
}
