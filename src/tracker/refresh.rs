//! Keeps what is known of bugs up to date: one lane for each tracker, so that none waits for another.

use super::due::{Gate, Known, Pace, due};
use super::record::{Common, Hits};
use super::returned::{closed_since, returned};
use super::{Bug, Gerrit, Site, SiteError, Tracker, sites};
use crate::config::Trackers;
use crate::event::BugRef;
use crate::state::{BugRow, ReturnedBug, Role, State, StateError};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often it is looked at what is due.
const POLL: Duration = Duration::from_secs(15);
/// The wait after a comment was written, as GitHub asks for.
const PAUSE: Duration = Duration::from_secs(1);
/// How long hits are not counted again.
const HITS: SignedDuration = SignedDuration::from_mins(5);
/// A bug takes several requests; all of them together take no longer than so many of them may.
const REQUESTS: u32 = 4;
/// How often it is looked for returned bugs at most.
const SETTLE: Duration = Duration::from_secs(2);
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

/// One tracker.
pub(super) struct Lane {
    pub(super) site: Site,
    /// Short names such as `github:owner/repo#7` mean the first tracker of their kind.
    first: bool,
    pub(super) gate: Mutex<Gate>,
}

/// A bug with all the names that fingerprints have for it; the first one leads.
pub(super) struct Target {
    pub(super) bug: Bug,
    pub(super) names: Vec<String>,
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
            hits_for: HITS,
            hits: Mutex::default(),
            nudge: None,
            news: broadcast::channel(NEWS).0,
        };
        Ok(Self {
            lanes: lanes.into(),
            common: Arc::new(common),
        })
    }

    /// The same with other trackers in place of its own, such as ones that fail on purpose.
    #[must_use]
    pub fn wrapped(mut self, wrap: impl Fn(Arc<dyn Tracker>) -> Arc<dyn Tracker>) -> Self {
        // Nobody else has them yet: they were just made.
        for lane in Arc::get_mut(&mut self.lanes).into_iter().flatten() {
            lane.site.tracker = wrap(lane.site.tracker.clone());
        }
        self
    }

    /// The same with other pauses: between two looks at what is due, and after a comment. Hits are
    /// then counted anew each time.
    #[must_use]
    pub fn with_pauses(mut self, poll: Duration, pause: Duration) -> Self {
        // Nobody else has it yet: it was just made.
        if let Some(common) = Arc::get_mut(&mut self.common) {
            common.poll = poll;
            common.pause = pause;
            common.hits_for = SignedDuration::ZERO;
        }
        self
    }

    /// Looks for returned bugs soon after each of these, too: there may be new hits.
    #[must_use]
    pub fn with_nudge(mut self, nudge: watch::Receiver<u64>) -> Self {
        if let Some(common) = Arc::get_mut(&mut self.common) {
            common.nudge = Some(nudge);
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
                        complain(done.err());
                    }
                    tokio::time::sleep(this.common.poll).await;
                }
            });
        }
        tasks.spawn(async move {
            let mut nudge = self.common.nudge.clone();
            loop {
                if self.common.state.holds(Role::Keeper) {
                    let done = self.check_returns(&wanted()).await;
                    complain(done.err());
                }
                tokio::time::sleep(SETTLE.min(self.common.poll)).await;
                let rest = self.common.poll.saturating_mul(4);
                // Without news, or without anybody who says that there are some, the time decides.
                let _ = tokio::time::timeout(rest, nudged(nudge.as_mut())).await;
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
        let raised = common
            .blocking(|state| state.returned_bugs(u32::MAX))
            .await?;
        let raised: HashSet<(String, Timestamp)> = raised
            .into_iter()
            .map(|back| (back.bug, back.closed_at))
            .collect();
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
            if !raised.contains(&(bug.clone(), closed_at)) {
                common.raise(bug, closed_at, hit_at, now).await?;
            }
        }
        Ok(())
    }
}

/// Waits for news.
async fn nudged(nudge: Option<&mut watch::Receiver<u64>>) {
    if let Some(nudge) = nudge
        && nudge.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
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
    fn known(&self, rows: &HashMap<String, BugRow>, hits: &Hits) -> Known {
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

fn complain(error: Option<StateError>) {
    if let Some(error) = error {
        tracing::error!(%error, "what bug trackers say cannot be recorded");
    }
}

/// Nothing is left half done by a panic while the lock is held.
pub(super) fn held(gate: &Mutex<Gate>) -> MutexGuard<'_, Gate> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}
