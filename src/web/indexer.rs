//! Puts the events of classified builds into the embedded index, behind their verdicts.
//!
//! In: the names of builds that were looked at. The indexer reads their kept logs itself, on one
//! thread that gives way to classification, and commits those of about a second together, or as many as
//! are worth a commit.
//! Invariants: the list of names is bounded; what does not fit into it, and what a kill cut off, is
//! found again by comparing the kept logs with the marks in the index, so nothing is lost; a build
//! that the index has as it is now is not read again.

use super::held;
use super::marks::Marks;
use crate::classify::engine::IndexStatus;
use crate::classify::spool::Spool;
use crate::event::{Build, Event, Verdict};
use crate::intake::{Limits, open_path, read_all};
use crate::state::State;
use crate::store::{Background, MarkedStore, StoreError};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Names that can wait: some 20 MB of them. Beyond, all builds that are kept are compared with the index, which
/// takes the longer the more there are.
const WAITING: usize = 100_000;
/// How long is waited for other builds to be committed with, unless enough of them wait.
const GATHER: Duration = Duration::from_secs(1);
/// Bytes of logs, as they are kept, that are committed together.
const TOGETHER: u64 = 64 << 20;
/// Builds that are committed together.
const MOST: usize = 1000;
/// How soon a stop is noticed, and how long is waited after the index has failed.
const PATIENCE: Duration = Duration::from_millis(100);
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// When an indexer should end.
#[derive(Clone, Copy)]
pub(super) struct IndexStop<'a> {
    /// Nothing more comes: what waits is finished.
    pub(super) drain: &'a CancellationToken,
    /// Now.
    pub(super) quit: &'a CancellationToken,
}

/// Fills the index.
pub(super) struct Indexer {
    store: Arc<dyn MarkedStore>,
    state: Arc<State>,
    spool: Spool,
    limits: Limits,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Names that can wait.
    room: usize,
    /// The digest of each build as the index has it.
    indexed: Mutex<Marks>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    names: HashSet<Arc<str>>,
    /// The builds that are being indexed, and since when the first of them waited.
    running: Option<(usize, Instant)>,
    /// Their names, and those of some that are not.
    taken: HashSet<Arc<str>>,
    /// Since when there may be builds that neither wait nor are indexed.
    unsure: Option<Instant>,
    /// The losses of the store that were heard of.
    losses: u64,
}

struct Waiting {
    uuid: Arc<str>,
    since: Instant,
    /// Bytes of its logs, as far as they were asked for.
    bytes: u64,
    /// It was missing from the index.
    missed: bool,
}

/// A build that is about to be indexed.
struct Next {
    waiting: Waiting,
    build: Build,
    digest: u64,
}

enum Step {
    Look,
    Index(Vec<Waiting>),
    End,
}

impl Indexer {
    pub(super) fn new(
        store: Arc<dyn MarkedStore>,
        state: Arc<State>,
        spool: Spool,
        limits: Limits,
    ) -> Self {
        let queue = Queue {
            // An earlier run may have been killed.
            unsure: Some(Instant::now()),
            ..Queue::default()
        };
        Self {
            store,
            state,
            spool,
            limits,
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            room: WAITING,
            indexed: Mutex::default(),
        }
    }

    /// Says that a build was looked at; does not wait. One that the index has as it is now needs nothing: a changed
    /// fingerprint makes all builds be looked at again, and they must not stand before new ones.
    pub(super) fn note(&self, build: &Build) {
        if !self.has(build) && !held(&self.queue).names.contains(&*build.uuid) {
            let bytes = size(&files(&self.spool.root(&build.uuid)));
            self.enter(&build.uuid, bytes, false);
        }
    }

    fn has(&self, build: &Build) -> bool {
        if held(&self.queue).taken.contains(&*build.uuid) {
            // What the index will have of it is not what it has now.
            return false;
        }
        // Nothing is compared of a new build.
        let Some(known) = self.known(&build.uuid) else {
            return false;
        };
        known == digest(&self.spool.root(&build.uuid), build)
    }

    fn known(&self, uuid: &str) -> Option<u64> {
        held(&self.indexed).get(uuid)
    }

    fn enter(&self, uuid: &str, bytes: u64, missed: bool) -> bool {
        let mut queue = held(&self.queue);
        if queue.names.contains(uuid) {
            return true;
        }
        if queue.waiting.len() >= self.room {
            queue.unsure = Some(Instant::now());
            return false;
        }
        let uuid: Arc<str> = Arc::from(uuid);
        queue.names.insert(Arc::clone(&uuid));
        queue.waiting.push_back(Waiting {
            uuid,
            since: Instant::now(),
            bytes,
            missed,
        });
        self.wake.notify_all();
        true
    }

    /// How far it is behind.
    pub(super) fn status(&self) -> IndexStatus {
        let queue = held(&self.queue);
        let running = queue.running.map(|(_, since)| since);
        let first = queue.waiting.front().map(|waiting| waiting.since);
        let since = running.into_iter().chain(first).min();
        let builds = queue.waiting.len() + queue.running.map_or(0, |(builds, _)| builds);
        IndexStatus {
            waiting_builds: builds as u64,
            lag_seconds: since.map_or(0, |since| since.elapsed().as_secs()),
            comparing: queue.unsure.is_some(),
        }
    }

    /// Indexes until it is told to end.
    pub(super) fn run(&self, stop: IndexStop<'_>) {
        Background::Index.give_way();
        loop {
            match self.next(stop) {
                Step::End => return,
                Step::Look => self.compare(stop),
                Step::Index(some) => self.index(some, stop),
            }
        }
    }

    fn next(&self, stop: IndexStop<'_>) -> Step {
        let mut queue = held(&self.queue);
        loop {
            if stop.quit.is_cancelled() {
                return Step::End;
            }
            let draining = stop.drain.is_cancelled();
            queue.hear(self.store.losses());
            if queue.unsure.is_some() && queue.waiting.len() <= self.room / 2 && !draining {
                return Step::Look;
            }
            let ripe = |first: &Waiting| draining || first.since.elapsed() >= GATHER;
            if queue.waiting.front().is_some_and(ripe) || queue.has_enough(TOGETHER) {
                return Step::Index(queue.take());
            }
            if draining && queue.waiting.is_empty() {
                return Step::End;
            }
            let waited = self.wake.wait_timeout(queue, PATIENCE);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Finds the builds with a verdict that the index does not have as they are now.
    fn compare(&self, stop: IndexStop<'_>) {
        let began = Instant::now();
        match self.find_missing(stop) {
            Ok(()) => {
                let mut queue = held(&self.queue);
                // What did not fit meanwhile needs another look.
                queue.unsure = queue.unsure.filter(|since| *since > began);
            }
            Err(error) => {
                tracing::error!(error, "it is not known which builds the index lacks");
                pause(stop);
            }
        }
    }

    fn find_missing(&self, stop: IndexStop<'_>) -> Result<(), String> {
        let marks = self.store.marks().map_err(|e| e.to_string())?;
        *held(&self.indexed) = marks.into_iter().collect();
        for uuid in self.spool.builds().map_err(|e| e.to_string())? {
            if stop.quit.is_cancelled() || stop.drain.is_cancelled() {
                break;
            }
            let stored = match self.state.build(&uuid) {
                Ok(stored) => stored,
                Err(error) => {
                    // One that cannot be asked for must not keep the others from being found.
                    tracing::warn!(uuid, %error, "it is looked at later whether the index has it");
                    if !self.enter(&uuid, 0, true) {
                        break;
                    }
                    continue;
                }
            };
            // Others come when they are looked at.
            let looked_at = |verdict| !matches!(verdict, Verdict::Pending | Verdict::NoLog);
            let Some(stored) = stored.filter(|s| s.verdict_at.is_some() && looked_at(s.verdict))
            else {
                continue;
            };
            let digest = digest(&self.spool.root(&uuid), &stored.build);
            if self.known(&uuid) != Some(digest) && !self.enter(&uuid, 0, true) {
                break;
            }
        }
        Ok(())
    }

    fn index(&self, some: Vec<Waiting>, stop: IndexStop<'_>) {
        let (mut next, mut bytes, mut rest) = (Vec::new(), 0, VecDeque::from(some));
        let mut again = VecDeque::new();
        while bytes < TOGETHER
            && let Some(waiting) = rest.pop_front()
        {
            match self.prepare(&waiting.uuid) {
                Ok(Some((build, digest, size))) => {
                    bytes += size;
                    next.push(Next {
                        waiting,
                        build,
                        digest,
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(uuid = &*waiting.uuid, error, "a build waits to be indexed");
                    again.push_back(waiting);
                }
            }
        }
        let in_vain = next.is_empty() && !again.is_empty();
        rest.extend(again);
        held(&self.queue).give_back(rest, next.len());
        if in_vain {
            pause(stop);
        }
        if next.is_empty() {
            return;
        }
        match self.append(&next) {
            Ok(()) => self.done(&next),
            Err(error) => {
                tracing::error!(%error, builds = next.len(), "the events were not indexed");
                let again = next.into_iter().map(|one| one.waiting);
                held(&self.queue).give_back(again.collect(), 0);
                pause(stop);
            }
        }
        held(&self.queue).rest();
    }

    /// What is to be indexed of a build, its digest, and how many bytes; nothing when the index has it, or when
    /// its logs have had their time.
    fn prepare(&self, uuid: &str) -> Result<Option<(Build, u64, u64)>, String> {
        let job = self.state.job(uuid).map_err(|e| e.to_string())?;
        let root = self.spool.root(uuid);
        let Some(job) = job.filter(|_| root.is_dir()) else {
            return Ok(None);
        };
        let digest = digest(&root, &job.build);
        if self.known(uuid) == Some(digest) {
            return Ok(None);
        }
        Ok(Some((job.build, digest, size(&files(&root)))))
    }

    /// Indexes all; when reading one of them panics, each for itself, and that one not.
    fn append(&self, all: &[Next]) -> Result<(), StoreError> {
        let together = || self.append_together(all);
        match catch_unwind(AssertUnwindSafe(together)) {
            Ok(appended) => appended,
            Err(_) if all.len() > 1 => all.chunks(1).try_for_each(|one| self.append(one)),
            Err(_) => {
                let uuid = all.first().map(|one| &*one.waiting.uuid);
                tracing::error!(uuid, "the events of a build cannot be indexed");
                Ok(())
            }
        }
    }

    fn append_together(&self, all: &[Next]) -> Result<(), StoreError> {
        let marked = all.iter().map(|one| (one.build.clone(), one.digest));
        let marked: Vec<(Build, u64)> = marked.collect();
        let mut read = |number: usize, sink: &mut dyn FnMut(Event)| {
            let Some((build, _)) = marked.get(number) else {
                return;
            };
            match open_path(&self.spool.root(&build.uuid), &self.limits) {
                Ok(inputs) => drop(read_all(&inputs, &build.fields(), &self.limits, sink)),
                Err(error) => tracing::error!(uuid = build.uuid, %error, "no logs to index"),
            }
        };
        self.store.append_many(&marked, &mut read).map(drop)
    }

    fn done(&self, all: &[Next]) {
        let mut indexed = held(&self.indexed);
        for one in all {
            indexed.put(&one.waiting.uuid, one.digest);
        }
        drop(indexed);
        let builds = all.iter().filter(|one| one.waiting.missed).count();
        if builds > 0 {
            tracing::info!(builds, "put back into the index from their logs");
        }
    }
}

/// Waits after a failure, unless it is to end.
fn pause(stop: IndexStop<'_>) {
    let begun = Instant::now();
    let ends = || stop.quit.is_cancelled() || stop.drain.is_cancelled();
    while begun.elapsed() < AFTER_FAILURE && !ends() {
        std::thread::sleep(PATIENCE);
    }
}

impl Queue {
    /// What the store has set aside meanwhile is missing.
    fn hear(&mut self, losses: u64) {
        if losses > self.losses {
            (self.losses, self.unsure) = (losses, Some(Instant::now()));
        }
    }

    /// True when no others need be waited for: so many bytes are committed together.
    fn has_enough(&self, together: u64) -> bool {
        let first = self.waiting.iter().take(MOST);
        self.waiting.len() >= MOST || first.map(|one| one.bytes).sum::<u64>() >= together
    }

    /// As many as may be committed together.
    fn take(&mut self) -> Vec<Waiting> {
        let some: Vec<Waiting> = self.waiting.drain(..self.waiting.len().min(MOST)).collect();
        for waiting in &some {
            self.names.remove(&waiting.uuid);
        }
        self.taken = some.iter().map(|one| Arc::clone(&one.uuid)).collect();
        self.running = some.first().map(|first| (some.len(), first.since));
        some
    }

    /// Puts back what was taken too many; `running` are being indexed.
    fn give_back(&mut self, rest: VecDeque<Waiting>, running: usize) {
        for waiting in rest.into_iter().rev() {
            if self.names.insert(waiting.uuid.clone()) {
                self.waiting.push_front(waiting);
            }
        }
        if running == 0 {
            self.rest();
        }
        self.running = self.running.map(|(_, since)| (running, since));
    }

    /// Nothing is being indexed.
    fn rest(&mut self) {
        self.running = None;
        self.taken.clear();
    }
}

/// Tells one state of a build and its logs from another: facts, names, sizes, times.
pub(super) fn digest(root: &Path, build: &Build) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{build:?}").hash(&mut hasher);
    files(root).hash(&mut hasher);
    hasher.finish()
}

type FileFacts = (std::path::PathBuf, u64, Option<std::time::SystemTime>);

fn files(root: &Path) -> BTreeSet<FileFacts> {
    let mut folders = vec![root.to_owned()];
    let mut files = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(facts) if facts.is_dir() => folders.push(entry.path()),
                Ok(facts) => {
                    files.insert((entry.path(), facts.len(), facts.modified().ok()));
                }
                Err(_) => {}
            }
        }
    }
    files
}

fn size(files: &BTreeSet<FileFacts>) -> u64 {
    files.iter().map(|(_, bytes, _)| bytes).sum()
}

#[cfg(test)]
mod tests;
