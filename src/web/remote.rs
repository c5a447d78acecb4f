//! The cluster that keeps the logs: whether it is there, and looking at builds in it.
//!
//! The service starts whether the cluster answers or not. What cannot heal (a wrong file, a wrong
//! password) is an error at the start; all else is tried again until it goes well, and until then no
//! build is looked at where somebody else keeps the logs.

use crate::classify::cluster;
use crate::classify::engine::ClusterStatus;
use crate::classify::pipeline::Outcome;
use crate::classify::ready::{Seen, State, Waiting};
use crate::config;
use crate::event::Build;
use crate::matcher::Matcher;
use crate::query::{Query, Schema};
use crate::store::elastic::ElasticStore;
use crate::store::{Health, HealthState, LogStore, StoreError};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Builds that one request asks about.
const ASKED: usize = 500;
/// The longest pause between two attempts to reach the cluster.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// For how long an answer on the cluster's health is taken for the next questions too: a page asks
/// several times, and a cluster that hangs makes each wait.
const HEALTH_HOLDS: Duration = Duration::from_secs(2);
/// The pause between two attempts to index what could not be indexed.
const ROUND: Duration = Duration::from_secs(10);
/// How often a build is looked at that the cluster breaks down on, before that is its verdict.
const BREAKDOWNS: u32 = 5;

/// What is known of the fields.
#[derive(Debug, Default)]
struct Kinds {
    schema: Schema,
    last_line: Option<Query>,
}

/// Why the cluster was not reached, and when it is tried again.
#[derive(Debug)]
struct Absence {
    why: String,
    pause: Duration,
    next: Instant,
}

/// A cluster that keeps the logs.
#[derive(Debug)]
pub(super) struct Remote {
    store: Arc<ElasticStore>,
    ready: config::Ready,
    max_events: u64,
    kinds: ArcSwap<Kinds>,
    absence: Mutex<Option<Absence>>,
    /// The builds whose log is not complete there.
    waiting: Mutex<Waiting>,
    /// The builds whose events are still to be indexed.
    unindexed: Mutex<BTreeSet<String>>,
    /// When those are tried again that could not be indexed though the cluster answered.
    next_round: Mutex<Option<Instant>>,
    health: Mutex<Option<(Instant, Health)>>,
    extra_pages: AtomicU64,
    splits: AtomicU64,
}

/// Nothing is left half done by a panic while one of our locks is held.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// Asks the cluster that the configuration names, and goes on when it is away.
    pub(super) fn open(config: &config::Cluster) -> Result<Self, StoreError> {
        let options = cluster::options(config, Schema::default())?;
        let remote = Self {
            store: Arc::new(ElasticStore::new(options)?),
            ready: config.ready.clone(),
            max_events: config.max_events,
            kinds: ArcSwap::default(),
            absence: Mutex::default(),
            waiting: Mutex::new(Waiting::new(cluster::conditions(&config.ready)?)),
            unindexed: Mutex::default(),
            next_round: Mutex::default(),
            health: Mutex::default(),
            extra_pages: AtomicU64::new(0),
            splits: AtomicU64::new(0),
        };
        match remote.reach() {
            Ok(()) => {}
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "the cluster is not there; the service starts and tries again");
                remote.note_absence(&error, Duration::from_secs(1));
            }
            Err(error) => return Err(error),
        }
        Ok(remote)
    }

    /// Makes the cluster ready and learns what fields it has.
    fn reach(&self) -> Result<(), StoreError> {
        self.store.knock()?;
        self.store.prepare()?;
        let (schema, problems) = self.store.schema()?;
        for problem in problems {
            tracing::warn!("{problem}");
        }
        let last_line = cluster::last_line(&self.ready, &schema)?;
        self.kinds.store(Arc::new(Kinds { schema, last_line }));
        Ok(())
    }

    fn note_absence(&self, error: &StoreError, pause: Duration) {
        *held(&self.absence) = Some(Absence {
            why: error.to_string(),
            pause,
            next: Instant::now() + pause,
        });
    }

    /// Tries again, when it is time, to reach a cluster that was away at the start; true when it has
    /// just come.
    pub(super) fn try_again(&self) -> bool {
        let pause = match &*held(&self.absence) {
            Some(absence) if absence.next <= Instant::now() => absence.pause,
            _ => return false,
        };
        match self.reach() {
            Ok(()) => {
                tracing::info!("the cluster is there");
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the cluster is not there");
                self.note_absence(&error, (pause * 2).min(LONGEST_PAUSE));
                false
            }
        }
    }

    /// Ends the absence: everything that depends on the cluster's fields is as it should be.
    pub(super) fn arrived(&self) {
        *held(&self.absence) = None;
    }

    /// True once the cluster was reached.
    pub(super) fn is_reached(&self) -> bool {
        held(&self.absence).is_none()
    }

    /// True while there is hope of an answer.
    pub(super) fn answers(&self) -> bool {
        self.is_reached() && self.store.left_alone().is_none()
    }

    /// True when somebody else fills the indexes.
    pub(super) fn is_foreign(&self) -> bool {
        self.store.is_foreign()
    }

    pub(super) fn store(&self) -> &Arc<ElasticStore> {
        &self.store
    }

    /// The kinds of the fields, as far as known.
    pub(super) fn schema(&self) -> Schema {
        self.kinds.load().schema.clone()
    }

    /// Why the cluster was not reached yet.
    pub(super) fn absence(&self) -> Option<String> {
        let absence = held(&self.absence);
        absence
            .as_ref()
            .map(|a| format!("the log cluster was not reached since the start: {}", a.why))
    }

    /// How the cluster is.
    pub(super) fn health(&self) -> Health {
        if let Some(why) = self.absence() {
            return down(why);
        }
        let mut kept = held(&self.health);
        match &*kept {
            Some((at, health)) if at.elapsed() < HEALTH_HOLDS => health.clone(),
            _ => {
                let health = self.store.health();
                *kept = Some((Instant::now(), health.clone()));
                health
            }
        }
    }

    /// How it stands, without asking.
    pub(super) fn status(&self) -> ClusterStatus {
        let (traffic, left_alone) = (self.store.traffic(), self.store.left_alone());
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        ClusterStatus {
            foreign: self.is_foreign(),
            reached: self.is_reached(),
            breaker_open: left_alone.is_some(),
            problem: left_alone.or_else(|| self.absence()),
            requests: traffic.requests,
            repeated: traffic.repeated,
            sent_bytes: traffic.sent,
            received_bytes: traffic.received,
            extra_pages: self.extra_pages.load(Ordering::Relaxed),
            splits: self.splits.load(Ordering::Relaxed),
            waiting_builds: count(held(&self.waiting).len()),
            unindexed_builds: count(held(&self.unindexed).len()),
        }
    }

    /// Looks at a build whose events somebody else put into the cluster.
    pub(super) fn look(&self, build: &Build, matcher: &Matcher, rules: &str) -> Outcome {
        let now = Timestamp::now();
        let state = held(&self.waiting).state(build, now);
        if let Some(why) = self.absence() {
            return Outcome::pending(why, rules);
        }
        let late = match state {
            State::Wait => return Outcome::pending("its log is not complete yet", rules),
            State::Complete => None,
            State::Late(what) => Some(what),
        };
        let mut looked = match cluster::look(&self.store, matcher, build, now, self.max_events) {
            Ok(looked) => looked,
            Err(error) => return self.in_vain(build, &error, rules),
        };
        self.extra_pages
            .fetch_add(looked.extra_pages, Ordering::Relaxed);
        self.splits.fetch_add(looked.splits, Ordering::Relaxed);
        looked
            .problems
            .extend(late.map(|what| format!("the log is not complete in the index: {what}")));
        held(&self.waiting).done(&build.uuid);
        tracing::debug!(
            uuid = build.uuid,
            looked.requests,
            "looked at in the cluster"
        );
        Outcome {
            verdict: looked.verdict(),
            detail: (!looked.problems.is_empty()).then(|| looked.problems.join("; ")),
            matches: looked.matches,
            rules: rules.to_owned(),
            events: looked.events,
        }
    }

    /// What an error says of the build: nothing, while it is the cluster that does not answer.
    fn in_vain(&self, build: &Build, error: &StoreError, rules: &str) -> Outcome {
        let away = matches!(
            error,
            StoreError::Unavailable(_) | StoreError::Refused { status: 429, .. }
        );
        let mut waiting = held(&self.waiting);
        if away || error.is_barred() {
            waiting.unanswered(Timestamp::now());
        } else if !error.is_passing() || waiting.failed(&build.uuid) >= BREAKDOWNS {
            return Outcome::error(error, rules);
        }
        tracing::warn!(uuid = build.uuid, %error, "the build waits for the cluster");
        Outcome::pending(error.to_string(), rules)
    }

    /// The builds whose logs have become complete, or for which it is too late.
    pub(super) fn settled(&self, now: Timestamp) -> Vec<String> {
        if !self.is_reached() {
            held(&self.waiting).unanswered(now);
            return Vec::new();
        }
        let due = held(&self.waiting).due(now, ASKED);
        if due.is_empty() {
            return Vec::new();
        }
        let kinds = self.kinds.load();
        let seen = self.store.presence(&due, kinds.last_line.as_ref());
        let mut waiting = held(&self.waiting);
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                if waiting.unanswered(now) {
                    let builds = due.len();
                    tracing::warn!(%error, builds, "cannot ask whether logs are complete");
                }
                return Vec::new();
            }
        };
        if let Some(silence) = waiting.answered(now) {
            tracing::info!(?silence, "the cluster says again which logs are complete");
        }
        let changed = due.into_iter().zip(seen).filter_map(|(uuid, presence)| {
            let seen = Seen {
                events: presence.events,
                last_line: presence.found,
                files: presence.files,
            };
            waiting.answer(&uuid, &seen, now).then_some(uuid)
        });
        let changed = changed.collect();
        waiting.tidy(now);
        changed
    }

    /// Notes that a build's events are still to be indexed, or that they are.
    pub(super) fn note_indexed(&self, uuid: &str, indexed: bool) {
        let mut unindexed = held(&self.unindexed);
        if indexed {
            unindexed.remove(uuid);
        } else {
            unindexed.insert(uuid.to_owned());
        }
    }

    /// Tries a cluster that is left alone once more, when it is time; true when it answers.
    pub(super) fn answers_now(&self) -> bool {
        // Nothing else is sent while it is left alone, so nothing else would learn that it is back.
        self.answers() || (self.store.knock().is_ok() && self.answers())
    }

    /// True when it is time to index what is still to be indexed.
    pub(super) fn begins_round(&self) -> bool {
        held(&self.next_round).is_none_or(|next| next <= Instant::now())
    }

    /// Notes that everything to be indexed was tried once.
    pub(super) fn end_round(&self) {
        let left = !held(&self.unindexed).is_empty();
        *held(&self.next_round) = left.then(|| Instant::now() + ROUND);
    }

    /// A build whose events are still to be indexed, behind `after` in their order.
    pub(super) fn next_unindexed(&self, after: &str) -> Option<String> {
        let unindexed = held(&self.unindexed);
        let behind = (
            std::ops::Bound::Excluded(after),
            std::ops::Bound::<&str>::Unbounded,
        );
        unindexed.range::<str, _>(behind).next().cloned()
    }
}

fn down(why: String) -> Health {
    Health {
        state: HealthState::Down,
        documents: 0,
        bytes: 0,
        slices: 0,
        problems: vec![why],
    }
}
