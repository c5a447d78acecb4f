//! The outbox: what is to be said, and that it is said once.

use super::list::{Conditions, limit_of};
use super::{
    Age, NewNote, Note, NoteFilter, NoteState, Page, State, StateError, micros, signed, time,
    unsigned,
};
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

const COLUMNS: &str = "n.id, b.uuid, n.target, n.kind, n.text, n.json, n.state, n.attempts, \
     n.created_at, n.next_try, n.delivered_at, n.error, n.taken";

impl State {
    /// Notes that are to be tried now, the longest waiting first.
    pub fn due_notes(&self, now: Timestamp, limit: u64) -> Result<Vec<Note>, StateError> {
        self.read(|tx| {
            select(
                tx,
                "WHERE n.state = 'due' AND n.next_try <= ? ORDER BY n.next_try, n.id LIMIT ?",
                &[Value::from(micros(now)), Value::from(signed(limit))],
            )
        })
    }

    /// When the next note is to be tried, if any waits.
    pub fn next_note_at(&self) -> Result<Option<Timestamp>, StateError> {
        self.read(|tx| {
            let next: Option<i64> = tx.query_row(
                "SELECT min(next_try) FROM notes WHERE state = 'due'",
                [],
                |row| row.get(0),
            )?;
            Ok(next.map(time))
        })
    }

    /// Records that a note was said.
    pub fn note_delivered(&self, id: i64, at: Timestamp) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET state = 'delivered', delivered_at = ?2, error = NULL WHERE id = ?1",
            id,
            params![id, micros(at)],
        )
    }

    /// Records which receivers have taken a note that others still wait for.
    pub fn note_taken(&self, id: i64, receivers: &[String]) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET taken = ?2 WHERE id = ?1",
            id,
            params![id, serde_json::to_string(receivers)?],
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
            params![id, error, micros(next_try)],
        )
    }

    /// Records a last try in vain: the note waits for a person.
    pub fn note_parked(&self, id: i64, error: &str) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET attempts = attempts + 1, error = ?2, state = 'parked' WHERE id = ?1",
            id,
            params![id, error],
        )
    }

    /// Makes a parked note due at once, with all its tries again. A note that was said stays said.
    pub fn retry_note(&self, id: i64) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET state = CASE state WHEN 'parked' THEN 'due' ELSE state END,
             attempts = 0, next_try = ?2 WHERE id = ?1",
            id,
            params![id, micros(Timestamp::now())],
        )
    }

    /// The notes that meet `filter`, newest first.
    pub fn notes(&self, filter: &NoteFilter) -> Result<Page<Note>, StateError> {
        let mut all = Conditions::default();
        all.equal("n.state = ?", filter.state.map(NoteState::as_str));
        all.equal("n.target = ?", filter.target.as_deref());
        all.equal("b.uuid = ?", filter.build.as_deref());
        let (clause, mut values) = all.finish();
        let limit = limit_of(filter.limit);
        self.read(|tx| {
            let total: i64 = tx.query_row(
                &format!("SELECT count(*) FROM notes n JOIN builds b ON b.id = n.build {clause}"),
                params_from_iter(&values),
                |row| row.get(0),
            )?;
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
            let mut query =
                tx.prepare_cached("SELECT state, count(*) FROM notes GROUP BY state")?;
            let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            let mut counts = Vec::new();
            for row in rows {
                let (state, count) = row?;
                counts.push((NoteState::parse(&state)?, unsigned(count)));
            }
            Ok(counts)
        })
    }

    fn change_note(
        &self,
        sql: &str,
        id: i64,
        values: impl rusqlite::Params,
    ) -> Result<(), StateError> {
        self.write(|tx| match tx.prepare_cached(sql)?.execute(values)? {
            0 => Err(StateError::NoSuchNote(id)),
            _ => Ok(()),
        })
    }
}

/// Puts notes into the outbox. Those that wait and are no longer right are superseded, those that are
/// still right are brought up to date. A target that was told of a build is not told again.
pub(super) fn enqueue(
    tx: &Connection,
    build: i64,
    notes: &[NewNote],
    age: Age,
    now: Timestamp,
) -> Result<(), StateError> {
    supersede(tx, build, notes)?;
    for note in notes {
        if told(tx, build, &note.target)? || (age == Age::OldHat && !known(tx, build, note)?) {
            continue;
        }
        tx.execute(
            "INSERT INTO notes (build, target, kind, text, json, created_at, next_try)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
             ON CONFLICT (build, target, kind) DO UPDATE SET
             text = excluded.text, json = excluded.json,
             state = CASE state WHEN 'superseded' THEN 'due' ELSE state END",
            params![
                build,
                note.target,
                note.kind,
                note.text,
                serde_json::to_string(&note.json)?,
                micros(now)
            ],
        )?;
    }
    Ok(())
}

/// Takes back what waits to be said and is not among `notes`.
fn supersede(tx: &Connection, build: i64, notes: &[NewNote]) -> Result<(), StateError> {
    let kept: Vec<_> = notes
        .iter()
        .map(|n| format!("{}/{}", n.target, n.kind))
        .collect();
    tx.execute(
        "UPDATE notes SET state = 'superseded'
         WHERE build = ?1 AND state IN ('due', 'parked') AND taken = '[]'
         AND target || '/' || kind NOT IN (SELECT value FROM json_each(?2))",
        params![build, serde_json::to_string(&kept)?],
    )?;
    Ok(())
}

/// True when such a note was made before.
fn known(tx: &Connection, build: i64, note: &NewNote) -> Result<bool, StateError> {
    Ok(tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM notes WHERE build = ?1 AND target = ?2 AND kind = ?3)",
        params![build, note.target, note.kind],
        |row| row.get(0),
    )?)
}

/// True when somebody behind the target has heard of the build.
fn told(tx: &Connection, build: i64, target: &str) -> Result<bool, StateError> {
    Ok(tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM notes WHERE build = ?1 AND target = ?2
         AND (state = 'delivered' OR taken <> '[]'))",
        params![build, target],
        |row| row.get(0),
    )?)
}

fn select(tx: &Connection, tail: &str, values: &[Value]) -> Result<Vec<Note>, StateError> {
    let mut query = tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM notes n JOIN builds b ON b.id = n.build {tail}"
    ))?;
    let rows = query.query_map(params_from_iter(values), |row| {
        let json: String = row.get(5)?;
        let state: String = row.get(6)?;
        let taken: String = row.get(12)?;
        Ok((json, state, taken, note_of(row)?))
    })?;
    let mut notes = Vec::new();
    for row in rows {
        let (json, state, taken, mut note) = row?;
        note.json = serde_json::from_str(&json)?;
        note.taken = serde_json::from_str(&taken)?;
        note.state = NoteState::parse(&state)?;
        notes.push(note);
    }
    Ok(notes)
}

fn note_of(row: &Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note {
        id: row.get(0)?,
        build: row.get(1)?,
        target: row.get(2)?,
        kind: row.get(3)?,
        text: row.get(4)?,
        json: serde_json::Value::Null,
        state: NoteState::Due,
        attempts: row.get(7)?,
        created_at: time(row.get(8)?),
        next_try: time(row.get(9)?),
        delivered_at: row.get::<_, Option<i64>>(10)?.map(time),
        error: row.get(11)?,
        taken: Vec::new(),
    })
}
