//! The engine of one machine: fingerprints from folders, logs from the spool, the embedded index.

use super::tell;
use crate::classify::engine::{
    BrokenFile, Engine, MadeReport, Rule, Rules, SearchError, Searched, SearchedEvent,
};
use crate::classify::pipeline::{Looker, Outcome};
use crate::classify::ready::{self, Waiting};
use crate::classify::spool::Spool;
use crate::classify::survey::{self, Asked};
use crate::classify::{cluster, one};
use crate::config::{Config, StoreKind};
use crate::event::{Build, Event};
use crate::fingerprint::{Fingerprint, FingerprintSet, Library, LibraryError, Severity};
use crate::intake::{BuildSummary, Limits, open_path, read_all};
use crate::matcher::{Matcher, evidence};
use crate::note::{Speaker, WordingError};
use crate::query::{Query, Schema};
use crate::report::{self, ClusterPart, Cost, FingerprintInfo};
use crate::state::{NewNote, State, Surroundings};
use crate::store::elastic::ElasticStore;
use crate::store::{
    EmbeddedStore, Filters, HealthState, LogStore, Options, SearchRequest, Selection, StoreError,
};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Events between the reader and the index.
const BETWEEN: usize = 1024;
/// How long a report may ask the cluster; what is left is asked by the next one.
const SURVEY: Duration = Duration::from_secs(120);

/// Builds that one request asks about.
const ASKED: usize = 500;
/// Builds of which it is remembered that the index has them; forgetting only costs work.
const REMEMBERED: usize = 100_000;

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The fingerprints.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The index.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The templates of notes.
    #[error("notes.templates: {0}")]
    Wording(#[from] WordingError),
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
    /// The cluster that somebody else fills, when the logs are there.
    cluster: Option<Arc<ElasticStore>>,
    max_events: u64,
    schema: Schema,
    /// The builds whose log is not complete in the cluster.
    waiting: Mutex<Waiting>,
    last_line: Option<Query>,
    state: Arc<State>,
    spool: Spool,
    limits: Limits,
    speaker: Speaker,
    indexed: Mutex<HashMap<String, u64>>,
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
        let (store, cluster) = open_store(config)?;
        let schema = match &cluster {
            Some(cluster) => kinds(cluster)?,
            None => Schema::default(),
        };
        let ready = config.store.elasticsearch.as_ref().map(|c| &c.ready);
        let (conditions, last_line) = match ready {
            Some(ready) => cluster::conditions(ready, &schema)?,
            None => (ready::Conditions::default(), None),
        };
        Ok(Self {
            library: Arc::new(Library::open_for(&config.fingerprints, schema.clone())?),
            roots: config.fingerprints.clone(),
            loaded: Mutex::new(None),
            store,
            cluster,
            max_events: config
                .store
                .elasticsearch
                .as_ref()
                .map_or(0, |cluster| cluster.max_events),
            schema,
            waiting: Mutex::new(Waiting::new(conditions)),
            last_line,
            state,
            spool: spool.clone(),
            limits: Limits {
                max_bytes: config.intake.max_log.0,
                ..Limits::default()
            },
            speaker: tell::speaker(config)?,
            indexed: Mutex::default(),
        })
    }

    /// Asks the cluster for what reports have not heard of yet.
    fn survey(&self, cluster: &ElasticStore, now: Timestamp) -> Asked {
        let (set, budget) = (self.library.current(), SURVEY);
        let asked = survey::ask(cluster, &self.schema, &set, &self.state, now, budget);
        asked.unwrap_or_else(|error| {
            tracing::warn!(%error, "the cluster could not be asked for the report");
            Asked {
                problems: vec![error.to_string()],
                ..Asked::default()
            }
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
        let digest = digest(&root, build);
        if self.is_indexed(&build.uuid, digest) {
            let found = one::classify(matcher, build, Timestamp::now(), |sink| {
                read_all(&inputs, &build.fields(), &self.limits, sink)
            });
            return Ok(found);
        }
        let (sender, receiver) = sync_channel(BETWEEN);
        std::thread::scope(|scope| {
            scope.spawn(|| self.index(build, digest, receiver));
            Ok(one::classify(matcher, build, Timestamp::now(), |sink| {
                read(&inputs, build, &self.limits, &sender, sink)
            }))
            .inspect(|_| drop(sender))
        })
    }

    /// Looks at a build whose events somebody else put into the cluster.
    fn look_in(
        &self,
        cluster: &ElasticStore,
        build: &Build,
        matcher: &Matcher,
        rules: &str,
    ) -> Outcome {
        let now = Timestamp::now();
        let late = match self.waiting().state(build, now) {
            ready::State::Wait => return Outcome::pending("its log is not complete yet", rules),
            ready::State::Complete => None,
            ready::State::Late(what) => Some(what),
        };
        let mut looked = match cluster::look(cluster, matcher, build, now, self.max_events) {
            Ok(looked) => looked,
            // It will answer again; until then nothing is known of the build.
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::warn!(uuid = build.uuid, %error, "the build waits for the cluster");
                return Outcome::pending(error.to_string(), rules);
            }
            Err(error) => return Outcome::error(error, rules),
        };
        looked
            .problems
            .extend(late.map(|what| format!("the log is not complete in the index: {what}")));
        self.waiting().done(&build.uuid);
        tracing::debug!(
            uuid = build.uuid,
            looked.requests,
            "looked at in the cluster"
        );
        Outcome {
            verdict: looked.verdict(),
            detail: (!looked.problems.is_empty()).then(|| looked.problems.join("; ")),
            matches: looked.matches,
            rules: rules.to_owned(),
            events: looked.events,
        }
    }

    /// Reads the kept logs of builds that the index has lost with a damaged part of it; the number
    /// of these builds. Does nothing while nothing is damaged.
    pub fn repair(&self, stop: impl Fn() -> bool) -> Result<u64, String> {
        if self.store.health().state != HealthState::Degraded {
            return Ok(0);
        }
        let mut repaired = 0;
        for uuid in self.spool.builds().map_err(|e| e.to_string())? {
            if stop() {
                break;
            }
            let stored = self.state.build(&uuid).map_err(|e| e.to_string())?;
            let Some(stored) = stored.filter(|s| s.verdict_at.is_some()) else {
                continue;
            };
            if self.has_events(&uuid)? {
                continue;
            }
            let (matcher, _) = self.loaded();
            self.classify(&stored.build, &matcher)?;
            repaired += u64::from(self.has_events(&uuid)?);
        }
        Ok(repaired)
    }

    fn has_events(&self, uuid: &str) -> Result<bool, String> {
        let request = SearchRequest {
            selection: Selection {
                filters: Filters {
                    build_uuid: Some(uuid.to_owned()),
                    ..Filters::default()
                },
                ..Selection::default()
            },
            ..SearchRequest::default()
        };
        let found = self.store.search(&request, Timestamp::now());
        Ok(found.map_err(|e| e.to_string())?.total > 0)
    }

    /// True when the index has the build's events as they are now: with other fingerprints they
    /// need only be read.
    fn is_indexed(&self, uuid: &str, digest: u64) -> bool {
        let indexed = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
        indexed.get(uuid) == Some(&digest)
    }

    /// The index is a cache: when it fails the verdict stands, and the readiness check tells.
    fn index(&self, build: &Build, digest: u64, events: Receiver<Event>) {
        let mut events = events.into_iter();
        let appended = self.store.append(build, &mut events);
        let mut indexed = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
        match appended {
            Ok(_) => {
                if indexed.len() >= REMEMBERED {
                    indexed.clear();
                }
                indexed.insert(build.uuid.clone(), digest);
            }
            Err(error) => {
                indexed.remove(&build.uuid);
                tracing::error!(uuid = build.uuid, %error, "the events were not indexed");
            }
        }
    }
}

/// A store, and the cluster behind it when it is only read.
type Opened = (Arc<dyn LogStore>, Option<Arc<ElasticStore>>);

/// The store that the configuration names; a second time, when it only reads a cluster.
fn open_store(config: &Config) -> Result<Opened, LocalError> {
    let (StoreKind::Elasticsearch, Some(cluster)) =
        (config.store.kind, &config.store.elasticsearch)
    else {
        let folder = config.data_dir.join("index");
        return Ok((
            Arc::new(EmbeddedStore::open(&folder, Options::default())?),
            None,
        ));
    };
    let options = cluster::options(cluster, Schema::default())?;
    let store = Arc::new(ElasticStore::open(options)?);
    let foreign = store.is_foreign().then(|| Arc::clone(&store));
    Ok((store, foreign))
}

/// What kinds the cluster's fields have; what is odd about them is told.
fn kinds(cluster: &ElasticStore) -> Result<Schema, StoreError> {
    let (schema, problems) = cluster.schema()?;
    for problem in problems {
        tracing::warn!("{problem}");
    }
    Ok(schema)
}

/// Tells one state of a build and its logs from another: facts, names, sizes, times.
fn digest(root: &Path, build: &Build) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{build:?}").hash(&mut hasher);
    let mut folders = vec![root.to_owned()];
    let mut files = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(facts) if facts.is_dir() => folders.push(entry.path()),
                Ok(facts) => {
                    files.insert((entry.path(), facts.len(), facts.modified().ok()));
                }
                Err(_) => {}
            }
        }
    }
    files.hash(&mut hasher);
    hasher.finish()
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

/// Looks for a query in a store.
fn search(
    store: &dyn LogStore,
    schema: &Schema,
    query: &str,
    limit: usize,
    now: Timestamp,
) -> Result<Searched, SearchError> {
    let query = Query::parse(query, schema).map_err(|error| SearchError::Query {
        column: query
            .char_indices()
            .take_while(|(at, _)| *at < error.offset)
            .count()
            + 1,
        message: error.message,
    })?;
    let request = SearchRequest {
        selection: Selection {
            query: Some(&query),
            ..Selection::default()
        },
        newest_first: true,
        limit,
        highlight: true,
        ..SearchRequest::default()
    };
    let failed = |error: StoreError| SearchError::Store(error.to_string());
    let found = store.search(&request, now).map_err(failed)?;
    let builds = store.distinct_builds(&request.selection, now);
    let shown = found.hits.into_iter().map(|hit| SearchedEvent {
        evidence: evidence(&hit.event, &hit.spans),
        build: hit.build_uuid,
        time: hit.time,
    });
    Ok(Searched {
        events: found.total,
        newest: shown.collect(),
        builds: builds.map_err(failed)?,
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
        resolved_at: found.resolved_at,
        hidden: found.suppress_graph,
        source: std::fs::read_to_string(&found.file).unwrap_or_default(),
    }
}

/// What is known of the cluster, and what it has cost to learn it.
fn surveyed(
    state: &State,
    infos: &[FingerprintInfo],
    now: Timestamp,
    asked: Asked,
) -> Result<Option<ClusterPart>, String> {
    let part = report::cluster_part(state, infos, now).map_err(|e| e.to_string())?;
    let slowest = asked.effort.slowest.as_millis();
    Ok(part.map(|part| ClusterPart {
        cost: Cost {
            requests: asked.effort.requests,
            slowest_ms: u64::try_from(slowest).unwrap_or(u64::MAX),
        },
        not_counted: asked.not_counted,
        problems: asked.problems,
        ..part
    }))
}

impl Looker for Local {
    fn look(&self, build: &Build) -> Outcome {
        let (matcher, rules) = self.loaded();
        if let Some(cluster) = &self.cluster {
            return self.look_in(cluster, build, &matcher, &rules.version);
        }
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

    fn notes(&self, build: &Build, outcome: &Outcome, around: &Surroundings) -> Vec<NewNote> {
        self.speaker
            .notes(build, outcome.verdict, &outcome.matches, around)
    }

    fn settled(&self, now: Timestamp) -> Vec<String> {
        let Some(cluster) = &self.cluster else {
            return Vec::new();
        };
        let due = self.waiting().due(now, ASKED);
        let seen = match cluster.presence(&due, self.last_line.as_ref()) {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, builds = due.len(), "cannot ask whether logs are complete");
                return Vec::new();
            }
        };
        let mut waiting = self.waiting();
        let answers = due.into_iter().zip(seen);
        let changed = answers.filter_map(|(uuid, presence)| {
            let seen = ready::Seen {
                events: presence.events,
                last_line: presence.found,
                files: presence.files,
            };
            waiting.answer(&uuid, &seen, now).then_some(uuid)
        });
        let changed = changed.collect();
        waiting.tidy(now);
        changed
    }

    fn ended_since(&self, from: Timestamp) -> Result<Vec<Build>, String> {
        let Some(cluster) = &self.cluster else {
            return Ok(Vec::new());
        };
        cluster::found_since(cluster, from).map_err(|e| e.to_string())
    }

    fn has_logs(&self, uuid: &str) -> bool {
        self.cluster.is_some() || self.spool.root(uuid).is_dir()
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
        let mut made = report::build_report(&self.state, &infos, now).map_err(|e| e.to_string())?;
        if let Some(cluster) = &self.cluster {
            let asked = self.survey(cluster, now);
            made.cluster = surveyed(&self.state, &infos, now, asked)?;
        }
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
        let missing = self.roots.iter().filter(|r| !r.exists());
        let mut all: Vec<String> = missing
            .map(|r| format!("fingerprint folder {} is gone", r.display()))
            .collect();
        let health = self.store.health();
        if health.state == HealthState::Down {
            all.extend(health.problems);
        }
        all
    }

    fn warnings(&self) -> Vec<String> {
        let health = self.store.health();
        match health.state {
            HealthState::Degraded => health.problems,
            HealthState::Ok | HealthState::Down => Vec::new(),
        }
    }

    fn search(&self, query: &str, limit: usize, now: Timestamp) -> Result<Searched, SearchError> {
        search(&*self.store, &self.schema, query, limit, now)
    }

    fn forget(&self, limit: Timestamp) -> Result<(), String> {
        self.store
            .delete_before(limit)
            .map(|_| ())
            .map_err(|e| e.to_string())
    }
}
