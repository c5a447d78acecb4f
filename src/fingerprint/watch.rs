//! When to look at the fingerprint files again.
//!
//! The system's own notices come at once but do not see everything: a root that was deleted and made
//! again, a link above the root that points elsewhere now (as volumes of a cluster and checkouts are
//! exchanged), a network file system, a queue that ran over. So the names, sizes and times of the
//! files are also compared every [`POLL`]; that costs a look at each name, not a read of each file.

use super::files::names;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

/// A change is acted on when nothing more has changed for this long …
const QUIET: Duration = Duration::from_millis(200);

/// … and at the latest this long after the first one, in a folder that never rests.
const LATEST: Duration = Duration::from_secs(2);

/// How often the files are compared without a notice.
const POLL: Duration = Duration::from_secs(2);

/// What tells one state of the files from another.
type Stamp = Vec<(PathBuf, Option<FileStamp>)>;

/// Size, time of change and identity of one file.
type FileStamp = (u64, Option<SystemTime>, Identity);

/// Number of the file and time of the last change of anything about it: a file that was put in the
/// place of another of the same size and time differs in these.
#[cfg(unix)]
type Identity = (u64, u64, i64, i64);
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity(facts: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (facts.dev(), facts.ino(), facts.ctime(), facts.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_facts: &Metadata) -> Identity {}

/// Watches the roots.
pub(super) struct Watch {
    roots: Vec<PathBuf>,
    watcher: RecommendedWatcher,
    notices: Receiver<()>,
    stamp: Stamp,
}

impl Watch {
    pub(super) fn new(roots: &[PathBuf]) -> notify::Result<Self> {
        let (sender, notices) = channel::<()>(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading the files is an event too; acting on it would never end.
                let ours = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
                if !ours {
                    // A full channel already says that something changed.
                    let _ = sender.try_send(());
                }
            })?;
        for root in roots {
            // The number of watches that the system allows may be used up; looking goes on without.
            if let Err(error) = watcher.watch(root, RecursiveMode::Recursive) {
                tracing::warn!(root = %root.display(), %error, "no notices of changes; looking every {POLL:?}");
            }
        }
        Ok(Self {
            roots: roots.to_vec(),
            watcher,
            notices,
            stamp: stamp(roots),
        })
    }

    /// Waits until the files should be read again; false when it is time to stop.
    pub(super) async fn next_change(&mut self, stop: &CancellationToken) -> bool {
        loop {
            let poll = Instant::now() + POLL;
            tokio::select! {
                () = stop.cancelled() => return false,
                notice = self.notices.recv() => {
                    if notice.is_none() || !self.settle(stop).await {
                        return false;
                    }
                    self.look().await;
                    return true;
                }
                () = sleep_until(poll) => if self.look().await {
                    return true;
                },
            }
        }
    }

    /// Waits for the quiet after a change, but not for ever; false when it is time to stop.
    async fn settle(&mut self, stop: &CancellationToken) -> bool {
        let latest = Instant::now() + LATEST;
        while Instant::now() < latest {
            let quiet = latest.min(Instant::now() + QUIET);
            tokio::select! {
                () = stop.cancelled() => return false,
                more = timeout_at(quiet, self.notices.recv()) => match more {
                    Err(_) => return true,
                    Ok(None) => return false,
                    Ok(Some(())) => {}
                },
            }
        }
        true
    }

    /// Compares the files with the last look. When they differ, folders may have been replaced,
    /// and what was replaced needs a new watch.
    async fn look(&mut self) -> bool {
        let roots = self.roots.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || stamp(&roots)).await else {
            return false;
        };
        if now == self.stamp {
            return false;
        }
        self.stamp = now;
        for root in &self.roots {
            // A root that is gone has no watch; the next look finds it when it is back.
            let _ = self.watcher.unwatch(root);
            let _ = self.watcher.watch(root, RecursiveMode::Recursive);
        }
        true
    }
}

/// The state of all files below the roots; a root that is gone stands as one name without a file.
fn stamp(roots: &[PathBuf]) -> Stamp {
    let mut all = Vec::new();
    for root in roots {
        match names(root) {
            None => all.push((root.clone(), None)),
            Some(names) => all.extend(names.files.into_iter().map(|path| {
                let facts = file_stamp(&path);
                (path, facts)
            })),
        }
    }
    all
}

fn file_stamp(path: &Path) -> Option<FileStamp> {
    let facts = std::fs::metadata(path).ok()?;
    Some((facts.len(), facts.modified().ok(), identity(&facts)))
}
