//! GitLab: the REST API, version 4.

use super::error::{TrackerError, spare};
use super::http::{Http, Payload};
use super::{Answer, Bug, BugFacts, BugReview, BugStatus, Comment, Fetched, Tracker, say};
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Pages of a list that are read at most, each of 100.
const PAGES: usize = 20;

/// GitLab.
#[derive(Debug)]
pub(super) struct Gitlab {
    http: Http,
}

#[derive(Deserialize)]
struct Issue {
    title: String,
    state: String,
    web_url: Option<String>,
    updated_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    moved_to_id: Option<u64>,
    #[serde(default)]
    assignees: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct MergeRequest {
    title: String,
    state: String,
    web_url: Option<String>,
}

#[derive(Deserialize)]
struct Note {
    id: u64,
    body: Option<String>,
    author: Option<User>,
    #[serde(default)]
    system: bool,
}

impl Gitlab {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    async fn facts(&self, bug: &Bug) -> Result<Fetched, TrackerError> {
        let issue: Issue = self.http.get(self.issue(bug, &[], &[])).await?.json()?;
        let (requests, _): (Vec<MergeRequest>, _) =
            spare(self.list(bug, "related_merge_requests").await)?;
        let word = match issue.moved_to_id {
            Some(_) => format!("{} (moved)", issue.state),
            None => issue.state.clone(),
        };
        let facts = BugFacts {
            title: say::line(&issue.title),
            status: status(&issue),
            word: say::line(&word),
            assignee: say::name(issue.assignees.first().map(|user| user.username.as_str())),
            url: say::link(issue.web_url.as_deref()),
            updated: issue.updated_at,
            closed: issue.closed_at.filter(|_| issue.state == "closed"),
            reviews: reviews(requests),
        };
        // GitLab's documentation promises no conditional answers.
        Ok(Fetched::Facts {
            facts,
            validator: None,
        })
    }

    /// A resource of an issue.
    fn issue(&self, bug: &Bug, rest: &[&str], query: &[(&str, &str)]) -> url::Url {
        let mut parts = vec!["projects", &bug.project, "issues", &bug.id];
        parts.extend(rest);
        self.http.at(&parts, query)
    }

    /// The first pages of a list of an issue, and whether that is all of it. The header names the next page as long as there is one.
    async fn list<T: DeserializeOwned>(
        &self,
        bug: &Bug,
        name: &str,
    ) -> Result<(Vec<T>, bool), TrackerError> {
        let mut all = Vec::new();
        let mut page = "1".to_owned();
        for _ in 0..PAGES {
            let url = self.issue(bug, &[name], &[("per_page", "100"), ("page", &page)]);
            let reply = self.http.get(url).await?;
            all.extend(reply.json::<Vec<T>>()?);
            match reply.header("x-next-page") {
                Some(next) if !next.trim().is_empty() => next.trim().clone_into(&mut page),
                _ => return Ok((all, true)),
            }
        }
        Ok((all, false))
    }

    async fn own(&self, bug: &Bug) -> Result<Option<Comment>, TrackerError> {
        let me: User = self.http.get(self.http.at(&["user"], &[])).await?.json()?;
        let (notes, whole): (Vec<Note>, _) = self.list(bug, "notes").await?;
        let own = notes
            .into_iter()
            .filter(|note| !note.system)
            .find_map(|note| {
                let text = note.body?;
                let ours = note
                    .author
                    .is_some_and(|author| author.username == me.username);
                let id = note.id.to_string();
                (ours && text.contains(self.marker())).then_some(Comment { id, text })
            });
        if own.is_none() && !whole {
            return Err(TrackerError::TooMany);
        }
        Ok(own)
    }

    async fn add(&self, bug: &Bug, text: &str) -> Result<String, TrackerError> {
        let url = self.issue(bug, &["notes"], &[]);
        let body = Payload::Json(json!({ "body": text }));
        let made: Note = self.http.send(Method::POST, url, body).await?.json()?;
        Ok(made.id.to_string())
    }
}

impl Tracker for Gitlab {
    fn fetch<'a>(&'a self, bug: &'a Bug, _: Option<&'a str>) -> Answer<'a, Fetched> {
        Box::pin(self.facts(bug))
    }

    fn marker(&self) -> &'static str {
        "<!-- whorl: hit counts -->"
    }

    fn own_comment<'a>(&'a self, bug: &'a Bug) -> Answer<'a, Option<Comment>> {
        Box::pin(self.own(bug))
    }

    fn add_comment<'a>(&'a self, bug: &'a Bug, text: &'a str) -> Answer<'a, String> {
        Box::pin(self.add(bug, text))
    }

    fn edit_comment<'a>(&'a self, bug: &'a Bug, id: &'a str, text: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let url = self.issue(bug, &["notes", id], &[]);
            let body = Payload::Json(json!({ "body": text }));
            self.http.send(Method::PUT, url, body).await?;
            Ok(())
        })
    }
}

/// GitLab does not say why an issue was closed, except that it lives on elsewhere.
fn status(issue: &Issue) -> BugStatus {
    match (issue.state.as_str(), issue.moved_to_id) {
        ("opened", _) => BugStatus::Open,
        ("closed", Some(_)) => BugStatus::ClosedOtherwise,
        ("closed", None) => BugStatus::Fixed,
        _ => BugStatus::Unknown,
    }
}

fn reviews(requests: Vec<MergeRequest>) -> Vec<BugReview> {
    let open = requests.into_iter().filter(|one| one.state == "opened");
    let all = open.filter_map(|one| {
        let url = say::link(one.web_url.as_deref())?;
        Some(BugReview {
            title: say::line(&one.title),
            url,
        })
    });
    all.take(say::REVIEWS).collect()
}
