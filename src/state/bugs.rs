//! What bug trackers say, how old that is, and which closed bugs have come back.

use super::sql::{Row, Tx, Value, values};
use super::{Age, Hush, NewNote, State, StateError, builds, hush, micros, outbox, time, unsigned};
use crate::event::{BugFacts, Build, Match};
use jiff::{SignedDuration, Timestamp};

const COLUMNS: &str = "name, facts, validator, fetched_at, read_at, tried_at, failures, error, \
     comment, comment_text, comment_at";
/// Longest part of an error that is kept.
const KEPT_ERROR: usize = 300;

/// A bug as it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BugRow {
    /// As fingerprints name it.
    pub name: String,
    /// What the tracker said; `None` until it has answered once.
    pub facts: Option<BugFacts>,
    /// What the tracker calls this state of the bug.
    pub validator: Option<String>,
    /// When the tracker last said that it is so.
    pub fetched_at: Option<Timestamp>,
    /// When all of it was last read; since then the tracker only said that nothing has changed.
    pub read_at: Option<Timestamp>,
    /// When it was last asked for.
    pub tried_at: Option<Timestamp>,
    /// Tries in vain since the last answer.
    pub failures: u32,
    /// Why the last try was in vain.
    pub error: Option<String>,
    /// The comment with our counts, as the tracker names it.
    pub comment: Option<String>,
    /// What that comment says.
    pub comment_text: Option<String>,
    /// When the counts were last looked at.
    pub comment_at: Option<Timestamp>,
}

impl BugRow {
    /// How long ago the tracker last said that it is so.
    pub fn age(&self, now: Timestamp) -> Option<SignedDuration> {
        Some(now.duration_since(self.fetched_at?))
    }

    /// True when people must be told that this may no longer be so.
    pub fn stale(&self, now: Timestamp, after: SignedDuration) -> bool {
        self.age(now).is_none_or(|age| age > after)
    }
}

/// In how many failed builds a bug was seen. Each build counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BugHits {
    /// In the last 24 hours.
    pub builds_24h: u64,
    /// In the last 7 days.
    pub builds_7d: u64,
    /// In the last 30 days.
    pub builds_30d: u64,
    /// The latest one, as far back as the state reaches.
    pub last: Option<Timestamp>,
}

/// A bug that was closed and was hit again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedBug {
    /// As fingerprints name it.
    pub bug: String,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// The hit that showed it.
    pub hit_at: Timestamp,
    /// When that was noticed.
    pub raised_at: Timestamp,
    /// When people were told.
    pub told_at: Option<Timestamp>,
}

/// A bug as a failed build showed it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenBug {
    /// The build.
    pub build: Build,
    /// What was found in it.
    pub found: Match,
    /// What the bug's tracker says.
    pub row: Option<BugRow>,
    /// What nobody wants to hear of now.
    pub hush: Hush,
}

impl State {
    /// What is known of a bug.
    pub fn bug(&self, name: &str) -> Result<Option<BugRow>, StateError> {
        self.read(|tx| one(tx, name))
    }

    /// What is known of every bug that was ever asked for, by name.
    pub fn bugs(&self) -> Result<Vec<BugRow>, StateError> {
        let sql = format!("SELECT {COLUMNS} FROM bugs ORDER BY name");
        self.read(|tx| tx.rows(&sql, &[], bug_row))
    }

    /// Records what a tracker said.
    pub fn bug_read(
        &self,
        name: &str,
        facts: &BugFacts,
        validator: Option<&str>,
        at: Timestamp,
    ) -> Result<(), StateError> {
        let json = serde_json::to_string(facts)?;
        self.change_bug(
            "INSERT INTO bugs (name, facts, validator, fetched_at, read_at, tried_at)
             VALUES (?1, ?2, ?3, ?4, ?4, ?4)
             ON CONFLICT (name) DO UPDATE SET facts = ?2, validator = ?3, fetched_at = ?4,
                read_at = ?4, tried_at = ?4, failures = 0, error = NULL",
            values![name, json.as_str(), validator, micros(at)],
        )
    }

    /// Records that a tracker said that nothing has changed.
    pub fn bug_unchanged(&self, name: &str, at: Timestamp) -> Result<(), StateError> {
        self.change_bug(
            "UPDATE bugs SET fetched_at = ?2, tried_at = ?2, failures = 0, error = NULL
             WHERE name = ?1 AND facts IS NOT NULL",
            values![name, micros(at)],
        )
    }

    /// Records a try in vain; what was known stays known.
    pub fn bug_failed(&self, name: &str, error: &str, at: Timestamp) -> Result<(), StateError> {
        let error: String = error.chars().take(KEPT_ERROR).collect();
        self.change_bug(
            "INSERT INTO bugs (name, tried_at, failures, error) VALUES (?1, ?3, 1, ?2)
             ON CONFLICT (name) DO UPDATE SET tried_at = ?3, failures = bugs.failures + 1,
                error = ?2",
            values![name, error.as_str(), micros(at)],
        )
    }

    /// Records which comment has our counts and what it says; without a text, that the counts were
    /// looked at and nothing was written.
    pub fn bug_commented(
        &self,
        name: &str,
        comment: Option<(&str, &str)>,
        at: Timestamp,
    ) -> Result<(), StateError> {
        let (id, text) = comment.unzip();
        self.change_bug(
            "INSERT INTO bugs (name, comment, comment_text, comment_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET comment = coalesce(?2, bugs.comment),
                comment_text = coalesce(?3, bugs.comment_text), comment_at = ?4",
            values![name, id, text, micros(at)],
        )
    }

    /// When each bug was last hit by a failed build up to `now`, of the matches that were recorded after
    /// number `after` (0: all), and the last number.
    pub fn bug_hits_after(
        &self,
        after: i64,
        now: Timestamp,
    ) -> Result<(Vec<(String, Timestamp)>, i64), StateError> {
        let rows = self.read(|tx| {
            tx.rows(
                "SELECT bug_name, max(at), max(id) FROM matches
                 WHERE id > ?1 AND failed = 1 AND at <= ?2 GROUP BY bug_name",
                values![after, micros(now)],
                |row| Ok((row.get(0)?, time(row.get(1)?), row.get::<i64>(2)?)),
            )
        })?;
        let last = rows.iter().map(|(_, _, id)| *id).max().unwrap_or(after);
        let hits = rows.into_iter().map(|(bug, at, _)| (bug, at)).collect();
        Ok((hits, last))
    }

    /// The latest failed build in which people were to be told of a bug, with what is known of that.
    pub fn bug_seen(&self, bug: &str, now: Timestamp) -> Result<Option<SeenBug>, StateError> {
        self.read(|tx| {
            let id: Option<i64> = tx.maybe(
                "SELECT build FROM matches WHERE bug_name = ?1 AND failed = 1 AND quiet = 0
                 AND at <= ?2 ORDER BY at DESC, id DESC LIMIT 1",
                values![bug, micros(now)],
                |row| row.get(0),
            )?;
            let Some(id) = id else {
                return Ok(None);
            };
            let mut seen = builds::seen_in_patchset(tx, id)?;
            let at = seen.matches.iter().position(|one| one.bug.name == bug);
            let found = at.map(|at| seen.matches.swap_remove(at));
            let hush = hush::of(tx, &seen.build, now)?;
            let row = one(tx, bug)?;
            let made = |found| SeenBug {
                build: seen.build,
                found,
                row,
                hush,
            };
            Ok(found.map(made))
        })
    }

    /// Records that people are told of a returned bug, with the notes that do it; false, and nothing is
    /// done, when they were told already.
    pub fn tell_return(
        &self,
        back: &ReturnedBug,
        notes: &[NewNote],
        now: Timestamp,
    ) -> Result<bool, StateError> {
        self.write(|tx| {
            let told = tx.run(
                "UPDATE bug_returns SET told_at = ?3
                 WHERE bug = ?1 AND closed_at = ?2 AND told_at IS NULL",
                values![&back.bug, micros(back.closed_at), micros(now)],
            )?;
            if told > 0 {
                outbox::enqueue(tx, None, notes, Age::News, now)?;
            }
            Ok(told > 0)
        })
    }

    /// In how many failed builds a bug was seen that goes by any of these names.
    pub fn bug_hits(&self, names: &[&str], now: Timestamp) -> Result<BugHits, StateError> {
        if names.is_empty() {
            return Ok(BugHits::default());
        }
        let places: Vec<String> = (5..5 + names.len()).map(|n| format!("?{n}")).collect();
        let sql = format!(
            "SELECT count(DISTINCT build) FILTER (WHERE at > ?1),
                    count(DISTINCT build) FILTER (WHERE at > ?2),
                    count(DISTINCT build) FILTER (WHERE at > ?3), max(at)
             FROM matches WHERE failed = 1 AND at <= ?4 AND bug_name IN ({})",
            places.join(", ")
        );
        let back = |hours| now.checked_sub(SignedDuration::from_hours(hours));
        let edges =
            [24, 7 * 24, 30 * 24].map(|hours| micros(back(hours).unwrap_or(Timestamp::MIN)));
        let mut values: Vec<Value<'_>> = edges.into_iter().map(Value::from).collect();
        values.push(micros(now).into());
        values.extend(names.iter().map(|name| Value::from(*name)));
        self.read(|tx| tx.one(&sql, &values, hits_row))
    }

    /// Records that a closed bug was hit; false when that is known of this closing already.
    pub fn raise_return(&self, returned: &ReturnedBug) -> Result<bool, StateError> {
        self.write(|tx| {
            let added = tx.run(
                "INSERT INTO bug_returns (bug, closed_at, hit_at, raised_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (bug, closed_at) DO NOTHING",
                values![
                    &returned.bug,
                    micros(returned.closed_at),
                    micros(returned.hit_at),
                    micros(returned.raised_at)
                ],
            )?;
            Ok(added > 0)
        })
    }

    /// Bugs that have come back and of which people were not told yet, the oldest news first.
    pub fn returns_to_tell(&self) -> Result<Vec<ReturnedBug>, StateError> {
        self.read(|tx| returns(tx, "WHERE told_at IS NULL ORDER BY raised_at, bug"))
    }

    /// The latest bugs that have come back, told or not, newest first.
    pub fn returned_bugs(&self, limit: u32) -> Result<Vec<ReturnedBug>, StateError> {
        let rest = format!("ORDER BY raised_at DESC, bug LIMIT {limit}");
        self.read(|tx| returns(tx, &rest))
    }

    /// Records that people were told; false when they had been told already.
    pub fn return_told(
        &self,
        bug: &str,
        closed_at: Timestamp,
        at: Timestamp,
    ) -> Result<bool, StateError> {
        self.write(|tx| {
            let told = tx.run(
                "UPDATE bug_returns SET told_at = ?3
                 WHERE bug = ?1 AND closed_at = ?2 AND told_at IS NULL",
                values![bug, micros(closed_at), micros(at)],
            )?;
            Ok(told > 0)
        })
    }

    fn change_bug(&self, sql: &str, values: &[Value<'_>]) -> Result<(), StateError> {
        self.write(|tx| tx.run(sql, values).map(|_| ()))
    }
}

/// What is known of a bug.
pub(super) fn one(tx: Tx<'_>, name: &str) -> Result<Option<BugRow>, StateError> {
    let sql = format!("SELECT {COLUMNS} FROM bugs WHERE name = ?1");
    tx.maybe(&sql, values![name], bug_row)
}

fn bug_row(row: &Row<'_>) -> Result<BugRow, StateError> {
    let moment = |at| Ok::<_, StateError>(row.get::<Option<i64>>(at)?.map(time));
    let facts: Option<String> = row.get(1)?;
    Ok(BugRow {
        name: row.get(0)?,
        // Facts in a form that is no more read are asked for again.
        facts: facts.and_then(|json| serde_json::from_str(&json).ok()),
        validator: row.get(2)?,
        fetched_at: moment(3)?,
        read_at: moment(4)?,
        tried_at: moment(5)?,
        failures: u32::try_from(row.get::<i64>(6)?).unwrap_or(u32::MAX),
        error: row.get(7)?,
        comment: row.get(8)?,
        comment_text: row.get(9)?,
        comment_at: moment(10)?,
    })
}

fn hits_row(row: &Row<'_>) -> Result<BugHits, StateError> {
    Ok(BugHits {
        builds_24h: unsigned(row.get(0)?),
        builds_7d: unsigned(row.get(1)?),
        builds_30d: unsigned(row.get(2)?),
        last: row.get::<Option<i64>>(3)?.map(time),
    })
}

fn returns(tx: Tx<'_>, rest: &str) -> Result<Vec<ReturnedBug>, StateError> {
    let sql = format!("SELECT bug, closed_at, hit_at, raised_at, told_at FROM bug_returns {rest}");
    tx.rows(&sql, &[], |row| {
        Ok(ReturnedBug {
            bug: row.get(0)?,
            closed_at: time(row.get(1)?),
            hit_at: time(row.get(2)?),
            raised_at: time(row.get(3)?),
            told_at: row.get::<Option<i64>>(4)?.map(time),
        })
    })
}
