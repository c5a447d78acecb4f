//! The engine of one machine: fingerprints from folders, logs from the spool, the embedded index.

use super::in_hand::InHand;
use super::indexer::{IndexStop, Indexer, digest};
use super::marks::Marks;
use super::remote::Remote;
use super::tell;
use crate::chaos::driver::Chaotic;
use crate::classify::engine::{
    BrokenFile, ClusterStatus, Engine, IndexStatus, MadeReport, Rule, Rules, SearchError, Searched,
    SearchedEvent,
};
use crate::classify::pipeline::{Looker, Outcome};
use crate::classify::spool::Spool;
use crate::classify::survey::{self, Asked};
use crate::classify::{cluster, one};
use crate::config::{Config, StoreKind};
use crate::event::{Build, Event, Verdict};
use crate::fingerprint::{Fingerprint, FingerprintSet, Library, LibraryError, Severity};
use crate::intake::{BuildSummary, Limits, open_path, read_all};
use crate::matcher::{Matcher, evidence};
use crate::note::redact::Redactor;
use crate::note::{Speaker, Voice, WordingError};
use crate::query::{Query, Schema};
use crate::report::{self, ClusterPart, Cost, FingerprintInfo};
use crate::state::{NewNote, Outage, ReturnedBug, SeenBug, State, StateError, Surroundings};
use crate::store::{
    EmbeddedStore, Health, HealthState, LogStore, MarkedStore, Options, SearchRequest, Selection,
    StoreError,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Events between the reader and the index.
const BETWEEN: usize = 1024;
/// How long a report may ask the cluster; what is left is asked by the next one.
const SURVEY: Duration = Duration::from_secs(120);
/// How long what could not be indexed is indexed in one go: a stop waits for it.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How often the state is asked about a build whose logs have been read, and with which pause.
const ASKED: u32 = 5;
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Problems of a build that are told one by one.
const TOLD: usize = 50;
/// An index that is this many seconds behind is told of.
const LATE: u64 = 60;
/// Builds of which it is remembered that the index has them; forgetting only costs work. A table of
/// so many takes 18 MB.
const REMEMBERED: usize = 900_000;

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
    /// How long anybody waits for a search.
    patience: Duration,
    /// What fills the embedded store.
    indexer: Option<Indexer>,
    /// The cluster, when it keeps the logs.
    remote: Option<Remote>,
    /// Whether it was looked for builds whose events the cluster never got.
    compared: AtomicBool,
    state: Arc<State>,
    spool: Spool,
    limits: Limits,
    speaker: Speaker,
    redactor: Redactor,
    indexed: Mutex<Marks>,
    in_hand: InHand,
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
    pub fn open(
        config: &Config,
        spool: &Spool,
        state: Arc<State>,
        voices: Vec<Voice>,
    ) -> Result<Self, LocalError> {
        let remote = remote(config)?;
        let limits = Limits {
            max_bytes: config.intake.max_log.0,
            ..Limits::default()
        };
        let (embedded, store): (_, Arc<dyn LogStore>) = if let Some(remote) = &remote {
            let store: Arc<dyn LogStore> = remote.store().clone();
            match state.plan() {
                None => (None, store),
                Some(plan) => (None, Arc::new(Chaotic::new(store, plan))),
            }
        } else {
            let folder = config.data_dir.join("index");
            let store = EmbeddedStore::open(&folder, Options::default())?;
            let store: Arc<dyn MarkedStore> = match state.plan() {
                None => Arc::new(store),
                Some(plan) => Arc::new(Chaotic::new(Arc::new(store), plan)),
            };
            (Some(store.clone()), store)
        };
        let indexer =
            embedded.map(|store| Indexer::new(store, state.clone(), spool.clone(), limits.clone()));
        let schema = remote.as_ref().map(Remote::schema).unwrap_or_default();
        Ok(Self {
            library: Arc::new(Library::open_for(&config.fingerprints, schema)?),
            roots: config.fingerprints.clone(),
            loaded: Mutex::new(None),
            store,
            patience: config.store.search_timeout.0,
            indexer,
            remote,
            compared: AtomicBool::new(false),
            state,
            spool: spool.clone(),
            limits,
            speaker: tell::speaker(config, voices)?,
            redactor: super::commands::redactor(config).unwrap_or_default(),
            indexed: Mutex::default(),
            in_hand: InHand::new(std::thread::available_parallelism().map_or(1, usize::from)),
        })
    }

    /// Asks the cluster for what reports have not heard of yet.
    fn survey(&self, remote: &Remote, now: Timestamp) -> Asked {
        let (set, budget) = (self.library.current(), SURVEY);
        let (store, schema) = (remote.store(), remote.schema());
        let asked = survey::ask(store, &schema, &set, &self.state, now, budget);
        asked.unwrap_or_else(|error| {
            tracing::warn!(%error, "the cluster could not be asked for the report");
            Asked {
                problems: vec![error.to_string()],
                ..Asked::default()
            }
        })
    }

    /// The cluster, when somebody else keeps the logs there.
    fn elsewhere(&self) -> Option<&Remote> {
        self.remote.as_ref().filter(|remote| remote.is_foreign())
    }

    fn health(&self) -> Health {
        match &self.remote {
            Some(remote) => remote.health(),
            None => self.store.health(),
        }
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

    /// Reads all logs once. The index of this machine comes later and reads them itself; a cluster
    /// takes each event when the matcher has seen it.
    fn classify(&self, build: &Build, matcher: &Matcher) -> Result<one::Outcome, String> {
        let root = self.spool.root(&build.uuid);
        let inputs = if root.is_dir() {
            open_path(&root, &self.limits).map_err(|e| e.to_string())?
        } else {
            Vec::new()
        };
        let sweep = || {
            let beside = self.in_hand.begin();
            let now = Timestamp::now();
            one::sweep(matcher, build, now, &inputs, &self.limits, beside.has_room)
        };
        if let Some(indexer) = &self.indexer {
            let found = sweep();
            indexer.note(build);
            return Ok(found);
        }
        let digest = digest(&root, build);
        if self.is_indexed(&build.uuid, digest) {
            return Ok(sweep());
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

    /// What could not be fetched of a build's logs. The logs have been read by then: the state is
    /// asked some times before that was in vain.
    fn missing(&self, uuid: &str) -> Result<Vec<String>, StateError> {
        for _ in 1..ASKED {
            match self.state.fetch_problems(uuid) {
                Ok(missing) => return Ok(missing),
                Err(error) => tracing::warn!(uuid, %error, "the state is asked again"),
            }
            std::thread::sleep(ASK_AGAIN);
        }
        self.state.fetch_problems(uuid)
    }

    /// Reads the fingerprints for the fields that the cluster has.
    fn read_for(&self, remote: &Remote) {
        if remote.is_foreign() {
            let set = self.library.reload_for(remote.schema()).set;
            let fingerprints = set.fingerprints.len();
            tracing::info!(fingerprints, "read for the cluster's fields");
        }
        remote.arrived();
    }

    /// Notes the builds with a verdict whose events an index of our own in a cluster does not have: an
    /// earlier run could not write them.
    fn compare(&self, remote: &Remote) -> Result<(), String> {
        let found = self
            .store
            .distinct_builds(&Selection::default(), Timestamp::now());
        let there: HashSet<String> = found.map_err(|e| e.to_string())?.into_iter().collect();
        for uuid in self.spool.builds().map_err(|e| e.to_string())? {
            if there.contains(&uuid) {
                continue;
            }
            let stored = self.state.build(&uuid).map_err(|e| e.to_string())?;
            // Others are indexed when they are looked at.
            if stored.is_some_and(|s| s.verdict_at.is_some() && s.verdict != Verdict::NoLog) {
                remote.note_indexed(&uuid, false);
            }
        }
        Ok(())
    }

    /// Indexes what could not be indexed when it came, as long as the cluster answers.
    fn catch_up(&self, remote: &Remote) -> Result<(), String> {
        if !self.compared.load(Ordering::Acquire) {
            self.compare(remote)?;
            self.compared.store(true, Ordering::Release);
        }
        let (begun, mut builds) = (Instant::now(), 0);
        while remote.answers() && begun.elapsed() < AT_ONCE {
            let Some(uuid) = remote.next_unindexed() else {
                break;
            };
            let stored = self.state.build(&uuid).map_err(|e| e.to_string())?;
            let root = self.spool.root(&uuid);
            let build = stored.map(|s| s.build).filter(|_| root.is_dir());
            match build {
                Some(build) if !self.is_indexed(&uuid, digest(&root, &build)) => {
                    self.classify(&build, &self.loaded().0)?;
                    builds += 1;
                }
                // Its logs have had their time, or it was indexed meanwhile.
                _ => remote.note_indexed(&uuid, true),
            }
        }
        if builds > 0 {
            tracing::info!(builds, "indexed from their logs");
        }
        Ok(())
    }

    /// True when the index has the build's events as they are now: with other fingerprints they
    /// need only be read.
    fn is_indexed(&self, uuid: &str, digest: u64) -> bool {
        let indexed = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
        indexed.get(uuid) == Some(digest)
    }

    /// The index is a cache: when it fails the verdict stands, and the readiness check tells.
    fn index(&self, build: &Build, digest: u64, events: Receiver<Event>) {
        if let Some(remote) = &self.remote
            && !remote.answers()
        {
            // No verdict waits for it: the logs are kept, and read again when it is there.
            remote.note_indexed(&build.uuid, false);
            return;
        }
        let mut events = events.into_iter();
        let appended = self.store.append(build, &mut events);
        if let Some(remote) = &self.remote {
            remote.note_indexed(&build.uuid, appended.is_ok());
        }
        let mut indexed = self.indexed.lock().unwrap_or_else(PoisonError::into_inner);
        match appended {
            Ok(_) => {
                if indexed.len() >= REMEMBERED {
                    indexed.clear();
                }
                indexed.put(&build.uuid, digest);
            }
            Err(error) => {
                indexed.remove(&build.uuid);
                tracing::error!(uuid = build.uuid, %error, "the events were not indexed");
            }
        }
    }
}

/// The cluster that the configuration names as the store.
fn remote(config: &Config) -> Result<Option<Remote>, StoreError> {
    let cluster = config.store.elasticsearch.as_ref();
    let cluster = cluster.filter(|_| config.store.kind == StoreKind::Elasticsearch);
    cluster.map(Remote::open).transpose()
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
    (store, patience): (&dyn LogStore, Duration),
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
            deadline: Instant::now().checked_add(patience),
            ..Selection::default()
        },
        newest_first: true,
        limit,
        highlight: true,
        ..SearchRequest::default()
    };
    let failed = |error: StoreError| match error {
        StoreError::TooLong => SearchError::TooLong(error.to_string()),
        _ => SearchError::Store(error.to_string()),
    };
    let (found, builds) = store.search_with_builds(&request, now).map_err(failed)?;
    let shown = found.hits.into_iter().map(|hit| SearchedEvent {
        evidence: evidence(&hit.event, &hit.spans),
        build: hit.build_uuid,
        time: hit.time,
    });
    Ok(Searched {
        events: found.total,
        newest: shown.collect(),
        builds,
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
        retry: found.retry,
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
        if let Some(remote) = self.elsewhere() {
            let in_force = remote.is_in_force();
            let (matcher, rules) = self.loaded();
            return remote.look(build, in_force, &matcher, &rules.version);
        }
        let (matcher, rules) = self.loaded();
        let found = match self.classify(build, &matcher) {
            Ok(found) => found,
            Err(error) => return Outcome::error(error, &rules.version),
        };
        let mut problems = told(&found.summary);
        let mut verdict = found.verdict;
        match self.missing(&build.uuid) {
            Ok(missing) => {
                verdict = incomplete(verdict, &missing);
                problems.extend(missing);
            }
            // That says nothing of the build, so it is no verdict.
            Err(error) => return Outcome::pending(error.to_string(), &rules.version),
        }
        Outcome {
            verdict,
            matches: found.matches,
            detail: (!problems.is_empty()).then(|| problems.join("; ")),
            rules: rules.version.clone(),
            events: found.summary.files.iter().map(|(_, s)| s.events).sum(),
        }
    }
}

/// What went wrong, in words: what lost data first, the rest only counted where it is too much to read.
fn told(summary: &BuildSummary) -> Vec<String> {
    let (lost, noted): (Vec<_>, Vec<_>) = summary.all_problems().partition(|p| p.loses_data());
    let all = lost.into_iter().chain(noted);
    let mut told: Vec<String> = all.take(TOLD).map(ToString::to_string).collect();
    let more = summary.all_problems().count() - told.len();
    if more > 0 {
        told.push(format!("{more} more problems"));
    }
    told
}

fn behind(index: IndexStatus) -> String {
    format!(
        "the log index is {} s behind: {} builds that were classified cannot be searched yet",
        index.lag_seconds, index.waiting_builds
    )
}

/// What could not be fetched of a log leaves the build `partial-log`; of what is there, intake knows
/// whether a part was lost.
fn incomplete(verdict: Verdict, missing: &[String]) -> Verdict {
    match verdict {
        Verdict::Matched | Verdict::Unmatched if !missing.is_empty() => Verdict::PartialLog,
        other => other,
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

    fn outdated(&self, older: &[(String, String)]) -> Vec<NewNote> {
        self.speaker.outdated(older)
    }

    fn returned(&self, back: &ReturnedBug, seen: &SeenBug, now: Timestamp) -> Vec<NewNote> {
        self.speaker.returned(back, seen, now)
    }

    fn outage(&self, outage: &Outage, lasted: Option<SignedDuration>) -> Vec<NewNote> {
        self.speaker.outage(outage, lasted)
    }

    fn settled(&self, now: Timestamp) -> Vec<String> {
        self.elsewhere()
            .map_or_else(Vec::new, |remote| remote.settled(now))
    }

    fn ended_since(&self, from: Timestamp) -> Result<Vec<Build>, String> {
        let Some(remote) = self.elsewhere() else {
            return Ok(Vec::new());
        };
        if let Some(why) = remote.absence() {
            return Err(why);
        }
        cluster::found_since(remote.store(), from).map_err(|e| e.to_string())
    }

    fn tend(&self) {
        let Some(remote) = &self.remote else { return };
        if !remote.is_reached() {
            if !remote.try_again() {
                return;
            }
            self.read_for(remote);
        }
        if !remote.answers_now() {
            return;
        }
        if remote.learn_new_kinds() {
            self.read_for(remote);
        }
        if remote.is_foreign() || !remote.begins_round() {
            return;
        }
        if let Err(error) = self.catch_up(remote) {
            tracing::warn!(error, "what is not indexed yet could not be seen to");
            remote.pause_round();
        }
    }

    fn keep_index(&self, drain: &CancellationToken, quit: &CancellationToken) {
        if let Some(indexer) = &self.indexer {
            indexer.run(IndexStop { drain, quit });
        }
    }

    fn index_status(&self) -> Option<IndexStatus> {
        self.indexer.as_ref().map(Indexer::status)
    }

    fn cluster(&self) -> Option<ClusterStatus> {
        self.remote.as_ref().map(Remote::status)
    }

    fn can_look(&self) -> bool {
        self.elsewhere().is_none_or(Remote::answers)
    }

    fn has_logs(&self, uuid: &str) -> bool {
        self.elsewhere().is_some() || self.spool.root(uuid).is_dir()
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
        for url in made
            .unexplained
            .iter_mut()
            .filter_map(|row| row.log_url.as_mut())
        {
            *url = self.redactor.text(url);
        }
        if let Some(remote) = self.elsewhere() {
            let asked = self.survey(remote, now);
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
        let health = self.health();
        if health.state == HealthState::Down {
            all.extend(health.problems);
        }
        all
    }

    fn warnings(&self) -> Vec<String> {
        let health = self.health();
        let mut all = match health.state {
            HealthState::Degraded => health.problems,
            HealthState::Ok | HealthState::Down => Vec::new(),
        };
        all.extend(
            self.index_status()
                .filter(|index| index.lag_seconds > LATE)
                .map(behind),
        );
        all
    }

    fn search(&self, query: &str, limit: usize, now: Timestamp) -> Result<Searched, SearchError> {
        if let Some(why) = self.remote.as_ref().and_then(Remote::absence) {
            return Err(SearchError::Store(why));
        }
        let schema = self.remote.as_ref().map(Remote::schema).unwrap_or_default();
        search((&*self.store, self.patience), &schema, query, limit, now)
    }

    fn forget(&self, limit: Timestamp) -> Result<(), String> {
        self.store
            .delete_before(limit)
            .map(|_| ())
            .map_err(|e| e.to_string())
    }
}
