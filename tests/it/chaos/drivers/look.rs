//! Looks at what a run has left behind, past the service: the database, the index, the folders, and what
//! receivers heard.

use super::harness::{LINES, Left, failed, known, name};
use super::sink::Deliveries;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};
use whorl::store::{EmbeddedStore, LogStore, Options, Selection, StoreError};

/// Lines about the same thing that are shown.
const SHOWN: usize = 5;
/// How long a stopped service may hold the index.
const LET_GO: Duration = Duration::from_secs(10);

fn open(file: &Path) -> Connection {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection
        .busy_timeout(std::time::Duration::from_secs(10))
        .unwrap();
    connection
}

fn number(connection: &Connection, sql: &str) -> u64 {
    let found: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    u64::try_from(found).unwrap()
}

/// What the database says is still to be done.
pub(crate) fn left(file: &Path) -> Left {
    let connection = open(file);
    let notes = |state: &str| {
        let sql = format!("SELECT count(*) FROM notes WHERE state = '{state}'");
        number(&connection, &sql)
    };
    let pending = "SELECT count(*) FROM builds WHERE waiting = 1 AND completed_at IS NOT NULL";
    Left {
        fetching: number(
            &connection,
            "SELECT count(*) FROM fetches WHERE state = 'due'",
        ),
        pending: number(&connection, pending),
        due: notes("due"),
        parked: notes("parked"),
        ..Left::default()
    }
}

/// Notes that came more than once.
pub(crate) fn repeated(deliveries: &Deliveries) -> u64 {
    let counts = deliveries.values().flat_map(BTreeMap::values);
    counts.map(|count| count - 1).sum()
}

/// Everything that does not hold.
pub(crate) fn broken(data: &Path, builds: usize, deliveries: &Deliveries) -> Vec<String> {
    let connection = open(&data.join("state.db"));
    let checks = [
        ("the database", whole(&connection)),
        ("a verdict", verdicts(&connection, builds)),
        ("a row", rows(&connection)),
        ("the outbox", outbox(&connection, builds)),
        ("the index", index(data, builds)),
        ("a note", notes(&connection, builds, deliveries)),
        ("the folders", folders(data, builds)),
    ];
    let mut all = Vec::new();
    for (what, found) in checks {
        let more = found.len().saturating_sub(SHOWN);
        all.extend(
            found
                .into_iter()
                .take(SHOWN)
                .map(|text| format!("{what}: {text}")),
        );
        if more > 0 {
            all.push(format!("{what}: and {more} more"));
        }
    }
    all
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut query = connection.prepare(sql).unwrap();
    let rows = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn whole(connection: &Connection) -> Vec<String> {
    let mut found = texts(connection, "PRAGMA integrity_check");
    found.retain(|line| line != "ok");
    found.extend(texts(
        connection,
        "SELECT \"table\" FROM pragma_foreign_key_check",
    ));
    found
}

/// Each acknowledged build, and no other, has exactly one verdict, and the right one.
fn verdicts(connection: &Connection, builds: usize) -> Vec<String> {
    let sql = "SELECT b.uuid, b.verdict || ' ' || coalesce(v.verdict, 'nothing') || ' '
         || (SELECT count(*) FROM verdicts h WHERE h.build = b.id) || ' '
         || (SELECT count(*) FROM matches m WHERE m.build = b.id) || ' '
         || (SELECT count(*) FROM logs l WHERE l.build = b.id)
         FROM builds b LEFT JOIN verdicts v ON v.id = b.verdict_id";
    let mut query = connection.prepare(sql).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let mut there: BTreeMap<String, String> = rows.unwrap().map(Result::unwrap).collect();
    let mut found = Vec::new();
    for number in 0..builds {
        let wanted = if known(number) {
            "matched matched 1 1 1"
        } else {
            "unmatched unmatched 1 0 1"
        };
        let has = there.remove(&name(number));
        if has.as_deref() != Some(wanted) {
            found.push(format!("{} has {has:?}, not {wanted}", name(number)));
        }
    }
    found.extend(there.into_keys().map(|uuid| format!("nobody sent {uuid}")));
    found
}

/// Rows that are only half there.
fn rows(connection: &Connection) -> Vec<String> {
    let conditions = [
        (
            "a match without evidence",
            "SELECT 'match ' || id FROM matches m WHERE NOT EXISTS (SELECT 1 FROM evidence e WHERE e.match = m.id)",
        ),
        (
            "a build that waits",
            "SELECT uuid FROM builds WHERE waiting = 1 OR completed_at IS NULL OR verdict_id IS NULL",
        ),
        (
            "a verdict without a time",
            "SELECT uuid FROM builds WHERE verdict_at IS NULL",
        ),
    ];
    let mut found = Vec::new();
    for (what, sql) in conditions {
        let all = texts(connection, sql).into_iter();
        found.extend(all.map(|which| format!("{what}: {which}")));
    }
    found
}

/// Two receivers hear of each failed build, and of no other, and all of it was said.
fn outbox(connection: &Connection, builds: usize) -> Vec<String> {
    let failed = (0..builds).filter(|number| failed(*number)).count() as u64;
    let mut found = texts(
        connection,
        "SELECT 'note ' || id || ' is ' || state FROM notes WHERE state <> 'delivered'",
    );
    let all = number(connection, "SELECT count(*) FROM notes");
    if all != 2 * failed {
        found.push(format!("{all} notes about {failed} failed builds"));
    }
    found
}

/// The index; a task of the stopped service may still be about to let go of it.
fn store(folder: &Path) -> EmbeddedStore {
    let begun = Instant::now();
    loop {
        match EmbeddedStore::open(folder, Options::default()) {
            Err(StoreError::Locked { .. }) if begun.elapsed() < LET_GO => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened.unwrap(),
        }
    }
}

/// The events of each build are there once, and nothing else is.
fn index(data: &Path, builds: usize) -> Vec<String> {
    let store = store(&data.join("index"));
    let counts = store.count_by_field(
        &Selection::default(),
        "build_uuid",
        usize::MAX,
        Timestamp::now(),
    );
    let mut counts: BTreeMap<String, u64> = counts.unwrap().into_iter().collect();
    let mut found = Vec::new();
    for number in 0..builds {
        let has = counts.remove(&name(number)).unwrap_or_default();
        if has != LINES {
            found.push(format!("{} has {has} events, not {LINES}", name(number)));
        }
    }
    found.extend(counts.into_keys().map(|uuid| format!("nobody sent {uuid}")));
    let marked: BTreeSet<String> = store.marks().unwrap().into_keys().collect();
    let wanted: BTreeSet<String> = (0..builds).map(name).collect();
    if marked != wanted {
        found.push(format!("{} builds are marked of {builds}", marked.len()));
    }
    found
}

/// Each receiver heard of each failed build under exactly one number, the one in the database.
fn notes(connection: &Connection, builds: usize, deliveries: &Deliveries) -> Vec<String> {
    let known: BTreeSet<String> = texts(connection, "SELECT CAST(id AS TEXT) FROM notes")
        .into_iter()
        .collect();
    let mut heard = deliveries.clone();
    let mut found = Vec::new();
    for receiver in ["one", "two"] {
        for number in (0..builds).filter(|number| failed(*number)) {
            let place = (receiver.to_owned(), name(number));
            let numbers = heard.remove(&place).unwrap_or_default();
            let right = numbers.keys().all(|id| known.contains(&id.to_string()));
            if numbers.len() != 1 || !right {
                found.push(format!("{place:?} was heard of as {numbers:?}"));
            }
        }
    }
    found.extend(
        heard
            .into_keys()
            .map(|place| format!("{place:?}: nobody should hear of it")),
    );
    found
}

/// Nothing that came half is left, and the logs of every build are.
fn folders(data: &Path, builds: usize) -> Vec<String> {
    let entries = |folder: &str| match std::fs::read_dir(data.join(folder)) {
        Ok(entries) => entries.count(),
        Err(_) => 0,
    };
    let mut found = Vec::new();
    if entries("incoming") > 0 {
        found.push(format!("{} files came half", entries("incoming")));
    }
    if entries("logs") != builds {
        found.push(format!("logs of {} builds, not {builds}", entries("logs")));
    }
    found
}
