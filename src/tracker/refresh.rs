//! Keeps what is known of bugs up to date: one lane for each tracker, so that none waits for another.

use super::due::{Gate, Known, Pace, due};
use super::returned::{closed_since, returned, settled};
use super::{Bug, BugFacts, BugReview, Fetched, Gerrit, Site, SiteError, TrackerError, Written};
use super::{counts, sites};
use crate::config::{Counts, Trackers};
use crate::event::BugRef;
use crate::state::{BugRow, ReturnedBug, Role, State, StateError};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// After this long all of a bug is read, whatever its validator says: that is only about the bug
/// itself, not about the reviews that name it.
const WHOLE: SignedDuration = SignedDuration::from_hours(6);
/// How often it is looked at what is due.
const POLL: Duration = Duration::from_secs(15);
/// The wait after a comment was written, as GitHub asks for.
const PAUSE: Duration = Duration::from_secs(1);
/// A bug takes several requests; all of them together take no longer than so many of them may.
const REQUESTS: u32 = 4;
/// News that a slow listener may be behind.
const NEWS: usize = 64;

/// A bug of a fingerprint in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The bug.
    pub bug: BugRef,
    /// When the fingerprint says that it was fixed.
    pub resolved_at: Option<Timestamp>,
}

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Bugs that were asked for.
    pub asked: usize,
    /// Of these, those without an answer.
    pub failed: usize,
    /// Comments that were written.
    pub written: usize,
}

/// Asks trackers about bugs and records what they say.
#[derive(Clone)]
pub struct Refresher {
    lanes: Arc<[Lane]>,
    common: Arc<Common>,
}

struct Common {
    state: Arc<State>,
    gerrit: Option<(Gerrit, Mutex<Gate>)>,
    pace: Pace,
    patience: Duration,
    grace: SignedDuration,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    poll: Duration,
    pause: Duration,
    news: broadcast::Sender<ReturnedBug>,
}

/// One tracker.
struct Lane {
    site: Site,
    /// Short names such as `github:owner/repo#7` mean the first tracker of their kind.
    first: bool,
    gate: Mutex<Gate>,
}

/// A bug with all the names that fingerprints have for it; the first one leads.
struct Target {
    bug: Bug,
    names: Vec<String>,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sites: Vec<&str> = self
            .lanes
            .iter()
            .map(|lane| lane.site.name.as_str())
            .collect();
        f.debug_struct("Refresher")
            .field("sites", &sites)
            .finish_non_exhaustive()
    }
}

impl Refresher {
    /// Makes one; nothing is asked before [`Refresher::run`].
    pub fn new(config: &Trackers, state: Arc<State>) -> Result<Self, SiteError> {
        Self::with_clock(config, state, Timestamp::now)
    }

    /// The same with another clock.
    pub fn with_clock(
        config: &Trackers,
        state: Arc<State>,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, SiteError> {
        let mut lanes: Vec<Lane> = Vec::new();
        for site in sites(config)? {
            let first = lanes.iter().all(|lane| lane.site.kind != site.kind);
            lanes.push(Lane {
                site,
                first,
                gate: Mutex::default(),
            });
        }
        let gerrit = config
            .gerrit
            .as_ref()
            .map(|web| Gerrit::new(web, config.timeout.0));
        let common = Common {
            state,
            gerrit: gerrit.transpose()?.map(|gerrit| (gerrit, Mutex::default())),
            pace: Pace {
                every: config.every.0,
                per_minute: config.per_minute,
            },
            patience: config.timeout.0.saturating_mul(REQUESTS),
            grace: SignedDuration::try_from(config.returned_after.0).unwrap_or(SignedDuration::MAX),
            clock: Box::new(clock),
            poll: POLL,
            pause: PAUSE,
            news: broadcast::channel(NEWS).0,
        };
        Ok(Self {
            lanes: lanes.into(),
            common: Arc::new(common),
        })
    }

    /// The same with other pauses: between two looks at what is due, and after a comment.
    #[must_use]
    pub fn with_pauses(mut self, poll: Duration, pause: Duration) -> Self {
        // Nobody else has it yet: it was just made.
        if let Some(common) = Arc::get_mut(&mut self.common) {
            common.poll = poll;
            common.pause = pause;
        }
        self
    }

    /// Bugs that come back from now on. Who was not there finds them by
    /// [`State::returns_to_tell`].
    pub fn news(&self) -> broadcast::Receiver<ReturnedBug> {
        self.common.news.subscribe()
    }

    /// Keeps bugs up to date until stopped; `wanted` gives the bugs of the fingerprints in force.
    pub async fn run(
        self,
        wanted: impl Fn() -> Vec<Wanted> + Send + Sync + 'static,
        stop: CancellationToken,
    ) {
        let wanted = Arc::new(wanted);
        let mut tasks = JoinSet::new();
        for at in 0..self.lanes.len() {
            let (this, wanted) = (self.clone(), Arc::clone(&wanted));
            tasks.spawn(async move {
                loop {
                    if this.common.state.holds(Role::Keeper) {
                        let done = this.lane(at, &wanted()).await;
                        this.complain(done.err());
                    }
                    tokio::time::sleep(this.common.poll).await;
                }
            });
        }
        tasks.spawn(async move {
            loop {
                if self.common.state.holds(Role::Keeper) {
                    let done = self.check_returns(&wanted()).await;
                    self.complain(done.err());
                }
                tokio::time::sleep(self.common.poll.saturating_mul(4)).await;
            }
        });
        // What is under way may be dropped: a comment that was written is found again by its marker.
        stop.cancelled().await;
        tasks.shutdown().await;
    }

    /// Looks once at everything that is due, all trackers at the same time.
    pub async fn round(&self, wanted: &[Wanted]) -> Result<Round, StateError> {
        let mut lanes = JoinSet::new();
        for at in 0..self.lanes.len() {
            let (this, wanted) = (self.clone(), wanted.to_vec());
            lanes.spawn(async move { this.lane(at, &wanted).await });
        }
        let mut all = Round::default();
        while let Some(done) = lanes.join_next().await {
            let one =
                done.map_err(|error| StateError::Value(format!("a task failed: {error}")))??;
            all.asked += one.asked;
            all.failed += one.failed;
            all.written += one.written;
        }
        self.check_returns(wanted).await?;
        Ok(all)
    }

    fn complain(&self, error: Option<StateError>) {
        if let Some(error) = error {
            tracing::error!(%error, "what bug trackers say cannot be recorded");
        }
    }

    /// One round with one tracker.
    async fn lane(&self, at: usize, wanted: &[Wanted]) -> Result<Round, StateError> {
        let (lane, common) = (&self.lanes[at], &self.common);
        let mut round = Round::default();
        let now = (common.clock)();
        let room = held(&lane.gate).room(&common.pace, now);
        let targets = lane.targets(wanted);
        if room == 0 || targets.is_empty() {
            return Ok(round);
        }
        let rows = common.rows().await?;
        let hits = common.last_hits(now).await?;
        let known: Vec<Known> = targets
            .iter()
            .map(|target| target.known(&rows, &hits))
            .collect();
        for at in due(&known, &common.pace, room, now) {
            let now = (common.clock)();
            if held(&lane.gate).shut_until(now).is_some() {
                break;
            }
            held(&lane.gate).asked(now);
            round.asked += 1;
            let target = &targets[at];
            let row = rows.get(&target.names[0]);
            match common.ask(&lane.site, target, row).await {
                Ok(fetched) => {
                    held(&lane.gate).answered();
                    common.record(&lane.site, target, row, fetched).await?;
                    round.written += usize::from(common.write_counts(lane, target, row).await?);
                }
                Err(error) => {
                    round.failed += 1;
                    common.failed(lane, target, &error).await?;
                }
            }
        }
        Ok(round)
    }

    /// Raises each bug that is hit although it was closed, once for each closing.
    async fn check_returns(&self, wanted: &[Wanted]) -> Result<(), StateError> {
        let common = &self.common;
        let now = (common.clock)();
        let (rows, hits) = (common.rows().await?, common.last_hits(now).await?);
        for one in wanted {
            let hit = hits.get(&one.bug.name).copied();
            let facts = rows.get(&one.bug.name).and_then(|row| row.facts.as_ref());
            let closed = closed_since(facts, one.resolved_at);
            let (true, Some(closed_at), Some(hit_at)) =
                (returned(closed, hit, common.grace), closed, hit)
            else {
                continue;
            };
            let bug = one.bug.name.clone();
            let back = ReturnedBug {
                bug,
                closed_at,
                hit_at,
                raised_at: now,
                told_at: None,
            };
            let raised = back.clone();
            if common
                .blocking(move |state| state.raise_return(&raised))
                .await?
            {
                tracing::info!(bug = back.bug, %closed_at, %hit_at, "a closed bug has come back");
                // Without listeners the state keeps it for later.
                let _ = common.news.send(back);
            }
        }
        Ok(())
    }
}

impl Lane {
    /// The bugs of this tracker, each once.
    fn targets(&self, wanted: &[Wanted]) -> Vec<Target> {
        let mut all: BTreeMap<Bug, Vec<String>> = BTreeMap::new();
        for one in wanted {
            let Some(bug) = self.site.bug(&one.bug, self.first) else {
                continue;
            };
            let names = all.entry(bug).or_default();
            if !names.contains(&one.bug.name) {
                names.push(one.bug.name.clone());
            }
        }
        let target = |(bug, mut names): (Bug, Vec<String>)| {
            names.sort();
            Target { bug, names }
        };
        all.into_iter().map(target).collect()
    }
}

impl Target {
    fn known(&self, rows: &HashMap<String, BugRow>, hits: &HashMap<String, Timestamp>) -> Known {
        let row = rows.get(&self.names[0]);
        Known {
            tried_at: row.and_then(|row| row.tried_at),
            failures: row.map_or(0, |row| row.failures),
            last_hit: self
                .names
                .iter()
                .filter_map(|name| hits.get(name).copied())
                .max(),
        }
    }
}

impl Common {
    async fn rows(&self) -> Result<HashMap<String, BugRow>, StateError> {
        let rows = self.blocking(State::bugs).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.name.clone(), row))
            .collect())
    }

    async fn last_hits(&self, now: Timestamp) -> Result<HashMap<String, Timestamp>, StateError> {
        let hits = self.blocking(move |state| state.bug_last_hits(now)).await?;
        Ok(hits.into_iter().collect())
    }

    async fn ask(
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

    async fn record(
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
    async fn reviews(
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

    async fn failed(
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
    async fn write_counts(
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

    async fn commented(
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

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&State) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let state = Arc::clone(&self.state);
        let done = tokio::task::spawn_blocking(move || work(&state)).await;
        done.unwrap_or_else(|error| Err(StateError::Value(format!("a task failed: {error}"))))
    }
}

/// Nothing is left half done by a panic while the lock is held.
fn held(gate: &Mutex<Gate>) -> MutexGuard<'_, Gate> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number from 0 to 1, from the seed that the standard library draws for its hash tables.
fn random() -> f64 {
    let drawn = RandomState::new().build_hasher().finish();
    drawn as f64 / u64::MAX as f64
}
