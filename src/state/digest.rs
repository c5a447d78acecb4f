//! What a digest is made of, and that each is sent once.

use super::sql::{Tx, values};
use super::{
    Age, BuildFilter, BuildRow, NewNote, State, StateError, builds, list, micros, outbox, unsigned,
};
use crate::event::Verdict;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Counts of a span of time, all of one unchanging view.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DigestData {
    /// Failed builds that ended in it, by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// The same for the span before.
    pub before: BTreeMap<Verdict, u64>,
    /// The known bugs of these builds that people are told of, the most frequent first.
    pub bugs: Vec<DigestBug>,
    /// The newest failed builds with verdict `unmatched`.
    pub unexplained: Vec<BuildRow>,
    /// How many there are.
    pub unexplained_total: u64,
}

/// A known bug in a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestBug {
    /// As fingerprints name it.
    pub name: String,
    /// Its page.
    pub url: Option<String>,
    /// What it is.
    pub title: String,
    /// Failed builds with it.
    pub builds: u64,
    /// And in the span before.
    pub before: u64,
    /// True when it counted as fixed.
    pub returned: bool,
}

impl State {
    /// Counts of the time from `until - length` to `until`, with at most `listed` unexplained builds.
    pub fn digest_data(
        &self,
        until: Timestamp,
        length: SignedDuration,
        listed: u64,
    ) -> Result<DigestData, StateError> {
        let from = super::stats::back(until, length);
        let earlier = super::stats::back(from, length);
        // Of a build that ended at the very end the next digest tells.
        let last = super::stats::back(until, SignedDuration::from_micros(1));
        let filter = BuildFilter {
            verdict: Some(Verdict::Unmatched),
            failed_only: true,
            since: Some(from),
            limit: listed,
            ..BuildFilter::default()
        };
        self.read(|tx| {
            let unexplained = list::select(tx, &filter, Some(last))?;
            Ok(DigestData {
                verdicts: verdicts(tx, from, until)?,
                before: verdicts(tx, earlier, from)?,
                bugs: bugs(tx, earlier, from, until)?,
                unexplained: unexplained.items,
                unexplained_total: unexplained.total,
            })
        })
    }

    /// Up to when digests of this name were sent; before the first one, since when they are wanted,
    /// which is `now` when nobody has said it yet.
    pub fn digests_until(&self, name: &str, now: Timestamp) -> Result<Timestamp, StateError> {
        self.write(|tx| {
            tx.run(
                "INSERT INTO marks (source, mark) VALUES (?1, ?2) ON CONFLICT (source) DO NOTHING",
                values![key(name), mark(now)],
            )?;
            let found: String = tx.value(
                "SELECT mark FROM marks WHERE source = ?1",
                values![key(name)],
            )?;
            let found = found.parse().map_err(|_| {
                StateError::Value(format!("the mark of {name} digests is no time: {found}"))
            })?;
            Ok(super::time(found))
        })
    }

    /// Says from when on digests of this name are wanted or not sent yet.
    pub fn set_digests_until(&self, name: &str, at: Timestamp) -> Result<(), StateError> {
        self.write(|tx| {
            tx.run(
                "INSERT INTO marks (source, mark) VALUES (?1, ?2)
                 ON CONFLICT (source) DO UPDATE SET mark = ?2",
                values![key(name), mark(at)],
            )?;
            Ok(())
        })
    }

    /// Puts the digest that was due at `due` into the outbox; false, and nothing is done, when that or
    /// a later one was sent before.
    pub fn send_digest(
        &self,
        name: &str,
        due: Timestamp,
        note: &NewNote,
        now: Timestamp,
    ) -> Result<bool, StateError> {
        self.write(|tx| {
            let first = tx.run(
                "UPDATE marks SET mark = ?2 WHERE source = ?1 AND mark < ?2",
                values![key(name), mark(due)],
            )? == 1;
            if first {
                outbox::enqueue(tx, None, std::slice::from_ref(note), Age::News, now)?;
            }
            Ok(first)
        })
    }
}

fn key(name: &str) -> String {
    // No source has a name with a slash.
    format!("digest/{name}")
}

/// Texts of this form are in the order of their times.
fn mark(at: Timestamp) -> String {
    format!("{:020}", micros(at).max(0))
}

fn verdicts(
    tx: Tx<'_>,
    from: Timestamp,
    until: Timestamp,
) -> Result<BTreeMap<Verdict, u64>, StateError> {
    let rows = tx.rows(
        "SELECT verdict, count(*) FROM builds WHERE failed = 1 AND at >= ?1 AND at < ?2
         GROUP BY verdict",
        values![micros(from), micros(until)],
        |row| {
            let verdict: String = row.get(0)?;
            Ok((builds::word(&verdict)?, unsigned(row.get(1)?)))
        },
    )?;
    Ok(rows.into_iter().collect())
}

fn bugs(
    tx: Tx<'_>,
    earlier: Timestamp,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<DigestBug>, StateError> {
    tx.rows(
        "SELECT bug_name, max(bug_url), max(title),
                count(DISTINCT CASE WHEN at >= ?2 THEN build END) AS builds,
                count(DISTINCT CASE WHEN at < ?2 THEN build END),
                CAST(max(CASE WHEN at >= ?2 THEN returned ELSE 0 END) AS BIGINT)
         FROM matches WHERE failed = 1 AND quiet = 0 AND at >= ?1 AND at < ?3
         GROUP BY bug_name HAVING max(at) >= ?2 ORDER BY builds DESC, bug_name",
        values![micros(earlier), micros(from), micros(until)],
        |row| {
            Ok(DigestBug {
                name: row.get(0)?,
                url: row.get(1)?,
                title: row.get(2)?,
                builds: unsigned(row.get(3)?),
                before: unsigned(row.get(4)?),
                returned: row.get::<i64>(5)? == 1,
            })
        },
    )
}
