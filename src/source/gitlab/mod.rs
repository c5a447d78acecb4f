//! GitLab: notifications of its CI and of merge requests, and the few things asked of its API.
//!
//! In: notifications with a shared token. Out: builds whose log is the job's trace by the API,
//! patchsets, comments of people.

mod ask;
mod read;

use super::hook::{self, Door, Heard, Hearing, Hook, Incoming, Trouble};
use super::recent::Recent;
use super::{Announced, Desk, Headers, Logs, Running, Said, Source};
use crate::forge::{Api, ForgeError, SetUpError};
use crate::state::StateError;
use axum::Router;
use axum::http::HeaderMap;
use jiff::Timestamp;
use read::{Job, News, Note};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

/// GitLab's own limit.
const LARGEST: usize = 25 << 20;
/// Newest commits of merge requests that are remembered.
const REMEMBERED: usize = 10_000;
/// Jobs that may wait to be asked about.
const WAITING: usize = 1_000;
/// Tries in vain until something is given up.
const TRIES: u32 = 5;

/// One GitLab.
pub struct Settings {
    /// The source's name.
    pub name: String,
    /// The address of the API: `https://gitlab.com/api/v4`.
    pub api: Url,
    /// The token that notifications bring.
    pub secret: String,
    /// Our token at the API.
    pub token: String,
    /// How long one request may take.
    pub timeout: Duration,
    /// The wait before something is asked again.
    pub retry: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("host", &self.api.host_str())
            .finish_non_exhaustive()
    }
}

/// A GitLab that tells of its builds.
#[derive(Debug)]
pub struct GitLab {
    settings: Settings,
    api: Api,
    forge: String,
    door: Door,
    /// Merge requests by project and newest commit; none where there is none.
    heads: Mutex<Recent<(u64, String), Option<u64>>>,
    later: mpsc::Sender<Job>,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Job>>,
}

impl GitLab {
    /// Makes ready; nothing is asked yet.
    pub fn new(settings: Settings) -> Result<Self, SetUpError> {
        let (later, waiting) = mpsc::channel(WAITING);
        Ok(Self {
            api: Api::new(&settings.api, settings.timeout)?,
            forge: super::forge_name("gitlab", &settings.api, "gitlab.com"),
            settings,
            door: Door::new(),
            heads: Mutex::new(Recent::new(REMEMBERED)),
            later,
            waiting: tokio::sync::Mutex::new(waiting),
        })
    }

    /// The address of the notifications.
    pub fn routes(self: Arc<Self>, desk: Arc<Desk>) -> Router {
        hook::routes(self, desk)
    }

    fn heads(&self) -> MutexGuard<'_, Recent<(u64, String), Option<u64>>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn notified(&self, desk: &Arc<Desk>, incoming: &Incoming) -> Result<Heard, Trouble> {
        let event = hook::text(&incoming.headers, "x-gitlab-event");
        let event = event.ok_or_else(|| Trouble::Bad("no X-Gitlab-Event".to_owned()))?;
        let payload = hook::json(incoming)?;
        let mut heard = Heard::default();
        match read::read(event, &payload, &self.forge) {
            Ok(News::Job(job)) => self.ended(desk, *job).await?,
            Ok(News::Patchset {
                project,
                number,
                change,
                commit,
            }) => {
                desk.patchset(&project, &change.to_string(), &commit)
                    .await?;
                self.heads().put((number, commit), Some(change));
            }
            Ok(News::Note(note)) => self.said(desk, note),
            Ok(News::Nothing) => {}
            Ok(News::Unknown) => {
                let event: String = event.chars().take(60).collect();
                heard
                    .not_understood
                    .push(format!("the event {event:?} is not known"));
            }
            Err(why) => heard.not_understood.push(why),
        }
        Ok(heard)
    }

    /// A job ended. What is asked about it may come later.
    async fn ended(&self, desk: &Arc<Desk>, mut job: Job) -> Result<(), Trouble> {
        if let Err(error) = self.complete(&mut job).await {
            let name = self.settings.name.as_str();
            tracing::info!(source = name, %error, "a merge request is asked for later");
            if self.later.try_send(job.clone()).is_err() {
                let lost = ["too many jobs without a merge request wait".to_owned()];
                desk.heard(name, Timestamp::now(), 0, &lost);
            }
        }
        self.announce(desk, job).await?;
        Ok(())
    }

    async fn announce(&self, desk: &Arc<Desk>, job: Job) -> Result<(), StateError> {
        let (project, id) = (job.project.to_string(), job.id.to_string());
        let url = self.api.url(&["projects", &project, "jobs", &id, "trace"]);
        // A job that never began has no trace.
        let logs = job.build.started.map(|_| Logs::File {
            url: url.into(),
            name: "job-output.txt".to_owned(),
            account: Some(self.settings.name.clone()),
        });
        let build = job.build;
        let announced = vec![Announced { build, logs }];
        desk.announce(&self.settings.name, announced, None).await
    }

    fn said(&self, desk: &Desk, note: Note) {
        desk.said(Said {
            source: self.settings.name.clone(),
            project: note.project,
            change: note.change,
            patchset: note.patchset,
            author: note.author,
            text: note.text,
            at: note.at,
        });
    }

    async fn work(&self, desk: Arc<Desk>, stop: CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        desk.connected(&self.settings.name, Timestamp::now(), None);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(job) = waiting.recv() => tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.patiently(&desk, job) => {}
                },
            }
        }
    }

    /// Asks about a job until there is an answer, or often enough.
    async fn patiently(&self, desk: &Arc<Desk>, mut job: Job) {
        let (name, mut wait) = (self.settings.name.as_str(), self.settings.retry);
        for _ in 0..TRIES {
            let error = match self.complete(&mut job).await {
                Ok(()) => match self.announce(desk, job.clone()).await {
                    Ok(()) => return,
                    Err(error) => ForgeError::Away(format!("could not be kept: {error}")),
                },
                Err(error) => error,
            };
            desk.connected(name, Timestamp::now(), Some(error.to_string()));
            if !error.may_pass() {
                break;
            }
            let pause = match error {
                ForgeError::Later(wish) => wish.max(wait),
                _ => wait,
            };
            tokio::time::sleep(pause).await;
            wait = wait.saturating_mul(2);
        }
        let lost = [format!("the merge request of job {} is not known", job.id)];
        desk.heard(name, Timestamp::now(), 0, &lost);
    }
}

impl Hook for GitLab {
    fn door(&self) -> &Door {
        &self.door
    }

    fn limit(&self) -> usize {
        LARGEST
    }

    fn may_knock(&self, headers: &HeaderMap, _query: &str) -> bool {
        let given = hook::text(headers, "x-gitlab-token").unwrap_or_default();
        hook::same(given, &self.settings.secret)
    }

    fn proven(&self, incoming: &Incoming, _now: Timestamp) -> bool {
        self.may_knock(&incoming.headers, &incoming.query)
    }

    /// `X-Gitlab-Event-UUID` is no key: events that an event causes come with the same one. The body of
    /// a repetition is the same, and since GitLab 17.4 so is this.
    fn key(&self, incoming: &Incoming) -> Option<String> {
        let id = hook::text(&incoming.headers, "idempotency-key")?;
        (id.len() <= 100).then(|| id.to_owned())
    }

    fn hear<'a>(&'a self, desk: &'a Arc<Desk>, incoming: &'a Incoming) -> Hearing<'a> {
        Box::pin(self.notified(desk, incoming))
    }
}

impl Source for GitLab {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn run(&self, desk: Arc<Desk>, stop: CancellationToken) -> Running<'_> {
        Box::pin(self.work(desk, stop))
    }

    fn headers(&self) -> Headers<'_> {
        Box::pin(async { self.token().map_err(|error| error.to_string()) })
    }
}
