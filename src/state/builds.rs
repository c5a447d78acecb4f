//! Builds and their logs.

use super::sql::{Row, Tx, values};
use super::{
    Job, LogRow, PassedVerdict, PatchsetBuild, State, StateError, StoredBuild, around, micros,
    signed, time, unsigned,
};
use crate::event::{BugRef, Build, Evidence, Match, Verdict};
use jiff::Timestamp;

impl State {
    /// Records what is known of a build. Facts that are given replace those that were there; facts
    /// that are absent leave them. True when a complete build is to be looked at again because of it.
    pub fn put_build(&self, build: &Build) -> Result<bool, StateError> {
        Build::check_uuid(&build.uuid)?;
        self.write_of(&build.uuid, |tx| {
            let id = put(tx, build)?;
            due(tx, id)
        })
    }

    /// Records a received log file; a build that is not known yet is made. True when the build is
    /// complete and is to be looked at, for the first time or because these bytes are new.
    pub fn record_log(
        &self,
        uuid: &str,
        name: &str,
        bytes: u64,
        sha256: Option<&str>,
    ) -> Result<bool, StateError> {
        Build::check_uuid(uuid)?;
        self.write_of(uuid, |tx| {
            let id = ensure(tx, uuid)?;
            let same: bool = tx.value(
                "SELECT EXISTS (SELECT 1 FROM logs WHERE build = ?1 AND name = ?2
                 AND bytes = ?3 AND sha256 = ?4)",
                values![id, name, signed(bytes), sha256],
            )?;
            if same {
                return due(tx, id);
            }
            tx.run(
                "INSERT INTO logs (build, name, bytes, sha256, received_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (build, name) DO UPDATE SET
                 bytes = excluded.bytes, sha256 = excluded.sha256, received_at = excluded.received_at",
                values![id, name, signed(bytes), sha256, micros(Timestamp::now())],
            )?;
            changed(tx, id)?;
            due(tx, id)
        })
    }

    /// Declares that all logs are there. True when the build is to be classified: it is complete for
    /// the first time, or what is known of it has changed since.
    pub fn complete(
        &self,
        uuid: &str,
        result: Option<&str>,
        finished: Option<Timestamp>,
    ) -> Result<bool, StateError> {
        self.write_of(uuid, |tx| {
            let id = locked(tx, uuid)?.ok_or_else(|| StateError::NoSuchBuild(uuid.to_owned()))?;
            let known = metadata(tx, id)?;
            let mut build = known.clone();
            build.result = result.map(str::to_owned).or(build.result);
            build.finished = finished.or(build.finished);
            tx.run(
                "UPDATE builds SET completed_at = coalesce(completed_at, ?2) WHERE id = ?1",
                values![id, micros(Timestamp::now())],
            )?;
            save(tx, id, &build)?;
            if build != known {
                changed(tx, id)?;
            }
            due(tx, id)
        })
    }

    /// What a worker has to know of a build, or `None` when there is none of that name.
    pub fn job(&self, uuid: &str) -> Result<Option<Job>, StateError> {
        self.read_of(uuid, |tx| {
            let Some(id) = id_of(tx, uuid)? else {
                return Ok(None);
            };
            let job = tx.one(
                "SELECT meta, generation, waiting, completed_at FROM builds WHERE id = ?1",
                values![id],
                |row| {
                    let meta: String = row.get(0)?;
                    Ok(Job {
                        build: serde_json::from_str(&meta)?,
                        generation: unsigned(row.get(1)?),
                        waiting: row.get(2)?,
                        completed_at: row.get::<Option<i64>>(3)?.map(time),
                    })
                },
            )?;
            Ok(Some(job))
        })
    }

    /// Everything that is known of a build.
    pub fn build(&self, uuid: &str) -> Result<Option<StoredBuild>, StateError> {
        self.read_of(uuid, |tx| match id_of(tx, uuid)? {
            Some(id) => stored(tx, id).map(Some),
            None => Ok(None),
        })
    }

    /// Deletes builds that ended before `limit`, with all that belongs to them, and returns their
    /// names so that their logs can follow.
    pub fn delete_before(&self, limit: Timestamp) -> Result<Vec<String>, StateError> {
        let names = self.write(|tx| {
            let sql = "SELECT uuid FROM builds WHERE at < ?1 ORDER BY at";
            let names = tx.rows(
                &format!("{sql}{}", tx.lock()),
                values![micros(limit)],
                |row| row.get(0),
            )?;
            tx.run(
                "UPDATE builds SET verdict_id = NULL WHERE at < ?1",
                values![micros(limit)],
            )?;
            tx.run("DELETE FROM builds WHERE at < ?1", values![micros(limit)])?;
            super::decisions::forget(tx, limit)?;
            Ok(names)
        })?;
        self.counted(names.len() as u64);
        Ok(names)
    }
}

pub(super) fn id_of(tx: Tx<'_>, uuid: &str) -> Result<Option<i64>, StateError> {
    tx.maybe(
        "SELECT id FROM builds WHERE uuid = ?1",
        values![uuid],
        |r| r.get(0),
    )
}

/// As [`id_of`], and nobody else changes the build until the end of the transaction.
pub(super) fn locked(tx: Tx<'_>, uuid: &str) -> Result<Option<i64>, StateError> {
    let sql = format!("SELECT id FROM builds WHERE uuid = ?1{}", tx.lock());
    tx.maybe(&sql, values![uuid], |row| row.get(0))
}

/// Takes over what is known of a build.
pub(super) fn put(tx: Tx<'_>, build: &Build) -> Result<i64, StateError> {
    let id = ensure(tx, &build.uuid)?;
    let known = metadata(tx, id)?;
    let mut merged = known.clone();
    merge(&mut merged, build);
    if merged != known {
        save(tx, id, &merged)?;
        changed(tx, id)?;
    }
    Ok(id)
}

/// All that will come of the build is there. True when it is to be looked at.
pub(super) fn completed(tx: Tx<'_>, id: i64, now: Timestamp) -> Result<bool, StateError> {
    tx.run(
        "UPDATE builds SET completed_at = coalesce(completed_at, ?2) WHERE id = ?1",
        values![id, micros(now)],
    )?;
    let build = metadata(tx, id)?;
    save(tx, id, &build)?;
    due(tx, id)
}

/// Something new is known: a verdict of what was known before no longer holds.
pub(super) fn changed(tx: Tx<'_>, id: i64) -> Result<(), StateError> {
    let sql = "UPDATE builds SET generation = generation + 1, waiting = 1 WHERE id = ?1";
    tx.run(sql, values![id]).map(|_| ())
}

/// True when the build is complete and waits for a verdict.
fn due(tx: Tx<'_>, id: i64) -> Result<bool, StateError> {
    tx.value(
        "SELECT waiting = 1 AND completed_at IS NOT NULL FROM builds WHERE id = ?1",
        values![id],
    )
}

fn ensure(tx: Tx<'_>, uuid: &str) -> Result<i64, StateError> {
    if let Some(id) = locked(tx, uuid)? {
        return Ok(id);
    }
    // Another process may have made it since.
    tx.run(
        "INSERT INTO builds (uuid, meta, failed, received_at, at) VALUES (?1, ?2, 0, ?3, ?3)
         ON CONFLICT (uuid) DO NOTHING",
        values![
            uuid,
            serde_json::to_string(&Build::new(uuid))?,
            micros(Timestamp::now())
        ],
    )?;
    locked(tx, uuid)?.ok_or_else(|| StateError::NoSuchBuild(uuid.to_owned()))
}

fn metadata(tx: Tx<'_>, id: i64) -> Result<Build, StateError> {
    let text: String = tx.value("SELECT meta FROM builds WHERE id = ?1", values![id])?;
    Ok(serde_json::from_str(&text)?)
}

/// Takes over every fact that `news` has.
fn merge(build: &mut Build, news: &Build) {
    macro_rules! take {
        ($($field:ident),*) => {
            $(if news.$field.is_some() { build.$field.clone_from(&news.$field); })*
        };
    }
    take!(
        job, result, pipeline, project, branch, change, patchset, commit, voting
    );
    take!(log_url, node_provider, started, finished, failed_tests);
    for (name, value) in news.extra.iter() {
        build.extra.set(name, value.clone());
    }
}

/// Writes the metadata and everything that repeats it.
fn save(tx: Tx<'_>, id: i64, build: &Build) -> Result<(), StateError> {
    tx.run(
        "UPDATE builds SET meta = ?2, job = ?3, pipeline = ?4, project = ?5, branch = ?6,
         change = ?7, result = ?8, failed = ?9, at = coalesce(?10, completed_at, received_at),
         patchset = ?11 WHERE id = ?1",
        values![
            id,
            serde_json::to_string(build)?,
            &build.job,
            &build.pipeline,
            &build.project,
            &build.branch,
            &build.change,
            &build.result,
            build.failed(),
            build.finished.map(micros),
            &build.patchset,
        ],
    )?;
    around::learn(tx, build, Timestamp::now())?;
    tx.run(
        "UPDATE matches SET (at, failed) = (SELECT at, failed FROM builds WHERE id = ?1)
         WHERE build = ?1",
        values![id],
    )?;
    Ok(())
}

fn stored(tx: Tx<'_>, id: i64) -> Result<StoredBuild, StateError> {
    let mut stored = tx.one(
        "SELECT meta, verdict, verdict_at, rules_version, problems, received_at, completed_at
         FROM builds WHERE id = ?1",
        values![id],
        stored_head,
    )?;
    stored.logs = logs(tx, id)?;
    stored.matches = matches(tx, id)?;
    stored.history = history(tx, id)?;
    Ok(stored)
}

/// What a note says of a build.
pub(super) fn seen_in_patchset(tx: Tx<'_>, id: i64) -> Result<PatchsetBuild, StateError> {
    let (build, verdict) = tx.one(
        "SELECT meta, verdict FROM builds WHERE id = ?1",
        values![id],
        |row| {
            let (meta, verdict): (String, String) = (row.get(0)?, row.get(1)?);
            Ok((serde_json::from_str(&meta)?, word(&verdict)?))
        },
    )?;
    Ok(PatchsetBuild {
        build,
        verdict,
        matches: matches(tx, id)?,
    })
}

fn stored_head(row: &Row<'_>) -> Result<StoredBuild, StateError> {
    let (meta, verdict, problems): (String, String, String) =
        (row.get(0)?, row.get(1)?, row.get(4)?);
    Ok(StoredBuild {
        build: serde_json::from_str(&meta)?,
        verdict: word(&verdict)?,
        verdict_at: row.get::<Option<i64>>(2)?.map(time),
        rules_version: row.get(3)?,
        problems: serde_json::from_str(&problems)?,
        logs: Vec::new(),
        matches: Vec::new(),
        received_at: time(row.get(5)?),
        completed_at: row.get::<Option<i64>>(6)?.map(time),
        history: Vec::new(),
    })
}

pub(super) fn word(verdict: &str) -> Result<Verdict, StateError> {
    verdict.parse().map_err(StateError::Value)
}

fn logs(tx: Tx<'_>, id: i64) -> Result<Vec<LogRow>, StateError> {
    tx.rows(
        "SELECT name, bytes, sha256, received_at FROM logs WHERE build = ?1 ORDER BY name",
        values![id],
        |row| {
            Ok(LogRow {
                name: row.get(0)?,
                bytes: unsigned(row.get(1)?),
                sha256: row.get(2)?,
                received_at: time(row.get(3)?),
            })
        },
    )
}

fn matches(tx: Tx<'_>, id: i64) -> Result<Vec<Match>, StateError> {
    let rows = tx.rows(
        "SELECT id, fingerprint, title, bug_name, bug_url, hits, advice, category, returned, quiet
         FROM matches WHERE build = ?1 ORDER BY id",
        values![id],
        |row| Ok((row.get(0)?, match_of(row)?)),
    )?;
    let mut found = Vec::new();
    for (id, mut one) in rows {
        one.evidence = evidence(tx, id)?;
        found.push(one);
    }
    Ok(found)
}

fn match_of(row: &Row<'_>) -> Result<Match, StateError> {
    Ok(Match {
        fingerprint: row.get(1)?,
        title: row.get(2)?,
        bug: BugRef {
            name: row.get(3)?,
            url: row.get(4)?,
        },
        hits: unsigned(row.get(5)?),
        evidence: Vec::new(),
        advice: row.get(6)?,
        category: row.get(7)?,
        returned: row.get(8)?,
        quiet: row.get(9)?,
    })
}

fn evidence(tx: Tx<'_>, id: i64) -> Result<Vec<Evidence>, StateError> {
    tx.rows(
        "SELECT file, line, \"offset\", excerpt, spans FROM evidence WHERE match = ?1 ORDER BY seq",
        values![id],
        |row| {
            let spans: String = row.get(4)?;
            Ok(Evidence {
                file: row.get(0)?,
                line: unsigned(row.get(1)?),
                offset: unsigned(row.get(2)?),
                excerpt: row.get(3)?,
                spans: serde_json::from_str(&spans)?,
            })
        },
    )
}

fn history(tx: Tx<'_>, id: i64) -> Result<Vec<PassedVerdict>, StateError> {
    tx.rows(
        "SELECT verdict, rules_version, at, fingerprints FROM verdicts WHERE build = ?1 ORDER BY id",
        values![id],
        |row| {
            let (verdict, fingerprints): (String, String) = (row.get(0)?, row.get(3)?);
            Ok(PassedVerdict {
                verdict: word(&verdict)?,
                rules_version: row.get(1)?,
                at: time(row.get(2)?),
                fingerprints: serde_json::from_str(&fingerprints)?,
            })
        },
    )
}
