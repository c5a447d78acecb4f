//! A bug tracker of which calls fail.

use crate::chance::{Plan, Spot, http};
use crate::tracker::faults::{SITES, error};
use crate::tracker::{Answer, Bug, Comment, Fetched, Tracker};
use std::sync::Arc;

// The rows of the table.
const FETCH: usize = 0;
const OWN_COMMENT: usize = 1;
const ADD_COMMENT: usize = 2;
const EDIT_COMMENT: usize = 3;

/// A tracker, wrapped.
#[derive(Debug)]
pub struct ChaoticTracker {
    inner: Arc<dyn Tracker>,
    spots: [Spot; SITES.len()],
    requests: Spot,
}

impl ChaoticTracker {
    /// Wraps a tracker.
    pub fn new(inner: Arc<dyn Tracker>, plan: &Plan) -> Self {
        Self {
            inner,
            spots: std::array::from_fn(|at| plan.spot(&SITES[at])),
            requests: plan.spot(&http::TRACKERS),
        }
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        site: usize,
        bug: &'a Bug,
        work: impl FnOnce() -> Answer<'a, T> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let key = format!("{bug:?}");
            // Not even begun where it fails before.
            let asked = async { work().await };
            let asked = http::within(self.requests.clone(), &key, asked);
            self.spots[site].around_async(&key, error, asked).await
        })
    }
}

impl Tracker for ChaoticTracker {
    fn fetch<'a>(&'a self, bug: &'a Bug, validator: Option<&'a str>) -> Answer<'a, Fetched> {
        self.call(FETCH, bug, move || self.inner.fetch(bug, validator))
    }

    fn marker(&self) -> &'static str {
        self.inner.marker()
    }

    fn own_comment<'a>(&'a self, bug: &'a Bug) -> Answer<'a, Option<Comment>> {
        self.call(OWN_COMMENT, bug, || self.inner.own_comment(bug))
    }

    fn add_comment<'a>(&'a self, bug: &'a Bug, text: &'a str) -> Answer<'a, String> {
        self.call(ADD_COMMENT, bug, || self.inner.add_comment(bug, text))
    }

    fn edit_comment<'a>(&'a self, bug: &'a Bug, id: &'a str, text: &'a str) -> Answer<'a, ()> {
        self.call(EDIT_COMMENT, bug, || self.inner.edit_comment(bug, id, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_rows() {
        let rows = [FETCH, OWN_COMMENT, ADD_COMMENT, EDIT_COMMENT].map(|row| SITES[row].name);
        let names = ["fetch", "own_comment", "add_comment", "edit_comment"];
        assert_eq!(rows, names.map(|name| format!("tracker.{name}")));
        assert_eq!(rows.len(), SITES.len());
    }
}
