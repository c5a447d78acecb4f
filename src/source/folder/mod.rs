//! A folder in which a CI drops one folder for each build: `build.json` and the logs.
//!
//! In: a spool folder. Out: builds, announced with where their logs lie. Invariants: a folder is taken
//! once, when it is complete; it is cleared away only when its logs are kept elsewhere; what cannot be
//! read is set aside with a note of why; links are not followed.

mod drop;
mod notices;
mod scan;

use crate::config::{FolderAfter, FolderSource};
use crate::source::pace::Backoff;
use crate::source::{Announced, Desk, Logs, Running, Source};
use crate::state::StateError;
use drop::{Spool, Taken};
use jiff::Timestamp;
use notices::Notices;
use scan::Seen;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether logs were taken over.
const TAKEN: Duration = Duration::from_secs(1);
/// Longest pause after errors.
const LONGEST: Duration = Duration::from_secs(60);

/// A folder that was announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The build in it.
    uuid: String,
    /// Tells it from another folder of the same name.
    inode: u64,
}

/// Folders that were announced and are still there, by name.
type Marks = BTreeMap<String, Known>;

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("{0}: {1}")]
    Io(String, io::Error),
    #[error("the state: {0}")]
    State(#[from] StateError),
}

/// One spool folder.
#[derive(Debug)]
pub struct Folder {
    name: String,
    spool: Arc<Spool>,
    every: Duration,
    batch: usize,
    /// What was told of and is still so.
    told: Mutex<BTreeSet<String>>,
}

impl Folder {
    /// As configured; the folder need not be there yet.
    pub fn new(config: &FolderSource) -> Self {
        Self {
            name: config.name.clone(),
            spool: Arc::new(Spool::new(config)),
            every: config.every.0,
            batch: config.batch,
            told: Mutex::default(),
        }
    }

    /// Looks once: takes what is new, clears away what was taken over. True when something is still to
    /// be taken over.
    async fn look(&self, desk: &Arc<Desk>) -> Result<bool, LookError> {
        let marks = desk.mark(&self.name).await?;
        let marks = marks.and_then(|text| serde_json::from_str(&text).ok());
        let mut marks: Marks = marks.unwrap_or_default();
        let found = self.blocking(scan::scan).await?;
        self.tell(desk, &found.odd);
        let before = marks.clone();
        let is_there = |name: &str, known: &Known| {
            let seen = found
                .folders
                .binary_search_by(|seen| seen.name.as_str().cmp(name));
            seen.is_ok_and(|at| found.folders[at].inode == known.inode)
        };
        marks.retain(|name, known| is_there(name, known));
        let cleared = self.clear(desk, &mut marks).await?;
        if marks != before {
            desk.announce(&self.name, Vec::new(), Some(text(&marks)?))
                .await?;
        }
        let ready = |seen: &&Seen| seen.ready && !marks.contains_key(&seen.name);
        let new: Vec<Seen> = found.folders.iter().filter(ready).cloned().collect();
        for some in new.chunks(self.batch.max(1)) {
            self.take(desk, &mut marks, some).await?;
        }
        Ok(cleared || (self.spool.after != FolderAfter::Keep && !marks.is_empty()))
    }

    /// Reads, announces and remembers some folders.
    async fn take(
        &self,
        desk: &Arc<Desk>,
        marks: &mut Marks,
        some: &[Seen],
    ) -> Result<(), LookError> {
        let (mut builds, mut lost) = (Vec::new(), Vec::new());
        for seen in some {
            let one = seen.clone();
            let mut seen = seen.clone();
            let build = match self.blocking(move |spool| spool.read(&one)).await? {
                Taken::Build(build) => build,
                Taken::Broken(why) => {
                    lost.push(format!("{}: {why}", seen.name));
                    continue;
                }
                Taken::Gone => continue,
            };
            // The logs of a build that is dropped again wait until the first ones are taken.
            if marks.values().any(|known| known.uuid == build.uuid)
                && (self.spool.after != FolderAfter::Keep || self.waits(desk, &build.uuid).await?)
            {
                continue;
            }
            let before = desk.fetch_of(&build.uuid).await?;
            if before.is_some_and(|before| before.logs == self.logs(&seen.name)) {
                // Another folder of this name was taken before: this one needs its own name.
                let one = seen.clone();
                seen.name = self.blocking(move |spool| spool.rename_apart(&one)).await?;
            }
            let known = Known {
                uuid: build.uuid.clone(),
                inode: seen.inode,
            };
            let logs = Some(self.logs(&seen.name));
            marks.insert(seen.name, known);
            builds.push(Announced {
                build: *build,
                logs,
            });
        }
        let count = builds.len() as u64;
        if count > 0 {
            desk.announce(&self.name, builds, Some(text(marks)?))
                .await?;
        }
        if count > 0 || !lost.is_empty() {
            desk.heard(&self.name, Timestamp::now(), count, &lost);
        }
        Ok(())
    }

    async fn waits(&self, desk: &Arc<Desk>, uuid: &str) -> Result<bool, StateError> {
        Ok(desk.fetch_of(uuid).await?.is_some_and(|fetch| !fetch.done))
    }

    /// Clears away folders whose logs were taken over; true when there were any.
    async fn clear(&self, desk: &Arc<Desk>, marks: &mut Marks) -> Result<bool, LookError> {
        if self.spool.after == FolderAfter::Keep {
            return Ok(false);
        }
        let mut gone = Vec::new();
        for (name, known) in marks.iter() {
            let fetch = desk.fetch_of(&known.uuid).await?;
            let logs = self.logs(name);
            let Some(fetch) = fetch.filter(|fetch| fetch.done && fetch.logs == logs) else {
                continue;
            };
            let (name, problems) = (name.clone(), fetch.problems);
            gone.push(name.clone());
            self.blocking(move |spool| spool.clear(&name, &problems))
                .await?;
        }
        for name in &gone {
            marks.remove(name);
        }
        Ok(!gone.is_empty())
    }

    fn logs(&self, name: &str) -> Logs {
        let path = self.spool.root.join(name).display().to_string();
        Logs::Folder { path }
    }

    /// Counts each odd thing once, as long as it is there.
    fn tell(&self, desk: &Arc<Desk>, odd: &[String]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<String> = odd.iter().cloned().collect();
        let new: Vec<String> = now.difference(&told).cloned().collect();
        *told = now;
        if !new.is_empty() {
            desk.heard(&self.name, Timestamp::now(), 0, &new);
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Spool) -> io::Result<T> + Send + 'static,
    ) -> Result<T, LookError> {
        let spool = self.spool.clone();
        let done = tokio::task::spawn_blocking(move || work(&spool)).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| LookError::Io(self.spool.root.display().to_string(), error))
    }
}

impl Source for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, desk: Arc<Desk>, stop: CancellationToken) -> Running<'_> {
        Box::pin(async move {
            let mut notices = Notices::new(&self.spool.root);
            let mut backoff = Backoff::new(TAKEN.min(self.every), LONGEST.min(self.every));
            while !stop.is_cancelled() {
                // Before the look: what comes during it is seen by the next one.
                notices.renew();
                // Not cut off by a stop: a folder is moved and noted, or neither.
                let looked = self.look(&desk).await;
                let (error, pause) = match looked {
                    Ok(waits) => {
                        backoff.reset();
                        (
                            None,
                            if waits {
                                TAKEN.min(self.every)
                            } else {
                                self.every
                            },
                        )
                    }
                    Err(error) => (Some(error.to_string()), backoff.next()),
                };
                desk.connected(&self.name, Timestamp::now(), error);
                notices.wait(pause, &stop).await;
            }
        })
    }
}

fn text(marks: &Marks) -> Result<String, StateError> {
    Ok(serde_json::to_string(marks)?)
}
