//! What a CI has sent, what was acknowledged of it, and what must be there for it in the end.

use crate::chaos::drivers::sink::Deliveries;
use crate::review::lab::{PROJECT, SHA};
use jiff::Timestamp;
use reqwest::blocking::Client;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use whorl::store::{EmbeddedStore, LogStore, Options, Selection};

/// Each so many-th build belongs to the merge request that a forge shows.
const SHOWN: usize = 8;

/// One build as its sender knows it.
#[derive(Debug, Clone)]
struct One {
    lines: u64,
    acknowledged: bool,
}

/// All builds of a test.
#[derive(Debug, Default)]
pub(super) struct Sent {
    all: Mutex<Vec<One>>,
    cut: AtomicU64,
}

/// How the log of a build ends: with what is always known, what never is, and what some fingerprints know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Known,
    Unknown,
    Turning,
}

fn kind(number: usize) -> Kind {
    [Kind::Known, Kind::Unknown, Kind::Turning][number % 3]
}

pub(super) fn name(number: usize) -> String {
    format!("lost{number:05}")
}

fn log(number: usize, lines: u64) -> String {
    let name = name(number);
    let mut text = String::new();
    for line in 1..lines {
        let _ = writeln!(text, "step {line} of {name} went well");
    }
    let word = match kind(number) {
        Kind::Known => "boom",
        Kind::Unknown => "fine",
        Kind::Turning => "turning",
    };
    let _ = writeln!(text, "the last of {name} says {word}");
    text
}

impl Sent {
    /// A new build with a log of so many lines.
    pub(super) fn begin(&self, lines: u64) -> usize {
        let mut all = self.all.lock().unwrap();
        all.push(One {
            lines,
            acknowledged: false,
        });
        all.len() - 1
    }

    /// How many were acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        let all = self.all.lock().unwrap();
        all.iter().filter(|one| one.acknowledged).count()
    }

    /// Those that were not acknowledged.
    pub(super) fn unsure(&self) -> Vec<usize> {
        let all = self.all.lock().unwrap();
        let unsure = all.iter().enumerate().filter(|(_, one)| !one.acknowledged);
        unsure.map(|(number, _)| number).collect()
    }

    /// Requests that were under way when the service died.
    pub(super) fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// Sends a build; true when its completion was acknowledged, false when nobody answers any more.
    pub(super) fn send(&self, client: &Client, base: &str, number: usize) -> bool {
        let lines = self.all.lock().unwrap()[number].lines;
        let at = format!("{base}/api/v1/builds/{}", name(number));
        let (project, change, patchset) = if number.is_multiple_of(SHOWN) {
            (PROJECT, "7".to_owned(), SHA)
        } else {
            ("p", number.to_string(), "1")
        };
        let facts = json!({"job": format!("job-{number}"), "project": project, "change": change,
                           "patchset": patchset, "voting": true});
        let requests = [
            ("PUT", at.clone(), facts.to_string(), 200),
            (
                "PUT",
                format!("{at}/logs/console.txt"),
                log(number, lines),
                200,
            ),
            (
                "POST",
                format!("{at}/complete"),
                json!({"result": "FAILURE"}).to_string(),
                202,
            ),
        ];
        for (method, url, body, wanted) in requests {
            let status = loop {
                let request = client.request(method.parse().unwrap(), &url);
                let answer = match request.body(body.clone()).send() {
                    Ok(answer) => answer,
                    Err(error) => {
                        let cut = u64::from(!error.is_connect());
                        self.cut.fetch_add(cut, Ordering::Relaxed);
                        return false;
                    }
                };
                match answer.status().as_u16() {
                    429 => std::thread::sleep(Duration::from_millis(5)),
                    status => break status,
                }
            };
            assert_eq!(status, wanted, "{method} {url}");
        }
        self.all.lock().unwrap()[number].acknowledged = true;
        true
    }

    /// What must be there: the acknowledged builds with the lines of their logs.
    pub(super) fn wanted(&self) -> BTreeMap<String, (usize, u64)> {
        let all = self.all.lock().unwrap();
        let kept = all.iter().enumerate().filter(|(_, one)| one.acknowledged);
        kept.map(|(number, one)| (name(number), (number, one.lines)))
            .collect()
    }
}

/// What the database of a stopped or running service says.
pub(super) struct Kept(Connection);

impl Kept {
    pub(super) fn open(data: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = Connection::open_with_flags(data.join("state.db"), flags).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        Self(connection)
    }

    pub(super) fn count(&self, from: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM {from}");
        let count: i64 = self.0.query_row(&sql, [], |row| row.get(0)).unwrap();
        u64::try_from(count).unwrap()
    }

    /// Rows of two texts.
    fn pairs(&self, sql: &str) -> Vec<(String, String)> {
        let mut query = self.0.prepare(sql).unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }
}

/// Everything that does not hold of a stopped service. `turned`: the last fingerprints know what is turning.
pub(super) fn broken(
    data: &Path,
    sent: &Sent,
    heard: &Deliveries,
    receivers: &[&str],
    turned: bool,
) -> Vec<String> {
    let (kept, wanted) = (Kept::open(data), sent.wanted());
    let mut found: Vec<String> = kept.pairs("SELECT 'the database', integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'")
        .into_iter().map(|(what, why)| format!("{what}: {why}")).collect();
    found.extend(verdicts(&kept, &wanted, turned));
    found.extend(indexed(data, &kept, &wanted));
    found.extend(notes(&kept, &wanted, heard, receivers, turned));
    found
}

fn right(number: usize, turned: bool) -> &'static str {
    match kind(number) {
        Kind::Known => "matched",
        Kind::Turning if turned => "matched",
        Kind::Turning | Kind::Unknown => "unmatched",
    }
}

type Wanted = BTreeMap<String, (usize, u64)>;

/// Each acknowledged build has one verdict, the right one, and never two of the same fingerprints.
fn verdicts(kept: &Kept, wanted: &Wanted, turned: bool) -> Vec<String> {
    let there = kept.pairs(
        "SELECT b.uuid, b.verdict || ' ' || coalesce(v.verdict, 'nothing') || ' ' || b.waiting || ' '
         || (SELECT count(*) FROM matches m WHERE m.build = b.id)
         FROM builds b LEFT JOIN verdicts v ON v.id = b.verdict_id AND v.build = b.id",
    );
    let there: BTreeMap<String, String> = there.into_iter().collect();
    let mut found = Vec::new();
    for (name, (number, _)) in wanted {
        let verdict = right(*number, turned);
        let matches = u8::from(verdict == "matched");
        let right = format!("{verdict} {verdict} 0 {matches}");
        let has = there.get(name);
        if has != Some(&right) {
            found.push(format!("{name} has the verdict {has:?}, not {right:?}"));
        }
    }
    let twice = "SELECT b.uuid, v.rules_version FROM verdicts v JOIN builds b ON b.id = v.build
         GROUP BY b.uuid, v.rules_version HAVING count(*) > 1";
    let twice = kept.pairs(twice).into_iter();
    found.extend(twice.map(|(uuid, set)| format!("{uuid} has two verdicts of {set}")));
    found
}

/// The events of each build with a verdict are there once, and no others.
fn indexed(data: &Path, kept: &Kept, wanted: &Wanted) -> Vec<String> {
    let store = EmbeddedStore::open(&data.join("index"), Options::default()).unwrap();
    let all = Selection::default();
    let counts = store.count_by_field(&all, "build_uuid", usize::MAX, Timestamp::now());
    let mut counts: BTreeMap<String, u64> = counts.unwrap().into_iter().collect();
    let mut found = store.health().problems;
    for (name, (_, lines)) in wanted {
        let has = counts.remove(name).unwrap_or_default();
        if has != *lines {
            found.push(format!("{name} has {has} events, not {lines}"));
        }
        // One lost and one twice would be as many.
        let events = store.events_of(name).unwrap();
        if !events.iter().map(|event| event.at.line).eq(1..=*lines) {
            found.push(format!("{name} has not each of its {lines} events once"));
        }
    }
    // One whose completion came through, though its sender never heard so.
    let looked_at = kept.pairs("SELECT uuid, verdict FROM builds WHERE waiting = 0");
    let looked_at: BTreeSet<String> = looked_at.into_iter().map(|(uuid, _)| uuid).collect();
    let strange = counts.into_keys().filter(|uuid| !looked_at.contains(uuid));
    found.extend(strange.map(|uuid| format!("nobody looked at {uuid}")));
    found
}

/// What people heard is what the outbox says, and all of it was said: no note is missing, none has two
/// numbers, none that a receiver heard is unknown.
fn notes(
    kept: &Kept,
    wanted: &Wanted,
    heard: &Deliveries,
    receivers: &[&str],
    turned: bool,
) -> Vec<String> {
    let mut found: Vec<String> = kept
        .pairs("SELECT CAST(id AS TEXT), state FROM notes WHERE state NOT IN ('delivered', 'superseded')")
        .into_iter()
        .map(|(id, state)| format!("note {id} is {state}"))
        .collect();
    let rows = kept.pairs("SELECT CAST(id AS TEXT), topic || ' ' || state FROM notes");
    let rows: BTreeMap<String, String> = rows.into_iter().collect();
    let mut said: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for ((receiver, build), numbers) in heard {
        for id in numbers.keys() {
            let Some(row) = rows.get(&id.to_string()) else {
                found.push(format!(
                    "{receiver} heard note {id} of {build}, which nobody knows"
                ));
                continue;
            };
            let topic = row.split_once(' ').unwrap().0;
            let new = said.entry((receiver, build)).or_default().insert(topic);
            if !new {
                found.push(format!("{receiver} heard twice of {topic}"));
            }
        }
    }
    for (name, (number, _)) in wanted {
        let last = match right(*number, turned) {
            "matched" => "known-bug",
            _ => "unexplained",
        };
        let last = format!("build/{name}/{last}");
        for receiver in receivers {
            let topics = said
                .get(&(receiver, name.as_str()))
                .cloned()
                .unwrap_or_default();
            // Who was told of a build is not told again when other fingerprints find something else.
            let right = kind(*number) == Kind::Turning || topics.contains(last.as_str());
            if !right || topics.len() != 1 {
                found.push(format!(
                    "{receiver} should have heard {last}, and heard {topics:?}"
                ));
            }
        }
    }
    found
}
