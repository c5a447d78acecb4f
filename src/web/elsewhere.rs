//! Builds whose logs are elsewhere: when they are complete, and which there are.

use super::App;
use crate::config::Discover;
use crate::event::Build;
use crate::state::{Role, StateError};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is asked which logs have become complete.
const TICK: Duration = Duration::from_secs(1);
/// Events can reach an index late: each look begins this long before the one before.
const OVERLAP: SignedDuration = SignedDuration::from_mins(15);

/// Has builds looked at whose logs have become complete, and takes in builds that nobody announced.
pub(super) async fn watch(app: Arc<App>, discover: Option<Discover>, stop: CancellationToken) {
    let signed = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    let mut from = discover
        .as_ref()
        .and_then(|d| app.now().checked_sub(signed(d.since.0)).ok());
    let mut next = app.now();
    let mut outage = Outage::default();
    while !super::service::wait(&stop, TICK).await {
        let now = app.now();
        let work = app.clone();
        let settled = tokio::task::spawn_blocking(move || settle(&work, now)).await;
        if let Err(error) = settled {
            tracing::error!(%error, "complete logs could not be looked for");
        }
        let (Some(discover), Some(since)) = (&discover, from) else {
            continue;
        };
        if now < next || !app.state.holds(Role::Keeper) {
            continue;
        }
        next = now.checked_add(signed(discover.every.0)).unwrap_or(now);
        let work = app.clone();
        let found = tokio::task::spawn_blocking(move || take_in(&work, since)).await;
        match found {
            Ok(Ok(())) if outage.is_made_up(now) => from = now.checked_sub(OVERLAP).ok(),
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                outage.goes_on(now);
                tracing::warn!(error, "builds could not be looked for");
            }
            Err(error) => tracing::error!(%error, "builds could not be looked for"),
        }
    }
}

/// A time in which the cluster could not be asked. Whoever fills it could not write either, and may
/// take as long to make up for it: so long the looks begin where the last one before began.
#[derive(Debug, Default)]
struct Outage {
    begun: Option<Timestamp>,
    made_up: Option<Timestamp>,
}

impl Outage {
    fn goes_on(&mut self, now: Timestamp) {
        let begun = *self.begun.get_or_insert(now);
        self.made_up = now.checked_add(now.duration_since(begun)).ok();
    }

    fn is_made_up(&mut self, now: Timestamp) -> bool {
        if self.made_up.is_some_and(|end| now < end) {
            return false;
        }
        *self = Self::default();
        true
    }
}

fn settle(app: &App, now: Timestamp) {
    for uuid in app.engine.settled(now) {
        match app.state.job(&uuid) {
            Ok(Some(job)) if job.waiting => app.pipeline.nudge(&uuid),
            // It was looked at before its log was complete.
            Ok(Some(_)) => drop(app.pipeline.look_again(&uuid)),
            Ok(None) => {}
            Err(error) => tracing::error!(uuid, %error, "the build could not be read"),
        }
    }
}

fn take_in(app: &App, since: Timestamp) -> Result<(), String> {
    let mut new = 0;
    for build in app.engine.ended_since(since)? {
        if app
            .state
            .job(&build.uuid)
            .map_err(|e| e.to_string())?
            .is_none()
        {
            announce(app, &build).map_err(|e| e.to_string())?;
            new += 1;
        }
    }
    if new > 0 {
        tracing::info!(builds = new, "found in the index");
    }
    Ok(())
}

fn announce(app: &App, build: &Build) -> Result<(), StateError> {
    app.state.put_build(build)?;
    app.state.complete(&build.uuid, None, build.finished)?;
    app.pipeline.nudge(&build.uuid);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_made_up_for_as_long_as_it_was() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut outage = Outage::default();
        assert!(outage.is_made_up(at(0)));
        outage.goes_on(at(1_000));
        outage.goes_on(at(4_000));
        assert!(!outage.is_made_up(at(4_060)));
        assert!(!outage.is_made_up(at(6_999)));
        assert!(outage.is_made_up(at(7_000)));
        assert!(outage.is_made_up(at(7_060)));
    }
}
