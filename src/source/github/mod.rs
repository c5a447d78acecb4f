//! GitHub: notifications of its CI and of pull requests, and what is asked of its API for them.
//!
//! In: signed notifications and, where it is switched on, lists of runs since the mark. Out: builds
//! whose log is one file of the API, patchsets, comments of people.

mod ask;
mod catch_up;
mod read;

pub use catch_up::CatchUp;

use super::hook::{self, Door, Heard, Hearing, Hook, Incoming, Trouble};
use super::recent::Recent;
use super::{Desk, Headers, Running, Said, Source};
use crate::forge::{Api, App, ForgeError, SetUpError};
use axum::Router;
use axum::http::HeaderMap;
use globset::GlobSet;
use jiff::{SignedDuration, Timestamp};
use read::{Comment, Job, News};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

/// GitHub sends no more.
const LARGEST: usize = 25 << 20;
/// Newest commits of pull requests that are remembered.
const REMEMBERED: usize = 10_000;
/// Things that may wait to be asked for.
const WAITING: usize = 1_000;
/// A comment that is older when it comes is not said any more: a signature holds no time, so an old
/// notification could be sent once more.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// Who we are at GitHub.
#[derive(Debug)]
pub enum Account {
    /// An account with a token.
    Token(String),
    /// A GitHub App.
    App(Box<App>),
}

/// One GitHub, and what is heard of it.
pub struct Settings {
    /// The source's name.
    pub name: String,
    /// The address of the API: `https://api.github.com`, or `https://HOST/api/v3`.
    pub api: Url,
    /// The key of the notifications' signature.
    pub secret: String,
    /// Who we are there.
    pub account: Account,
    /// Jobs that do not count for a change, by `WORKFLOW / JOB`.
    pub non_voting: GlobSet,
    /// Apps whose check runs are builds too, with their details as the address of the logs.
    pub checks: Vec<String>,
    /// How long one request may take.
    pub timeout: Duration,
    /// The wait before something is asked again.
    pub retry: Duration,
    /// Looks for what no notification told.
    pub catch_up: Option<CatchUp>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("host", &self.api.host_str())
            .finish_non_exhaustive()
    }
}

/// A GitHub that tells of its builds.
#[derive(Debug)]
pub struct GitHub {
    settings: Settings,
    api: Api,
    /// What the names of builds begin with.
    forge: String,
    door: Door,
    /// Pull requests by repository and newest commit; none where there is none.
    heads: Mutex<Recent<(String, String), Option<u64>>>,
    later: mpsc::Sender<Later>,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Later>>,
}

/// What is asked for after the notification was answered.
#[derive(Debug)]
enum Later {
    /// The jobs of a check suite.
    Suite { project: String, id: u64 },
    /// The pull request of a job that was announced without.
    Change(Box<Job>),
}

impl GitHub {
    /// Makes ready; nothing is asked yet.
    pub fn new(settings: Settings) -> Result<Self, SetUpError> {
        let (later, waiting) = mpsc::channel(WAITING);
        Ok(Self {
            api: Api::new(&settings.api, settings.timeout)?,
            forge: super::forge_name("github", &settings.api, "api.github.com"),
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

    fn heads(&self) -> MutexGuard<'_, Recent<(String, String), Option<u64>>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn notified(&self, desk: &Arc<Desk>, incoming: &Incoming) -> Result<Heard, Trouble> {
        let event = hook::text(&incoming.headers, "x-github-event");
        let event = event.ok_or_else(|| Trouble::Bad("no X-GitHub-Event".to_owned()))?;
        let payload = hook::json(incoming)?;
        let mut heard = Heard::default();
        match read::read(event, &payload, &self.settings.checks, &self.forge) {
            Ok(News::Job(job)) => self.ended(desk, *job).await?,
            Ok(News::Suite { project, id }) => {
                self.ask_later(Later::Suite { project, id }, &mut heard.not_understood);
            }
            Ok(News::Patchset {
                project,
                change,
                commit,
            }) => {
                desk.patchset(&project, &change.to_string(), &commit)
                    .await?;
                self.heads().put((project, commit), Some(change));
            }
            Ok(News::Comment(comment)) => heard.not_understood.extend(self.said(desk, comment)),
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

    /// A job ended. That is durable before its pull request is asked for, should nobody answer.
    async fn ended(&self, desk: &Arc<Desk>, mut job: Job) -> Result<(), Trouble> {
        let found = match job.build.change {
            Some(_) => Ok(()),
            None => self.find_change(&mut job).await,
        };
        if let Err(error) = found {
            tracing::info!(source = self.name(), %error, "a pull request is asked for later");
            let mut lost = Vec::new();
            self.ask_later(Later::Change(Box::new(job.clone())), &mut lost);
            desk.heard(self.name(), Timestamp::now(), 0, &lost);
        }
        self.announce(desk, vec![job], None).await?;
        Ok(())
    }

    fn said(&self, desk: &Desk, comment: Comment) -> Option<String> {
        if Timestamp::now().duration_since(comment.at) > LATE {
            return Some("a comment came more than an hour late".to_owned());
        }
        desk.said(Said {
            source: self.settings.name.clone(),
            project: comment.project,
            change: comment.change,
            patchset: None,
            author: comment.author,
            text: comment.text,
            at: comment.at,
        });
        None
    }

    fn ask_later(&self, later: Later, lost: &mut Vec<String>) {
        if self.later.try_send(later).is_err() {
            lost.push("too much is to be asked for: something was left out".to_owned());
        }
    }

    /// Asks for what waits, until that is done or tried often enough.
    async fn ask(&self, desk: &Arc<Desk>, later: Later) -> Result<(), ForgeError> {
        match later {
            Later::Suite { project, id } => {
                let jobs = self.jobs_of_suite(&project, id).await?;
                self.kept(desk, jobs, None).await
            }
            Later::Change(mut job) => {
                self.find_change(&mut job).await?;
                if job.build.change.is_none() {
                    return Ok(());
                }
                self.kept(desk, vec![*job], None).await
            }
        }
    }
}

impl Hook for GitHub {
    fn door(&self) -> &Door {
        &self.door
    }

    fn limit(&self) -> usize {
        LARGEST
    }

    fn may_knock(&self, headers: &HeaderMap, _query: &str) -> bool {
        hook::text(headers, "x-hub-signature-256").is_some_and(|text| text.len() == 71)
    }

    fn proven(&self, incoming: &Incoming, _now: Timestamp) -> bool {
        let given = hook::text(&incoming.headers, "x-hub-signature-256").unwrap_or_default();
        hook::signed(&self.settings.secret, &[&incoming.body], given)
    }

    fn key(&self, incoming: &Incoming) -> Option<String> {
        let id = hook::text(&incoming.headers, "x-github-delivery")?;
        (id.len() <= 100).then(|| id.to_owned())
    }

    fn hear<'a>(&'a self, desk: &'a Arc<Desk>, incoming: &'a Incoming) -> Hearing<'a> {
        Box::pin(self.notified(desk, incoming))
    }
}

impl Source for GitHub {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn run(&self, desk: Arc<Desk>, stop: CancellationToken) -> Running<'_> {
        Box::pin(self.work(desk, stop))
    }

    fn headers(&self) -> Headers<'_> {
        Box::pin(async {
            let headers = self.request_headers(Timestamp::now()).await;
            headers.map_err(|error| error.to_string())
        })
    }
}
