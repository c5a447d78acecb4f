//! The outbox: what is to be said, and that it is said once.

use super::list::{Conditions, limit_of};
use super::sql::{Row, Tx, Value, values};
use super::{
    Age, NewNote, Note, NoteFilter, NoteState, Page, State, StateError, micros, signed, time,
    unsigned,
};
use jiff::Timestamp;

const COLUMNS: &str = "n.id, b.uuid, n.target, n.kind, n.text, n.json, n.state, n.attempts, \
     n.created_at, n.next_try, n.delivered_at, n.error, n.taken";

impl State {
    /// Notes that are to be tried now, the longest waiting first.
    pub fn due_notes(&self, now: Timestamp, limit: u64) -> Result<Vec<Note>, StateError> {
        self.read(|tx| due(tx, micros(now), signed(limit)))
    }

    /// When the next note is to be tried, if any waits.
    pub fn next_note_at(&self) -> Result<Option<Timestamp>, StateError> {
        self.read(|tx| {
            let next: Option<i64> =
                tx.value("SELECT min(next_try) FROM notes WHERE state = 'due'", &[])?;
            Ok(next.map(time))
        })
    }

    /// Records that a note was said.
    pub fn note_delivered(&self, id: i64, at: Timestamp) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET state = 'delivered', delivered_at = ?2, error = NULL WHERE id = ?1",
            id,
            values![id, micros(at)],
        )
    }

    /// Records which receivers have taken a note that others still wait for.
    pub fn note_taken(&self, id: i64, receivers: &[String]) -> Result<(), StateError> {
        self.change_note(
            "UPDATE notes SET taken = ?2 WHERE id = ?1",
            id,
            values![id, serde_json::to_string(receivers)?],
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
                &format!("SELECT count(*) FROM notes n JOIN builds b ON b.id = n.build {clause}"),
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

/// Notes that are to be tried at `now`, the longest waiting first.
pub(super) fn due(tx: Tx<'_>, now: i64, limit: i64) -> Result<Vec<Note>, StateError> {
    select(
        tx,
        "WHERE n.state = 'due' AND n.next_try <= ? ORDER BY n.next_try, n.id LIMIT ?",
        values![now, limit],
    )
}

/// Puts notes into the outbox. Those that wait and are no longer right are superseded, those that are
/// still right are brought up to date. A target that was told of a build is not told again.
pub(super) fn enqueue(
    tx: Tx<'_>,
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
        tx.run(
            "INSERT INTO notes (build, target, kind, text, json, created_at, next_try)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
             ON CONFLICT (build, target, kind) DO UPDATE SET
             text = excluded.text, json = excluded.json,
             state = CASE notes.state WHEN 'superseded' THEN 'due' ELSE notes.state END",
            values![
                build,
                &note.target,
                &note.kind,
                &note.text,
                serde_json::to_string(&note.json)?,
                micros(now)
            ],
        )?;
    }
    Ok(())
}

/// Takes back what waits to be said and is not among `notes`.
fn supersede(tx: Tx<'_>, build: i64, notes: &[NewNote]) -> Result<(), StateError> {
    let waiting = tx.rows(
        "SELECT id, target, kind FROM notes
         WHERE build = ?1 AND state IN ('due', 'parked') AND taken = '[]'",
        values![build],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    for (id, target, kind) in waiting {
        let (id, target, kind): (i64, String, String) = (id, target, kind);
        if notes.iter().any(|n| n.target == target && n.kind == kind) {
            continue;
        }
        tx.run(
            "UPDATE notes SET state = 'superseded'
             WHERE id = ?1 AND state IN ('due', 'parked') AND taken = '[]'",
            values![id],
        )?;
    }
    Ok(())
}

/// True when such a note was made before.
fn known(tx: Tx<'_>, build: i64, note: &NewNote) -> Result<bool, StateError> {
    tx.value(
        "SELECT EXISTS (SELECT 1 FROM notes WHERE build = ?1 AND target = ?2 AND kind = ?3)",
        values![build, &note.target, &note.kind],
    )
}

/// True when somebody behind the target has heard of the build.
fn told(tx: Tx<'_>, build: i64, target: &str) -> Result<bool, StateError> {
    tx.value(
        "SELECT EXISTS (SELECT 1 FROM notes WHERE build = ?1 AND target = ?2
         AND (state = 'delivered' OR taken <> '[]'))",
        values![build, target],
    )
}

fn select(tx: Tx<'_>, tail: &str, values: &[Value<'_>]) -> Result<Vec<Note>, StateError> {
    tx.rows(
        &format!("SELECT {COLUMNS} FROM notes n JOIN builds b ON b.id = n.build {tail}"),
        values,
        note_of,
    )
}

fn note_of(row: &Row<'_>) -> Result<Note, StateError> {
    let (json, state, taken): (String, String, String) = (row.get(5)?, row.get(6)?, row.get(12)?);
    Ok(Note {
        id: row.get(0)?,
        build: row.get(1)?,
        target: row.get(2)?,
        topic: row.get(2)?,
        generation: 1,
        remote: None,
        kind: row.get(3)?,
        text: row.get(4)?,
        json: serde_json::from_str(&json)?,
        state: NoteState::parse(&state)?,
        attempts: u32::try_from(row.get::<i64>(7)?).unwrap_or(u32::MAX),
        created_at: time(row.get(8)?),
        next_try: time(row.get(9)?),
        delivered_at: row.get::<Option<i64>>(10)?.map(time),
        error: row.get(11)?,
        taken: serde_json::from_str(&taken)?,
    })
}
