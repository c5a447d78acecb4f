//! Patchsets about which it is to be decided whether another run is asked for, and what was decided.
//!
//! What is to be decided is written down with the verdict and goes with the decision, so that no stop
//! loses it; of several processes one decides, for the row is locked until it has.

use super::sql::{Row, Tx, values};
use super::{
    NewNote, Recheck, RecheckFacts, State, StateError, micros, rechecks, signed, time, unsigned,
};
use crate::event::Build;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A patchset that is to be decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRecheck {
    /// Its project; empty where it is not known.
    pub project: String,
    /// The change.
    pub change: String,
    /// The patchset.
    pub patchset: String,
    /// Since when nothing was decided for good.
    pub since: Timestamp,
}

/// What can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecheckAnswer {
    /// Another run is asked for.
    Ask,
    /// Not yet.
    Later,
    /// No.
    No,
}

impl RecheckAnswer {
    /// The word in files and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Later => "later",
            Self::No => "no",
        }
    }

    fn parse(word: &str) -> Result<Self, StateError> {
        let mut all = [Self::Ask, Self::Later, Self::No].into_iter();
        all.find(|answer| answer.as_str() == word)
            .ok_or_else(|| StateError::Value(format!("unknown decision {word:?}")))
    }
}

/// One entry of the ledger of decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecheckDecision {
    /// When.
    pub at: Timestamp,
    /// The project of the change; empty where it is not known.
    pub project: String,
    /// The change.
    pub change: String,
    /// Its patchset.
    pub patchset: String,
    /// What was decided.
    pub decision: RecheckAnswer,
    /// Why.
    pub reason: String,
    /// It was only written down.
    pub dry: bool,
}

/// A decision with what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// What was decided.
    pub decision: RecheckAnswer,
    /// Why.
    pub reason: String,
    /// When it is to be decided again.
    pub again: Option<Timestamp>,
    /// What is asked for, and what is said for it.
    pub asked: Option<(Recheck, Vec<NewNote>)>,
}

/// Decides about a patchset.
pub type DecideBy<'d> = dyn Fn(&DueRecheck, &RecheckFacts) -> Decided + 'd;

impl State {
    /// How many patchsets are to be decided about, now or later.
    pub fn rechecks_open(&self) -> Result<u64, StateError> {
        self.read(|tx| {
            let count: i64 = tx.value("SELECT count(*) FROM recheck_due", &[])?;
            Ok(unsigned(count))
        })
    }

    /// Decides about at most `limit` patchsets that are due; `dry` says of a project whether decisions
    /// are only written down. What was decided, with all that follows, is kept in one transaction.
    pub fn decide_rechecks(
        &self,
        limit: u64,
        dry: &dyn Fn(&str) -> bool,
        decide: &DecideBy<'_>,
        now: Timestamp,
    ) -> Result<Vec<RecheckDecision>, StateError> {
        let any = self.read(|tx| {
            let sql = "SELECT EXISTS (SELECT 1 FROM recheck_due WHERE due_at <= ?1)";
            tx.value::<bool>(sql, values![micros(now)])
        })?;
        if !any {
            return Ok(Vec::new());
        }
        self.write(|tx| {
            let mut made = Vec::new();
            for due in due(tx, limit, now)? {
                let dry = dry(&due.project);
                let (project, change, patchset) = (&due.project, &due.change, &due.patchset);
                let facts = rechecks::facts(tx, project, change, patchset, dry, now)?;
                made.push(keep(tx, &due, decide(&due, &facts), dry, now)?);
            }
            Ok(made)
        })
    }

    /// Forgets what is to be decided about: nothing could come of it.
    pub fn forget_rechecks(&self) -> Result<(), StateError> {
        if self.rechecks_open()? == 0 {
            return Ok(());
        }
        self.write(|tx| tx.run("DELETE FROM recheck_due", &[]).map(|_| ()))
    }

    /// The latest decisions, newest first.
    pub fn recheck_decisions(&self, limit: u64) -> Result<Vec<RecheckDecision>, StateError> {
        self.read(|tx| {
            tx.rows(
                "SELECT at, project, change, patchset, decision, reason, dry
                 FROM recheck_decisions ORDER BY at DESC, id DESC LIMIT ?1",
                values![signed(limit)],
                decision_of,
            )
        })
    }
}

/// A build of a patchset has a verdict: it is to be decided about.
pub(super) fn expect(tx: Tx<'_>, build: &Build, at: Timestamp) -> Result<(), StateError> {
    let (Some(change), Some(patchset)) = (&build.change, &build.patchset) else {
        return Ok(());
    };
    if !build.failed() {
        return Ok(());
    }
    let project = build.project.as_deref().unwrap_or_default();
    tx.run(
        "INSERT INTO recheck_due (project, change, patchset, since, due_at)
         VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (change, project, patchset)
         DO UPDATE SET since = excluded.since, due_at = excluded.due_at",
        values![project, change, patchset, micros(at)],
    )?;
    Ok(())
}

/// Drops decisions of before `limit`.
pub(super) fn forget(tx: Tx<'_>, limit: Timestamp) -> Result<(), StateError> {
    let sql = "DELETE FROM recheck_decisions WHERE at < ?1";
    tx.run(sql, values![micros(limit)]).map(|_| ())
}

fn due(tx: Tx<'_>, limit: u64, now: Timestamp) -> Result<Vec<DueRecheck>, StateError> {
    let sql = format!(
        "SELECT project, change, patchset, since FROM recheck_due WHERE due_at <= ?1
         ORDER BY due_at LIMIT ?2{}",
        tx.lock()
    );
    tx.rows(&sql, values![micros(now), signed(limit)], |row| {
        Ok(DueRecheck {
            project: row.get(0)?,
            change: row.get(1)?,
            patchset: row.get(2)?,
            since: time(row.get(3)?),
        })
    })
}

fn keep(
    tx: Tx<'_>,
    due: &DueRecheck,
    decided: Decided,
    dry: bool,
    now: Timestamp,
) -> Result<RecheckDecision, StateError> {
    let mut decision = RecheckDecision {
        at: now,
        project: due.project.clone(),
        change: due.change.clone(),
        patchset: due.patchset.clone(),
        decision: decided.decision,
        reason: decided.reason,
        dry,
    };
    if let Some((asked, notes)) = &decided.asked
        && !rechecks::ask(tx, asked, notes)?
    {
        decision.decision = RecheckAnswer::No;
        decision.reason = "not the first attempt: a recheck of this patchset is known".into();
    }
    let place = values![&due.project, &due.change, &due.patchset];
    match decided.again {
        Some(at) => tx.run(
            "UPDATE recheck_due SET due_at = ?4
             WHERE project = ?1 AND change = ?2 AND patchset = ?3",
            values![&due.project, &due.change, &due.patchset, micros(at)],
        )?,
        None => tx.run(
            "DELETE FROM recheck_due WHERE project = ?1 AND change = ?2 AND patchset = ?3",
            place,
        )?,
    };
    write_down(tx, &decision)?;
    Ok(decision)
}

/// Adds to the ledger, unless the same was decided of the patchset the last time.
fn write_down(tx: Tx<'_>, one: &RecheckDecision) -> Result<(), StateError> {
    let last = tx.maybe(
        "SELECT decision, reason, dry FROM recheck_decisions
         WHERE change = ?1 AND project = ?2 AND patchset = ?3 ORDER BY id DESC LIMIT 1",
        values![&one.change, &one.project, &one.patchset],
        |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get(2)?)),
    )?;
    if last == Some((one.decision.as_str().into(), one.reason.clone(), one.dry)) {
        return Ok(());
    }
    tx.run(
        "INSERT INTO recheck_decisions (at, project, change, patchset, decision, reason, dry)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        values![
            micros(one.at),
            &one.project,
            &one.change,
            &one.patchset,
            one.decision.as_str(),
            &one.reason,
            one.dry
        ],
    )?;
    Ok(())
}

fn decision_of(row: &Row<'_>) -> Result<RecheckDecision, StateError> {
    Ok(RecheckDecision {
        at: time(row.get(0)?),
        project: row.get(1)?,
        change: row.get(2)?,
        patchset: row.get(3)?,
        decision: RecheckAnswer::parse(&row.get::<String>(4)?)?,
        reason: row.get(5)?,
        dry: row.get(6)?,
    })
}
