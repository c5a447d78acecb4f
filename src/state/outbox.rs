//! What becomes of a note that somebody wants to say: new, brought up to date, taken back, or nothing.

use super::sql::{Tx, values};
use super::{Age, Manner, NewNote, State, StateError, micros};
use jiff::Timestamp;

/// The kind of a note that says what a log has changed that came late.
pub const LATE_LOG: &str = "late-log";

impl State {
    /// Puts notes into the outbox that belong to no build's verdict.
    pub fn enqueue_notes(&self, notes: &[NewNote], now: Timestamp) -> Result<(), StateError> {
        self.write(|tx| enqueue(tx, None, notes, Age::News, now))
    }

    /// True when a note on this was ever made, for anybody.
    pub fn has_notes_on(&self, topic: &str) -> Result<bool, StateError> {
        self.read(|tx| {
            tx.value(
                "SELECT EXISTS (SELECT 1 FROM notes WHERE topic = ?1)",
                values![topic],
            )
        })
    }
}

/// Puts notes into the outbox. Of those that are said once, the ones of the build that wait and are
/// no longer right are superseded, those that are still right are brought up to date, and a target
/// that was told of a build is not told again.
pub(super) fn enqueue(
    tx: Tx<'_>,
    build: Option<(i64, &str)>,
    notes: &[NewNote],
    age: Age,
    now: Timestamp,
) -> Result<(), StateError> {
    if let Some((id, _)) = build {
        supersede(tx, id, notes)?;
    }
    let id = build.map(|(id, _)| id);
    for note in notes {
        match note.manner {
            Manner::Once => once(tx, id, note, age, now)?,
            Manner::Follow => follow(tx, id, note, age, now)?,
        }
    }
    Ok(())
}

fn once(
    tx: Tx<'_>,
    build: Option<i64>,
    note: &NewNote,
    age: Age,
    now: Timestamp,
) -> Result<(), StateError> {
    // That more is known since its log came late is said to who has heard of the build.
    let late = note.kind == LATE_LOG;
    let told = !late && build.map_or(Ok(false), |id| told(tx, id, &note.target))?;
    if told || (age == Age::OldHat && !known(tx, note)?) {
        return Ok(());
    }
    let conflict = "ON CONFLICT (target, topic) DO UPDATE SET
         text = CASE notes.state WHEN 'delivered' THEN notes.text ELSE excluded.text END,
         json = CASE notes.state WHEN 'delivered' THEN notes.json ELSE excluded.json END,
         state = CASE notes.state WHEN 'superseded' THEN 'due' ELSE notes.state END";
    insert(tx, build, note, conflict, now)
}

/// What is there already of a note that follows.
struct There {
    id: i64,
    kind: String,
    text: String,
    state: String,
    /// Somebody has heard it, or may have.
    said: bool,
}

fn follow(
    tx: Tx<'_>,
    build: Option<i64>,
    note: &NewNote,
    age: Age,
    now: Timestamp,
) -> Result<(), StateError> {
    let sql = format!(
        "SELECT id, kind, text, state, CASE WHEN delivered_at IS NOT NULL OR attempts > 0
         OR remote IS NOT NULL THEN 1 ELSE 0 END FROM notes WHERE target = ?1 AND topic = ?2{}",
        tx.lock()
    );
    let there = tx.maybe(&sql, values![&note.target, &note.topic], |row| {
        Ok(There {
            id: row.get(0)?,
            kind: row.get(1)?,
            text: row.get(2)?,
            state: row.get(3)?,
            said: row.get(4)?,
        })
    })?;
    let takes_back = matches!(note.kind.as_str(), "outdated" | "withdrawn");
    match there {
        None if takes_back || age == Age::OldHat => Ok(()),
        None => insert(tx, build, note, "", now),
        // What nobody has heard need not be taken back.
        Some(there) if takes_back && !there.said => {
            let sql = "UPDATE notes SET state = 'superseded' WHERE id = ?1";
            tx.run(sql, values![there.id]).map(|_| ())
        }
        Some(there) if there.kind == note.kind && there.text == note.text => {
            let sql = "UPDATE notes SET state = 'due' WHERE id = ?1 AND state = 'superseded'";
            tx.run(sql, values![there.id]).map(|_| ())
        }
        // Days later nobody wants to hear more of it, but what was wrong is taken back.
        Some(there) if age == Age::OldHat && !takes_back && there.state != "due" => Ok(()),
        Some(there) => change(tx, build, there.id, note, now),
    }
}

/// Makes a note; `conflict` says what follows where there is one already.
fn insert(
    tx: Tx<'_>,
    build: Option<i64>,
    note: &NewNote,
    conflict: &str,
    now: Timestamp,
) -> Result<(), StateError> {
    let sql = format!(
        "INSERT INTO notes (build, target, topic, follows, kind, text, json, created_at, next_try)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) {conflict}"
    );
    tx.run(
        &sql,
        values![
            build,
            &note.target,
            &note.topic,
            note.manner == Manner::Follow,
            &note.kind,
            &note.text,
            serde_json::to_string(&note.json)?,
            micros(now)
        ],
    )?;
    Ok(())
}

/// What it should say has changed: that is to be said, with all tries again.
fn change(
    tx: Tx<'_>,
    build: Option<i64>,
    id: i64,
    note: &NewNote,
    now: Timestamp,
) -> Result<(), StateError> {
    tx.run(
        "UPDATE notes SET build = coalesce(?2, build), kind = ?3, text = ?4, json = ?5,
         generation = generation + 1, state = 'due', attempts = 0, error = NULL,
         created_at = ?6, next_try = CASE WHEN state = 'due' AND next_try > ?6 THEN next_try ELSE ?6 END
         WHERE id = ?1",
        values![
            id,
            build,
            &note.kind,
            &note.text,
            serde_json::to_string(&note.json)?,
            micros(now)
        ],
    )?;
    Ok(())
}

/// Takes back what waits to be said once and is not among `notes`.
fn supersede(tx: Tx<'_>, build: i64, notes: &[NewNote]) -> Result<(), StateError> {
    let waiting: Vec<(i64, String, String)> = tx.rows(
        "SELECT id, target, topic FROM notes
         WHERE build = ?1 AND follows = 0 AND state IN ('due', 'parked')",
        values![build],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    for (id, target, topic) in waiting {
        if notes.iter().any(|n| n.target == target && n.topic == topic) {
            continue;
        }
        tx.run(
            "UPDATE notes SET state = 'superseded' WHERE id = ?1 AND state IN ('due', 'parked')",
            values![id],
        )?;
    }
    Ok(())
}

/// True when such a note was made before.
fn known(tx: Tx<'_>, note: &NewNote) -> Result<bool, StateError> {
    tx.value(
        "SELECT EXISTS (SELECT 1 FROM notes WHERE target = ?1 AND topic = ?2)",
        values![&note.target, &note.topic],
    )
}

/// True when the target has heard of the build.
fn told(tx: Tx<'_>, build: i64, target: &str) -> Result<bool, StateError> {
    tx.value(
        "SELECT EXISTS (SELECT 1 FROM notes WHERE build = ?1 AND target = ?2 AND follows = 0
         AND state = 'delivered')",
        values![build, target],
    )
}
