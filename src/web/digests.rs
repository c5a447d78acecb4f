//! Digests by mail: when one is due, what it says, and that it is sent once.

use super::App;
use super::service::{TICK, wait};
use crate::event::Verdict;
use crate::note::mail::{self, Bug, Build, Digest, Figures, Parked, Period, Rate};
use crate::note::{Bell, Tracked};
use crate::report::{Schedule, wilson};
use crate::state::{
    DigestBug, DigestData, Manner, NewNote, NoteFilter, NoteState, Role, StateError,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the readers of mail are called in the outbox.
pub(super) const TARGET: &str = "mail";
/// Rows of each list.
const LISTED: usize = 10;

/// A digest that is sent on a schedule.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    name: &'static str,
    period: Period,
    schedule: Schedule,
}

impl Plan {
    /// The time that a digest is about.
    fn length(&self) -> SignedDuration {
        match self.period {
            Period::Daily => SignedDuration::from_hours(24),
            Period::Weekly => SignedDuration::from_hours(7 * 24),
        }
    }

    /// The digest that is due now: the latest one after `sent`, unless its period has passed since.
    fn due(&self, sent: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let due = self.schedule.latest_until(now).filter(|due| *due > sent)?;
        (now.duration_since(due) <= self.length()).then_some(due)
    }
}

/// The digests of the configuration; the error names the key.
pub(super) fn plans(config: &crate::config::Config) -> Result<Vec<Plan>, String> {
    let mut plans = Vec::new();
    for (name, text) in config
        .notes
        .mail
        .iter()
        .flat_map(crate::config::mail::Mail::schedules)
    {
        let schedule = Schedule::parse(text).map_err(|e| format!("notes.mail.{name}: {e}"))?;
        let period = match name {
            "weekly" => Period::Weekly,
            _ => Period::Daily,
        };
        plans.push(Plan {
            name,
            period,
            schedule,
        });
    }
    Ok(plans)
}

/// Sends digests when they are due; one that was due while nobody was here is sent at the start.
pub(super) async fn send(app: Arc<App>, plans: Vec<Plan>, bell: Bell, stop: CancellationToken) {
    // When each one is to be looked at again; at once by who has just become the one that does it.
    let mut next = BTreeMap::new();
    loop {
        if app.state.holds(Role::Keeper) {
            for plan in &plans {
                look(&app, plan, &mut next, &bell).await;
            }
        } else {
            next.clear();
        }
        if wait(&stop, TICK).await {
            return;
        }
    }
}

/// Sends one digest if it is time to look whether it is due.
async fn look(
    app: &Arc<App>,
    plan: &Plan,
    next: &mut BTreeMap<&'static str, Timestamp>,
    bell: &Bell,
) {
    let (now, name) = (app.now(), plan.name);
    if next.get(name).is_some_and(|at| *at > now) {
        return;
    }
    next.insert(name, plan.schedule.next_after(now));
    let (app, plan) = (app.clone(), plan.clone());
    match tokio::task::spawn_blocking(move || send_due(&app, &plan, now)).await {
        Ok(Ok(true)) => bell.ring(),
        Ok(Ok(false)) => {}
        Ok(Err(error)) => {
            tracing::error!(name, %error, "no digest: it is tried again");
            next.remove(name);
        }
        Err(error) => tracing::error!(name, %error, "no digest"),
    }
}

/// Puts the digest into the outbox that is due, if one is.
fn send_due(app: &App, plan: &Plan, now: Timestamp) -> Result<bool, String> {
    let failed = |error: StateError| error.to_string();
    let sent = app.state.digests_until(plan.name, now).map_err(failed)?;
    let Some(due) = plan.due(sent, now) else {
        return Ok(false);
    };
    let data = app.state.digest_data(due, plan.length(), LISTED as u64);
    let figures = figures(app, due, data.map_err(failed)?).map_err(failed)?;
    let digest = mail::digest(&figures, plan.period).map_err(|e| e.to_string())?;
    let note = note(plan.name, due, digest);
    let first = app
        .state
        .send_digest(plan.name, due, &note, Timestamp::now())
        .map_err(failed)?;
    if first {
        tracing::info!(name = plan.name, %due, "digest");
    }
    Ok(first)
}

fn note(name: &str, due: Timestamp, digest: Digest) -> NewNote {
    NewNote {
        target: TARGET.into(),
        topic: format!("digest/{name}/{due}"),
        manner: Manner::Once,
        kind: "digest".into(),
        text: digest.text,
        json: json!({
            "kind": "digest", "period": name, "until": due,
            "subject": digest.subject, "html": digest.html,
        }),
    }
}

fn figures(app: &App, until: Timestamp, data: DigestData) -> Result<Figures, StateError> {
    let base_url = app.config.notes.base_url.clone().unwrap_or_default();
    let parked = app.state.notes(&NoteFilter {
        state: Some(NoteState::Parked),
        limit: LISTED as u64,
        ..NoteFilter::default()
    })?;
    let of = |verdict| data.verdicts.get(&verdict).copied().unwrap_or(0);
    let all: Vec<&DigestBug> = data.bugs.iter().collect();
    let returned: Vec<&DigestBug> = data.bugs.iter().filter(|bug| bug.returned).collect();
    Ok(Figures {
        until,
        rate: rate(&data.verdicts),
        before: Some(rate(&data.before)),
        not_looked_at: of(Verdict::PartialLog) + of(Verdict::NoLog) + of(Verdict::Error),
        bugs: bugs(app, &all)?,
        bugs_total: data.bugs.len() as u64,
        returned: bugs(app, &returned)?,
        unexplained: data
            .unexplained
            .into_iter()
            .map(|row| Build {
                job: row.job.unwrap_or_else(|| "a job".into()),
                project: row.project,
                change: row.change.map(|change| match row.patchset {
                    Some(patchset) => format!("{change},{patchset}"),
                    None => change,
                }),
                page: format!("{}/builds/{}", base_url.trim_end_matches('/'), row.uuid),
                at: row.at,
            })
            .collect(),
        unexplained_total: data.unexplained_total,
        parked: parked
            .items
            .into_iter()
            .map(|note| Parked {
                target: note.target,
                error: note.error.unwrap_or_default(),
            })
            .collect(),
        parked_total: parked.total,
        base_url,
    })
}

fn rate(verdicts: &BTreeMap<Verdict, u64>) -> Rate {
    let of = |verdict| verdicts.get(&verdict).copied().unwrap_or(0);
    let explained = of(Verdict::Matched);
    let all = explained + of(Verdict::Unmatched);
    Rate {
        explained,
        of: all,
        interval: wilson(explained, all),
    }
}

/// The first of these bugs, with what their trackers say.
fn bugs(app: &App, all: &[&DigestBug]) -> Result<Vec<Bug>, StateError> {
    let now = app.now();
    let mut rows = Vec::new();
    for bug in all.iter().take(LISTED) {
        let known = app.state.bug(&bug.name)?;
        let known = known.and_then(|row| Tracked::of(&row, app.stale_after(), now));
        rows.push(Bug {
            name: bug.name.clone(),
            url: bug.url.clone(),
            title: known
                .as_ref()
                .map_or_else(|| bug.title.clone(), |known| known.title.clone()),
            builds: bug.builds,
            before: bug.before,
            status: known.map(|known| known.in_words(known.as_of.as_deref())),
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, period: Period) -> Plan {
        Plan {
            name: "x",
            period,
            schedule: Schedule::parse(text).unwrap(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn one_that_was_missed_is_due_once_and_not_too_late() {
        let daily = plan("0 6 * * *", Period::Daily);
        let now = at("2026-11-21T09:30:00Z");
        let today = at("2026-11-21T06:00:00Z");
        assert_eq!(daily.due(at("2026-11-18T06:00:00Z"), now), Some(today));
        assert_eq!(daily.due(today, now), None);
        assert_eq!(
            daily.due(at("2026-11-21T06:00:01Z"), now),
            None,
            "not wanted then"
        );
        assert_eq!(
            daily.due(at("2026-11-20T06:00:00Z"), today),
            Some(today),
            "on the dot"
        );
        // On Sunday noon Friday's is older than a day.
        let workdays = plan("0 6 * * 1-5", Period::Daily);
        let sunday = at("2026-11-22T12:00:00Z");
        assert_eq!(workdays.due(at("2026-11-19T06:00:00Z"), sunday), None);
        let weekly = plan("0 6 * * 1", Period::Weekly);
        let monday = at("2026-11-16T06:00:00Z");
        assert_eq!(weekly.due(at("2026-11-09T06:00:00Z"), sunday), Some(monday));
    }
}
