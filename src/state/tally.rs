//! What a report counts, from the counts that are kept and what they do not have yet.

use super::counts::{DAY, HOUR, PLACES};
use super::sql::{Row, Tx, values};
use super::window::Parts;
use super::{Counting, FingerprintStats, Place, StateError, Tally, builds, time, unsigned};
use crate::event::Verdict;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The two spans that reports are about: what is in the long one only, and the short one.
pub(super) struct Windows {
    before: Parts,
    recent: Parts,
}

impl Windows {
    /// Both end with `now`; they begin at the other two. All microseconds.
    pub(super) fn new(ten_days: i64, day: i64, now: i64, counting: Counting) -> Self {
        let parts = |span| match counting {
            Counting::Kept => Parts::of(span),
            Counting::Plain => Parts::plain(span),
        };
        Self {
            before: parts((ten_days, day)),
            recent: parts((day, now.saturating_add(1))),
        }
    }

    /// Both parts of the long window; true: also in the short one.
    fn each(&self) -> [(&Parts, bool); 2] {
        [(&self.before, false), (&self.recent, true)]
    }
}

/// Failed builds that are there or (while news are added up) less than that.
#[derive(Default, Clone, Copy)]
struct Builds {
    ten_days: i64,
    day: i64,
}

type Places = BTreeMap<(i64, String, String), Builds>;

/// Failed builds by place and verdict.
pub(super) fn tallies(tx: Tx<'_>, windows: &Windows) -> Result<Vec<Tally>, StateError> {
    let mut places = Places::new();
    for (parts, recent) in windows.each() {
        let mut add = |row: &Row<'_>| {
            let key = (row.get(0)?, row.get(1)?, row.get(2)?);
            let builds: i64 = row.get(3)?;
            let one: &mut Builds = places.entry(key).or_default();
            one.ten_days += builds;
            one.day += if recent { builds } else { 0 };
            Ok(())
        };
        for (spans, width) in [(&parts.days, DAY), (&parts.hours, HOUR)] {
            for span in spans {
                tx.rows(KEPT_BUILDS, values![width, span.0, span.1], &mut add)?;
            }
        }
        if let Some(span) = parts.whole {
            let news = by_place("build_news WHERE hour >= ?1 AND hour < ?2", "sum(builds)");
            tx.rows(&news, values![span.0, span.1], &mut add)?;
        }
        for span in &parts.rest {
            let rest = by_place(
                "builds WHERE failed = 1 AND at >= ?1 AND at < ?2",
                "count(*)",
            );
            tx.rows(&rest, values![span.0, span.1], &mut add)?;
        }
    }
    let some = places
        .into_iter()
        .filter(|(_, builds)| builds.ten_days != 0);
    some.map(tally).collect()
}

fn tally(
    ((kind, name, verdict), builds): ((i64, String, String), Builds),
) -> Result<Tally, StateError> {
    let name = (kind > 0).then_some(name);
    Ok(Tally {
        place: match kind.abs() {
            0 => Place::All,
            1 => Place::Project(name),
            2 => Place::Pipeline(name),
            3 => Place::Job(name),
            _ => Place::Branch(name),
        },
        verdict: builds::word(&verdict)?,
        builds_10d: unsigned(builds.ten_days),
        builds_24h: unsigned(builds.day),
    })
}

const KEPT_BUILDS: &str = "SELECT kind, name, verdict, CAST(sum(builds) AS BIGINT)
     FROM build_counts WHERE width = ?1 AND kind IN (0, 1, 2, 3, 4, -1, -2, -3, -4)
     AND start >= ?2 AND start < ?3 GROUP BY kind, name, verdict";

/// Counts rows for all, and for each kind of place.
fn by_place(from: &str, count: &str) -> String {
    let places = PLACES.map(|(kind, place)| {
        format!(
            "UNION ALL SELECT CAST(CASE WHEN {place} IS NULL THEN -{kind} ELSE {kind} END AS BIGINT),
             coalesce({place}, ''), verdict, CAST({count} AS BIGINT) FROM {from}
             GROUP BY {place}, verdict"
        )
    });
    format!(
        "SELECT CAST(0 AS BIGINT), '', verdict, CAST({count} AS BIGINT) FROM {from}
         GROUP BY verdict {}",
        places.join(" ")
    )
}

/// Failed builds by hour: with that verdict, and all others.
pub(super) fn hours(
    tx: Tx<'_>,
    windows: &Windows,
    verdict: Verdict,
) -> Result<Vec<(Timestamp, u64, u64)>, StateError> {
    let mut hours: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let mut add = |row: &Row<'_>| {
        let (hour, found): (i64, String) = (row.get(0)?, row.get(1)?);
        let one = hours.entry(hour).or_default();
        let part = if found == verdict.as_str() {
            &mut one.0
        } else {
            &mut one.1
        };
        *part += row.get::<i64>(2)?;
        Ok(())
    };
    for (parts, _) in windows.each() {
        if let Some(span) = parts.whole {
            tx.rows(KEPT_HOURS, values![HOUR, span.0, span.1], &mut add)?;
            tx.rows(NEW_HOURS, values![span.0, span.1], &mut add)?;
        }
        for span in &parts.rest {
            tx.rows(REST_HOURS, values![span.0, span.1], &mut add)?;
        }
    }
    let some = hours.into_iter().filter(|(_, counts)| *counts != (0, 0));
    Ok(some
        .map(|(hour, (one, others))| (time(hour), unsigned(one), unsigned(others)))
        .collect())
}

/// Hour, verdict, failed builds.
const KEPT_HOURS: &str = "SELECT start, verdict, builds FROM build_counts
     WHERE width = ?1 AND kind = 0 AND start >= ?2 AND start < ?3";
const NEW_HOURS: &str = "SELECT hour, verdict, CAST(sum(builds) AS BIGINT) FROM build_news
     WHERE hour >= ?1 AND hour < ?2 GROUP BY hour, verdict";
const REST_HOURS: &str = "SELECT at - (at % 3600000000 + 3600000000) % 3600000000 AS hour, verdict,
     count(*) FROM builds WHERE failed = 1 AND at >= ?1 AND at < ?2 GROUP BY hour, verdict";

/// How each fingerprint did that ever matched.
pub(super) fn fingerprints(
    tx: Tx<'_>,
    windows: &Windows,
    now: i64,
) -> Result<Vec<FingerprintStats>, StateError> {
    let mut all = seen(tx, now)?;
    for (parts, recent) in windows.each() {
        let mut add = |row: &Row<'_>| {
            let fingerprint: String = row.get(0)?;
            // What news take away again may be of a fingerprint that is gone.
            if let Some(one) = all.get_mut(&fingerprint) {
                one.add(row, recent)?;
            }
            Ok(())
        };
        if let Some(span) = parts.whole {
            tx.rows(KEPT_MATCHES, values![span.0, span.1], &mut add)?;
            tx.rows(NEW_MATCHES, values![span.0, span.1], &mut add)?;
        }
        for span in &parts.rest {
            tx.rows(REST_MATCHES, values![span.0, span.1], &mut add)?;
        }
    }
    Ok(all.into_values().map(Sums::finish).collect())
}

/// Fingerprint, hour, failed builds, other builds, hits.
const KEPT_MATCHES: &str = "SELECT fingerprint, start, failed, passed, hits FROM match_counts
     WHERE start >= ?1 AND start < ?2";
const NEW_MATCHES: &str = "SELECT fingerprint, hour, CAST(sum(failed) AS BIGINT),
     CAST(sum(passed) AS BIGINT), CAST(sum(hits) AS BIGINT)
     FROM match_news WHERE hour >= ?1 AND hour < ?2 GROUP BY fingerprint, hour";
const REST_MATCHES: &str = "SELECT fingerprint, at - (at % 3600000000 + 3600000000) % 3600000000 AS hour,
     CAST(sum(failed) AS BIGINT), CAST(sum(1 - failed) AS BIGINT), CAST(sum(failed * hits) AS BIGINT)
     FROM matches WHERE at >= ?1 AND at < ?2 GROUP BY fingerprint, hour";

/// All fingerprints that match a build up to a moment, from one to the next by the index, with the
/// first and the last failed build.
const SEEN: &str = "WITH RECURSIVE every (one) AS (
        SELECT min(fingerprint) FROM matches
        UNION ALL
        SELECT (SELECT min(fingerprint) FROM matches WHERE fingerprint > every.one) FROM every
        WHERE every.one IS NOT NULL)
     SELECT one, (SELECT min(at) FROM matches WHERE fingerprint = one AND failed = 1 AND at <= ?1),
            (SELECT max(at) FROM matches WHERE fingerprint = one AND failed = 1 AND at <= ?1)
     FROM every WHERE one IS NOT NULL AND (
        EXISTS (SELECT 1 FROM matches WHERE fingerprint = one AND failed = 1 AND at <= ?1)
        OR EXISTS (SELECT 1 FROM matches WHERE fingerprint = one AND failed = 0 AND at <= ?1))";

fn seen(tx: Tx<'_>, now: i64) -> Result<BTreeMap<String, Sums>, StateError> {
    let mut all = BTreeMap::new();
    tx.rows(SEEN, values![now], |row| {
        let (first, last) = (row.get::<Option<i64>>(1)?, row.get::<Option<i64>>(2)?);
        let fingerprint: String = row.get(0)?;
        all.insert(fingerprint.clone(), Sums::new(fingerprint, first, last));
        Ok(())
    })?;
    Ok(all)
}

/// Sums of one fingerprint on their way; news may take away what was not added yet.
struct Sums {
    fingerprint: String,
    seen: (Option<i64>, Option<i64>),
    builds: Builds,
    hits: Builds,
    passing: i64,
    hours: BTreeMap<i64, i64>,
}

impl Sums {
    fn new(fingerprint: String, first: Option<i64>, last: Option<i64>) -> Self {
        Self {
            fingerprint,
            seen: (first, last),
            builds: Builds::default(),
            hits: Builds::default(),
            passing: 0,
            hours: BTreeMap::new(),
        }
    }

    fn add(&mut self, row: &Row<'_>, recent: bool) -> Result<(), StateError> {
        let (failed, hits): (i64, i64) = (row.get(2)?, row.get(4)?);
        self.passing += row.get::<i64>(3)?;
        if failed == 0 && hits == 0 {
            return Ok(());
        }
        self.builds.ten_days += failed;
        self.hits.ten_days += hits;
        if recent {
            self.builds.day += failed;
            self.hits.day += hits;
        }
        *self.hours.entry(row.get(1)?).or_default() += failed;
        Ok(())
    }

    fn finish(self) -> FingerprintStats {
        let hours = self.hours.into_iter().filter(|(_, builds)| *builds != 0);
        FingerprintStats {
            fingerprint: self.fingerprint,
            hits_24h: unsigned(self.hits.day),
            hits_10d: unsigned(self.hits.ten_days),
            builds_24h: unsigned(self.builds.day),
            builds_10d: unsigned(self.builds.ten_days),
            passing_builds_10d: unsigned(self.passing),
            first_seen: self.seen.0.map(time),
            last_seen: self.seen.1.map(time),
            histogram: hours.map(|(hour, n)| (time(hour), unsigned(n))).collect(),
        }
    }
}

/// Failed builds of the last ten days with that verdict.
pub(super) fn total(tallies: &[Tally], verdict: Verdict) -> u64 {
    let of = |tally: &&Tally| tally.place == Place::All && tally.verdict == verdict;
    tallies
        .iter()
        .filter(of)
        .map(|tally| tally.builds_10d)
        .sum()
}
