//! Notes that wait to be said, are said, or wait for a person.

use super::list::{Conditions, limit_of};
use super::sql::{Row, Tx, Value, values};
use super::{
    Manner, Note, NoteFilter, NoteState, Page, State, StateError, micros, signed, time, unsigned,
};
use jiff::Timestamp;

const COLUMNS: &str = "n.id, b.uuid, n.target, n.kind, n.text, n.json, n.state, n.attempts, \
     n.created_at, n.next_try, n.delivered_at, n.error, n.topic, n.generation, n.remote, n.follows";

impl State {
    /// Notes for a target that are to be tried now, in the order in which they came to be due.
    pub fn due_notes(
        &self,
        target: &str,
        now: Timestamp,
        limit: u64,
    ) -> Result<Vec<Note>, StateError> {
        self.read(|tx| due(tx, target, micros(now), signed(limit)))
    }

    /// When the next note of a target is to be tried, if any waits.
    pub fn next_note_at(&self, target: &str) -> Result<Option<Timestamp>, StateError> {
        self.read(|tx| {
            let next: Option<i64> = tx.value(
                "SELECT min(next_try) FROM notes WHERE state = 'due' AND target = ?1",
                values![target],
            )?;
            Ok(next.map(time))
        })
    }

    /// Records that a note was said as it was in `generation`, and what the target calls it. One that
    /// should say something else meanwhile stays due.
    pub fn note_delivered(
        &self,
        id: i64,
        generation: u64,
        remote: Option<&str>,
        at: Timestamp,
    ) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET delivered_at = ?3, error = NULL, remote = coalesce(?4, remote),
             state = CASE generation WHEN ?2 THEN 'delivered' ELSE state END WHERE id = ?1",
            id,
            values![id, signed(generation), micros(at), remote],
        )
    }

    /// Records that nobody needs the note any more.
    pub fn note_dropped(&self, id: i64, generation: u64, why: &str) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET error = ?3,
             state = CASE generation WHEN ?2 THEN 'superseded' ELSE state END WHERE id = ?1",
            id,
            values![id, signed(generation), why],
        )
    }

    /// Records a try in vain at `at` and when the next one is.
    pub fn note_failed(
        &self,
        id: i64,
        _at: Timestamp,
        error: &str,
        next_try: Timestamp,
    ) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET attempts = attempts + 1, error = ?2, next_try = ?3 WHERE id = ?1",
            id,
            values![id, error, micros(next_try)],
        )
    }

    /// Records why a note is not tried now; that is no try of its own.
    pub fn note_waits(&self, id: i64, error: &str) -> Result<(), StateError> {
        let sql = "UPDATE notes SET error = ?2 WHERE id = ?1";
        self.change_note(sql, id, values![id, error])
    }

    /// Records a last try in vain: the note waits for a person.
    pub fn note_parked(&self, id: i64, error: &str) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET attempts = attempts + 1, error = ?2,
             state = CASE state WHEN 'delivered' THEN state ELSE 'parked' END WHERE id = ?1",
            id,
            values![id, error],
        )
    }

    /// Makes a parked note due at once, with all its tries again. A note that was said stays said.
    pub fn retry_note(&self, id: i64) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET state = CASE state WHEN 'parked' THEN 'due' ELSE state END,
             attempts = 0, next_try = ?2 WHERE id = ?1",
            id,
            values![id, micros(Timestamp::now())],
        )
    }

    /// The notes that meet `filter`, newest first.
    pub fn notes(&self, filter: &NoteFilter) -> Result<Page<Note>, StateError> {
        let mut all = Conditions::default();
        all.equal("n.state = ?", filter.state.map(NoteState::as_str));
        all.equal("n.target = ?", filter.target.as_deref());
        all.equal("b.uuid = ?", filter.build.as_deref());
        let (clause, values) = all.finish();
        let limit = limit_of(filter.limit);
        self.read(|tx| {
            let total: i64 = tx.value(
                &format!(
                    "SELECT count(*) FROM notes n LEFT JOIN builds b ON b.id = n.build {clause}"
                ),
                &values,
            )?;
            let mut values = values.clone();
            values.push(Value::from(signed(limit)));
            values.push(Value::from(signed(filter.offset)));
            let tail = format!("{clause} ORDER BY n.id DESC LIMIT ? OFFSET ?");
            Ok(Page {
                items: select(tx, &tail, &values)?,
                total: unsigned(total),
                offset: filter.offset,
                limit,
            })
        })
    }

    /// Number of notes by state.
    pub fn note_counts(&self) -> Result<Vec<(NoteState, u64)>, StateError> {
        self.read(|tx| {
            tx.rows(
                "SELECT state, count(*) FROM notes GROUP BY state",
                &[],
                |row| {
                    let state: String = row.get(0)?;
                    Ok((NoteState::parse(&state)?, unsigned(row.get(1)?)))
                },
            )
        })
    }

    fn change_note(&self, sql: &str, id: i64, values: &[Value<'_>]) -> Result<(), StateError> {
        self.write(|tx| match tx.run(sql, values)? {
            0 => Err(StateError::NoSuchNote(id)),
            _ => Ok(()),
        })
    }
}

/// The order is the one of an index, so that what waits behind them is not looked at.
const DUE: &str = "WHERE n.state = 'due' AND n.target = ? AND n.next_try <= ?
     ORDER BY n.created_at, n.id LIMIT ?";

/// Notes for `target` that are to be tried at `now`, the longest waiting first.
pub(super) fn due(tx: Tx<'_>, target: &str, now: i64, limit: i64) -> Result<Vec<Note>, StateError> {
    select(tx, DUE, values![target, now, limit])
}

fn select(tx: Tx<'_>, tail: &str, values: &[Value<'_>]) -> Result<Vec<Note>, StateError> {
    tx.rows(&select_of(tail), values, note_of)
}

fn select_of(tail: &str) -> String {
    format!("SELECT {COLUMNS} FROM notes n LEFT JOIN builds b ON b.id = n.build {tail}")
}

fn note_of(row: &Row<'_>) -> Result<Note, StateError> {
    let (json, state): (String, String) = (row.get(5)?, row.get(6)?);
    Ok(Note {
        id: row.get(0)?,
        build: row.get(1)?,
        target: row.get(2)?,
        topic: row.get(12)?,
        generation: unsigned(row.get(13)?),
        remote: row.get(14)?,
        manner: if row.get(15)? {
            Manner::Follow
        } else {
            Manner::Once
        },
        kind: row.get(3)?,
        text: row.get(4)?,
        json: serde_json::from_str(&json)?,
        state: NoteState::parse(&state)?,
        attempts: u32::try_from(row.get::<i64>(7)?).unwrap_or(u32::MAX),
        created_at: time(row.get(8)?),
        next_try: time(row.get(9)?),
        delivered_at: row.get::<Option<i64>>(10)?.map(time),
        error: row.get(11)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::query_plan;

    #[test]
    fn what_is_due_is_found_without_sorting_all_that_waits() {
        let plan = query_plan(&select_of(DUE), values!["chat", 0, 1]);
        assert!(plan.contains("notes_order"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
