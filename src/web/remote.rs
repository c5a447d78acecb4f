//! The cluster that keeps the logs: whether it is there, and what is still to be written to it.
//!
//! The service starts whether the cluster answers or not. What cannot heal (a wrong file, a wrong
//! password) is an error at the start; all else is tried again until it goes well, and until then no
//! build is looked at where somebody else keeps the logs.

mod looking;

use crate::classify::cluster;
use crate::classify::engine::ClusterStatus;
use crate::classify::ready::Waiting;
use crate::config;
use crate::query::{FieldKind, Query, Schema};
use crate::store::elastic::ElasticStore;
use crate::store::{Health, HealthState, LogStore, StoreError};
use arc_swap::ArcSwap;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest pause between two attempts to reach the cluster.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// For how long an answer on the cluster's health is taken for the next questions too: a page asks
/// several times, and a cluster that hangs makes each wait.
const HEALTH_HOLDS: Duration = Duration::from_secs(2);
/// For how long it is not asked again which fields there are.
const KINDS_HOLD: Duration = Duration::from_secs(300);
/// The same while there is no index yet.
const EMPTY_HOLDS: Duration = Duration::from_secs(5);
/// The pause between two attempts to index what could not be indexed.
const ROUND: Duration = Duration::from_secs(10);
/// What is known of the fields.
#[derive(Debug, Default)]
struct Kinds {
    schema: Schema,
    last_line: Option<Query>,
    /// True while there is no index of somebody else's yet, and so no field.
    empty: bool,
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
    /// Until when these are taken for what the cluster has.
    kinds_hold: Mutex<Option<Instant>>,
    /// Whether the fingerprints in force were read for the fields that there are.
    in_force: AtomicBool,
    absence: Mutex<Option<Absence>>,
    /// The builds whose log is not complete there.
    waiting: Mutex<Waiting>,
    /// The builds that were looked at in vain and should be once more.
    in_vain: Mutex<BTreeSet<String>>,
    /// The builds whose events are still to be indexed.
    unindexed: Mutex<BTreeSet<String>>,
    /// Up to which of these the round has come, and when the next begins.
    round: Mutex<(String, Option<Instant>)>,
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
            kinds_hold: Mutex::default(),
            in_force: AtomicBool::new(false),
            absence: Mutex::default(),
            waiting: Mutex::new(Waiting::new(cluster::conditions(&config.ready)?)),
            in_vain: Mutex::default(),
            unindexed: Mutex::default(),
            round: Mutex::default(),
            health: Mutex::default(),
            extra_pages: AtomicU64::new(0),
            splits: AtomicU64::new(0),
        };
        match remote.reach() {
            Ok(()) => remote.arrived(),
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
        self.learn_kinds().map(|_| ())
    }

    /// Asks which fields there are; true when that has changed.
    fn learn_kinds(&self) -> Result<bool, StoreError> {
        let (schema, problems) = self.store.schema()?;
        let last_line = cluster::last_line(&self.ready, &schema)?;
        // A day without any event may come before the first index does.
        let empty = self.is_foreign() && schema.kind("message") == FieldKind::Unmapped;
        *held(&self.kinds_hold) =
            Some(Instant::now() + if empty { EMPTY_HOLDS } else { KINDS_HOLD });
        if schema == self.kinds.load().schema {
            return Ok(false);
        }
        for problem in problems {
            tracing::warn!("{problem}");
        }
        self.kinds.store(Arc::new(Kinds {
            schema,
            last_line,
            empty,
        }));
        Ok(true)
    }

    /// Asks again, now and then, which fields somebody else's indexes have; true when that has changed.
    pub(super) fn learn_new_kinds(&self) -> bool {
        let holds = held(&self.kinds_hold).is_some_and(|end| end > Instant::now());
        if holds || !self.is_foreign() {
            return false;
        }
        self.learn_kinds().unwrap_or_else(|error| {
            tracing::warn!(%error, "the cluster does not say which fields there are");
            *held(&self.kinds_hold) = Some(Instant::now() + EMPTY_HOLDS);
            false
        })
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
                if error.is_passing() {
                    tracing::debug!(%error, "the cluster is not there");
                } else {
                    tracing::error!(%error, "the cluster is there and cannot be used");
                }
                self.note_absence(&error, (pause * 2).min(LONGEST_PAUSE));
                false
            }
        }
    }

    /// Ends the absence: the fingerprints were read for the fields that there are.
    pub(super) fn arrived(&self) {
        *held(&self.absence) = None;
        self.in_force
            .store(!self.kinds.load().empty, Ordering::Release);
    }

    /// True when a set of fingerprints that is taken from now on was read for the fields that there are.
    pub(super) fn is_in_force(&self) -> bool {
        self.in_force.load(Ordering::Acquire)
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
        held(&self.round)
            .1
            .is_none_or(|next| next <= Instant::now())
    }

    /// The next build of the round whose events are still to be indexed; the last ends the round.
    pub(super) fn next_unindexed(&self) -> Option<String> {
        let next = {
            let (unindexed, round) = (held(&self.unindexed), held(&self.round));
            let behind = (Bound::Excluded(round.0.as_str()), Bound::Unbounded);
            unindexed.range::<str, _>(behind).next().cloned()
        };
        match &next {
            Some(uuid) => held(&self.round).0.clone_from(uuid),
            None => self.pause_round(),
        }
        next
    }

    /// What could not be indexed is tried again after a while.
    pub(super) fn pause_round(&self) {
        *held(&self.round) = (String::new(), Some(Instant::now() + ROUND));
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
