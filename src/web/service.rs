//! The running service: opening, background tasks, stopping.

use super::arrivals::{Arrivals, ArrivalsError};
use super::commands::CommandsError;
use super::patient::{self, Patient};
use super::sources::{SourceError, Sources};
use super::tell::{TargetError, Targets};
use super::{
    App, comments, digests, ears, elsewhere, happenings, held, rechecks, reports, router, tell,
};
use crate::chance::Plan;
use crate::chaos::driver::{self, ChaoticTracker, DriverError};
use crate::classify::engine::Engine;
use crate::classify::ledger::StateLedger;
use crate::classify::meter::{ClusterMeter, Meter};
use crate::classify::pipeline::Pipeline;
use crate::classify::reclassify::SecondLook;
use crate::classify::spool::Spool;
use crate::config::Config;
use crate::note::{Bell, Outbox, Voice};
use crate::report::Schedule;
use crate::source::{Desk, Said, Source};
use crate::state::{FolderLock, Role, State, StateError};
use crate::tracker::{Refresher, Wanted};
use axum::Router;
use jiff::{SignedDuration, Timestamp};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often changed fingerprints and a due report are looked for.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How often old builds are dropped.
const TIDY: Duration = Duration::from_secs(3600);
/// How often it is looked for verdicts of other fingerprints where other processes give some.
const SHARED_CHECK: Duration = Duration::from_secs(60);
/// How long a stopping service tries to give back what it has taken.
const GIVE_BACK: Duration = Duration::from_secs(5);
/// How long a stop waits for the index, which is no more than a cache of the logs.
const FINISH_INDEX: Duration = Duration::from_secs(5);
/// Logs of a build that is not known, because a stop came between, are kept this long.
const ORPHAN: SignedDuration = SignedDuration::from_hours(24);

/// Why the service cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The state or its folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The schedule of the report.
    #[error("report.schedule: {0}")]
    Schedule(String),
    /// A schedule of digests; the message names the key.
    #[error("{0}")]
    Digests(String),
    /// Fingerprints or index.
    #[error(transparent)]
    Engine(#[from] super::LocalError),
    /// A target of notes.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Commands cannot be taken.
    #[error(transparent)]
    Commands(#[from] CommandsError),
    /// Logs cannot be fetched.
    #[error(transparent)]
    Arrivals(#[from] ArrivalsError),
    /// A bug tracker cannot be set up.
    #[error("trackers: {0}")]
    Tracker(String),
    /// A source cannot be set up.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing can be made to fail.
    #[error(transparent)]
    Chaos(#[from] DriverError),
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ServiceError {
    let what = what.into();
    move |source| ServiceError::Io { what, source }
}

/// What the time is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A service that listens.
#[derive(Debug)]
pub struct Service {
    app: Arc<App>,
    listener: TcpListener,
    stop: CancellationToken,
    targets: Targets,
    said: mpsc::Receiver<Said>,
    bell: Bell,
    digests: Vec<digests::Plan>,
    sources: Vec<Arc<dyn Source>>,
    hooks: Router,
    arrivals: Arrivals,
    trackers: Refresher,
    _lock: FolderLock,
}

impl Service {
    /// Takes the data folder and the address. The state comes first, so that a second service on
    /// the same folder is told so.
    pub async fn open<E, F>(config: Config, engine: F) -> Result<Self, ServiceError>
    where
        E: Engine,
        F: FnOnce(&Config, &Spool, &Arc<State>, Vec<Voice>) -> Result<Arc<E>, ServiceError>,
    {
        Self::open_at(config, Arc::new(Timestamp::now), engine).await
    }

    /// As [`Service::open`], with another clock for reports and for what is too old to keep.
    pub async fn open_at<E, F>(
        mut config: Config,
        clock: Clock,
        engine: F,
    ) -> Result<Self, ServiceError>
    where
        E: Engine,
        F: FnOnce(&Config, &Spool, &Arc<State>, Vec<Voice>) -> Result<Arc<E>, ServiceError>,
    {
        schedule(&config.report.schedule)?;
        let digests = digests::plans(&config).map_err(ServiceError::Digests)?;
        let lock = FolderLock::acquire(&config.data_dir)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(io(format!("cannot listen on {}", config.listen)))?;
        // Port 0 has become a real one, and links need it.
        config.listen = listener.local_addr().map_err(io("address"))?;
        let base = config.notes.base_url.take();
        config.notes.base_url = Some(base.unwrap_or_else(|| own_url(config.listen)));
        let plan = driver::plan(&config.chaos, &config.data_dir.join("chaos"))?;
        let (state, spool) = open_state(&config, plan.clone()).await?;
        let stop = CancellationToken::new();
        let targets = Targets::open(&config, &stop)?.failing(plan.as_deref());
        let voices = targets.voices.clone();
        let engine: Arc<dyn Engine> = engine(&config, &spool, &state, voices)?;
        let recorder = PrometheusBuilder::new().build_recorder();
        let bell = Bell::default();
        let meter = Arc::new(Meter::new(&recorder));
        let ledger = StateLedger::new(state.clone(), engine.clone(), bell.clone());
        let pipeline = Arc::new(Pipeline::start(
            Arc::new(ledger),
            engine.clone(),
            meter.clone(),
            config.intake.queue,
            config.intake.workers,
        ));
        let (desk, said) = desk(&config, &state, &pipeline, &engine);
        let desk = Arc::new(desk);
        let Sources { all, hooks } = Sources::open(&config, &desk)?.failing(plan.as_deref());
        let trackers = trackers(&config, &state, plan.as_deref())?.with_nudge(bell.rings());
        let arrivals = Arrivals::new(&config, &all)?.failing(plan.as_deref());
        let cluster_meter = engine.cluster().map(|_| ClusterMeter::new(&recorder));
        let app = Arc::new(App {
            state,
            engine,
            pipeline,
            desk,
            progress: Arc::default(),
            spool,
            meter,
            cluster_meter,
            prometheus: recorder.handle(),
            recorder,
            redactor: super::commands::redactor(&config).unwrap_or_default(),
            measurement: super::measured::Measurement::of(&config),
            told: tell::told(&targets.lanes),
            clock,
            ended: Mutex::default(),
            locks: std::array::from_fn(|_| Mutex::default()),
            turns: super::turns::Turns::default(),
            overview: super::kept::Kept::default(),
            config,
        });
        Ok(Self {
            app,
            listener,
            stop,
            targets,
            said,
            bell,
            digests,
            sources: all,
            hooks,
            arrivals,
            trackers,
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr, ServiceError> {
        self.listener.local_addr().map_err(io("address"))
    }

    /// Cancelling it stops the service.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Serves until the stopper is cancelled; then finishes what was begun. True when nothing was
    /// left over.
    pub async fn run(self) -> Result<bool, ServiceError> {
        let tasks = TaskTracker::new();
        let (app, stop) = (&self.app, &self.stop);
        let mut targets = self.targets;
        let lanes = std::mem::take(&mut targets.lanes);
        let outbox = Outbox::new(lanes, self.bell.clone());
        // Until the last build is done, which is later than `stop`.
        let done = CancellationToken::new();
        let leases = tokio::spawn(renew(app.state.clone(), done.clone()));
        let (index, quit) = (TaskTracker::new(), CancellationToken::new());
        keep_index(&index, app, &done, &quit);
        keep_up(&tasks, app, stop);
        background(
            &tasks,
            app,
            "notes",
            outbox.run(app.state.clone(), stop.clone()),
        );
        if !self.digests.is_empty() {
            let sending = digests::send(app.clone(), self.digests, self.bell.clone(), stop.clone());
            background(&tasks, app, "digests", sending);
        }
        let telling = happenings::tell(app.clone(), self.bell.clone(), stop.clone());
        background(&tasks, app, "happenings", telling);
        hear(&tasks, app, stop, self.arrivals, self.sources);
        answer(&tasks, app, stop, targets, self.said, &self.bell)?;
        let asking = self.trackers.run(wanted(app), stop.clone());
        background(&tasks, app, "bug trackers", asking);
        let drain = self.app.config.drain.0;
        let stopping = self.stop.clone().cancelled_owned();
        // Twice, so that a handler that waits for a body answers before the connection is cut.
        let patience = self.app.config.intake.patience.0 * 2;
        let listener = Patient::new(self.listener, patience, patient::room());
        let serve = axum::serve(listener, router(self.app.clone()).merge(self.hooks));
        let serve = serve.with_graceful_shutdown(stopping).into_future();
        // A sender that never ends its request must not hold the service up.
        let begun = OnceLock::new();
        let late = async {
            self.stop.cancelled().await;
            let _ = begun.set(Instant::now());
            tokio::time::sleep(drain / 2).await;
        };
        tokio::select! {
            served = serve => served.map_err(io("serving"))?,
            () = late => tracing::warn!("some requests did not end in time"),
        }
        self.stop.cancel();
        // What requests have used up is gone: the whole stop takes no longer than `drain`.
        let left = drain.saturating_sub(begun.get().map_or(Duration::ZERO, Instant::elapsed));
        tasks.close();
        let rest = tokio::time::timeout(left, tasks.wait());
        let (clean, rest) = tokio::join!(self.app.pipeline.drain(left), rest);
        done.cancel();
        let left = drain.saturating_sub(begun.get().map_or(Duration::ZERO, Instant::elapsed));
        finish_index(&index, left.min(FINISH_INDEX), &quit).await;
        let given_back = tokio::time::timeout(GIVE_BACK, leases).await;
        if given_back.is_err() {
            tracing::warn!("leases could not be given back in time");
        }
        tracing::info!(clean, "stopped");
        Ok(clean && rest.is_ok())
    }
}

/// Who asks bug trackers.
fn trackers(
    config: &Config,
    state: &Arc<State>,
    plan: Option<&Plan>,
) -> Result<Refresher, ServiceError> {
    let trackers = Refresher::new(&config.trackers, state.clone());
    let trackers = trackers.map_err(|error| ServiceError::Tracker(error.to_string()))?;
    Ok(match plan {
        None => trackers,
        Some(plan) => trackers.wrapped(|inner| Arc::new(ChaoticTracker::new(inner, plan))),
    })
}

/// Has the index filled on a thread of its own, which gives way to all others.
fn keep_index(
    tasks: &TaskTracker,
    app: &Arc<App>,
    drain: &CancellationToken,
    quit: &CancellationToken,
) {
    let (sender, ended) = tokio::sync::oneshot::channel();
    let (engine, drain, quit) = (app.engine.clone(), drain.clone(), quit.clone());
    let work = move || {
        engine.keep_index(&drain, &quit);
        // Nobody listens any more when the service has stopped.
        let _ = sender.send(());
    };
    let thread = std::thread::Builder::new().name("log index".into());
    if let Err(error) = thread.spawn(work) {
        tracing::error!(%error, "no thread for the log index");
    }
    // A thread that panicked, or never was, has dropped its end: the task then ends as it did.
    let indexing = async { assert!(ended.await.is_ok(), "the thread has ended") };
    background(tasks, app, "log index", indexing);
}

/// Gives the index a little time; what is not indexed by then is found at the next start.
async fn finish_index(index: &TaskTracker, left: Duration, quit: &CancellationToken) {
    index.close();
    if tokio::time::timeout(left, index.wait()).await.is_err() {
        tracing::info!("the other builds are indexed after the next start");
    }
    quit.cancel();
}

/// Starts what goes on beside the builds: second looks, reports, retention, and what a cluster needs.
fn keep_up(tasks: &TaskTracker, app: &Arc<App>, stop: &CancellationToken) {
    let rules = watch_rules(app.clone(), stop.clone());
    background(tasks, app, "re-classification", rules);
    let reports = make_reports(app.clone(), stop.clone());
    background(tasks, app, "reports", reports);
    background(tasks, app, "retention", tidy(app.clone(), stop.clone()));
    if let Some(cluster) = app.config.store.elsewhere() {
        let watch = elsewhere::watch(app.clone(), cluster.discover.clone(), stop.clone());
        background(tasks, app, "logs elsewhere", watch);
    }
    if app.engine.cluster().is_some() {
        let tending = tend(app.clone(), stop.clone());
        background(tasks, app, "log store", tending);
    }
}

/// The state, and the logs that belong to it.
async fn open_state(
    config: &Config,
    plan: Option<Arc<Plan>>,
) -> Result<(Arc<State>, Spool), ServiceError> {
    let config = config.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let state = match &config.state.url {
            None => {
                let file = config.data_dir.join("state.db");
                not_emptied(&file, &config.shared_dir().join("logs"))?;
                State::open(file)?
            }
            Some(url) => State::connect(url.expose())?,
        };
        let folder = config.shared_dir();
        state.own_logs(folder)?;
        let spool = if state.shared() {
            Spool::open_shared(folder)
        } else {
            Spool::open(folder)
        };
        let spool = spool.map_err(io(folder.display().to_string()))?;
        let state = match plan {
            Some(plan) => state.failing(plan),
            None => state,
        };
        Ok((Arc::new(state), spool))
    });
    let failed = |error: tokio::task::JoinError| io("state")(error.into());
    opened.await.map_err(failed)?
}

/// A file that is made anew is empty too, but then there are no logs either.
fn not_emptied(file: &Path, logs: &Path) -> Result<(), StateError> {
    let empty = std::fs::metadata(file).is_ok_and(|facts| facts.len() == 0);
    let any = || std::fs::read_dir(logs).is_ok_and(|mut all| all.next().is_some());
    if empty && any() {
        return Err(StateError::Emptied {
            place: file.display().to_string(),
            logs: logs.display().to_string(),
        });
    }
    Ok(())
}

/// Renews what this process has taken of a state that several share, until `stop`; then gives it back.
async fn renew(state: Arc<State>, stop: CancellationToken) {
    let Some(every) = state.renewal() else {
        return;
    };
    loop {
        let state = state.clone();
        let renewed = tokio::task::spawn_blocking(move || state.renew()).await;
        if let Ok(Err(error)) = renewed {
            tracing::warn!(%error, "leases could not be renewed; others may take over");
        }
        if wait(&stop, every).await {
            break;
        }
    }
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || state.resign()).await {
        tracing::warn!(%error, "leases could not be given back; others take over when they end");
    }
}

/// Starts a task that should run as long as the service; `/healthz` says when it does not.
fn background(
    tasks: &TaskTracker,
    app: &Arc<App>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let app = app.clone();
    tasks.spawn(async move {
        if let Err(error) = tokio::spawn(task).await {
            tracing::error!(name, %error, "a background task has ended");
            held(&app.ended).push(name);
        }
    });
}

/// Where sources bring what they hear.
fn desk(
    config: &Config,
    state: &Arc<State>,
    pipeline: &Arc<Pipeline>,
    engine: &Arc<dyn Engine>,
) -> (Desk, mpsc::Receiver<Said>) {
    let (pipeline, engine) = (pipeline.clone(), engine.clone());
    Desk::new(
        state.clone(),
        config.store.elsewhere().is_none(),
        Box::new(move |uuid| pipeline.nudge(uuid)),
        Box::new(move |older| engine.outdated(older)),
    )
}

/// Hears of builds, and fetches their logs.
fn hear(
    tasks: &TaskTracker,
    app: &Arc<App>,
    stop: &CancellationToken,
    arrivals: Arrivals,
    sources: Vec<Arc<dyn Source>>,
) {
    let arriving = arrivals.run(app.clone(), stop.clone());
    background(tasks, app, "log downloads", arriving);
    for source in sources {
        let (desk, stop) = (app.desk.clone(), stop.clone());
        let hearing = async move { source.run(desk, stop).await };
        background(tasks, app, "a source", hearing);
    }
}

/// Answers people where they can speak to us, and decides about rechecks.
fn answer(
    tasks: &TaskTracker,
    app: &Arc<App>,
    stop: &CancellationToken,
    people: Targets,
    said: mpsc::Receiver<Said>,
    bell: &Bell,
) -> Result<(), ServiceError> {
    let commander = ears::commander(app, people.voices.clone())?;
    let all = || (app.clone(), commander.clone(), bell.clone(), stop.clone());
    for handle in people.irc {
        let (work, commander, bell, stop) = all();
        let listening = ears::irc(work, handle, commander, bell, stop);
        background(tasks, app, "commands", listening);
    }
    for ear in people.matrix {
        let (work, commander, bell, stop) = all();
        let listening = ears::matrix(work, ear, commander, bell, stop);
        background(tasks, app, "commands", listening);
    }
    let speaker = tell::speaker(&app.config, people.voices.clone());
    let speaker = Arc::new(speaker.map_err(CommandsError::from)?);
    let deciding = rechecks::watch(app.clone(), speaker, bell.clone(), stop.clone());
    background(tasks, app, "rechecks", deciding);
    let (work, commander, bell, stop) = all();
    let listening = comments::answer(work, said, commander, people.voices, bell, stop);
    background(tasks, app, "comments", listening);
    Ok(())
}

/// The bugs that trackers are asked for.
fn wanted(app: &Arc<App>) -> impl Fn() -> Vec<Wanted> + Send + 'static {
    let app = app.clone();
    move || {
        let rules = app.engine.rules();
        let all = rules.fingerprints.iter().map(|rule| Wanted {
            bug: rule.bug.clone(),
            resolved_at: rule.resolved_at,
        });
        all.collect()
    }
}

/// An address that leads here, as far as we can know.
fn own_url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("http://localhost:{}", address.port());
    }
    format!("http://{address}")
}

/// The schedule, checked.
fn schedule(text: &str) -> Result<Schedule, ServiceError> {
    Schedule::parse(text).map_err(|error| ServiceError::Schedule(error.to_string()))
}

/// The first time after `after` at which a report is due.
fn next_run(text: &str, after: Timestamp) -> Option<Timestamp> {
    Schedule::parse(text).ok().map(|s| s.next_after(after))
}

/// True when a report was due after the last one and is at least a minute late.
pub(super) fn stale(text: &str, last: Timestamp, now: Timestamp) -> bool {
    let limit = next_run(text, last).and_then(|t| t.checked_add(SignedDuration::from_mins(1)).ok());
    limit.is_some_and(|limit| limit < now)
}

/// Sees to the cluster that keeps the logs: it may have been away.
async fn tend(app: Arc<App>, stop: CancellationToken) {
    loop {
        let engine = app.engine.clone();
        let tended = tokio::task::spawn_blocking(move || engine.tend()).await;
        if let Err(error) = tended {
            tracing::error!(%error, "the log store could not be seen to");
        }
        if wait(&stop, TICK).await {
            return;
        }
    }
}

/// Looks at stored builds again when the fingerprints have changed, until none is left that was
/// looked at with others.
async fn watch_rules(app: Arc<App>, stop: CancellationToken) {
    let second = SecondLook {
        state: app.state.clone(),
        engine: app.engine.clone(),
        pipeline: app.pipeline.clone(),
    };
    let (mut done, mut before) = (String::new(), None);
    let mut checked = Instant::now();
    while !wait(&stop, TICK).await {
        if !app.state.holds(Role::Keeper) {
            done.clear();
            continue;
        }
        if !app.engine.can_look() {
            // What was looked at in vain meanwhile was not looked at.
            (before, done) = (None, String::new());
            continue;
        }
        let version = app.engine.rules().version.clone();
        // Another process may have given verdicts with what it had then.
        let others = app.state.shared() && checked.elapsed() > SHARED_CHECK;
        if version == done && !others {
            continue;
        }
        checked = Instant::now();
        // A worker that had begun before the change may still record a verdict of the old set.
        let busy = app.pipeline.busy();
        let stale = match second.find(&version).await {
            Ok(stale) => stale,
            Err(error) => {
                tracing::error!(%error, "cannot ask for stored builds");
                continue;
            }
        };
        let builds = stale.builds();
        let in_vain = builds > 0 && before.as_ref() == Some(&stale);
        if !busy && (in_vain || builds == 0) {
            if in_vain {
                tracing::error!(builds, "stored builds keep their old verdict");
            }
            done = version;
            continue;
        }
        if builds == 0 {
            continue;
        }
        tracing::info!(builds, version, "looking at stored builds again");
        // Should the earlier set come back, these builds are of another one.
        done.clear();
        let (progress, meter) = (&app.progress, &app.meter);
        if let Err(error) = second.again(&stale, progress, meter, &stop).await {
            tracing::error!(%error, "cannot ask for stored builds");
        }
        before = Some(stale);
    }
}

async fn make_reports(app: Arc<App>, stop: CancellationToken) {
    let text = app.config.report.schedule.clone();
    let (mut next, mut took_over) = (Some(app.now()), !app.state.shared());
    while !wait(&stop, TICK).await {
        if !app.state.holds(Role::Keeper) {
            took_over = false;
            continue;
        }
        if !took_over {
            next = after_last(&app, &text).await;
            took_over = true;
        }
        let now = app.now();
        if next.is_none_or(|at| at > now) {
            continue;
        }
        next = next_run(&text, now);
        let app = app.clone();
        let made = tokio::task::spawn_blocking(move || reports::make(&app)).await;
        match made {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "no report"),
            Err(error) => tracing::error!(%error, "no report"),
        }
    }
}

/// When a process that takes over makes its first report: when the next one after the last is due.
async fn after_last(app: &Arc<App>, schedule: &str) -> Option<Timestamp> {
    let state = app.state.clone();
    let last = tokio::task::spawn_blocking(move || state.latest_report()).await;
    match last {
        Ok(Ok(Some(report))) => next_run(schedule, report.at),
        _ => Some(app.now()),
    }
}

/// Drops what is older than the retention.
async fn tidy(app: Arc<App>, stop: CancellationToken) {
    loop {
        let work = app.clone();
        let done = tokio::task::spawn_blocking(move || forget(&work)).await;
        if let Ok(Err(error)) = done {
            tracing::error!(%error, "old builds could not be dropped");
        }
        if wait(&stop, TIDY).await {
            return;
        }
    }
}

/// Drops builds when their history ends, and logs long before that.
fn forget(app: &App) -> Result<(), String> {
    let kept = days_ago(app, app.config.store.retention_days)?;
    if !app.state.holds(Role::Keeper) {
        return app.engine.forget(kept);
    }
    let limit = days_ago(app, app.config.report.history_days)?;
    let gone = app.state.delete_before(limit).map_err(|e| e.to_string())?;
    for uuid in &gone {
        app.spool.remove(uuid).map_err(|e| e.to_string())?;
    }
    if !gone.is_empty() {
        tracing::info!(builds = gone.len(), %limit, "old builds dropped");
    }
    drop_logs(app, kept)?;
    app.engine.forget(kept)
}

fn days_ago(app: &App, days: u32) -> Result<Timestamp, String> {
    let age = SignedDuration::from_hours(24 * i64::from(days));
    app.now().checked_sub(age).map_err(|e| e.to_string())
}

/// Drops logs that have had their time, and those that belong to no build: a stop came between
/// dropping the build and its logs, or between a log and its record, and its sender never came back.
fn drop_logs(app: &App, limit: Timestamp) -> Result<(), String> {
    let orphaned = app.now().checked_sub(ORPHAN).map_err(|e| e.to_string())?;
    let mut dropped = 0;
    for uuid in app.spool.builds().map_err(|e| e.to_string())? {
        let Some(changed) = app.spool.changed(&uuid) else {
            continue;
        };
        let nobodys = || app.state.job(&uuid).map(|job| job.is_none());
        if changed < limit || (changed < orphaned && nobodys().map_err(|e| e.to_string())?) {
            app.spool.remove(&uuid).map_err(|e| e.to_string())?;
            dropped += 1;
        }
    }
    if dropped > 0 {
        tracing::info!(builds = dropped, %limit, "old logs dropped");
    }
    Ok(())
}

/// Waits; true when the service stops.
pub(super) async fn wait(stop: &CancellationToken, time: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(time) => false,
    }
}
