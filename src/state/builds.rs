//! Builds and their logs.

use super::{
    Job, LogRow, PassedVerdict, State, StateError, StoredBuild, micros, signed, time, unsigned,
};
use crate::event::{BugRef, Build, Evidence, Match, Verdict};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

impl State {
    /// Records what is known of a build. Facts that are given replace those that were there; facts
    /// that are absent leave them. True when a complete build is to be looked at again because of it.
    pub fn put_build(&self, build: &Build) -> Result<bool, StateError> {
        Build::check_uuid(&build.uuid)?;
        self.write(|tx| {
            let id = ensure(tx, &build.uuid)?;
            let known = metadata(tx, id)?;
            let mut merged = known.clone();
            merge(&mut merged, build);
            if merged == known {
                return due(tx, id);
            }
            save(tx, id, &merged)?;
            changed(tx, id)?;
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
        self.write(|tx| {
            let id = ensure(tx, uuid)?;
            let same: bool = tx.query_row(
                "SELECT EXISTS (SELECT 1 FROM logs WHERE build = ?1 AND name = ?2
                 AND bytes = ?3 AND sha256 IS ?4 AND ?4 IS NOT NULL)",
                params![id, name, signed(bytes), sha256],
                |row| row.get(0),
            )?;
            if same {
                return due(tx, id);
            }
            tx.execute(
                "INSERT INTO logs (build, name, bytes, sha256, received_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (build, name) DO UPDATE SET
                 bytes = excluded.bytes, sha256 = excluded.sha256, received_at = excluded.received_at",
                params![id, name, signed(bytes), sha256, micros(Timestamp::now())],
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
        self.write(|tx| {
            let id = id_of(tx, uuid)?.ok_or_else(|| StateError::NoSuchBuild(uuid.to_owned()))?;
            let known = metadata(tx, id)?;
            let mut build = known.clone();
            build.result = result.map(str::to_owned).or(build.result);
            build.finished = finished.or(build.finished);
            tx.execute(
                "UPDATE builds SET completed_at = coalesce(completed_at, ?2) WHERE id = ?1",
                params![id, micros(Timestamp::now())],
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
        self.read(|tx| {
            let Some(id) = id_of(tx, uuid)? else {
                return Ok(None);
            };
            let build = metadata(tx, id)?;
            let job = tx.query_row(
                "SELECT generation, waiting, completed_at FROM builds WHERE id = ?1",
                [id],
                |row| {
                    Ok(Job {
                        build,
                        generation: unsigned(row.get(0)?),
                        waiting: row.get(1)?,
                        completed_at: row.get::<_, Option<i64>>(2)?.map(time),
                    })
                },
            )?;
            Ok(Some(job))
        })
    }

    /// Everything that is known of a build.
    pub fn build(&self, uuid: &str) -> Result<Option<StoredBuild>, StateError> {
        self.read(|tx| match id_of(tx, uuid)? {
            Some(id) => stored(tx, id).map(Some),
            None => Ok(None),
        })
    }

    /// Deletes builds that ended before `limit`, with all that belongs to them, and returns their
    /// names so that their logs can follow.
    pub fn delete_before(&self, limit: Timestamp) -> Result<Vec<String>, StateError> {
        self.write(|tx| {
            let names = tx
                .prepare("SELECT uuid FROM builds WHERE at < ?1 ORDER BY at")?
                .query_map([micros(limit)], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            tx.execute(
                "UPDATE builds SET verdict_id = NULL WHERE at < ?1",
                [micros(limit)],
            )?;
            tx.execute("DELETE FROM builds WHERE at < ?1", [micros(limit)])?;
            Ok(names)
        })
    }
}

pub(super) fn id_of(tx: &Connection, uuid: &str) -> Result<Option<i64>, StateError> {
    Ok(tx
        .prepare_cached("SELECT id FROM builds WHERE uuid = ?1")?
        .query_row([uuid], |row| row.get(0))
        .optional()?)
}

/// Something new is known: a verdict of what was known before no longer holds.
fn changed(tx: &Connection, id: i64) -> Result<(), StateError> {
    tx.prepare_cached("UPDATE builds SET generation = generation + 1, waiting = 1 WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// True when the build is complete and waits for a verdict.
fn due(tx: &Connection, id: i64) -> Result<bool, StateError> {
    Ok(tx
        .prepare_cached("SELECT waiting AND completed_at IS NOT NULL FROM builds WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?)
}

fn ensure(tx: &Connection, uuid: &str) -> Result<i64, StateError> {
    if let Some(id) = id_of(tx, uuid)? {
        return Ok(id);
    }
    let now = micros(Timestamp::now());
    let meta = serde_json::to_string(&Build::new(uuid))?;
    tx.execute(
        "INSERT INTO builds (uuid, meta, failed, received_at, at) VALUES (?1, ?2, 0, ?3, ?3)",
        params![uuid, meta, now],
    )?;
    Ok(tx.last_insert_rowid())
}

fn metadata(tx: &Connection, id: i64) -> Result<Build, StateError> {
    let text: String = tx
        .prepare_cached("SELECT meta FROM builds WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
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
fn save(tx: &Connection, id: i64, build: &Build) -> Result<(), StateError> {
    tx.prepare_cached(
        "UPDATE builds SET meta = :meta, job = :job, pipeline = :pipeline, project = :project,
         branch = :branch, change = :change, result = :result, failed = :failed,
         at = coalesce(:finished, completed_at, received_at) WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": id,
        ":meta": serde_json::to_string(build)?,
        ":job": build.job,
        ":pipeline": build.pipeline,
        ":project": build.project,
        ":branch": build.branch,
        ":change": build.change,
        ":result": build.result,
        ":failed": build.failed(),
        ":finished": build.finished.map(micros),
    })?;
    tx.prepare_cached(
        "UPDATE matches SET (at, failed) = (SELECT at, failed FROM builds WHERE id = ?1)
         WHERE build = ?1",
    )?
    .execute([id])?;
    Ok(())
}

fn stored(tx: &Connection, id: i64) -> Result<StoredBuild, StateError> {
    let (verdict, problems, mut stored) = tx
        .prepare_cached(
            "SELECT verdict, problems, verdict_at, rules_version, received_at, completed_at
             FROM builds WHERE id = ?1",
        )?
        .query_row([id], |row| {
            let head: (String, String) = (row.get(0)?, row.get(1)?);
            Ok((head.0, head.1, stored_head(row)?))
        })?;
    stored.build = metadata(tx, id)?;
    stored.verdict = word(&verdict)?;
    stored.problems = serde_json::from_str(&problems)?;
    stored.logs = logs(tx, id)?;
    stored.matches = matches(tx, id)?;
    stored.history = history(tx, id)?;
    Ok(stored)
}

fn stored_head(row: &Row<'_>) -> rusqlite::Result<StoredBuild> {
    Ok(StoredBuild {
        build: Build::default(),
        verdict: Verdict::Pending,
        verdict_at: row.get::<_, Option<i64>>(2)?.map(time),
        rules_version: row.get(3)?,
        problems: Vec::new(),
        logs: Vec::new(),
        matches: Vec::new(),
        received_at: time(row.get(4)?),
        completed_at: row.get::<_, Option<i64>>(5)?.map(time),
        history: Vec::new(),
    })
}

pub(super) fn word(verdict: &str) -> Result<Verdict, StateError> {
    verdict.parse().map_err(StateError::Value)
}

fn logs(tx: &Connection, id: i64) -> Result<Vec<LogRow>, StateError> {
    let mut query = tx.prepare_cached(
        "SELECT name, bytes, sha256, received_at FROM logs WHERE build = ?1 ORDER BY name",
    )?;
    let rows = query.query_map([id], |row| {
        Ok(LogRow {
            name: row.get(0)?,
            bytes: unsigned(row.get(1)?),
            sha256: row.get(2)?,
            received_at: time(row.get(3)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn matches(tx: &Connection, id: i64) -> Result<Vec<Match>, StateError> {
    let mut query = tx.prepare_cached(
        "SELECT id, fingerprint, title, bug_name, bug_url, hits, advice, category, returned, quiet
         FROM matches WHERE build = ?1 ORDER BY id",
    )?;
    let rows = query.query_map([id], |row| Ok((row.get(0)?, match_of(row)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (id, mut one): (i64, Match) = row?;
        one.evidence = evidence(tx, id)?;
        found.push(one);
    }
    Ok(found)
}

fn match_of(row: &Row<'_>) -> rusqlite::Result<Match> {
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

fn evidence(tx: &Connection, id: i64) -> Result<Vec<Evidence>, StateError> {
    let mut query = tx.prepare_cached(
        "SELECT file, line, offset, excerpt, spans FROM evidence WHERE match = ?1 ORDER BY seq",
    )?;
    let rows = query.query_map([id], |row| {
        let place = Evidence {
            file: row.get(0)?,
            line: unsigned(row.get(1)?),
            offset: unsigned(row.get(2)?),
            excerpt: row.get(3)?,
            spans: Vec::new(),
        };
        Ok((place, row.get::<_, String>(4)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (mut place, spans) = row?;
        place.spans = serde_json::from_str(&spans)?;
        found.push(place);
    }
    Ok(found)
}

fn history(tx: &Connection, id: i64) -> Result<Vec<PassedVerdict>, StateError> {
    let mut query = tx.prepare_cached(
        "SELECT verdict, rules_version, at, fingerprints FROM verdicts WHERE build = ?1 ORDER BY id",
    )?;
    let rows = query.query_map([id], |row| {
        let verdict: String = row.get(0)?;
        let fingerprints: String = row.get(3)?;
        Ok((verdict, row.get(1)?, time(row.get(2)?), fingerprints))
    })?;
    let mut passed = Vec::new();
    for row in rows {
        let (verdict, rules_version, at, fingerprints) = row?;
        passed.push(PassedVerdict {
            verdict: word(&verdict)?,
            rules_version,
            at,
            fingerprints: serde_json::from_str(&fingerprints)?,
        });
    }
    Ok(passed)
}
