//! Looks at what a run has left behind, past the service: the database, the index, the folders, and what
//! receivers heard.

use super::harness::{LINES, Left, Place, Server, failed, known, name};
use super::sink::Deliveries;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use whorl::store::{EmbeddedStore, LogStore, Options, Selection, StoreError};

/// Lines about the same thing that are shown.
const SHOWN: usize = 5;
/// How long a stopped service may hold the index.
const LET_GO: Duration = Duration::from_secs(10);

/// The state, past the service.
pub(crate) enum Database {
    File(PathBuf),
    Server(Server),
}

impl Database {
    /// The first column of each row.
    fn texts(&self, sql: &str) -> Vec<String> {
        let file = match self {
            Self::File(file) => file,
            Self::Server(server) => return (server.ask)(sql),
        };
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let connection = connection.unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        let mut query = connection.prepare(sql).unwrap();
        let rows = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn number(&self, sql: &str) -> u64 {
        let found = self.texts(&format!("SELECT CAST(({sql}) AS TEXT)"));
        found[0].parse().unwrap()
    }
}

/// What the database says is still to be done.
pub(crate) fn left(database: &Database) -> Left {
    let notes = |state: &str| {
        let sql = format!("SELECT count(*) FROM notes WHERE state = '{state}'");
        database.number(&sql)
    };
    let pending = "SELECT count(*) FROM builds WHERE waiting = 1 AND completed_at IS NOT NULL";
    Left {
        fetching: database.number("SELECT count(*) FROM fetches WHERE state = 'due'"),
        pending: database.number(pending),
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
pub(crate) fn broken(place: &Place, builds: usize, deliveries: &Deliveries) -> Vec<String> {
    let database = place.database();
    let checks = [
        ("the database", whole(&database)),
        ("a verdict", verdicts(&database, builds)),
        ("a row", rows(&database)),
        ("the outbox", outbox(&database, builds)),
        ("the index", index(&place.data(), builds)),
        ("a note", notes(&database, builds, deliveries)),
        ("the folders", folders(&place.kept(), builds)),
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

/// What the file itself says; a server keeps its own whole.
fn whole(database: &Database) -> Vec<String> {
    if let Database::Server(_) = database {
        return Vec::new();
    }
    let mut found = database.texts("PRAGMA integrity_check");
    found.retain(|line| line != "ok");
    found.extend(database.texts("SELECT \"table\" FROM pragma_foreign_key_check"));
    found
}

/// Each acknowledged build, and no other, has exactly one verdict, and the right one.
fn verdicts(database: &Database, builds: usize) -> Vec<String> {
    let sql = "SELECT b.uuid || ' ' || b.verdict || ' ' || coalesce(v.verdict, 'nothing') || ' '
         || (SELECT count(*) FROM verdicts h WHERE h.build = b.id) || ' '
         || (SELECT count(*) FROM matches m WHERE m.build = b.id) || ' '
         || (SELECT count(*) FROM logs l WHERE l.build = b.id)
         FROM builds b LEFT JOIN verdicts v ON v.id = b.verdict_id";
    let rows = database.texts(sql);
    let pairs = rows.iter().filter_map(|row| row.split_once(' '));
    let mut there: BTreeMap<String, String> = pairs
        .map(|(uuid, has)| (uuid.to_owned(), has.to_owned()))
        .collect();
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
fn rows(database: &Database) -> Vec<String> {
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
        let all = database.texts(sql).into_iter();
        found.extend(all.map(|which| format!("{what}: {which}")));
    }
    found
}

/// Two receivers hear of each failed build, and of no other, and all of it was said.
fn outbox(database: &Database, builds: usize) -> Vec<String> {
    let failed = (0..builds).filter(|number| failed(*number)).count() as u64;
    let mut found = database
        .texts("SELECT 'note ' || id || ' is ' || state FROM notes WHERE state <> 'delivered'");
    let all = database.number("SELECT count(*) FROM notes");
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
fn notes(database: &Database, builds: usize, deliveries: &Deliveries) -> Vec<String> {
    let known: BTreeSet<String> = database
        .texts("SELECT CAST(id AS TEXT) FROM notes")
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
