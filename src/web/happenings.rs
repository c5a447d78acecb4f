//! Tells people of what no single verdict says: a closed bug that is back, an outage that begins or is
//! over. Each is said once, also after a stop in between: its notes are known by their topic.

use super::App;
use super::service::{TICK, wait};
use crate::note::{Bell, outage_topic};
use crate::state::{Outage, Role, StateError};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Outages that are looked at; there is one at a time.
const OUTAGES: u32 = 20;
/// News that is older is news to nobody.
const LATE: SignedDuration = SignedDuration::from_hours(1);
/// How long a return may have waited for somebody to tell it.
const LATE_RETURN: SignedDuration = SignedDuration::from_hours(24);

/// Tells until it is stopped.
pub(super) async fn tell(app: Arc<App>, bell: Bell, stop: CancellationToken) {
    // What is settled of outages, so that nothing is asked for twice.
    let mut settled: HashSet<String> = HashSet::new();
    loop {
        if app.state.holds(Role::Keeper) {
            let work = app.clone();
            let known = std::mem::take(&mut settled);
            let told = tokio::task::spawn_blocking(move || round(&work, known)).await;
            match told {
                Ok(Ok((known, told))) => {
                    settled = known;
                    if told {
                        bell.ring();
                    }
                }
                Ok(Err(error)) => tracing::error!(%error, "what happened could not be told"),
                Err(error) => tracing::error!(%error, "what happened could not be told"),
            }
        }
        if wait(&stop, TICK).await {
            return;
        }
    }
}

/// One look; what is settled now, and whether there are new notes.
fn round(app: &App, mut settled: HashSet<String>) -> Result<(HashSet<String>, bool), StateError> {
    // The notes go by the time of those who say them.
    let now = Timestamp::now();
    let returned = returns(app, now)?;
    let outages = outages(app, &mut settled, now)?;
    Ok((settled, returned || outages))
}

fn returns(app: &App, now: Timestamp) -> Result<bool, StateError> {
    let mut told = false;
    for back in app.state.returns_to_tell()? {
        let fresh = now.duration_since(back.raised_at) <= LATE_RETURN;
        let seen = app.state.bug_seen(&back.bug, now)?.filter(|_| fresh);
        let notes = seen.map(|seen| app.engine.returned(&back, &seen, now));
        told |= app
            .state
            .tell_return(&back, &notes.unwrap_or_default(), now)?;
    }
    Ok(told)
}

fn outages(app: &App, settled: &mut HashSet<String>, now: Timestamp) -> Result<bool, StateError> {
    let all = app.state.outages(OUTAGES, now)?;
    let mut told = false;
    // Oldest first, so that the end of one is said before the next begins.
    for (n, (outage, ended)) in all.iter().enumerate().rev() {
        let topic = outage_topic(outage.id, ended.is_some());
        if settled.contains(&topic) {
            continue;
        }
        let next = n.checked_sub(1).map(|n| &all[n].0);
        if !app.state.has_notes_on(&topic)? && is_news(app, outage, *ended, next, now)? {
            let lasted = ended.map(|ended| ended.duration_since(outage.from));
            let notes = app.engine.outage(outage, lasted);
            told |= !notes.is_empty();
            app.state.enqueue_notes(&notes, now)?;
        }
        settled.insert(topic);
    }
    Ok(told)
}

/// Whether people are to be told. The end of what nobody was told of, or that another outage has taken
/// the place of, is no news.
fn is_news(
    app: &App,
    outage: &Outage,
    ended: Option<Timestamp>,
    next: Option<&Outage>,
    now: Timestamp,
) -> Result<bool, StateError> {
    match ended {
        None => Ok(now.duration_since(outage.from) <= LATE),
        Some(ended) if next.is_some_and(|next| next.from == ended) => Ok(false),
        Some(_) => app.state.has_notes_on(&outage_topic(outage.id, false)),
    }
}
