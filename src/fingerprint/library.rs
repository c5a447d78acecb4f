//! The library: the set in force, exchanged whole when files change.

use super::FingerprintSet;
use super::set::{Entry, Loaded, load};
use arc_swap::ArcSwap;
use notify::{EventKind, RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A change is acted on when nothing more has changed for this long.
const QUIET: Duration = Duration::from_millis(200);
/// How often it is looked whether a root has gone or come back: nobody reports that of the root itself.
const ROOTS: Duration = Duration::from_secs(1);

/// Why a library cannot be opened or watched.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A root is not there.
    #[error("fingerprint directory {0} is not there or cannot be read")]
    Missing(PathBuf),
    /// The system cannot report changes of files.
    #[error("cannot watch the fingerprint directories: {0}")]
    Watch(#[from] notify::Error),
}

/// What a reload did.
#[derive(Debug, Clone)]
pub struct ReloadOutcome {
    /// The set that is now in force.
    pub set: Arc<FingerprintSet>,
    /// The version that was in force before.
    pub previous: String,
    /// True when the version or the diagnostics differ from before.
    pub changed: bool,
    /// Ids whose last good form stays in force because their file broke or their root is gone.
    pub kept: Vec<String>,
}

/// Fingerprints of several roots, kept loaded.
#[derive(Debug)]
pub struct Library {
    roots: Vec<PathBuf>,
    current: ArcSwap<FingerprintSet>,
    /// The last good form of every file; also makes reloads wait for each other.
    good: Mutex<BTreeMap<PathBuf, Entry>>,
}

impl Library {
    /// Loads the roots. Broken files are no error here; a root that is not there is.
    pub fn open(roots: &[PathBuf]) -> Result<Self, LibraryError> {
        let loaded = load(roots);
        if let Some(root) = loaded.missing.first() {
            return Err(LibraryError::Missing(root.clone()));
        }
        let good = loaded.entries.iter().cloned().collect();
        Ok(Self {
            roots: roots.to_vec(),
            current: ArcSwap::from_pointee(loaded.into_set()),
            good: Mutex::new(good),
        })
    }

    /// The set in force.
    pub fn current(&self) -> Arc<FingerprintSet> {
        self.current.load_full()
    }

    /// Reads all files again and exchanges the set. What broke or disappeared with its root keeps
    /// its last good form.
    pub fn reload(&self) -> ReloadOutcome {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let mut loaded = load(&self.roots);
        let kept = keep_good(&mut loaded, &good);
        *good = loaded.entries.iter().cloned().collect();
        let set = Arc::new(loaded.into_set());
        let before = self.current.swap(Arc::clone(&set));
        ReloadOutcome {
            changed: before.version != set.version || before.diagnostics != set.diagnostics,
            previous: before.version.clone(),
            set,
            kept,
        }
    }

    /// Reloads whenever files below the roots change and reports reloads that changed something,
    /// until stopped. Needs a running tokio runtime.
    pub fn watch(
        self: &Arc<Self>,
        stop: CancellationToken,
        on_change: impl Fn(&ReloadOutcome) + Send + Sync + 'static,
    ) -> Result<tokio::task::JoinHandle<()>, LibraryError> {
        let (sender, mut changes) = tokio::sync::mpsc::channel::<()>(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading the files is an event too; acting on it would never end.
                let ours = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
                if !ours {
                    // A full channel already says that something changed.
                    let _ = sender.try_send(());
                }
            })?;
        for root in &self.roots {
            watcher.watch(root, RecursiveMode::Recursive)?;
        }
        let library = Arc::clone(self);
        Ok(tokio::spawn(async move {
            let mut seen = presence(&library.roots);
            while next_change(&mut changes, &library.roots, &mut seen, &stop).await {
                let again = Arc::clone(&library);
                let Ok(outcome) = tokio::task::spawn_blocking(move || again.reload()).await else {
                    continue;
                };
                // A root that was replaced needs a new watch; one that is gone has none.
                for root in &library.roots {
                    let _ = watcher.watch(root, RecursiveMode::Recursive);
                }
                if outcome.changed {
                    on_change(&outcome);
                }
            }
        }))
    }
}

/// Which roots are there, by what tells a folder from a new one of the same name.
fn presence(roots: &[PathBuf]) -> Vec<Option<(u64, u64)>> {
    use std::os::unix::fs::MetadataExt;
    let there = |root: &PathBuf| std::fs::metadata(root).ok().map(|m| (m.dev(), m.ino()));
    roots.iter().map(there).collect()
}

/// Waits for a change and for the quiet after it; false when it is time to stop.
async fn next_change(
    changes: &mut tokio::sync::mpsc::Receiver<()>,
    roots: &[PathBuf],
    seen: &mut Vec<Option<(u64, u64)>>,
    stop: &CancellationToken,
) -> bool {
    loop {
        tokio::select! {
            () = stop.cancelled() => return false,
            change = changes.recv() => match change {
                None => return false,
                Some(()) => break,
            },
            () = tokio::time::sleep(ROOTS) => {
                let now = presence(roots);
                if now != *seen {
                    *seen = now;
                    break;
                }
            }
        }
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return false,
            more = tokio::time::timeout(QUIET, changes.recv()) => match more {
                Err(_) => return true,
                Ok(None) => return false,
                Ok(Some(())) => {}
            },
        }
    }
}

/// Adds the last good form of what is broken or gone with its root; gives the ids.
fn keep_good(loaded: &mut Loaded, good: &BTreeMap<PathBuf, Entry>) -> Vec<String> {
    let mut kept = Vec::new();
    for (path, entry) in good {
        let broken = loaded.broken.contains(path);
        if broken || loaded.missing.iter().any(|root| path.starts_with(root)) {
            kept.push(entry.fingerprint.id.clone());
            loaded.entries.push((path.clone(), entry.clone()));
        }
    }
    kept
}
