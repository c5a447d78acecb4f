//! Verdicts: recorded whole, with matches, evidence and notes, and what still waits for one.

use super::sql::{Tx, Value, values};
use super::types::ids;
use super::{
    Age, NewNote, State, StateError, Surroundings, VerdictRecord, around, builds, decisions,
    micros, outbox, signed,
};
use crate::event::{Match, Verdict};

/// How far a walk over builds, newest first, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    at: i64,
    id: i64,
}

impl State {
    /// Records a verdict with its matches and their evidence, and puts the notes into the outbox,
    /// all or nothing. The former verdict stays in the history. Returns the former verdict.
    pub fn record_verdict(
        &self,
        record: &VerdictRecord,
        notes: &[NewNote],
    ) -> Result<Verdict, StateError> {
        let before = self.write_of(&record.uuid, |tx| {
            let id = builds::locked(tx, &record.uuid)?
                .ok_or_else(|| StateError::NoSuchBuild(record.uuid.clone()))?;
            let before: String =
                tx.value("SELECT verdict FROM builds WHERE id = ?1", values![id])?;
            keep(tx, id, record, &|_| notes.to_vec(), Age::News)?;
            builds::word(&before)
        })?;
        self.counted(1);
        Ok(before)
    }

    /// Records a verdict as [`State::record_verdict`] does, if what it was reached with is still all
    /// that is known of the build; false, and nothing is changed, when it is not: then the build is to
    /// be looked at once more. Where several processes share the state, the build must have been taken
    /// by [`State::take`] and not be lost since.
    pub fn record_verdict_of(
        &self,
        generation: u64,
        record: &VerdictRecord,
        notes: &Speaker<'_>,
        age: Age,
    ) -> Result<bool, StateError> {
        let kept = self.write_of(&record.uuid, |tx| {
            let id = builds::locked(tx, &record.uuid)?
                .ok_or_else(|| StateError::NoSuchBuild(record.uuid.clone()))?;
            let now: i64 = tx.value("SELECT generation FROM builds WHERE id = ?1", values![id])?;
            if now != signed(generation) || !self.give_back(tx, id)? {
                return Ok(false);
            }
            keep(tx, id, record, notes, age)?;
            Ok(true)
        })?;
        self.counted(1);
        Ok(kept)
    }

    /// Builds that are complete but wait for a verdict, oldest first; after a restart these are
    /// picked up again.
    pub fn pending(&self) -> Result<Vec<String>, StateError> {
        self.read(|tx| {
            names(
                tx,
                "SELECT uuid FROM builds WHERE waiting = 1 AND completed_at IS NOT NULL
                 ORDER BY completed_at, id",
                &[],
            )
        })
    }

    /// Classified builds whose verdict came from other fingerprints than `rules_version`, newest
    /// first, at most `limit` of those behind `after`; and where the next ones begin, if there may
    /// be any.
    pub fn stale(
        &self,
        rules_version: &str,
        after: Option<Spot>,
        limit: u64,
    ) -> Result<(Vec<String>, Option<Spot>), StateError> {
        let (at, id) = after.map_or((i64::MAX, i64::MAX), |spot| (spot.at, spot.id));
        // The inner question is answered by an index alone, for all but those that are shown.
        let found = self.read(|tx| {
            tx.rows(
                "SELECT b.uuid, s.at, s.id FROM
                   (SELECT at, id FROM builds WHERE waiting = 0
                    AND (rules_version < ?1 OR rules_version > ?1 OR rules_version IS NULL)
                    AND (at, id) < (?2, ?3) ORDER BY at DESC, id DESC LIMIT ?4) s
                 JOIN builds b ON b.id = s.id ORDER BY s.at DESC, s.id DESC",
                values![rules_version, at, id, signed(limit)],
                |row| {
                    let (at, id) = (row.get(1)?, row.get(2)?);
                    Ok((row.get(0)?, Spot { at, id }))
                },
            )
        })?;
        let full = u64::try_from(found.len()).is_ok_and(|count| count == limit);
        let last = found.last().map(|(_, spot)| *spot);
        let names = found.into_iter().map(|(name, _)| name).collect();
        Ok((names, last.filter(|_| full)))
    }

    /// How many builds [`State::stale`] would list without a limit.
    pub fn stale_count(&self, rules_version: &str) -> Result<u64, StateError> {
        self.read(|tx| {
            let count: i64 = tx.value(
                "SELECT count(*) FROM builds WHERE waiting = 0
                 AND (rules_version < ?1 OR rules_version > ?1 OR rules_version IS NULL)",
                values![rules_version],
            )?;
            Ok(super::unsigned(count))
        })
    }
}

/// Says what should be said, knowing what is around the build.
pub type Speaker<'s> = dyn Fn(&Surroundings) -> Vec<NewNote> + 's;

/// Writes a verdict with all that belongs to it.
fn keep(
    tx: Tx<'_>,
    id: i64,
    record: &VerdictRecord,
    notes: &Speaker<'_>,
    age: Age,
) -> Result<(), StateError> {
    let late = around::late(tx, id, record)?;
    point(tx, id, record)?;
    tx.run("DELETE FROM matches WHERE build = ?1", values![id])?;
    for one in &record.matches {
        insert_match(tx, id, one)?;
    }
    let one = builds::seen_in_patchset(tx, id)?;
    if age == Age::News {
        decisions::expect(tx, &one.build, record.at)?;
    }
    let said = notes(&around::of(tx, &one, late, record.at)?);
    outbox::enqueue(tx, Some((id, &one.build.uuid)), &said, age, record.at)
}

/// Adds to the history and makes the build point to it.
fn point(tx: Tx<'_>, id: i64, record: &VerdictRecord) -> Result<(), StateError> {
    let problems = serde_json::to_string(&record.problems)?;
    let entry: i64 = tx.value(
        "INSERT INTO verdicts (build, verdict, rules_version, at, problems, fingerprints)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
        values![
            id,
            record.verdict.as_str(),
            &record.rules_version,
            micros(record.at),
            &problems,
            serde_json::to_string(&ids(&record.matches))?,
        ],
    )?;
    tx.run(
        "UPDATE builds SET verdict = ?2, rules_version = ?3, verdict_at = ?4, problems = ?5,
         verdict_id = ?6, waiting = 0 WHERE id = ?1",
        values![
            id,
            record.verdict.as_str(),
            &record.rules_version,
            micros(record.at),
            &problems,
            entry,
        ],
    )?;
    Ok(())
}

fn insert_match(tx: Tx<'_>, build: i64, one: &Match) -> Result<(), StateError> {
    let id: i64 = tx.value(
        "INSERT INTO matches (build, fingerprint, at, failed, hits, title, bug_name, bug_url,
         advice, category, returned, quiet)
         SELECT id, ?2, at, failed, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM builds WHERE id = ?1
         RETURNING id",
        values![
            build,
            &one.fingerprint,
            signed(one.hits),
            &one.title,
            &one.bug.name,
            &one.bug.url,
            &one.advice,
            &one.category,
            one.returned,
            one.quiet,
        ],
    )?;
    for (seq, place) in (0_i64..).zip(&one.evidence) {
        tx.run(
            "INSERT INTO evidence (match, seq, file, line, \"offset\", excerpt, spans)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            values![
                id,
                seq,
                &place.file,
                signed(place.line),
                signed(place.offset),
                &place.excerpt,
                serde_json::to_string(&place.spans)?,
            ],
        )?;
    }
    Ok(())
}

fn names(tx: Tx<'_>, sql: &str, values: &[Value<'_>]) -> Result<Vec<String>, StateError> {
    tx.rows(sql, values, |row| row.get(0))
}
