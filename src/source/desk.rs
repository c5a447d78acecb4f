//! Where sources bring what they hear: it is durable when the call returns.

use crate::event::Build;
use crate::state::{NewNote, State, StateError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Comments of people that may wait to be looked at; more are dropped and counted.
const COMMENTS: usize = 1_000;
/// Longest error that is kept of a source.
const KEPT_ERROR: usize = 300;

/// Where the logs of a build are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Logs {
    /// Below this address: a manifest, an index page, or a folder of an object store.
    Root {
        /// The address.
        url: String,
    },
    /// One file.
    File {
        /// Its address.
        url: String,
        /// The name under which it is kept.
        name: String,
        /// The source whose account is needed to fetch it, by its name in the configuration.
        account: Option<String>,
    },
    /// A folder on this machine.
    Folder {
        /// The folder.
        path: String,
    },
}

/// How far the logs of a build were fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOf {
    /// Where they are.
    pub logs: Logs,
    /// True when what could be had is kept here.
    pub done: bool,
    /// What is missing.
    pub problems: Vec<String>,
}

/// A build that ended somewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Announced {
    /// What is known of it.
    pub build: Build,
    /// Where its logs are; none when somebody else brings them to where they are looked for.
    pub logs: Option<Logs>,
}

/// What a person wrote on a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The source that heard it.
    pub source: String,
    /// The project.
    pub project: String,
    /// The change.
    pub change: String,
    /// The patchset, where it is known.
    pub patchset: Option<String>,
    /// The account that wrote it.
    pub author: String,
    /// The words.
    pub text: String,
    /// When it was written.
    pub at: Timestamp,
}

/// How a source is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// True while it hears.
    pub connected: bool,
    /// Since when that is so.
    pub since: Option<Timestamp>,
    /// When something was last heard.
    pub heard_at: Option<Timestamp>,
    /// Events that were heard.
    pub events: u64,
    /// Builds in them.
    pub builds: u64,
    /// Events by type, where the source has types.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub event_types: BTreeMap<String, u64>,
    /// Things that were not understood.
    pub not_understood: u64,
    /// The last of these.
    pub last_not_understood: Option<String>,
    /// Why it does not hear, or last did not.
    pub error: Option<String>,
    /// What may be missing though it hears.
    pub warning: Option<String>,
}

/// What is said of notes on older patchsets (target and topic).
pub type Outdated = dyn Fn(&[(String, String)]) -> Vec<NewNote> + Send + Sync;

/// Takes what sources hear.
pub struct Desk {
    state: Arc<State>,
    /// False where somebody else brings the logs to where they are looked for.
    fetches: bool,
    outdated: Box<Outdated>,
    /// Something is to be fetched.
    fetch: Notify,
    /// A build is complete.
    complete: Box<dyn Fn(&str) + Send + Sync>,
    said: mpsc::Sender<Said>,
    statuses: Mutex<BTreeMap<String, SourceStatus>>,
}

/// Types of events that are told apart.
const KINDS: usize = 64;

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// Keeps what is heard in `state`; `fetches` says whether logs are fetched. `complete` is told of builds that are to be looked at, and
    /// `outdated` words what is said of older patchsets. What people say comes out of the receiver.
    pub fn new(
        state: Arc<State>,
        fetches: bool,
        complete: Box<dyn Fn(&str) + Send + Sync>,
        outdated: Box<Outdated>,
    ) -> (Self, mpsc::Receiver<Said>) {
        let (said, hear) = mpsc::channel(COMMENTS);
        let desk = Self {
            state,
            fetches,
            outdated,
            fetch: Notify::new(),
            complete,
            said,
            statuses: Mutex::default(),
        };
        (desk, hear)
    }

    /// Takes builds, and with them how far the source was heard. When this returns nothing of it can
    /// be lost any more. What was announced before is not looked at again unless something is new.
    pub async fn announce(
        self: &Arc<Self>,
        source: &str,
        builds: Vec<Announced>,
        mark: Option<String>,
    ) -> Result<(), StateError> {
        let (desk, name, count) = (self.clone(), source.to_owned(), builds.len());
        let work = move || {
            let mut news = Vec::with_capacity(builds.len());
            for one in builds {
                let logs = one.logs.filter(|_| desk.fetches);
                let logs = logs.map(|logs| serde_json::to_string(&logs));
                news.push((one.build, logs.transpose()?));
            }
            let mark = mark.as_deref().map(|mark| (name.as_str(), mark));
            desk.state.announce(&news, mark, Timestamp::now())
        };
        let complete = run(work).await?;
        for uuid in &complete {
            (self.complete)(uuid);
        }
        self.fetch.notify_one();
        if count > 0 {
            self.update(source, |status| {
                status.builds += count as u64;
                status.heard_at = Some(Timestamp::now());
            });
        }
        Ok(())
    }

    /// A patchset of a change is there: what was said of earlier ones is outdated.
    pub async fn patchset(
        self: &Arc<Self>,
        project: &str,
        change: &str,
        patchset: &str,
    ) -> Result<(), StateError> {
        let desk = self.clone();
        let (project, change, patchset) =
            (project.to_owned(), change.to_owned(), patchset.to_owned());
        run(move || {
            let (state, now) = (&desk.state, Timestamp::now());
            state.patchset_seen(&project, &change, &patchset, now, &desk.outdated)
        })
        .await
    }

    /// A person said something. It is dropped when nobody keeps up with what people say.
    pub fn said(&self, said: Said) {
        if let Err(error) = self.said.try_send(said) {
            tracing::warn!(%error, "a comment was not looked at");
        }
    }

    /// How far a source was heard.
    pub async fn mark(self: &Arc<Self>, source: &str) -> Result<Option<String>, StateError> {
        let (desk, source) = (self.clone(), source.to_owned());
        run(move || desk.state.mark(&source)).await
    }

    /// How far the logs of a build were fetched; none where nothing was to be fetched.
    pub async fn fetch_of(self: &Arc<Self>, uuid: &str) -> Result<Option<FetchOf>, StateError> {
        let (desk, uuid) = (self.clone(), uuid.to_owned());
        run(move || {
            let found = desk.state.fetch_of(&uuid)?;
            let read = |found: crate::state::Fetched| {
                Ok(FetchOf {
                    logs: serde_json::from_str(&found.logs)?,
                    done: found.done,
                    problems: found.problems,
                })
            };
            found.map(read).transpose()
        })
        .await
    }

    /// Waits until something may be to be fetched.
    pub async fn to_fetch(&self) {
        self.fetch.notified().await;
    }

    /// The source hears, or does not and why.
    pub fn connected(&self, source: &str, now: Timestamp, error: Option<String>) {
        self.update(source, |status| {
            let connected = error.is_none();
            if status.connected != connected || status.since.is_none() {
                (status.connected, status.since) = (connected, Some(now));
            }
            if let Some(error) = error {
                status.error = Some(error.chars().take(KEPT_ERROR).collect());
            }
        });
    }

    /// Something may be missing though the source hears, or nothing any more.
    pub fn warn(&self, source: &str, warning: Option<String>) {
        self.update(source, |status| {
            status.warning = warning.map(|text| text.chars().take(KEPT_ERROR).collect());
        });
    }

    /// The source has heard so many events, and did not understand these parts of them.
    pub fn heard(&self, source: &str, now: Timestamp, events: u64, not_understood: &[String]) {
        self.update(source, |status| {
            status.events += events;
            status.heard_at = Some(now);
            status.not_understood += not_understood.len() as u64;
            if let Some(last) = not_understood.last() {
                status.last_not_understood = Some(last.chars().take(KEPT_ERROR).collect());
            }
        });
    }

    /// Of what types the events were. There are a few dozen; what a broken server makes up is counted
    /// together.
    pub fn heard_kinds(&self, source: &str, kinds: BTreeMap<String, u64>) {
        if kinds.is_empty() {
            return;
        }
        self.update(source, |status| {
            for (kind, count) in kinds {
                let room = status.event_types.len() < KINDS;
                let known = room || status.event_types.contains_key(&kind);
                let kind = if known { kind } else { "other".to_owned() };
                *status.event_types.entry(kind).or_default() += count;
            }
        });
    }

    /// How all sources are, by name.
    pub fn statuses(&self) -> BTreeMap<String, SourceStatus> {
        self.held().clone()
    }

    fn update(&self, source: &str, change: impl FnOnce(&mut SourceStatus)) {
        change(self.held().entry(source.to_owned()).or_default());
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, SourceStatus>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StateError::Value(format!("a task failed: {error}"))))
}
