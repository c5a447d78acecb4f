//! The library: the set in force, exchanged whole when files change.

use super::FingerprintSet;
use super::set::{Entry, Loaded, load};
use super::watch::Watch;
use crate::query::Schema;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

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
#[derive(Clone)]
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

impl std::fmt::Debug for ReloadOutcome {
    /// In short: a line of a log, not the whole set.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReloadOutcome")
            .field("version", &self.set.version)
            .field("previous", &self.previous)
            .field("fingerprints", &self.set.fingerprints.len())
            .field("problems", &self.set.diagnostics.len())
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

/// Fingerprints of several roots, kept loaded.
#[derive(Debug)]
pub struct Library {
    roots: Vec<PathBuf>,
    schema: ArcSwap<Schema>,
    current: ArcSwap<FingerprintSet>,
    /// The last good form of every file; also makes reloads wait for each other.
    good: Mutex<BTreeMap<PathBuf, Entry>>,
}

impl Library {
    /// Loads the roots. Broken files are no error here; a root that is not there is.
    pub fn open(roots: &[PathBuf]) -> Result<Self, LibraryError> {
        Self::open_for(roots, Schema::default())
    }

    /// The same for an index whose fields are of other kinds.
    pub fn open_for(roots: &[PathBuf], schema: Schema) -> Result<Self, LibraryError> {
        let loaded = load(roots, &schema);
        if let Some(root) = loaded.missing.first() {
            return Err(LibraryError::Missing(root.clone()));
        }
        let good = loaded.entries.iter().cloned().collect();
        Ok(Self {
            roots: roots.to_vec(),
            schema: ArcSwap::from_pointee(schema),
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
        let mut loaded = load(&self.roots, &self.schema.load());
        let kept = keep_good(&mut loaded, &good, &self.roots);
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

    /// Reads all files for an index whose fields are of other kinds than was known so far. No form that
    /// was good for the kinds before is kept.
    pub fn reload_for(&self, schema: Schema) -> ReloadOutcome {
        self.schema.store(Arc::new(schema));
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.clear();
        drop(good);
        self.reload()
    }

    /// Reloads whenever files below the roots change and reports reloads that changed something,
    /// until stopped. Needs a running tokio runtime.
    pub fn watch(
        self: &Arc<Self>,
        stop: CancellationToken,
        on_change: impl Fn(&ReloadOutcome) + Send + Sync + 'static,
    ) -> Result<tokio::task::JoinHandle<()>, LibraryError> {
        let mut watch = Watch::new(&self.roots)?;
        let library = Arc::clone(self);
        Ok(tokio::spawn(async move {
            // The files may have changed between opening and watching, so the first look is at once.
            loop {
                let again = Arc::clone(&library);
                let reload = tokio::task::spawn_blocking(move || again.reload());
                match reload.await {
                    Ok(outcome) if outcome.changed => on_change(&outcome),
                    Ok(_) => {}
                    // Of a panic the hook has told; nobody would know that this is why nothing changes.
                    Err(error) => {
                        tracing::error!(%error, "the fingerprints cannot be read again; the last ones stay");
                    }
                }
                if !watch.next_change(&stop).await {
                    return;
                }
            }
        }))
    }
}

/// Adds the last good form of what is broken or gone with its root, where it stood; gives the ids.
fn keep_good(
    loaded: &mut Loaded,
    good: &BTreeMap<PathBuf, Entry>,
    roots: &[PathBuf],
) -> Vec<String> {
    let mut kept = Vec::new();
    for (path, entry) in good {
        let broken = loaded.broken.contains(path);
        if broken || loaded.missing.iter().any(|root| path.starts_with(root)) {
            kept.push(entry.fingerprint.id.clone());
            loaded.entries.push((path.clone(), entry.clone()));
        }
    }
    // The earlier root has the word on an id that two use, whether its file is broken now or not.
    let root_of = |path: &Path| roots.iter().position(|root| path.starts_with(root));
    loaded
        .entries
        .sort_by(|(a, _), (b, _)| (root_of(a), a).cmp(&(root_of(b), b)));
    kept
}
