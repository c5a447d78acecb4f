//! What nobody wants to hear of for a while, and the sentence that stands before every note.

use super::sql::{Row, Tx, values};
use super::{AuditRow, State, StateError, audit, micros, time};
use crate::event::Build;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a silence is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SilenceKind {
    /// A change: `NUMBER`, or `PROJECT#NUMBER` where numbers are a project's own.
    Change,
    /// A project.
    Project,
    /// A fingerprint, by its id: it is still looked for and counted.
    Fingerprint,
}

impl SilenceKind {
    /// The word in files, addresses and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Project => "project",
            Self::Fingerprint => "fingerprint",
        }
    }

    fn parse(word: &str) -> Result<Self, StateError> {
        let mut all = [Self::Change, Self::Project, Self::Fingerprint].into_iter();
        all.find(|kind| kind.as_str() == word)
            .ok_or_else(|| StateError::Value(format!("unknown kind of silence {word:?}")))
    }
}

/// A silence that is to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSilence {
    /// Of what kind it is.
    pub kind: SilenceKind,
    /// Of what.
    pub what: String,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number.
    pub id: i64,
    /// Of what kind it is.
    pub kind: SilenceKind,
    /// Of what.
    pub what: String,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Who wanted it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When it began.
    pub at: Timestamp,
}

/// An outage that is to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOutage {
    /// The sentence.
    pub text: String,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
    /// Who says so.
    pub by: String,
}

/// An outage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Its number.
    pub id: i64,
    /// The sentence.
    pub text: String,
    /// When it began.
    pub from: Timestamp,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
    /// Who said so.
    pub by: String,
}

/// What of all this concerns a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hush {
    /// Nothing is to be said of its change or project.
    pub silent: bool,
    /// Fingerprints that nobody is to be told of.
    pub fingerprints: BTreeSet<String>,
    /// What stands before every note.
    pub outage: Option<String>,
}

const SILENCE: &str = "SELECT id, kind, what, until, by_whom, reason, at FROM silences
     WHERE ended_at IS NULL AND until > ?1 AND at <= ?1";
const OUTAGE: &str = "SELECT id, text, from_at, until, by_whom FROM outages
     WHERE ended_at IS NULL AND from_at <= ?1 AND (until IS NULL OR until > ?1)
     ORDER BY id DESC LIMIT 1";

impl State {
    /// Begins a silence, in place of one of the same that is on. What waits to be said of its change
    /// or project is not said. Returns its number.
    pub fn silence(&self, new: &NewSilence, now: Timestamp) -> Result<i64, StateError> {
        self.write(|tx| {
            end(tx, Some((new.kind, &new.what)), None, &new.by, now)?;
            let id: i64 = tx.value(
                "INSERT INTO silences (kind, what, until, by_whom, reason, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
                values![
                    new.kind.as_str(),
                    &new.what,
                    micros(new.until),
                    &new.by,
                    &new.reason,
                    micros(now)
                ],
            )?;
            hold_back(tx, new)?;
            let detail = format!("until {}", new.until.strftime("%Y-%m-%d %H:%M UTC"));
            let detail = match &new.reason {
                Some(reason) => format!("{detail}: {reason}"),
                None => detail,
            };
            record(
                tx,
                now,
                &new.by,
                "silenced",
                &named(new.kind, &new.what),
                &detail,
            )?;
            Ok(id)
        })
    }

    /// Ends the silences of this that are on; how many there were.
    pub fn unsilence(
        &self,
        kind: SilenceKind,
        what: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, StateError> {
        self.write(|tx| told_end(tx, Some((kind, what)), None, by, now))
    }

    /// Ends the silence of this number; false when it is not on.
    pub fn end_silence(&self, id: i64, by: &str, now: Timestamp) -> Result<bool, StateError> {
        self.write(|tx| Ok(told_end(tx, None, Some(id), by, now)? > 0))
    }

    /// The silences that are on, the one that ends first first.
    pub fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, StateError> {
        self.read(|tx| {
            let sql = format!("{SILENCE} ORDER BY until, id");
            tx.rows(&sql, values![micros(now)], silence_of)
        })
    }

    /// Says that there is an outage, in place of the one that is on. Returns its number.
    pub fn begin_outage(&self, new: &NewOutage, now: Timestamp) -> Result<i64, StateError> {
        self.write(|tx| {
            over(tx, &new.by, now)?;
            let id: i64 = tx.value(
                "INSERT INTO outages (text, from_at, until, by_whom) VALUES (?1, ?2, ?3, ?4)
                 RETURNING id",
                values![&new.text, micros(now), new.until.map(micros), &new.by],
            )?;
            record(tx, now, &new.by, "outage-begun", &id.to_string(), &new.text)?;
            Ok(id)
        })
    }

    /// Says that the outage is over; false when there is none.
    pub fn end_outage(&self, by: &str, now: Timestamp) -> Result<bool, StateError> {
        self.write(|tx| {
            let Some(outage) = on(tx, now)? else {
                return Ok(false);
            };
            over(tx, by, now)?;
            let subject = outage.id.to_string();
            record(tx, now, by, "outage-ended", &subject, &outage.text)?;
            Ok(true)
        })
    }

    /// The newest outages, each with when it ended, if it has by `now`; newest first.
    pub fn outages(
        &self,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<(Outage, Option<Timestamp>)>, StateError> {
        let sql = format!(
            "SELECT id, text, from_at, until, by_whom, ended_at FROM outages
             WHERE from_at <= ?1 ORDER BY id DESC LIMIT {limit}"
        );
        self.read(|tx| {
            tx.rows(&sql, values![micros(now)], |row| {
                let outage = outage_of(row)?;
                let ended = row.get::<Option<i64>>(5)?.map(time);
                let over = outage.until.filter(|until| *until <= now);
                Ok((outage, ended.or(over)))
            })
        })
    }

    /// The outage that is on.
    pub fn outage(&self, now: Timestamp) -> Result<Option<Outage>, StateError> {
        self.read(|tx| on(tx, now))
    }
}

/// What concerns a build at `now`.
pub(super) fn of(tx: Tx<'_>, build: &Build, now: Timestamp) -> Result<Hush, StateError> {
    let mut hush = Hush {
        outage: on(tx, now)?.map(|outage| outage.text),
        ..Hush::default()
    };
    let project = build.project.as_deref().unwrap_or_default();
    let change = build.change.as_deref();
    let own = change.map(|change| format!("{project}#{change}"));
    for one in tx.rows(SILENCE, values![micros(now)], silence_of)? {
        match one.kind {
            SilenceKind::Fingerprint => {
                hush.fingerprints.insert(one.what);
            }
            SilenceKind::Project => hush.silent |= build.project.as_deref() == Some(&*one.what),
            SilenceKind::Change => {
                hush.silent |= change == Some(&*one.what) || own.as_ref() == Some(&one.what);
            }
        }
    }
    Ok(hush)
}

/// What waits to be said, and was not heard yet, is not said. Notes that take something back are.
fn hold_back(tx: Tx<'_>, new: &NewSilence) -> Result<(), StateError> {
    let (project, change) = match (new.kind, new.what.rsplit_once('#')) {
        (SilenceKind::Fingerprint, _) => return Ok(()),
        (SilenceKind::Project, _) => (Some(new.what.as_str()), None),
        (SilenceKind::Change, Some((project, change))) => (Some(project), Some(change)),
        (SilenceKind::Change, None) => (None, Some(new.what.as_str())),
    };
    let condition = match (project, change) {
        (Some(_), Some(_)) => "coalesce(project, '') = ?1 AND change = ?2",
        (Some(_), None) => "project = ?1 AND coalesce(?2, '') = ''",
        _ => "coalesce(?1, '') = '' AND change = ?2",
    };
    let sql = format!(
        "UPDATE notes SET state = 'superseded' WHERE state IN ('due', 'parked')
         AND delivered_at IS NULL AND remote IS NULL
         AND kind NOT IN ('outdated', 'withdrawn', 'recheck')
         AND build IN (SELECT id FROM builds WHERE {condition})"
    );
    let texts = values![project.unwrap_or_default(), change.unwrap_or_default()];
    tx.run(&sql, texts).map(|_| ())
}

fn told_end(
    tx: Tx<'_>,
    of: Option<(SilenceKind, &str)>,
    id: Option<i64>,
    by: &str,
    now: Timestamp,
) -> Result<u64, StateError> {
    let ended = end(tx, of, id, by, now)?;
    for one in &ended {
        let detail = one.reason.as_deref().unwrap_or_default();
        record(
            tx,
            now,
            by,
            "silence-ended",
            &named(one.kind, &one.what),
            detail,
        )?;
    }
    Ok(ended.len() as u64)
}

fn end(
    tx: Tx<'_>,
    of: Option<(SilenceKind, &str)>,
    id: Option<i64>,
    by: &str,
    now: Timestamp,
) -> Result<Vec<Silence>, StateError> {
    let mut all = tx.rows(SILENCE, values![micros(now)], silence_of)?;
    all.retain(|one| of.is_none_or(|of| of == (one.kind, one.what.as_str())));
    all.retain(|one| id.is_none_or(|id| id == one.id));
    for one in &all {
        tx.run(
            "UPDATE silences SET ended_at = ?2, ended_by = ?3 WHERE id = ?1",
            values![one.id, micros(now), by],
        )?;
    }
    Ok(all)
}

fn on(tx: Tx<'_>, now: Timestamp) -> Result<Option<Outage>, StateError> {
    tx.maybe(OUTAGE, values![micros(now)], outage_of)
}

fn outage_of(row: &Row<'_>) -> Result<Outage, StateError> {
    Ok(Outage {
        id: row.get(0)?,
        text: row.get(1)?,
        from: time(row.get(2)?),
        until: row.get::<Option<i64>>(3)?.map(time),
        by: row.get(4)?,
    })
}

fn over(tx: Tx<'_>, by: &str, now: Timestamp) -> Result<(), StateError> {
    let sql = "UPDATE outages SET ended_at = ?1, ended_by = ?2 WHERE ended_at IS NULL
         AND (until IS NULL OR until > ?1)";
    tx.run(sql, values![micros(now), by]).map(|_| ())
}

fn named(kind: SilenceKind, what: &str) -> String {
    format!("{} {what}", kind.as_str())
}

fn record(
    tx: Tx<'_>,
    at: Timestamp,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), StateError> {
    audit::add(
        tx,
        &AuditRow {
            at,
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            detail: detail.into(),
        },
    )
}

fn silence_of(row: &Row<'_>) -> Result<Silence, StateError> {
    Ok(Silence {
        id: row.get(0)?,
        kind: SilenceKind::parse(&row.get::<String>(1)?)?,
        what: row.get(2)?,
        until: time(row.get(3)?),
        by: row.get(4)?,
        reason: row.get(5)?,
        at: time(row.get(6)?),
    })
}
