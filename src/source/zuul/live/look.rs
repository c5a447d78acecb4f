//! What is known of a tenant's builds, and how far a look has to go.
//!
//! Zuul lists builds by when they began, the newest first, and a build appears in the middle of the
//! list when it ends. So each look goes back, past what is known, to what ended `look-back` before the
//! newest end of the last look: a build that runs no longer than that cannot hide below. Only Zuul's
//! own clock counts; ours keeps it from running ahead.

use crate::source::zuul::Finished;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far one tenant was heard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mark {
    /// The newest end that a whole look found.
    pub(super) until: Option<Timestamp>,
    /// What ended before this was there before us, and is left alone.
    pub(super) from: Option<Timestamp>,
    /// Builds that were heard of, with when they ended, as far back as a look goes.
    pub(super) known: BTreeMap<String, Timestamp>,
}

/// One look at a tenant's builds, page by page.
#[derive(Debug)]
pub(super) struct Look {
    mark: Mark,
    reach: SignedDuration,
    first: SignedDuration,
    now: Timestamp,
    /// What ended before this is not new.
    horizon: Option<Timestamp>,
    /// Below builds that all ended before this there is none that may be new.
    bottom: Option<Timestamp>,
    newest: Option<Timestamp>,
    first_page: Option<usize>,
    /// True when all was seen that may be new.
    pub(super) ended: bool,
}

impl Look {
    /// A look that goes on from `mark`; the first one goes back by `first`.
    pub(super) fn new(
        mark: Mark,
        look_back: SignedDuration,
        first: SignedDuration,
        now: Timestamp,
    ) -> Self {
        let bottom = mark.until.map(|until| back(until, look_back));
        let horizon = bottom.map(|bottom| mark.from.map_or(bottom, |from| from.max(bottom)));
        Self {
            newest: mark.until,
            mark,
            reach: look_back,
            first,
            now,
            horizon,
            bottom,
            first_page: None,
            ended: false,
        }
    }

    /// Takes a page of `count` things, and hands out the builds that are new.
    pub(super) fn page(&mut self, builds: Vec<Finished>, count: usize) -> Vec<Finished> {
        let newest = builds.iter().filter_map(|one| one.build.finished).max();
        let newest = newest.map(|end| end.min(self.now));
        self.newest = self.newest.max(newest);
        let first = self.first;
        let horizon = *self
            .horizon
            .get_or_insert_with(|| newest.map_or(Timestamp::MIN, |newest| back(newest, first)));
        let bottom = *self.bottom.get_or_insert_with(|| back(horizon, self.reach));
        // A server may give fewer builds than were asked for, but then it does so each time.
        let whole = *self.first_page.get_or_insert(count);
        let latest = builds.iter().filter_map(latest).max();
        self.ended = count == 0 || count < whole || latest.is_some_and(|latest| latest < bottom);
        let mut new = Vec::new();
        for one in builds {
            // What never ran may have no time: it is as old as its neighbours.
            let end = one.build.finished.or(newest).unwrap_or(horizon);
            if end < horizon || self.mark.known.contains_key(&one.build.uuid) {
                continue;
            }
            self.mark.known.insert(one.build.uuid.clone(), end);
            new.push(one);
        }
        new
    }

    /// How far the tenant is heard with the pages that were taken: what is known, but no further than
    /// before, as more pages may follow.
    pub(super) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The mark after the whole look.
    pub(super) fn finish(mut self) -> Mark {
        let Some(until) = self.newest else {
            return self.mark;
        };
        self.mark.until = Some(until);
        let horizon = Some(back(until, self.reach)).max(self.horizon);
        self.mark.from = self.mark.from.or(self.horizon);
        // What is older is not new in any look to come.
        self.mark.known.retain(|_, end| Some(*end) >= horizon);
        self.mark
    }
}

fn latest(one: &Finished) -> Option<Timestamp> {
    one.build.finished.max(one.build.started)
}

fn back(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_sub(by).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
