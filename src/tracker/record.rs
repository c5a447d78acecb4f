//! One bug at a time: asking for it, recording what was said, and its comment.

use super::due::{Gate, Pace};
use super::refresh::{Lane, Target, held};
use super::returned::settled;
use super::{BugFacts, BugReview, Fetched, Gerrit, Site, TrackerError, Written, counts};
use crate::config::Counts;
use crate::state::{BugRow, ReturnedBug, State, StateError};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// After this long all of a bug is read, whatever its validator says: that is only about the bug
/// itself, not about the reviews that name it.
const WHOLE: SignedDuration = SignedDuration::from_hours(6);

/// When each bug was last hit.
pub(super) type Hits = HashMap<String, Timestamp>;

/// Hits as they were counted last.
#[derive(Clone)]
pub(super) struct Counted {
    /// When all of them were.
    at: Timestamp,
    /// The last match that is in them.
    last: i64,
    hits: Arc<Hits>,
}

/// What all lanes share, and what they do for one bug.
pub(super) struct Common {
    pub(super) state: Arc<State>,
    pub(super) gerrit: Option<(Gerrit, Mutex<Gate>)>,
    pub(super) pace: Pace,
    pub(super) patience: Duration,
    pub(super) grace: SignedDuration,
    pub(super) clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) poll: Duration,
    pub(super) pause: Duration,
    /// How long the hits are not counted again: that reads every match.
    pub(super) hits_for: SignedDuration,
    pub(super) hits: Mutex<Option<Counted>>,
    /// Says that there may be new hits.
    pub(super) nudge: Option<watch::Receiver<u64>>,
    pub(super) news: broadcast::Sender<ReturnedBug>,
}

impl Common {
    pub(super) async fn rows(&self) -> Result<HashMap<String, BugRow>, StateError> {
        let rows = self.blocking(State::bugs).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.name.clone(), row))
            .collect())
    }

    pub(super) async fn last_hits(&self, now: Timestamp) -> Result<Arc<Hits>, StateError> {
        let known = self
            .hits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let known = known.filter(|known| now.duration_since(known.at).abs() < self.hits_for);
        // Of what is known only the new matches are read.
        let (at, mut all, from) = match known {
            Some(known) => (known.at, Hits::clone(&known.hits), known.last),
            None => (now, Hits::new(), 0),
        };
        let (new, last) = self
            .blocking(move |state| state.bug_hits_after(from, now))
            .await?;
        for (bug, hit) in new {
            let known = all.entry(bug).or_insert(hit);
            *known = hit.max(*known);
        }
        let hits = Arc::new(all);
        let mut known = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = Counted {
            at,
            last,
            hits: Arc::clone(&hits),
        };
        *known = Some(counted);
        Ok(hits)
    }

    pub(super) async fn ask(
        &self,
        site: &Site,
        target: &Target,
        row: Option<&BugRow>,
    ) -> Result<Fetched, TrackerError> {
        let now = (self.clock)();
        let fresh = |row: &&BugRow| {
            row.facts.is_some() && row.read_at.is_some_and(|at| now.duration_since(at) < WHOLE)
        };
        let validator = row.filter(fresh).and_then(|row| row.validator.as_deref());
        let asked = site.tracker.fetch(&target.bug, validator);
        tokio::time::timeout(self.patience, asked)
            .await
            .unwrap_or(Err(TrackerError::Timeout))
    }

    pub(super) async fn record(
        &self,
        site: &Site,
        target: &Target,
        row: Option<&BugRow>,
        fetched: Fetched,
    ) -> Result<(), StateError> {
        let now = (self.clock)();
        let names = target.names.clone();
        let Fetched::Facts { facts, validator } = fetched else {
            return self
                .blocking(move |state| {
                    names
                        .iter()
                        .try_for_each(|name| state.bug_unchanged(name, now))
                })
                .await;
        };
        let before = row.and_then(|row| row.facts.as_ref());
        let mut facts = settled(facts, before, now);
        facts
            .reviews
            .extend(self.reviews(site, target, before).await);
        self.blocking(move |state| {
            let each = |name: &String| state.bug_read(name, &facts, validator.as_deref(), now);
            names.iter().try_for_each(each)
        })
        .await
    }

    /// Open changes in Gerrit; those that are known already while it does not answer.
    pub(super) async fn reviews(
        &self,
        site: &Site,
        target: &Target,
        before: Option<&BugFacts>,
    ) -> Vec<BugReview> {
        let Some((gerrit, gate)) = &self.gerrit else {
            return Vec::new();
        };
        let now = (self.clock)();
        let shut = held(gate).shut_until(now).is_some();
        if !shut {
            match gerrit.reviews(site.kind, &target.bug).await {
                Ok(reviews) => {
                    held(gate).answered();
                    return reviews;
                }
                Err(error) => {
                    tracing::info!(%error, "Gerrit was not asked for changes that name a bug");
                    held(gate).failed(error.wish(), random(), now);
                }
            }
        }
        let known = before
            .map(|before| before.reviews.as_slice())
            .unwrap_or_default();
        known
            .iter()
            .filter(|review| gerrit.has(&review.url))
            .cloned()
            .collect()
    }

    pub(super) async fn failed(
        &self,
        lane: &Lane,
        target: &Target,
        error: &TrackerError,
    ) -> Result<(), StateError> {
        let now = (self.clock)();
        tracing::info!(tracker = lane.site.name, bug = target.names[0], %error, "no news of a bug");
        if error.concerns_all() {
            held(&lane.gate).failed(error.wish(), random(), now);
        } else {
            held(&lane.gate).answered();
        }
        let (names, error) = (target.names.clone(), error.to_string());
        self.blocking(move |state| {
            names
                .iter()
                .try_for_each(|name| state.bug_failed(name, &error, now))
        })
        .await
    }

    /// Brings the comment with the counts up to date, where that is wanted; true when it was changed.
    pub(super) async fn write_counts(
        &self,
        lane: &Lane,
        target: &Target,
        row: Option<&BugRow>,
    ) -> Result<bool, StateError> {
        let (site, now) = (&lane.site, (self.clock)());
        if !counts::is_due(site.counts, site.counts_every, row, now) {
            return Ok(false);
        }
        let names = target.names.clone();
        let hits = self.blocking(move |state| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            state.bug_hits(&names, now)
        });
        let hits = hits.await?;
        let text = counts::counts_text(&hits, site.tracker.marker());
        if !counts::is_news(row, &hits, &text) {
            return Ok(false);
        }
        if site.counts == Counts::DryRun {
            tracing::info!(bug = target.names[0], %text, "would write into the bug");
            self.commented(target, None, now).await?;
            return Ok(false);
        }
        let known = row.and_then(|row| row.comment.as_deref());
        let written = counts::write(site.tracker.as_ref(), &target.bug, known, &text);
        let written = tokio::time::timeout(self.patience, written).await;
        match written.unwrap_or(Err(TrackerError::Timeout)) {
            Ok(Written::Same(id)) => {
                self.commented(target, Some((id, text)), now).await?;
                Ok(false)
            }
            Ok(Written::Added(id) | Written::Edited(id)) => {
                self.commented(target, Some((id, text)), now).await?;
                tokio::time::sleep(self.pause).await;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(tracker = site.name, bug = target.names[0], %error, "counts were not written");
                if error.concerns_all() {
                    held(&lane.gate).failed(error.wish(), random(), now);
                    return Ok(false);
                }
                // Not at each look: a bug that may not be written to would be asked for ever.
                self.commented(target, None, now).await?;
                Ok(false)
            }
        }
    }

    pub(super) async fn commented(
        &self,
        target: &Target,
        comment: Option<(String, String)>,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let name = target.names[0].clone();
        self.blocking(move |state| {
            let comment = comment
                .as_ref()
                .map(|(id, text)| (id.as_str(), text.as_str()));
            state.bug_commented(&name, comment, now)
        })
        .await
    }

    /// Records that a closed bug has come back and tells it, unless another process has done so.
    pub(super) async fn raise(
        &self,
        bug: String,
        closed_at: Timestamp,
        hit_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let back = ReturnedBug {
            bug,
            closed_at,
            hit_at,
            raised_at: now,
            told_at: None,
        };
        let kept = back.clone();
        if self
            .blocking(move |state| state.raise_return(&kept))
            .await?
        {
            tracing::info!(bug = back.bug, %closed_at, %hit_at, "a closed bug has come back");
            // Without listeners the state keeps it for later.
            let _ = self.news.send(back);
        }
        Ok(())
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&State) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let state = Arc::clone(&self.state);
        let done = tokio::task::spawn_blocking(move || work(&state)).await;
        done.unwrap_or_else(|error| Err(StateError::Value(format!("a task failed: {error}"))))
    }
}

/// A number from 0 to 1, from the seed that the standard library draws for its hash tables.
fn random() -> f64 {
    let drawn = RandomState::new().build_hasher().finish();
    drawn as f64 / u64::MAX as f64
}
