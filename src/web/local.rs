//! The engine of one machine: fingerprints from folders, logs from the spool, the embedded index.

use crate::classify::engine::{BrokenFile, Engine, MadeReport, Rule, Rules};
use crate::classify::one;
use crate::classify::pipeline::{Looker, Outcome};
use crate::classify::spool::Spool;
use crate::config::Config;
use crate::event::{Build, Event};
use crate::fingerprint::{Fingerprint, FingerprintSet, Library, LibraryError, Severity};
use crate::intake::{BuildSummary, Limits, open_path, read_all};
use crate::matcher::Matcher;
use crate::note;
use crate::report::{self, FingerprintInfo};
use crate::state::{NewNote, State};
use crate::store::{EmbeddedStore, HealthState, LogStore, Options, StoreError};
use jiff::Timestamp;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Events between the reader and the index.
const BETWEEN: usize = 1024;

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The fingerprints.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The index.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is computed once for a set.
struct Loaded {
    matcher: Arc<Matcher>,
    rules: Arc<Rules>,
}

/// All of the rooms that know, put together.
pub struct Local {
    library: Arc<Library>,
    roots: Vec<PathBuf>,
    loaded: Mutex<Option<Loaded>>,
    store: Arc<dyn LogStore>,
    state: Arc<State>,
    spool: Spool,
    limits: Limits,
    base_url: String,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

impl Local {
    /// Loads the fingerprints and opens the index.
    pub fn open(config: &Config, spool: &Spool, state: Arc<State>) -> Result<Self, LocalError> {
        let store = EmbeddedStore::open(&config.data_dir.join("index"), Options::default())?;
        let base = config.notes.base_url.clone();
        Ok(Self {
            library: Arc::new(Library::open(&config.fingerprints)?),
            roots: config.fingerprints.clone(),
            loaded: Mutex::new(None),
            store: Arc::new(store),
            state,
            spool: spool.clone(),
            limits: Limits {
                max_bytes: config.intake.max_log.0,
                ..Limits::default()
            },
            base_url: base.unwrap_or_else(|| format!("http://{}", config.listen)),
        })
    }

    /// The library, to watch it.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    fn loaded(&self) -> (Arc<Matcher>, Arc<Rules>) {
        let set = self.library.current();
        let mut kept = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = kept.as_ref().filter(|l| Arc::ptr_eq(l.matcher.set(), &set));
        if let Some(loaded) = fresh {
            return (loaded.matcher.clone(), loaded.rules.clone());
        }
        let rules = Arc::new(rules(&set));
        let matcher = Arc::new(Matcher::new(set));
        *kept = Some(Loaded {
            matcher: matcher.clone(),
            rules: rules.clone(),
        });
        (matcher, rules)
    }

    /// Reads all logs once: the matcher sees each event, then the index takes it.
    fn classify(&self, build: &Build, matcher: &Matcher) -> Result<one::Outcome, String> {
        let root = self.spool.root(&build.uuid);
        let inputs = if root.is_dir() {
            open_path(&root, &self.limits).map_err(|e| e.to_string())?
        } else {
            Vec::new()
        };
        let (sender, receiver) = sync_channel(BETWEEN);
        std::thread::scope(|scope| {
            scope.spawn(|| self.index(build, receiver));
            Ok(one::classify(matcher, build, Timestamp::now(), |sink| {
                read(&inputs, build, &self.limits, &sender, sink)
            }))
            .inspect(|_| drop(sender))
        })
    }

    /// The index is a cache: when it fails the verdict stands, and the readiness check tells.
    fn index(&self, build: &Build, events: Receiver<Event>) {
        let mut events = events.into_iter();
        if let Err(error) = self.store.append(build, &mut events) {
            tracing::error!(uuid = build.uuid, %error, "the events were not indexed");
        }
    }
}

fn read(
    inputs: &[crate::intake::LogInput],
    build: &Build,
    limits: &Limits,
    index: &SyncSender<Event>,
    sink: &mut dyn FnMut(Event),
) -> BuildSummary {
    read_all(inputs, &build.fields(), limits, &mut |event| {
        // A failed index no longer listens; reading goes on for the verdict.
        let _ = index.send(event.clone());
        sink(event);
    })
}

fn rules(set: &FingerprintSet) -> Rules {
    let broken = set
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error);
    Rules {
        version: set.version.clone(),
        fingerprints: set.fingerprints.iter().map(|f| rule(f)).collect(),
        broken: broken
            .map(|d| BrokenFile {
                place: format!("{}:{}:{}", d.file, d.line, d.column),
                message: d.message.clone(),
            })
            .collect(),
    }
}

fn rule(found: &Fingerprint) -> Rule {
    Rule {
        id: found.id.clone(),
        title: found.title.clone(),
        bug: found.bug.clone(),
        category: found.category.clone(),
        owner: found.owner.clone(),
        advice: found.advice.clone(),
        hidden: found.suppress_graph,
        source: std::fs::read_to_string(&found.file).unwrap_or_default(),
    }
}

impl Looker for Local {
    fn look(&self, build: &Build) -> Outcome {
        let (matcher, rules) = self.loaded();
        let found = match self.classify(build, &matcher) {
            Ok(found) => found,
            Err(error) => return Outcome::error(error, &rules.version),
        };
        let problems: Vec<String> = found
            .summary
            .all_problems()
            .map(ToString::to_string)
            .collect();
        Outcome {
            verdict: found.verdict,
            matches: found.matches,
            detail: (!problems.is_empty()).then(|| problems.join("; ")),
            rules: rules.version.clone(),
            events: found.summary.files.iter().map(|(_, s)| s.events).sum(),
        }
    }
}

impl Engine for Local {
    fn rules(&self) -> Arc<Rules> {
        self.loaded().1
    }

    fn reload(&self) {
        self.library.reload();
    }

    fn notes(&self, build: &Build, outcome: &Outcome) -> Vec<NewNote> {
        note::compose(build, outcome.verdict, &outcome.matches, &self.base_url)
    }

    fn report(&self, now: Timestamp) -> Result<MadeReport, String> {
        let rules = self.rules();
        let infos = rules.fingerprints.iter().map(|r| FingerprintInfo {
            id: r.id.clone(),
            title: r.title.clone(),
            bug: r.bug.clone(),
            suppress_graph: r.hidden,
            category: r.category.clone(),
        });
        let infos: Vec<FingerprintInfo> = infos.collect();
        let made = report::build_report(&self.state, &infos, now).map_err(|e| e.to_string())?;
        let counts = &made.all.windows.ten_days;
        Ok(MadeReport {
            summary: format!(
                "{} of {} failed builds explained",
                counts.classified, counts.of
            ),
            json: serde_json::to_string(&made).map_err(|e| e.to_string())?,
            html: report::render_html(&made).map_err(|e| e.to_string())?,
        })
    }

    fn troubles(&self) -> Vec<String> {
        let missing = self.roots.iter().filter(|r| !r.is_dir());
        let mut all: Vec<String> = missing
            .map(|r| format!("fingerprint folder {} is gone", r.display()))
            .collect();
        let health = self.store.health();
        if health.state == HealthState::Down {
            all.extend(health.problems);
        }
        all
    }

    fn forget(&self, limit: Timestamp) -> Result<(), String> {
        self.store
            .delete_before(limit)
            .map(|_| ())
            .map_err(|e| e.to_string())
    }
}
