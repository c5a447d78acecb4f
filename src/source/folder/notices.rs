//! Notices of the system that something in the spool changed.
//!
//! They come at once but do not see everything (a network file system, a queue that ran over, no more
//! watches), so the spool is looked at now and then without them too.

use super::scan::inode;
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// After a notice the rest of the change is waited for this long, so that many make one look.
const QUIET: Duration = Duration::from_millis(50);

pub(super) struct Notices {
    root: PathBuf,
    watcher: Option<RecommendedWatcher>,
    changed: Receiver<()>,
    /// The folder that is watched.
    watched: Option<u64>,
    warned: bool,
}

impl Notices {
    pub(super) fn new(root: &Path) -> Self {
        let (sender, changed) = channel(1);
        let handler = move |event: notify::Result<notify::Event>| {
            // Our own reading is an event too.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                // A full channel already says that something changed.
                let _ = sender.try_send(());
            }
        };
        let config = Config::default().with_follow_symlinks(false);
        Self {
            root: root.to_owned(),
            watcher: RecommendedWatcher::new(handler, config).ok(),
            changed,
            watched: None,
            warned: false,
        }
    }

    /// Watches the spool that is there now: it may have been made again.
    pub(super) fn renew(&mut self) {
        let now = std::fs::symlink_metadata(&self.root)
            .ok()
            .map(|facts| inode(&facts));
        let Some(watcher) = self.watcher.as_mut().filter(|_| now != self.watched) else {
            return;
        };
        // A folder that is gone has no watch.
        let _ = watcher.unwatch(&self.root);
        self.watched = None;
        if now.is_none() {
            return;
        }
        match watcher.watch(&self.root, RecursiveMode::Recursive) {
            Ok(()) => self.watched = now,
            Err(error) if !self.warned => {
                self.warned = true;
                let root = self.root.display();
                tracing::warn!(%root, %error, "no notices of changes; looking now and then");
            }
            Err(_) => {}
        }
    }

    /// Waits for a notice, but no longer than `pause`.
    pub(super) async fn wait(&mut self, pause: Duration, stop: &CancellationToken) {
        if self.watcher.is_none() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            notice = timeout(pause, self.changed.recv()) => if notice.is_ok() {
                sleep(QUIET).await;
                // What came meanwhile is seen by the same look.
                let _ = self.changed.try_recv();
            }
        }
    }
}
