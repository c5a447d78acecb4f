//! Notes on merge requests of a GitLab, by REST.

use super::http::{Answer, PAGES, Service, SetUpError, in_time};
use super::markdown;
use super::marker::Marker;
use super::wanted::{Purpose, Wanted, is_number};
use crate::note::{Refusal, Said, Saying, Target};
use crate::state::Note;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tokio::sync::OnceCell;
use url::Url;

/// Longest note that GitLab takes, in characters.
const LONGEST: usize = 1_000_000;

/// How to reach a GitLab.
#[derive(Clone)]
pub struct GitLabSettings {
    /// Its address, with its path if it has one; without `/api/v4`.
    pub url: Url,
    /// The access token.
    pub token: String,
    /// How long one request may take.
    pub timeout: Duration,
}

impl fmt::Debug for GitLabSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitLabSettings")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// A GitLab.
#[derive(Debug)]
pub struct GitLab {
    settings: GitLabSettings,
    service: Service,
    /// The number of our account.
    own: OnceCell<i64>,
}

/// A note that is there.
struct Found {
    id: u64,
    generation: u64,
}

impl GitLab {
    /// A target; nothing is sent yet.
    pub fn new(settings: GitLabSettings) -> Result<Self, SetUpError> {
        let secrets = vec![settings.token.clone()];
        Ok(Self {
            service: Service::new(&settings.url, settings.timeout, secrets)?,
            settings,
            own: OnceCell::new(),
        })
    }

    async fn told(&self, note: &Note) -> Result<Said, Refusal> {
        let wanted = Wanted::of(note)?;
        if !is_number(&wanted.change) {
            let error = format!("{} does not name a merge request", wanted.change);
            return Err(Refusal::park(error));
        }
        let request = self.merge_request(&wanted).await?;
        let found = match self.remembered(note, &wanted).await? {
            Some(found) => Some(found),
            None => self.search(note, &wanted).await?,
        };
        if let Some(found) = found.as_ref().filter(|f| f.generation >= note.generation) {
            return Ok(said(found.id));
        }
        if found.is_none() && wanted.takes_back() {
            return Ok(Said::default());
        }
        if !wanted.takes_back() && wanted.purpose != Purpose::Answer {
            is_open_for(&request, &wanted)?;
        }
        self.write(note, &wanted, found).await
    }

    async fn merge_request(&self, wanted: &Wanted) -> Result<Value, Refusal> {
        let answer = self.get(self.url(wanted, &[])).await?;
        if answer.status == 404 {
            let (project, number) = (&wanted.project, &wanted.change);
            let error = format!("there is no {project}!{number}, or the token may not see it");
            return Err(Refusal::park(error));
        }
        let json = answer.json()?;
        if json["sha"].is_string() && json["state"].is_string() {
            return Ok(json);
        }
        Err(answer.not_understood("no merge request"))
    }

    /// The note that we know the number of, if it is still there.
    async fn remembered(&self, note: &Note, wanted: &Wanted) -> Result<Option<Found>, Refusal> {
        let Some(id) = note.remote.as_deref().filter(|id| is_number(id)) else {
            return Ok(None);
        };
        let answer = self.get(self.url(wanted, &["notes", id])).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        Ok(found(&answer.json()?, note, self.own().await?))
    }

    /// Our note about the same among all notes.
    async fn search(&self, note: &Note, wanted: &Wanted) -> Result<Option<Found>, Refusal> {
        let own = self.own().await?;
        let mut first = self.url(wanted, &["notes"]);
        first.set_query(Some("per_page=100&sort=desc&order_by=created_at"));
        let mut next = Some(first.clone());
        for _ in 0..PAGES {
            let Some(url) = next.take() else {
                return Ok(None);
            };
            let answer = self.get(url).await?;
            let json = answer.json()?;
            let page = json
                .as_array()
                .ok_or_else(|| answer.not_understood("no list"))?;
            if let Some(one) = page.iter().find_map(|one| found(one, note, own)) {
                return Ok(Some(one));
            }
            next = self.next_page(&answer, &first)?;
        }
        Err(Refusal::park(
            "the merge request has too many notes to look through",
        ))
    }

    fn next_page(&self, answer: &Answer, first: &Url) -> Result<Option<Url>, Refusal> {
        let number = answer.headers.get("X-Next-Page");
        if let Some(number) = number
            .and_then(|n| n.to_str().ok())
            .filter(|n| is_number(n))
        {
            let mut url = first.clone();
            url.query_pairs_mut().append_pair("page", number);
            return Ok(Some(url));
        }
        match answer.next_link() {
            Some(url) if self.service.owns(&url) => Ok(Some(url)),
            Some(_) => Err(answer.not_understood("the next page is somewhere else")),
            None => Ok(None),
        }
    }

    async fn write(
        &self,
        note: &Note,
        wanted: &Wanted,
        found: Option<Found>,
    ) -> Result<Said, Refusal> {
        let folded = wanted.purpose == Purpose::Fold;
        let body = markdown::comment(note, wanted.page.as_deref(), folded, LONGEST);
        let client = self.service.client();
        let request = match &found {
            Some(found) => client.put(self.url(wanted, &["notes", &found.id.to_string()])),
            None => client.post(self.url(wanted, &["notes"])),
        };
        let answer = self.send(request.json(&json!({ "body": body }))).await?;
        if found.is_some() && answer.status == 404 {
            return Err(Refusal::again("the note is not there any more"));
        }
        let id = answer.json()?["id"].as_u64();
        id.map(said).ok_or_else(|| answer.not_understood("no note"))
    }

    async fn own(&self) -> Result<i64, Refusal> {
        let ask = async || {
            let answer = self.get(self.service.url(&["api", "v4", "user"])).await?;
            let number = answer.json()?["id"].as_i64();
            number.ok_or_else(|| answer.not_understood("no user"))
        };
        self.own.get_or_try_init(ask).await.copied()
    }

    fn url(&self, wanted: &Wanted, rest: &[&str]) -> Url {
        let (project, number) = (wanted.project.as_str(), wanted.change.as_str());
        let mut path = vec!["api", "v4", "projects", project, "merge_requests", number];
        path.extend(rest);
        self.service.url(&path)
    }

    async fn get(&self, url: Url) -> Result<Answer, Refusal> {
        self.send(self.service.client().get(url)).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Refusal> {
        let request = request.header("PRIVATE-TOKEN", &self.settings.token);
        let answer = self.service.send(request).await?;
        if answer.status.is_redirection() {
            let error = "has moved: the project has another name now";
            return Err(Refusal::park(error));
        }
        Ok(answer)
    }
}

impl Target for GitLab {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(in_time(self.settings.timeout, self.told(note)))
    }
}

/// A note of ours that is about the same.
fn found(json: &Value, note: &Note, own: i64) -> Option<Found> {
    let ours = json["author"]["id"].as_i64() == Some(own);
    let marker = Marker::at_end(json["body"].as_str()?)?;
    (ours && marker.is_of(note)).then_some(Found {
        id: json["id"].as_u64()?,
        generation: marker.generation,
    })
}

/// A closed merge request has nobody who waits; on a merged one it is still good to know.
fn is_open_for(request: &Value, wanted: &Wanted) -> Result<(), Refusal> {
    if request["state"] == "closed" {
        return Err(Refusal::outdated("the merge request is closed"));
    }
    match wanted.head() {
        Some(sha) if request["sha"] != sha => Err(Refusal::outdated(
            "a newer commit is the head of the merge request",
        )),
        _ => Ok(()),
    }
}

fn said(id: u64) -> Said {
    Said {
        remote: Some(id.to_string()),
    }
}
