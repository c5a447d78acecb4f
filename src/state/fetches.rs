//! Builds that sources announce, the logs that are to be fetched for them, and how far each source
//! was heard: written together, so that nothing is lost and nothing is heard twice.

use super::sql::{Tx, values};
use super::{State, StateError, builds, micros, signed, time};
use crate::event::Build;
use jiff::{SignedDuration, Timestamp};

/// Logs that are to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The build.
    pub uuid: String,
    /// Where its logs are, as the source says it.
    pub logs: String,
    /// Tries in vain.
    pub attempts: u32,
    /// When the build was announced.
    pub announced_at: Timestamp,
}

/// How far the logs of a build were fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where they are, as the source says it.
    pub logs: String,
    /// True when what could be had is here.
    pub done: bool,
    /// What is missing.
    pub problems: Vec<String>,
}

impl State {
    /// How far the logs of a build were fetched; none where nothing was to be fetched.
    pub fn fetch_of(&self, uuid: &str) -> Result<Option<Fetched>, StateError> {
        self.read_of(uuid, |tx| {
            tx.maybe(
                "SELECT f.logs, f.state, f.problems FROM fetches f
                 JOIN builds b ON b.id = f.build WHERE b.uuid = ?1",
                values![uuid],
                |row| {
                    let (state, problems): (String, String) = (row.get(1)?, row.get(2)?);
                    Ok(Fetched {
                        logs: row.get(0)?,
                        done: state == "done",
                        problems: serde_json::from_str(&problems)?,
                    })
                },
            )
        })
    }

    /// Records builds, each with where its logs are (none where nothing is to be fetched), and how far
    /// the source was heard. All of it, or nothing. Returns the builds that are complete with that.
    pub fn announce(
        &self,
        news: &[(Build, Option<String>)],
        mark: Option<(&str, &str)>,
        now: Timestamp,
    ) -> Result<Vec<String>, StateError> {
        for (build, _) in news {
            Build::check_uuid(&build.uuid)?;
        }
        self.write(|tx| {
            let mut due = Vec::new();
            for (build, logs) in news {
                let id = builds::put(tx, build)?;
                match logs {
                    Some(logs) => want(tx, id, logs, now)?,
                    None if builds::completed(tx, id, now)? => due.push(build.uuid.clone()),
                    None => {}
                }
            }
            if let Some((source, mark)) = mark {
                tx.run(
                    "INSERT INTO marks (source, mark) VALUES (?1, ?2)
                     ON CONFLICT (source) DO UPDATE SET mark = ?2",
                    values![source, mark],
                )?;
            }
            Ok(due)
        })
    }

    /// How far a source was heard.
    pub fn mark(&self, source: &str) -> Result<Option<String>, StateError> {
        self.read(|tx| {
            let sql = "SELECT mark FROM marks WHERE source = ?1";
            tx.maybe(sql, values![source], |row| row.get(0))
        })
    }

    /// Takes fetches that are due, the longest waiting first. Nobody else takes them for `hold`; who
    /// works longer takes them again by [`State::hold_fetch`].
    pub fn take_fetches(
        &self,
        now: Timestamp,
        hold: SignedDuration,
        limit: u64,
    ) -> Result<Vec<Fetch>, StateError> {
        let until = now.checked_add(hold).unwrap_or(Timestamp::MAX);
        self.write(|tx| {
            let lock = match tx.lock() {
                "" => "",
                _ => " FOR UPDATE OF f SKIP LOCKED",
            };
            let sql = format!(
                "SELECT f.build, b.uuid, f.logs, f.attempts, f.announced_at
                 FROM fetches f JOIN builds b ON b.id = f.build
                 WHERE f.state = 'due' AND f.next_try <= ?1 ORDER BY f.next_try, f.build LIMIT ?2{lock}"
            );
            let due: Vec<(i64, Fetch)> = tx.rows(&sql, values![micros(now), signed(limit)], |row| {
                let fetch = Fetch {
                    uuid: row.get(1)?,
                    logs: row.get(2)?,
                    attempts: u32::try_from(row.get::<i64>(3)?).unwrap_or(u32::MAX),
                    announced_at: time(row.get(4)?),
                };
                Ok((row.get(0)?, fetch))
            })?;
            for (id, _) in &due {
                let sql = "UPDATE fetches SET next_try = ?2 WHERE build = ?1";
                tx.run(sql, values![*id, micros(until)])?;
            }
            Ok(due.into_iter().map(|(_, fetch)| fetch).collect())
        })
    }

    /// Keeps a fetch from being taken by others until `until`, or plans its next try.
    pub fn hold_fetch(&self, uuid: &str, until: Timestamp) -> Result<(), StateError> {
        self.change_fetch(uuid, "next_try = ?2", micros(until))
    }

    /// Records a try in vain; the next one is at `next`.
    pub fn fetch_failed(&self, uuid: &str, next: Timestamp) -> Result<(), StateError> {
        let set = "attempts = attempts + 1, next_try = ?2";
        self.change_fetch(uuid, set, micros(next))
    }

    /// Records that what could be had was fetched, and what is missing of it. The build is complete
    /// with that; true when it is to be looked at.
    pub fn fetched(
        &self,
        uuid: &str,
        problems: &[String],
        now: Timestamp,
    ) -> Result<bool, StateError> {
        let problems = serde_json::to_string(problems)?;
        self.write(|tx| {
            let id = builds::locked(tx, uuid)?
                .ok_or_else(|| StateError::NoSuchBuild(uuid.to_owned()))?;
            let before: Option<String> = tx.maybe(
                "SELECT problems FROM fetches WHERE build = ?1",
                values![id],
                |row| row.get(0),
            )?;
            tx.run(
                "UPDATE fetches SET state = 'done', problems = ?2 WHERE build = ?1",
                values![id, &problems],
            )?;
            if before.is_some_and(|before| before != problems) {
                builds::changed(tx, id)?;
            }
            builds::completed(tx, id, now)
        })
    }

    /// What is missing of the logs that were fetched for a build.
    pub fn fetch_problems(&self, uuid: &str) -> Result<Vec<String>, StateError> {
        self.read_of(uuid, |tx| {
            let found: Option<String> = tx.maybe(
                "SELECT f.problems FROM fetches f JOIN builds b ON b.id = f.build WHERE b.uuid = ?1",
                values![uuid],
                |row| row.get(0),
            )?;
            Ok(found.map_or(Ok(Vec::new()), |text| serde_json::from_str(&text))?)
        })
    }

    /// When the next fetch is due, and how many wait.
    pub fn waiting_fetches(&self) -> Result<(Option<Timestamp>, u64), StateError> {
        self.read(|tx| {
            tx.one(
                "SELECT min(next_try), count(*) FROM fetches WHERE state = 'due'",
                &[],
                |row| {
                    let next: Option<i64> = row.get(0)?;
                    Ok((next.map(time), super::unsigned(row.get(1)?)))
                },
            )
        })
    }

    /// Number of fetches by state (`due`, `done`), and of those that ended with something missing.
    pub fn fetch_counts(&self) -> Result<(Vec<(String, u64)>, u64), StateError> {
        self.read(|tx| {
            let states = tx.rows(
                "SELECT state, count(*) FROM fetches GROUP BY state ORDER BY state",
                &[],
                |row| Ok((row.get(0)?, super::unsigned(row.get(1)?))),
            )?;
            let missing: i64 = tx.value(
                "SELECT count(*) FROM fetches WHERE state = 'done' AND problems <> '[]'",
                &[],
            )?;
            Ok((states, super::unsigned(missing)))
        })
    }

    /// After a start: what an earlier process had taken is free again. Only where no other process
    /// shares the state.
    pub fn free_fetches(&self, now: Timestamp) -> Result<(), StateError> {
        if self.shared() {
            return Ok(());
        }
        self.write(|tx| {
            let sql = "UPDATE fetches SET next_try = ?1 WHERE state = 'due' AND next_try > ?1
                 AND attempts = 0";
            tx.run(sql, values![micros(now)]).map(|_| ())
        })
    }

    fn change_fetch(&self, uuid: &str, set: &str, at: i64) -> Result<(), StateError> {
        let sql = format!(
            "UPDATE fetches SET {set} WHERE state = 'due'
             AND build = (SELECT id FROM builds WHERE uuid = ?1)"
        );
        self.write_of(uuid, |tx| tx.run(&sql, values![uuid, at]).map(|_| ()))
    }
}

/// Logs are where they are said to be now. What was fetched from there already is not fetched again.
fn want(tx: Tx<'_>, build: i64, logs: &str, now: Timestamp) -> Result<(), StateError> {
    tx.run(
        "INSERT INTO fetches (build, logs, announced_at, next_try) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (build) DO UPDATE SET logs = excluded.logs, state = 'due', attempts = 0,
         announced_at = excluded.announced_at, next_try = excluded.next_try
         WHERE fetches.logs <> excluded.logs",
        values![build, logs, micros(now)],
    )?;
    Ok(())
}
