//! Notes on pull requests of GitHub, by REST: one comment that is edited, and for Apps a check run.

use super::app::App;
use super::check;
use super::http::{Answer, PAGES, Service, SetUpError, in_time};
use super::markdown;
use super::marker::Marker;
use super::wanted::{Purpose, Wanted, is_number};
use crate::note::{Refusal, Said, Saying, Target, Then};
use crate::state::Note;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tokio::sync::OnceCell;
use url::Url;

/// Longest comment that GitHub takes, in characters.
const LONGEST: usize = 65_536;
/// The wait when GitHub asks for less haste without saying for how long.
const LESS_HASTE: Duration = Duration::from_secs(60);

/// Who we are at GitHub.
#[derive(Debug)]
pub enum GitHubAuth {
    /// An account with a token.
    Token(String),
    /// A GitHub App.
    App(Box<App>),
}

/// How to reach a GitHub.
pub struct GitHubSettings {
    /// The address of its API: `https://api.github.com`, or `https://HOST/api/v3`.
    pub url: Url,
    /// Who we are there.
    pub auth: GitHubAuth,
    /// The login under which the account writes, where the token cannot ask for it.
    pub login: Option<String>,
    /// How the check run is called that an App makes; without it, none is made.
    pub check_run: Option<String>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl fmt::Debug for GitHubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubSettings")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// A GitHub.
#[derive(Debug)]
pub struct GitHub {
    settings: GitHubSettings,
    service: Service,
    login: OnceCell<String>,
}

/// A pull request, and who speaks there.
pub(super) struct Place<'a> {
    pub(super) hub: &'a GitHub,
    pub(super) repository: &'a str,
    pub(super) wanted: &'a Wanted,
}

/// A comment that is there.
struct Found {
    id: u64,
    generation: u64,
}

/// What is asked of a pull request.
struct Pull {
    state: String,
    merged: bool,
    head: String,
}

impl GitHub {
    /// A target; nothing is sent yet.
    pub fn new(settings: GitHubSettings) -> Result<Self, SetUpError> {
        let secrets = match &settings.auth {
            GitHubAuth::Token(token) => vec![token.clone()],
            GitHubAuth::App(_) => Vec::new(),
        };
        Ok(Self {
            service: Service::new(&settings.url, settings.timeout, secrets)?,
            login: OnceCell::new_with(settings.login.clone()),
            settings,
        })
    }

    async fn told(&self, note: &Note) -> Result<Said, Refusal> {
        let wanted = Wanted::of(note)?;
        if !is_number(&wanted.change) || !is_repository(&wanted.project) {
            let error = format!("{}#{} is no pull request", wanted.project, wanted.change);
            return Err(Refusal::park(error));
        }
        let place = Place {
            hub: self,
            repository: &wanted.project,
            wanted: &wanted,
        };
        place.told(note).await
    }

    async fn login(&self, place: &Place<'_>) -> Result<&str, Refusal> {
        let ask = async || match &self.settings.auth {
            GitHubAuth::App(app) => Ok(app.own(&self.service).await?.1.clone()),
            GitHubAuth::Token(_) => {
                let answer = place.get(self.service.url(&["user"])).await?;
                let login = answer.json()?["login"].as_str().map(str::to_owned);
                login.ok_or_else(|| answer.not_understood("no user"))
            }
        };
        self.login.get_or_try_init(ask).await.map(String::as_str)
    }
}

impl Target for GitHub {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(in_time(self.settings.timeout, self.told(note)))
    }
}

impl Place<'_> {
    async fn told(&self, note: &Note) -> Result<Said, Refusal> {
        let found = match self.remembered(note).await? {
            Some(found) => Some(found),
            None => self.search(note).await?,
        };
        if found.is_none() && self.wanted.takes_back() {
            return Ok(Said::default());
        }
        let done = found.as_ref().filter(|f| f.generation >= note.generation);
        let head = match self.head().await {
            // What is said is said; only its check run is not wanted any more.
            Err(refusal) if refusal.then == Then::Drop && done.is_some() => None,
            head => head?,
        };
        let id = match done {
            Some(found) => found.id,
            None => self.write(note, found.as_ref()).await?,
        };
        self.check_run(note, head).await?;
        Ok(Said {
            remote: Some(id.to_string()),
        })
    }

    /// The newest commit, if it still is the one that the note is about and somebody waits for it;
    /// none for what only takes back.
    async fn head(&self) -> Result<Option<String>, Refusal> {
        if self.wanted.takes_back() || self.wanted.purpose == Purpose::Answer {
            return Ok(None);
        }
        let pull = self.pull().await?;
        if pull.state == "closed" && !pull.merged {
            return Err(Refusal::outdated("the pull request is closed"));
        }
        match self.wanted.head() {
            Some(sha) if pull.head != sha => Err(Refusal::outdated(
                "a newer commit is the head of the pull request",
            )),
            _ => Ok(Some(pull.head)),
        }
    }

    async fn pull(&self) -> Result<Pull, Refusal> {
        let answer = self.get(self.url(&["pulls", &self.wanted.change])).await?;
        if answer.status == 404 {
            return Err(self.nowhere());
        }
        let json = answer.json()?;
        let read = || {
            Some(Pull {
                state: json["state"].as_str()?.to_owned(),
                merged: json["merged_at"].is_string(),
                head: json["head"]["sha"].as_str()?.to_owned(),
            })
        };
        read().ok_or_else(|| answer.not_understood("no pull request"))
    }

    fn nowhere(&self) -> Refusal {
        let (name, number) = (self.repository, &self.wanted.change);
        Refusal::park(format!(
            "there is no {name}#{number}, or the account may not see it"
        ))
    }

    /// The comment that we know the number of, if it is still there.
    async fn remembered(&self, note: &Note) -> Result<Option<Found>, Refusal> {
        let Some(id) = note.remote.as_deref().filter(|id| is_number(id)) else {
            return Ok(None);
        };
        let answer = self.get(self.url(&["issues", "comments", id])).await?;
        if matches!(answer.status.as_u16(), 404 | 410) {
            return Ok(None);
        }
        let login = self.hub.login(self).await?;
        Ok(found(&answer.json()?, note, login))
    }

    /// Our comment about the same among all comments.
    async fn search(&self, note: &Note) -> Result<Option<Found>, Refusal> {
        let login = self.hub.login(self).await?;
        let mut url = self.url(&["issues", &self.wanted.change, "comments"]);
        url.set_query(Some("per_page=100"));
        let pages = self.pages(url, None).await?;
        Ok(pages.iter().find_map(|one| found(one, note, login)))
    }

    /// All of a list, page by page; `key` where it stands in an object.
    pub(super) async fn pages(&self, first: Url, key: Option<&str>) -> Result<Vec<Value>, Refusal> {
        let (mut all, mut next) = (Vec::new(), Some(first));
        for _ in 0..PAGES {
            let Some(url) = next.take() else {
                return Ok(all);
            };
            let answer = self.get(url).await?;
            if answer.status == 404 {
                return Err(self.nowhere());
            }
            let mut json = answer.json()?;
            let list = match key {
                Some(key) => json[key].take(),
                None => json.take(),
            };
            let Value::Array(list) = list else {
                return Err(answer.not_understood("no list"));
            };
            all.extend(list);
            next = answer.next_link();
            if next.as_ref().is_some_and(|url| !self.hub.service.owns(url)) {
                return Err(answer.not_understood("the next page is somewhere else"));
            }
        }
        Err(Refusal::park("there are too many comments to look through"))
    }

    async fn write(&self, note: &Note, found: Option<&Found>) -> Result<u64, Refusal> {
        let folded = self.wanted.purpose == Purpose::Fold;
        let page = self.wanted.page.as_deref();
        let body = json!({ "body": markdown::comment(note, page, folded, LONGEST) });
        let answer = if let Some(found) = found {
            let url = self.url(&["issues", "comments", &found.id.to_string()]);
            self.send(Method::PATCH, url, Some(&body)).await?
        } else {
            let url = self.url(&["issues", &self.wanted.change, "comments"]);
            self.send(Method::POST, url, Some(&body)).await?
        };
        if found.is_some() && matches!(answer.status.as_u16(), 404 | 410) {
            return Err(Refusal::again("the comment is not there any more"));
        }
        let id = answer.json()?["id"].as_u64();
        id.ok_or_else(|| answer.not_understood("no comment"))
    }

    /// Only an App can make check runs.
    async fn check_run(&self, note: &Note, head: Option<String>) -> Result<(), Refusal> {
        let GitHubAuth::App(app) = &self.hub.settings.auth else {
            return Ok(());
        };
        if !self.wanted.judges() {
            return Ok(());
        }
        let Some(name) = self.hub.settings.check_run.as_deref() else {
            return Ok(());
        };
        let named = self.wanted.head().map(str::to_owned);
        // What is folded away stands on a commit that nobody looks at any more.
        let Some(sha) = head
            .or(named)
            .filter(|_| self.wanted.purpose != Purpose::Fold)
        else {
            return Ok(());
        };
        let (app, _) = app.own(&self.hub.service).await?;
        check::run(self, note, name, &sha, *app).await
    }

    pub(super) fn url(&self, rest: &[&str]) -> Url {
        let (owner, name) = self.repository.split_once('/').unwrap_or_default();
        let mut path = vec!["repos", owner, name];
        path.extend(rest);
        self.hub.service.url(&path)
    }

    async fn get(&self, url: Url) -> Result<Answer, Refusal> {
        self.send(Method::GET, url, None).await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Answer, Refusal> {
        let service = &self.hub.service;
        let token = match &self.hub.settings.auth {
            GitHubAuth::Token(token) => token.clone(),
            GitHubAuth::App(app) => app.token(service, self.repository).await?,
        };
        let mut request = headers(service.client().request(method, url)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = judged(service.send(request).await?)?;
        if answer.status == 401
            && let GitHubAuth::App(app) = &self.hub.settings.auth
        {
            app.forget(self.repository).await;
            return Err(Refusal::again("the token of the installation has ended"));
        }
        Ok(answer)
    }
}

/// What every request says.
pub(super) fn headers(request: RequestBuilder) -> RequestBuilder {
    request
        .header("Accept", "application/vnd.github+json")
        .header("X-GitHub-Api-Version", "2022-11-28")
}

/// An answer, but for those that mean the same for every request: too much haste, and what has moved.
pub(super) fn judged(answer: Answer) -> Result<Answer, Refusal> {
    let status = answer.status.as_u16();
    if matches!(status, 403 | 429) {
        let haste = answer.quote().to_lowercase().contains("rate limit");
        let wish = answer.wish().or(haste.then_some(LESS_HASTE));
        if wish.is_some() || status == 429 {
            let error = format!(
                "asks for less haste: answered {}{}",
                answer.status,
                answer.quote()
            );
            return Err(Refusal {
                error,
                then: Then::Rest(wish.or(Some(LESS_HASTE))),
            });
        }
    }
    if answer.status.is_redirection() {
        return Err(Refusal::park(
            "has moved: the repository has another name now",
        ));
    }
    Ok(answer)
}

/// A comment of ours that is about the same.
fn found(json: &Value, note: &Note, login: &str) -> Option<Found> {
    let ours = json["user"]["login"].as_str()?.eq_ignore_ascii_case(login);
    let marker = Marker::at_end(json["body"].as_str()?)?;
    (ours && marker.is_of(note)).then_some(Found {
        id: json["id"].as_u64()?,
        generation: marker.generation,
    })
}

/// True for `OWNER/NAME`.
fn is_repository(name: &str) -> bool {
    let plain = |part: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
    };
    name.split_once('/')
        .is_some_and(|(owner, name)| plain(owner) && plain(name))
}
