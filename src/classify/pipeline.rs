//! The queue of complete builds and the workers that classify them.

use super::meter::Meter;
use crate::event::{Build, Match, Verdict};
use crate::state::Job;
use crate::store::Background;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often builds that are pending and not in the queue are looked for.
pub(super) const SWEEP: Duration = Duration::from_secs(30);

/// How soon a build is looked at again whose verdict could not be kept; doubled each time.
const AGAIN: Duration = Duration::from_millis(500);
/// The longest such wait.
const AGAIN_MOST: Duration = Duration::from_secs(2);

/// What looking at one build gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The matches, headline first.
    pub matches: Vec<Match>,
    /// Why the verdict is `partial-log` or `error`.
    pub detail: Option<String>,
    /// Version of the fingerprint set that was used.
    pub rules: String,
    /// Events read.
    pub events: u64,
}

impl Outcome {
    /// The build cannot be looked at yet.
    pub fn pending(why: impl Into<String>, rules: &str) -> Self {
        Self {
            verdict: Verdict::Pending,
            ..Self::error(why.into(), rules)
        }
    }

    /// Classification itself failed.
    #[expect(clippy::needless_pass_by_value, reason = "errors and texts alike")]
    pub fn error(detail: impl ToString, rules: &str) -> Self {
        Self {
            verdict: Verdict::Error,
            matches: Vec::new(),
            detail: Some(detail.to_string()),
            rules: rules.to_owned(),
            events: 0,
        }
    }
}

/// Reads the logs of a build and looks for fingerprints; blocking.
pub trait Looker: Send + Sync + 'static {
    /// Looks at one build. What cannot be read is part of the outcome, never a panic.
    fn look(&self, build: &Build) -> Outcome;
}

/// An error of the place where verdicts are kept.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub String);

/// Where builds and verdicts are kept; blocking.
pub trait Ledger: Send + Sync + 'static {
    /// Complete builds that wait for a verdict and that no other process is at, oldest first.
    fn pending(&self) -> Result<Vec<String>, LedgerError>;
    /// True when the build may be looked at: no other process is at it. `again` when it need not wait
    /// for a verdict.
    fn take(&self, _uuid: &str, _again: bool) -> Result<bool, LedgerError> {
        Ok(true)
    }
    /// How often pending builds are looked for.
    fn sweep(&self) -> Duration {
        SWEEP
    }
    /// One build.
    fn job(&self, uuid: &str) -> Result<Option<Job>, LedgerError>;
    /// Keeps a verdict, and with it the notes that say so. False, and nothing is kept, when the build
    /// or its logs have changed since the job was taken.
    fn record(&self, job: &Job, outcome: &Outcome) -> Result<bool, LedgerError>;
}

/// Why a build is not taken into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many builds wait as may wait.
    #[error("the queue is full")]
    Full,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

/// Where a build is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Running,
    /// Something changed while it ran: once more.
    Again,
}

/// A place in the queue that was promised and is not yet used.
#[derive(Debug)]
pub struct Place {
    permit: mpsc::OwnedPermit<String>,
    shared: Arc<Shared>,
}

impl Place {
    /// Uses the place.
    pub fn enter(self, uuid: &str) {
        if self.shared.enter(uuid) {
            self.permit.send(uuid.to_owned());
            self.shared.show();
        }
    }
}

struct Shared {
    ledger: Arc<dyn Ledger>,
    looker: Arc<dyn Looker>,
    meter: Arc<Meter>,
    stages: Mutex<HashMap<String, Stage>>,
    /// Says that a build waits that found no place.
    left_out: Notify,
    /// Some verdict could not be kept.
    failed: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The queue and its workers.
#[derive(Debug)]
pub struct Pipeline {
    shared: Arc<Shared>,
    sender: mpsc::Sender<String>,
    stop: CancellationToken,
    tasks: TaskTracker,
    workers: usize,
}

impl Pipeline {
    /// Starts `workers` workers and picks up what an earlier run left pending.
    pub fn start(
        ledger: Arc<dyn Ledger>,
        looker: Arc<dyn Looker>,
        meter: Arc<Meter>,
        queue: usize,
        workers: usize,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let shared = Arc::new(Shared {
            ledger,
            looker,
            meter,
            stages: Mutex::default(),
            left_out: Notify::new(),
            failed: AtomicBool::new(false),
        });
        let workers = workers.max(1);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        for _ in 0..workers {
            tasks.spawn(work(shared.clone(), receiver.clone(), stop.clone()));
        }
        tasks.spawn(sweep(shared.clone(), sender.clone(), stop.clone()));
        Self {
            shared,
            sender,
            stop,
            tasks,
            workers,
        }
    }

    /// Promises a place in the queue.
    pub fn reserve(&self) -> Result<Place, Refused> {
        if self.stop.is_cancelled() {
            return Err(Refused::Stopping);
        }
        match self.sender.clone().try_reserve_owned() {
            Ok(permit) => Ok(Place {
                permit,
                shared: self.shared.clone(),
            }),
            Err(TrySendError::Full(_)) => {
                self.shared.meter.refused.increment(1);
                Err(Refused::Full)
            }
            Err(TrySendError::Closed(_)) => Err(Refused::Stopping),
        }
    }

    /// Has a build looked at that was complete before: now, or when there is a place again.
    pub fn nudge(&self, uuid: &str) {
        match self.sender.clone().try_reserve_owned() {
            Ok(permit) => Place {
                permit,
                shared: self.shared.clone(),
            }
            .enter(uuid),
            Err(_) => self.shared.left_out.notify_one(),
        }
    }

    /// Some build may have become complete without being named: those that wait are looked for now.
    pub fn look_round(&self) {
        self.shared.left_out.notify_one();
    }

    /// Builds that wait, and builds that are being looked at.
    pub fn counts(&self) -> (usize, usize) {
        self.shared.counts()
    }

    /// True while every worker is there.
    pub fn alive(&self) -> bool {
        // One more task looks for builds that were left out.
        self.stopping() || self.tasks.len() == self.workers + 1
    }

    /// True from the moment on when nothing more is taken.
    pub fn stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// True when a build waits or is being classified.
    pub fn busy(&self) -> bool {
        !self.shared.stages().is_empty()
    }

    /// Looks at one stored build now, beside the queue; blocking. False when the queue has it.
    pub fn look_again(&self, uuid: &str) -> bool {
        {
            let mut stages = self.shared.stages();
            if stages.contains_key(uuid) {
                return false;
            }
            stages.insert(uuid.to_owned(), Stage::Waiting);
        }
        run(&self.shared, uuid, true);
        true
    }

    /// Takes nothing more, finishes what waits, and gives up after `deadline`: what is left stays
    /// pending and is done after the next start. True when nothing is left.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(deadline, self.tasks.wait())
            .await
            .is_ok()
    }
}

impl Shared {
    fn stages(&self) -> MutexGuard<'_, HashMap<String, Stage>> {
        // A panic while the lock was held cannot leave the map half changed.
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when the build must be put into the queue.
    fn enter(&self, uuid: &str) -> bool {
        let mut stages = self.stages();
        match stages.get_mut(uuid) {
            None => {
                stages.insert(uuid.to_owned(), Stage::Waiting);
                true
            }
            Some(stage) => {
                if *stage == Stage::Running {
                    *stage = Stage::Again;
                }
                false
            }
        }
    }

    fn begin(&self, uuid: &str) {
        self.stages().insert(uuid.to_owned(), Stage::Running);
        self.show();
    }

    /// True when the build must be looked at once more.
    fn end(&self, uuid: &str) -> bool {
        let again = {
            let mut stages = self.stages();
            let again = stages.get(uuid) == Some(&Stage::Again);
            if !again {
                stages.remove(uuid);
            }
            again
        };
        self.show();
        again
    }

    fn show(&self) {
        let (waiting, running) = self.counts();
        self.meter.waiting.set(waiting as f64);
        self.meter.running.set(running as f64);
    }

    fn counts(&self) -> (usize, usize) {
        let stages = self.stages();
        let waiting = stages.values().filter(|s| **s == Stage::Waiting).count();
        (waiting, stages.len() - waiting)
    }

    fn has(&self, uuid: &str) -> bool {
        self.stages().contains_key(uuid)
    }
}

/// Ends what a panic has left, or nobody would take the build again.
struct Unwound<'s>(&'s Shared, &'s str);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end(self.1);
        }
    }
}

async fn work(
    shared: Arc<Shared>,
    receiver: Arc<tokio::sync::Mutex<mpsc::Receiver<String>>>,
    stop: CancellationToken,
) {
    loop {
        let next = {
            let mut receiver = receiver.lock().await;
            tokio::select! {
                biased;
                next = receiver.recv() => next,
                () = stop.cancelled(), if !receiver.is_closed() => {
                    // From here on `recv` gives what is left and then nothing.
                    receiver.close();
                    continue;
                }
            }
        };
        let Some(uuid) = next else {
            return;
        };
        let (work, name) = (shared.clone(), uuid.clone());
        let done = tokio::task::spawn_blocking(move || run(&work, &name, false)).await;
        if let Err(error) = done {
            tracing::error!(uuid, %error, "a worker's task ended early");
        }
    }
}

/// Puts pending builds into the queue: those of an earlier run, and those whose verdict could not
/// be written.
async fn sweep(shared: Arc<Shared>, sender: mpsc::Sender<String>, stop: CancellationToken) {
    let every = shared.ledger.sweep();
    let mut again = AGAIN;
    loop {
        let ledger = shared.ledger.clone();
        let found = tokio::task::spawn_blocking(move || ledger.pending()).await;
        let pending = match found {
            Ok(Ok(pending)) => pending,
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot ask for pending builds");
                shared.failed.store(true, Ordering::Relaxed);
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        for uuid in pending {
            // Its way is not over yet.
            if shared.has(&uuid) {
                continue;
            }
            let place = tokio::select! {
                () = stop.cancelled() => return,
                place = sender.clone().reserve_owned() => place,
            };
            let Ok(permit) = place else { return };
            let shared = shared.clone();
            Place { permit, shared }.enter(&uuid);
        }
        if !shared.failed.load(Ordering::Relaxed) {
            again = AGAIN;
            tokio::select! {
                () = stop.cancelled() => return,
                () = shared.left_out.notified() => {}
                () = tokio::time::sleep(every) => {}
            }
        }
        // Who could not keep a verdict is not asked at once: it may be ill for a while.
        if shared.failed.swap(false, Ordering::Relaxed) {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(again) => {}
            }
            again = (again * 2).min(AGAIN_MOST);
        }
    }
}

/// Classifies one build until nothing has changed meanwhile; `forced` even when it has a verdict.
fn run(shared: &Shared, uuid: &str, forced: bool) {
    let _left = Unwound(shared, uuid);
    let mut forced = forced;
    loop {
        shared.begin(uuid);
        match once(shared, uuid, forced) {
            Ok(true) => {}
            Ok(false) => {
                tracing::debug!(
                    uuid,
                    "the build changed meanwhile and is looked at once more"
                );
                continue;
            }
            Err(error) => {
                tracing::error!(uuid, %error, "the verdict could not be kept; it will be tried again");
                shared.failed.store(true, Ordering::Relaxed);
                shared.left_out.notify_one();
            }
        }
        if !shared.end(uuid) {
            return;
        }
        forced = false;
    }
}

/// Looks once; false when that was in vain because the build changed meanwhile.
fn once(shared: &Shared, uuid: &str, forced: bool) -> Result<bool, LedgerError> {
    let started = Instant::now();
    if !shared.ledger.take(uuid, forced)? {
        tracing::debug!(
            uuid,
            "nothing to do here: another process has the build, or had it"
        );
        return Ok(true);
    }
    let Some(job) = shared.ledger.job(uuid)? else {
        tracing::warn!(uuid, "the build is gone");
        return Ok(true);
    };
    if !job.waiting && !forced {
        return Ok(true);
    }
    let looked = if forced {
        look_giving_way(&*shared.looker, &job.build)
    } else {
        look_now(&*shared.looker, &job.build)
    };
    let outcome = looked.unwrap_or_else(|_| Outcome::error("classification broke down", ""));
    if outcome.verdict == Verdict::Pending {
        // Nothing is recorded: it goes on waiting, and is looked at again when there is news or at
        // the next round for builds that were left out.
        tracing::debug!(
            uuid,
            why = outcome.detail,
            "the build cannot be looked at yet"
        );
        return Ok(true);
    }
    if !shared.ledger.record(&job, &outcome)? {
        return Ok(false);
    }
    shared.meter.events.increment(outcome.events);
    shared.meter.seconds.record(started.elapsed().as_secs_f64());
    shared.meter.verdict(outcome.verdict);
    let bugs = outcome.matches.len();
    tracing::info!(uuid, verdict = %outcome.verdict, bugs, events = outcome.events, "classified");
    Ok(true)
}

/// Looks at a build; fails when that panics.
fn look_now(looker: &dyn Looker, build: &Build) -> std::thread::Result<Outcome> {
    let look = std::panic::AssertUnwindSafe(|| looker.look(build));
    std::panic::catch_unwind(look)
}

/// Looks at a build on a thread of its own, which gives way to others. What is read and kept of the build before
/// and behind does not: a thread that gives way while it holds the database keeps all new builds waiting.
fn look_giving_way(looker: &dyn Looker, build: &Build) -> std::thread::Result<Outcome> {
    let runtime = tokio::runtime::Handle::try_current();
    let look = || {
        let _inside = runtime.as_ref().ok().map(tokio::runtime::Handle::enter);
        Background::SecondLook.give_way();
        looker.look(build)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("second look".into());
        match thread.spawn_scoped(scope, look) {
            Ok(looking) => looking.join(),
            Err(error) => {
                tracing::warn!(%error, "no thread for a second look, which does not give way");
                look_now(looker, build)
            }
        }
    })
}

#[cfg(test)]
mod tests;
