//! What is known around a build when its verdict is recorded, so that a note can speak of all jobs of
//! a patchset at once.

use super::counts::HOUR;
use super::sql::{Tx, values};
use super::{
    Age, BugRow, Hush, NewNote, State, StateError, VerdictRecord, bugs, builds, hush, micros,
    outbox, signed, unsigned, window,
};
use crate::event::{Build, Match, Verdict};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Builds of one patchset that a note can speak of; a change with more is unheard of.
const MOST: u64 = 200;
/// What "this week" means.
const WEEK: SignedDuration = SignedDuration::from_hours(168);

/// A failed build of a patchset.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchsetBuild {
    /// What the CI said.
    pub build: Build,
    /// Its verdict.
    pub verdict: Verdict,
    /// What was found, the headline first.
    pub matches: Vec<Match>,
}

/// What is known around a build.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surroundings {
    /// The failed builds of the same patchset, this one among them: the latest of each pipeline and
    /// job, by job. Empty when the build is of no change.
    pub builds: Vec<PatchsetBuild>,
    /// True when a newer patchset of the change is known.
    pub outdated: bool,
    /// Notes on older patchsets of the change that somebody has heard: target and topic.
    pub older: Vec<(String, String)>,
    /// In how many failed builds of the last seven days each fingerprint was found.
    pub week: BTreeMap<String, u64>,
    /// What nobody wants to hear of now, and what stands before every note.
    pub hush: Hush,
    /// The time of the verdict.
    pub at: Timestamp,
    /// What trackers say of the bugs that were found, by name.
    pub bugs: BTreeMap<String, BugRow>,
    /// What was said before more of the build's logs came, where these have changed the verdict.
    pub late: Option<Late>,
}

/// A verdict that another one replaces, because logs came after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Late {
    /// The targets that were told of the build.
    pub told: BTreeSet<String>,
}

/// Says what is to be said of notes on older patchsets (target and topic).
pub type OutdatedBy<'s> = dyn Fn(&[(String, String)]) -> Vec<NewNote> + 's;

/// Where notes about a patchset stand.
pub fn patchset_topic(project: Option<&str>, change: &str, patchset: &str) -> String {
    format!(
        "patchset/{change},{patchset}/{}",
        project.unwrap_or_default()
    )
}

impl State {
    /// Says that a patchset of a change is there, which makes the earlier ones outdated; `speak` says
    /// what is to be said of notes on these (target and topic).
    pub fn patchset_seen(
        &self,
        project: &str,
        change: &str,
        patchset: &str,
        at: Timestamp,
        speak: &OutdatedBy<'_>,
    ) -> Result<(), StateError> {
        self.write(|tx| {
            if !seen(tx, project, change, patchset, at)? {
                return Ok(());
            }
            let older = heard_of_others(tx, project, change, patchset)?;
            outbox::enqueue(tx, None, &speak(&older), Age::News, at)
        })
    }
}

/// Learns of the patchset that a build is of.
pub(super) fn learn(tx: Tx<'_>, build: &Build, at: Timestamp) -> Result<(), StateError> {
    if let (Some(change), Some(patchset)) = (&build.change, &build.patchset) {
        let project = build.project.as_deref().unwrap_or_default();
        seen(tx, project, change, patchset, at)?;
    }
    Ok(())
}

fn seen(
    tx: Tx<'_>,
    project: &str,
    change: &str,
    patchset: &str,
    at: Timestamp,
) -> Result<bool, StateError> {
    let number: i64 = patchset.parse().unwrap_or(0);
    let new = tx.run(
        "INSERT INTO patchsets (change, project, patchset, number, seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        values![change, project, patchset, number, micros(at)],
    )?;
    Ok(new == 1)
}

/// What is known around a build.
pub(super) fn of(
    tx: Tx<'_>,
    one: &PatchsetBuild,
    late: Option<Late>,
    now: Timestamp,
) -> Result<Surroundings, StateError> {
    let build = &one.build;
    let hush = hush::of(tx, build, now)?;
    let (Some(change), Some(patchset)) = (&build.change, &build.patchset) else {
        let alone = std::slice::from_ref(one);
        return Ok(Surroundings {
            week: week(tx, alone, now)?,
            bugs: known(tx, alone)?,
            at: now,
            hush,
            late,
            ..Surroundings::default()
        });
    };
    let project = build.project.as_deref().unwrap_or_default();
    let newest = newest(tx, project, change)?;
    let outdated = newest.is_some_and(|newest| newest != *patchset);
    let builds = failed_builds(tx, project, change, patchset)?;
    Ok(Surroundings {
        week: week(tx, &builds, now)?,
        bugs: known(tx, &builds)?,
        builds,
        outdated,
        older: heard_of_others(tx, project, change, patchset)?,
        hush,
        at: now,
        late,
    })
}

/// What trackers say of the bugs that were found.
fn known(tx: Tx<'_>, builds: &[PatchsetBuild]) -> Result<BTreeMap<String, BugRow>, StateError> {
    let all = builds.iter().flat_map(|one| &one.matches);
    let names: BTreeSet<&String> = all.map(|found| &found.bug.name).collect();
    let mut known = BTreeMap::new();
    for name in names {
        if let Some(row) = bugs::one(tx, name)? {
            known.insert(name.clone(), row);
        }
    }
    Ok(known)
}

/// What was said of a build that gets another verdict now, if logs came since the last one. To be
/// asked before the new one is kept.
pub(super) fn late(
    tx: Tx<'_>,
    id: i64,
    record: &VerdictRecord,
) -> Result<Option<Late>, StateError> {
    let before = tx.maybe(
        "SELECT v.verdict, v.fingerprints, v.at FROM builds b JOIN verdicts v ON v.id = b.verdict_id
         WHERE b.id = ?1",
        values![id],
        |row| {
            let (verdict, found): (String, String) = (row.get(0)?, row.get(1)?);
            let found: Vec<String> = serde_json::from_str(&found)?;
            Ok((builds::word(&verdict)?, found, row.get::<i64>(2)?))
        },
    )?;
    let Some((verdict, found, at)) = before else {
        return Ok(None);
    };
    let now: Vec<&str> = super::types::ids(&record.matches);
    if verdict == record.verdict && found == now {
        return Ok(None);
    }
    let came: bool = tx.value(
        "SELECT EXISTS (SELECT 1 FROM logs WHERE build = ?1 AND received_at > ?2)",
        values![id, at],
    )?;
    if !came {
        return Ok(None);
    }
    let told: Vec<String> = tx.rows(
        "SELECT DISTINCT target FROM notes WHERE build = ?1 AND follows = 0
         AND state = 'delivered'",
        values![id],
        |row| row.get(0),
    )?;
    Ok(Some(Late {
        told: told.into_iter().collect(),
    }))
}

/// The newest patchset of a change that is known.
pub(super) fn newest(
    tx: Tx<'_>,
    project: &str,
    change: &str,
) -> Result<Option<String>, StateError> {
    tx.maybe(
        "SELECT patchset FROM patchsets WHERE change = ?1 AND project = ?2
         ORDER BY number DESC, seen_at DESC LIMIT 1",
        values![change, project],
        |row| row.get(0),
    )
}

/// Failed builds of a patchset, the latest first. The `+` keeps SQLite, which has no statistics, from going
/// through all failed builds in the order of time.
const OF_PATCHSET: &str = "SELECT id FROM builds WHERE change = ?1 AND patchset = ?2
    AND coalesce(project, '') = ?3 AND +failed = 1 ORDER BY at DESC, id DESC LIMIT ?4";

/// Notes about a patchset that somebody has heard.
const HEARD: &str = "SELECT target, topic FROM notes WHERE topic = ?1 AND follows = 1
    AND kind <> 'outdated' AND kind <> 'withdrawn'";

/// The latest failed build of each pipeline and job.
pub(super) fn failed_builds(
    tx: Tx<'_>,
    project: &str,
    change: &str,
    patchset: &str,
) -> Result<Vec<PatchsetBuild>, StateError> {
    let ids: Vec<i64> = tx.rows(
        OF_PATCHSET,
        values![change, patchset, project, signed(MOST)],
        |row| row.get(0),
    )?;
    let mut latest: BTreeMap<(Option<String>, Option<String>), PatchsetBuild> = BTreeMap::new();
    for id in ids {
        let one = builds::seen_in_patchset(tx, id)?;
        let key = (one.build.job.clone(), one.build.pipeline.clone());
        latest.entry(key).or_insert(one);
    }
    Ok(latest.into_values().collect())
}

/// Failed builds with a fingerprint since a moment, which is `?3`; `?2` is the first whole hour from it on. What is
/// counted by hours already is not counted again for each verdict.
const OF_WEEK: &str = "SELECT CAST(coalesce(sum(builds), 0) AS BIGINT) FROM (
    SELECT sum(failed) AS builds FROM match_counts WHERE fingerprint = ?1 AND start >= ?2
    UNION ALL SELECT sum(failed) FROM match_news WHERE fingerprint = ?1 AND hour >= ?2
    UNION ALL SELECT count(*) FROM matches WHERE fingerprint = ?1 AND failed = 1 AND at >= ?3 AND at < ?2) AS parts";

fn week(
    tx: Tx<'_>,
    builds: &[PatchsetBuild],
    now: Timestamp,
) -> Result<BTreeMap<String, u64>, StateError> {
    let since = micros(now.checked_sub(WEEK).unwrap_or(Timestamp::MIN));
    let first = window::up(since, HOUR);
    let mut counts = BTreeMap::new();
    for found in builds.iter().flat_map(|one| &one.matches) {
        if counts.contains_key(&found.fingerprint) {
            continue;
        }
        let count: i64 = tx.value(OF_WEEK, values![&found.fingerprint, first, since])?;
        counts.insert(found.fingerprint.clone(), unsigned(count));
    }
    Ok(counts)
}

fn heard_of_others(
    tx: Tx<'_>,
    project: &str,
    change: &str,
    patchset: &str,
) -> Result<Vec<(String, String)>, StateError> {
    let others: Vec<String> = tx.rows(
        "SELECT patchset FROM patchsets p WHERE change = ?1 AND project = ?2 AND patchset <> ?3
         AND (number, seen_at) < (SELECT number, seen_at FROM patchsets
           WHERE change = ?1 AND project = ?2 AND patchset = ?3)",
        values![change, project, patchset],
        |row| row.get(0),
    )?;
    let mut heard = Vec::new();
    for other in others {
        let topic = patchset_topic(Some(project), change, &other);
        heard.extend(tx.rows(HEARD, values![topic], |row| Ok((row.get(0)?, row.get(1)?)))?);
    }
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::query_plan;

    /// All are asked with each verdict: none may grow with what is kept.
    #[test]
    fn what_is_around_a_build_is_found_by_its_patchset() {
        let builds = query_plan(OF_PATCHSET, values!["1", "2", "p", 3]);
        assert!(
            builds.contains("builds_patchset (change=? AND patchset=?)"),
            "{builds}"
        );
        let notes = query_plan(HEARD, values!["patchset/1,2/p"]);
        assert!(notes.contains("notes_topic (topic=?)"), "{notes}");
        let week = query_plan(OF_WEEK, values!["bug", 2, 1]);
        for index in [
            "match_counts_of (fingerprint=? AND start>?)",
            "match_news_of (fingerprint=? AND hour>?)",
            "matches_seen (fingerprint=? AND failed=? AND at>? AND at<?)",
        ] {
            assert!(week.contains(index), "{week}");
        }
    }
}
