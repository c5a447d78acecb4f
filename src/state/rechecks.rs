//! The ledger of rechecks: who asked for another run, and why.

use super::sql::{Row, Tx, values};
use super::{
    Age, AuditRow, Hush, NewNote, PatchsetBuild, State, StateError, around, audit, hush, micros,
    outbox, signed, time, unsigned,
};
use crate::event::Build;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What "a day" means.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Where a recheck comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecheckKind {
    /// The `retry` rules of fingerprints.
    Rule,
    /// A person told us to ask for it.
    Command,
    /// A person wrote it on the change; the CI heard it from them.
    Comment,
}

impl RecheckKind {
    /// The word in files and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Command => "command",
            Self::Comment => "comment",
        }
    }

    fn parse(word: &str) -> Result<Self, StateError> {
        let mut all = [Self::Rule, Self::Command, Self::Comment].into_iter();
        all.find(|kind| kind.as_str() == word)
            .ok_or_else(|| StateError::Value(format!("unknown kind of recheck {word:?}")))
    }
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recheck {
    /// When.
    pub at: Timestamp,
    /// The project of the change; empty where it is not known.
    pub project: String,
    /// The change.
    pub change: String,
    /// Its patchset; empty where it is not known.
    pub patchset: String,
    /// Who.
    pub by: String,
    /// From where.
    pub kind: RecheckKind,
    /// The fingerprints or bugs that were named, if any.
    pub reason: Option<String>,
    /// It was only written down, not asked for.
    pub dry: bool,
    /// The CI was asked, or heard it.
    pub sent: bool,
}

/// What a decision about a recheck needs to know.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecheckFacts {
    /// The failed builds of the patchset, the latest of each pipeline and job.
    pub builds: Vec<PatchsetBuild>,
    /// A newer patchset is known.
    pub outdated: bool,
    /// Some job of it ran more than once in its pipeline.
    pub ran_again: bool,
    /// Rechecks of this patchset by anybody.
    pub of_patchset: u64,
    /// Our own rechecks of the change by rule, in this mode (dry or not).
    pub of_change: u64,
    /// Our own rechecks by rule in the last 24 hours, in this mode.
    pub of_day: u64,
    /// When something was last heard or found of the patchset.
    pub last_news: Option<Timestamp>,
    /// What nobody wants to hear of now.
    pub hush: Hush,
}

/// Rechecks of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecheckCount {
    /// The project; empty for all together.
    pub project: String,
    /// By people who named a bug.
    pub with_reason: u64,
    /// By people who named none.
    pub without_reason: u64,
    /// By rules of fingerprints.
    pub by_rule: u64,
    /// By rules, but only written down.
    pub dry: u64,
}

impl RecheckCount {
    /// Those of people.
    pub fn by_people(&self) -> u64 {
        self.with_reason + self.without_reason
    }

    /// All that the CI was really asked for.
    pub fn asked(&self) -> u64 {
        self.by_people() + self.by_rule
    }
}

/// What the notes of a recheck are about.
pub fn recheck_topic(project: &str, change: &str, patchset: &str) -> String {
    format!("recheck/{change},{patchset}/{project}")
}

impl State {
    /// Writes down a recheck that a person wrote on a change; false when it was known.
    pub fn recheck_heard(&self, heard: &Recheck) -> Result<bool, StateError> {
        self.write(|tx| insert(tx, heard))
    }

    /// Writes down a recheck that is asked for, and puts what is to be said into the outbox, with an
    /// audit entry; false, and nothing is changed, when one was asked for on this patchset already.
    pub fn recheck_asked(&self, asked: &Recheck, notes: &[NewNote]) -> Result<bool, StateError> {
        self.write(|tx| ask(tx, asked, notes))
    }

    /// What a decision about a patchset needs to know; `dry` says which of our own rechecks count.
    pub fn recheck_facts(
        &self,
        project: &str,
        change: &str,
        patchset: &str,
        dry: bool,
        now: Timestamp,
    ) -> Result<RecheckFacts, StateError> {
        self.read(|tx| facts(tx, project, change, patchset, dry, now))
    }

    /// The latest entries of the ledger, newest first.
    pub fn rechecks(&self, limit: u64) -> Result<Vec<Recheck>, StateError> {
        self.read(|tx| {
            tx.rows(
                "SELECT at, project, change, patchset, by_whom, kind, reason, dry, sent
                 FROM rechecks ORDER BY at DESC, id DESC LIMIT ?1",
                values![signed(limit)],
                recheck_of,
            )
        })
    }

    /// Rechecks since a moment, by project.
    pub fn recheck_counts(&self, since: Timestamp) -> Result<Vec<RecheckCount>, StateError> {
        self.read(|tx| {
            let sum =
                |condition| format!("CAST(sum(CASE WHEN {condition} THEN 1 ELSE 0 END) AS BIGINT)");
            let sql = format!(
                "SELECT project, {}, {}, {}, {} FROM rechecks WHERE at >= ?1
                 GROUP BY project ORDER BY project",
                sum("kind <> 'rule' AND dry = 0 AND reason IS NOT NULL"),
                sum("kind <> 'rule' AND dry = 0 AND reason IS NULL"),
                sum("kind = 'rule' AND dry = 0"),
                sum("kind = 'rule' AND dry = 1"),
            );
            tx.rows(&sql, values![micros(since)], |row| {
                Ok(RecheckCount {
                    project: row.get(0)?,
                    with_reason: unsigned(row.get(1)?),
                    without_reason: unsigned(row.get(2)?),
                    by_rule: unsigned(row.get(3)?),
                    dry: unsigned(row.get(4)?),
                })
            })
        })
    }

    /// The changes that go by a number: their projects, each with its newest patchset.
    pub fn changes_called(&self, change: &str) -> Result<Vec<(String, String)>, StateError> {
        let all: Vec<(String, String)> = self.read(|tx| {
            tx.rows(
                "SELECT project, patchset FROM patchsets WHERE change = ?1
                 ORDER BY project, number DESC, seen_at DESC LIMIT 1000",
                values![change],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })?;
        let mut newest: Vec<(String, String)> = Vec::new();
        for (project, patchset) in all {
            if newest.last().is_none_or(|(last, _)| *last != project) {
                newest.push((project, patchset));
            }
        }
        Ok(newest)
    }
}

pub(super) fn ask(tx: Tx<'_>, asked: &Recheck, notes: &[NewNote]) -> Result<bool, StateError> {
    if !insert(tx, asked)? {
        return Ok(false);
    }
    outbox::enqueue(tx, None, notes, Age::News, asked.at)?;
    let row = AuditRow {
        at: asked.at,
        actor: asked.by.clone(),
        action: if asked.dry { "recheck-dry" } else { "recheck" }.into(),
        subject: format!(
            "change {}#{},{}",
            asked.project, asked.change, asked.patchset
        ),
        detail: asked.reason.clone().unwrap_or_default(),
    };
    audit::add(tx, &row)?;
    Ok(true)
}

pub(super) fn facts(
    tx: Tx<'_>,
    project: &str,
    change: &str,
    patchset: &str,
    dry: bool,
    now: Timestamp,
) -> Result<RecheckFacts, StateError> {
    let since = micros(now.checked_sub(DAY).unwrap_or(Timestamp::MIN));
    let place = values![change, project, patchset];
    let runs: Option<i64> = tx.value(
        "SELECT max(runs) FROM (SELECT count(*) AS runs FROM builds
         WHERE change = ?1 AND coalesce(project, '') = ?2 AND patchset = ?3
         GROUP BY coalesce(job, ''), coalesce(pipeline, '')) AS x",
        place,
    )?;
    let news: Option<i64> = tx.value(
        "SELECT max(coalesce(verdict_at, received_at)) FROM builds
         WHERE change = ?1 AND coalesce(project, '') = ?2 AND patchset = ?3",
        place,
    )?;
    let of_patchset: i64 = tx.value(
        "SELECT count(*) FROM rechecks WHERE change = ?1 AND project = ?2
         AND patchset = ?3 AND (dry = 0 OR dry = ?4)",
        values![change, project, patchset, dry],
    )?;
    let of_change: i64 = tx.value(
        "SELECT count(*) FROM rechecks WHERE change = ?1 AND project = ?2
         AND kind = 'rule' AND dry = ?3",
        values![change, project, dry],
    )?;
    let of_day: i64 = tx.value(
        "SELECT count(*) FROM rechecks WHERE at > ?1 AND kind = 'rule' AND dry = ?2",
        values![since, dry],
    )?;
    let newest = around::newest(tx, project, change)?;
    let of_change_now = Build {
        project: Some(project.to_owned()),
        change: Some(change.to_owned()),
        ..Build::new("")
    };
    Ok(RecheckFacts {
        builds: around::failed_builds(tx, project, change, patchset)?,
        outdated: newest.is_some_and(|newest| newest != patchset),
        ran_again: runs.unwrap_or(0) > 1,
        of_patchset: unsigned(of_patchset),
        of_change: unsigned(of_change),
        of_day: unsigned(of_day),
        last_news: news.map(time),
        hush: hush::of(tx, &of_change_now, now)?,
    })
}

fn insert(tx: Tx<'_>, one: &Recheck) -> Result<bool, StateError> {
    let new = tx.run(
        "INSERT INTO rechecks (at, project, change, patchset, by_whom, kind, reason, dry, sent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        values![
            micros(one.at),
            &one.project,
            &one.change,
            &one.patchset,
            &one.by,
            one.kind.as_str(),
            &one.reason,
            one.dry,
            one.sent
        ],
    )?;
    Ok(new == 1)
}

fn recheck_of(row: &Row<'_>) -> Result<Recheck, StateError> {
    Ok(Recheck {
        at: time(row.get(0)?),
        project: row.get(1)?,
        change: row.get(2)?,
        patchset: row.get(3)?,
        by: row.get(4)?,
        kind: RecheckKind::parse(&row.get::<String>(5)?)?,
        reason: row.get(6)?,
        dry: row.get(7)?,
        sent: row.get(8)?,
    })
}
