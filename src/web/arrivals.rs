//! Logs of announced builds: fetched from where they lie, kept, and the build is complete.

use super::App;
use crate::chance::{Plan, Spot, http};
use crate::classify::download;
use crate::config::{Config, Wrong};
use crate::intake::clean_name;
use crate::intake::download::listing::{Bounds, Choice};
use crate::intake::download::{Answer, DownloadError, Downloader, Fetched, Request};
use crate::source::{Logs, Source};
use crate::state::{Fetch, StateError};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::{NamedTempFile, TempPath};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Builds whose logs are fetched at the same time; the downloader has limits of its own.
const AT_ONCE: usize = 64;
/// How long nobody else takes what is being fetched.
const HOLD: SignedDuration = SignedDuration::from_secs(30);
/// How often that is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How often it is looked for what is due although nobody said so.
const POLL: Duration = Duration::from_secs(1);
/// The wait after the first try in vain; it doubles each time.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(5);
/// The longest wait between two tries.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(5);
/// Files of a local folder that are taken at most.
const FILES: usize = 10_000;

/// Fetches logs.
#[derive(Debug)]
pub(super) struct Arrivals {
    downloader: Downloader,
    choice: Choice,
    deadline: SignedDuration,
    /// Those whose accounts are needed to fetch.
    sources: BTreeMap<String, Arc<dyn Source>>,
    /// Where requests fail on purpose.
    faults: Option<Spot>,
}

/// Why nothing can be fetched.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalsError {
    /// The configuration.
    #[error("{}: {}", .0.path, .0.message)]
    Config(Wrong),
    /// The downloader.
    #[error(transparent)]
    Download(#[from] DownloadError),
}

/// What was fetched.
#[derive(Default)]
struct Got {
    /// Names and files.
    files: Vec<(String, File)>,
    /// What is missing.
    problems: Vec<String>,
    /// True when what is missing may be there later.
    again: bool,
}

struct File {
    path: PathBuf,
    bytes: u64,
    sha256: Option<String>,
}

impl Arrivals {
    pub(super) fn new(config: &Config, sources: &[Arc<dyn Source>]) -> Result<Self, ArrivalsError> {
        let settings = download::settings(&config.download).map_err(ArrivalsError::Config)?;
        let deadline = SignedDuration::try_from(config.download.deadline.0);
        let named = sources.iter().map(|s| (s.name().to_owned(), s.clone()));
        Ok(Self {
            downloader: Downloader::new(settings)?,
            choice: download::choice(&config.download).map_err(ArrivalsError::Config)?,
            deadline: deadline.unwrap_or(SignedDuration::MAX),
            sources: named.collect(),
            faults: None,
        })
    }

    /// The same, of which requests fail as the plan says.
    pub(super) fn failing(mut self, plan: Option<&Plan>) -> Self {
        self.faults = plan.map(|plan| plan.spot(&http::DOWNLOADS));
        self
    }

    /// Fetches what is announced until it is stopped; what is under way then is fetched at the next
    /// start.
    pub(super) async fn run(self, app: Arc<App>, stop: CancellationToken) {
        let this = Arc::new(self);
        let mut under_way = JoinSet::new();
        if let Err(error) = app.state.free_fetches(Timestamp::now()) {
            tracing::error!(%error, "what is to be fetched cannot be read");
        }
        while !stop.is_cancelled() {
            let free = AT_ONCE - under_way.len();
            let taken = if free > 0 {
                take(&app, free).await
            } else {
                Vec::new()
            };
            let more = taken.len() == free && free > 0;
            for fetch in taken {
                let (this, app) = (this.clone(), app.clone());
                under_way.spawn(async move { this.arrive(&app, fetch).await });
            }
            if more {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
                () = app.desk.to_fetch(), if under_way.len() < AT_ONCE => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        under_way.shutdown().await;
    }

    async fn arrive(&self, app: &Arc<App>, fetch: Fetch) {
        let uuid = fetch.uuid.clone();
        let work = self.fetched(app, &fetch);
        tokio::pin!(work);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                () = tokio::time::sleep(RENEW) => hold(app, &uuid).await,
            }
        };
        if let Err(error) = done {
            tracing::error!(uuid, %error, "logs could not be kept");
            put_off(app, &fetch).await;
            // It may have been kept all the same, and then nobody else says so.
            app.pipeline.look_round();
        }
    }

    async fn fetched(&self, app: &Arc<App>, fetch: &Fetch) -> Result<(), String> {
        let folder = app.spool.receive_folder().map_err(|e| e.to_string())?;
        let get = self.get(&fetch.logs, folder.path());
        let got = match &self.faults {
            None => get.await,
            Some(spot) => http::within(spot.clone(), &fetch.uuid, get).await,
        };
        let now = Timestamp::now();
        let late = now.duration_since(fetch.announced_at) >= self.deadline;
        let (uuid, attempts) = (fetch.uuid.clone(), fetch.attempts);
        let app = app.clone();
        let kept = tokio::task::spawn_blocking(move || {
            let _folder = folder;
            keep(&app, &uuid, got.files)?;
            if got.again && !late {
                let next = now.checked_add(wait(attempts)).unwrap_or(Timestamp::MAX);
                tracing::info!(uuid, problems = ?got.problems, "logs are asked for again");
                return app
                    .state
                    .fetch_failed(&uuid, next)
                    .map_err(|e| e.to_string());
            }
            let due = app.state.fetched(&uuid, &got.problems, now);
            if due.map_err(|e| e.to_string())? {
                app.pipeline.nudge(&uuid);
            }
            Ok(())
        });
        kept.await.map_err(|e| e.to_string())?
    }

    async fn get(&self, logs: &str, folder: &Path) -> Got {
        let failed = |problem: String, again: bool| Got {
            problems: vec![problem],
            again,
            ..Got::default()
        };
        let logs: Logs = match serde_json::from_str(logs) {
            Ok(logs) => logs,
            Err(error) => {
                return failed(format!("where the logs are cannot be read: {error}"), false);
            }
        };
        let got = match logs {
            Logs::Root { url } => self.below(&url, folder).await,
            Logs::File { url, name, account } => {
                self.file(&url, &name, account.as_deref(), folder).await
            }
            Logs::Folder { path } => {
                let path = PathBuf::from(path);
                tokio::task::spawn_blocking(move || copied(&path))
                    .await
                    .unwrap_or_else(|error| Err((error.to_string(), true)))
            }
        };
        got.unwrap_or_else(|(problem, again)| failed(problem, again))
    }

    async fn below(&self, url: &str, folder: &Path) -> Result<Got, (String, bool)> {
        let request = Request::new(address(url)?);
        let logs = self
            .downloader
            .logs(&request, &self.choice, &Bounds::default(), folder)
            .await
            .map_err(|error| (error.to_string(), error.is_temporary()))?;
        let (problems, again) = (logs.problems(), logs.is_worth_another_try());
        let there = logs.files.into_iter().filter_map(|(entry, answer)| {
            let fetched = answer.ok()?;
            Some((entry.name, File::of(&fetched)))
        });
        Ok(Got {
            files: there.collect(),
            problems,
            again,
        })
    }

    async fn file(
        &self,
        url: &str,
        name: &str,
        account: Option<&str>,
        folder: &Path,
    ) -> Result<Got, (String, bool)> {
        let mut request = Request::new(address(url)?);
        if let Some(source) = account.and_then(|account| self.sources.get(account)) {
            let headers = source.headers().await.map_err(|error| (error, true))?;
            for (name, value) in headers {
                request = request.header(name, value);
            }
        }
        let target = folder.join("log");
        let answer = self.downloader.fetch(&request, &target).await;
        let answer = answer.map_err(|error| (error.to_string(), error.is_temporary()))?;
        let Answer::Fetched(mut fetched) = answer else {
            return Ok(Got::default());
        };
        fetched.keep().map_err(|error| (error.to_string(), true))?;
        let cut = fetched.cut.as_ref().map(|cut| format!("{name}: {cut}"));
        Ok(Got {
            again: fetched.may_be_whole_later(),
            problems: cut.into_iter().collect(),
            files: vec![(name.to_owned(), File::of(&fetched))],
        })
    }
}

impl File {
    fn of(fetched: &Fetched) -> Self {
        Self {
            path: fetched.path().to_owned(),
            bytes: fetched.bytes,
            sha256: Some(fetched.sha256.clone()),
        }
    }
}

fn address(url: &str) -> Result<Url, (String, bool)> {
    Url::parse(url).map_err(|error| (format!("{url}: {error}"), false))
}

/// Has what could not be kept fetched again soon. Should that fail too, it is tried again when nobody
/// holds it any more.
async fn put_off(app: &Arc<App>, fetch: &Fetch) {
    let (app, uuid, wait) = (app.clone(), fetch.uuid.clone(), wait(fetch.attempts));
    let again = move || {
        let next = Timestamp::now().checked_add(wait);
        app.state
            .fetch_failed(&uuid, next.unwrap_or(Timestamp::MAX))
    };
    if let Ok(Err(error)) = tokio::task::spawn_blocking(again).await {
        tracing::warn!(%error, "it is tried again when nobody holds it any more");
    }
}

/// The files of a folder on this machine. Links are not followed.
fn copied(folder: &Path) -> Result<Got, (String, bool)> {
    let failed = |error: std::io::Error| (format!("{}: {error}", folder.display()), true);
    let mut got = Got::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && got.files.len() >= FILES {
                got.problems = vec![format!("only {FILES} files of the folder were taken")];
            } else if kind.is_file() {
                let path = entry.path();
                let Some(name) = path.strip_prefix(folder).ok().and_then(Path::to_str) else {
                    let problem = format!("{}: not a name", path.display());
                    got.problems.push(problem);
                    continue;
                };
                let bytes = entry.metadata().map_err(failed)?.len();
                let file = File {
                    path: path.clone(),
                    bytes,
                    sha256: None,
                };
                got.files.push((name.to_owned(), file));
            }
        }
    }
    Ok(got)
}

/// Moves what was fetched to its place; what lies in a folder of somebody else is copied.
fn keep(app: &App, uuid: &str, files: Vec<(String, File)>) -> Result<(), String> {
    let _held = app.hold(uuid);
    for (name, file) in files {
        let Ok(name) = clean_name(&name) else {
            tracing::warn!(uuid, name, "a log has a name that is not taken");
            continue;
        };
        let received = received(app, &file).map_err(|e| format!("{name}: {e}"))?;
        app.spool
            .accept(uuid, &name, received)
            .map_err(|e| format!("{name}: {e}"))?;
        let (bytes, digest) = (file.bytes, file.sha256.as_deref());
        app.state
            .record_log(uuid, &name, bytes, digest)
            .map_err(|e: StateError| e.to_string())?;
        app.meter.bytes.increment(bytes);
    }
    Ok(())
}

fn received(app: &App, file: &File) -> std::io::Result<NamedTempFile> {
    if file.sha256.is_some() {
        let opened = std::fs::File::open(&file.path)?;
        opened.sync_all()?;
        let path = TempPath::try_from_path(&file.path)?;
        return Ok(NamedTempFile::from_parts(opened, path));
    }
    let mut copy = app.spool.receive()?;
    std::io::copy(&mut std::fs::File::open(&file.path)?, copy.as_file_mut())?;
    copy.as_file().sync_all()?;
    Ok(copy)
}

async fn take(app: &Arc<App>, limit: usize) -> Vec<Fetch> {
    let app = app.clone();
    let taken = tokio::task::spawn_blocking(move || {
        app.state.take_fetches(Timestamp::now(), HOLD, limit as u64)
    });
    match taken.await {
        Ok(Ok(taken)) => taken,
        Ok(Err(error)) => {
            tracing::error!(%error, "what is to be fetched cannot be read");
            Vec::new()
        }
        Err(error) => {
            tracing::error!(%error, "what is to be fetched cannot be read");
            Vec::new()
        }
    }
}

async fn hold(app: &Arc<App>, uuid: &str) {
    let (app, uuid) = (app.clone(), uuid.to_owned());
    let until = Timestamp::now().checked_add(HOLD).unwrap_or(Timestamp::MAX);
    let held = tokio::task::spawn_blocking(move || app.state.hold_fetch(&uuid, until)).await;
    if let Ok(Err(error)) = held {
        tracing::warn!(%error, "a fetch could not be held; it may be done twice");
    }
}

fn wait(attempts: u32) -> SignedDuration {
    let doubled = FIRST_WAIT.saturating_mul(2_i32.saturating_pow(attempts.min(20)));
    doubled.min(LONGEST_WAIT)
}
