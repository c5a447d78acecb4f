//! GitHub and GitHub Enterprise: the REST API, version 2022-11-28.
//!
//! Issues are asked for with `If-None-Match`; an answer that nothing has changed costs nothing there.

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

/// GitHub.
#[derive(Debug)]
pub(super) struct Github {
    http: Http,
    /// The account's name, where it was told: an app has none that it could ask for.
    user: Option<String>,
}

#[derive(Deserialize)]
struct Issue {
    title: String,
    state: String,
    state_reason: Option<String>,
    html_url: Option<String>,
    updated_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    #[serde(default)]
    assignees: Vec<User>,
    pull_request: Option<Pull>,
}

#[derive(Deserialize)]
struct Pull {
    merged_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct Happening {
    event: Option<String>,
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    issue: Option<Issue>,
}

#[derive(Deserialize)]
struct Note {
    id: u64,
    body: Option<String>,
    user: Option<User>,
}

impl Github {
    pub(super) fn new(http: Http, user: Option<String>) -> Self {
        Self { http, user }
    }

    async fn facts(&self, bug: &Bug, validator: Option<&str>) -> Result<Fetched, TrackerError> {
        let url = self.issue(bug, &[], &[]);
        let Some(reply) = self.http.get_if(url, validator).await? else {
            return Ok(Fetched::Unchanged);
        };
        let issue: Issue = reply.json()?;
        let facts = BugFacts {
            title: say::line(&issue.title),
            status: status(&issue),
            word: word(&issue),
            assignee: say::name(issue.assignees.first().map(|user| user.login.as_str())),
            url: say::link(issue.html_url.as_deref()),
            updated: issue.updated_at,
            closed: issue.closed_at.filter(|_| issue.state == "closed"),
            reviews: reviews(spare(self.list(bug, "timeline").await)?.0),
        };
        Ok(Fetched::Facts {
            facts,
            validator: reply.etag(),
        })
    }

    /// A resource of an issue.
    fn issue(&self, bug: &Bug, rest: &[&str], query: &[(&str, &str)]) -> url::Url {
        let (owner, repo) = bug.project.split_once('/').unwrap_or((&bug.project, ""));
        let mut parts = vec!["repos", owner, repo, "issues", &bug.id];
        parts.extend(rest);
        self.http.at(&parts, query)
    }

    /// The first pages of a list of an issue, and whether that is all of it.
    async fn list<T: DeserializeOwned>(
        &self,
        bug: &Bug,
        name: &str,
    ) -> Result<(Vec<T>, bool), TrackerError> {
        let mut all = Vec::new();
        let mut next = Some(self.issue(bug, &[name], &[("per_page", "100")]));
        for _ in 0..PAGES {
            let Some(url) = next else { break };
            let reply = self.http.get(url).await?;
            all.extend(reply.json::<Vec<T>>()?);
            next = reply.next().map(|link| self.http.ours(link)).transpose()?;
        }
        Ok((all, next.is_none()))
    }

    async fn own(&self, bug: &Bug) -> Result<Option<Comment>, TrackerError> {
        let me = match &self.user {
            Some(user) => user.clone(),
            None => {
                self.http
                    .get(self.http.at(&["user"], &[]))
                    .await?
                    .json::<User>()?
                    .login
            }
        };
        let (notes, whole): (Vec<Note>, _) = self.list(bug, "comments").await?;
        let own = notes.into_iter().find_map(|note| {
            let text = note.body?;
            let ours = note
                .user
                .is_some_and(|user| user.login.eq_ignore_ascii_case(&me));
            let id = note.id.to_string();
            (ours && text.contains(self.marker())).then_some(Comment { id, text })
        });
        if own.is_none() && !whole {
            return Err(TrackerError::TooMany);
        }
        Ok(own)
    }

    async fn add(&self, bug: &Bug, text: &str) -> Result<String, TrackerError> {
        let url = self.issue(bug, &["comments"], &[]);
        let body = Payload::Json(json!({ "body": text }));
        let made: Note = self.http.send(Method::POST, url, body).await?.json()?;
        Ok(made.id.to_string())
    }

    async fn edit(&self, bug: &Bug, id: &str, text: &str) -> Result<(), TrackerError> {
        let (owner, repo) = bug.project.split_once('/').unwrap_or((&bug.project, ""));
        let url = self
            .http
            .at(&["repos", owner, repo, "issues", "comments", id], &[]);
        let body = Payload::Json(json!({ "body": text }));
        self.http.send(Method::PATCH, url, body).await?;
        Ok(())
    }
}

impl Tracker for Github {
    fn fetch<'a>(&'a self, bug: &'a Bug, validator: Option<&'a str>) -> Answer<'a, Fetched> {
        Box::pin(self.facts(bug, validator))
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
        Box::pin(self.edit(bug, id, text))
    }
}

fn status(issue: &Issue) -> BugStatus {
    if let Some(pull) = &issue.pull_request {
        return match (issue.state.as_str(), pull.merged_at) {
            ("open", _) => BugStatus::InProgress,
            ("closed", Some(_)) => BugStatus::Fixed,
            ("closed", None) => BugStatus::ClosedOtherwise,
            _ => BugStatus::Unknown,
        };
    }
    match (issue.state.as_str(), issue.state_reason.as_deref()) {
        ("open", _) => BugStatus::Open,
        // Issues that were closed before there were reasons have none.
        ("closed", None | Some("completed")) => BugStatus::Fixed,
        ("closed", Some(_)) => BugStatus::ClosedOtherwise,
        _ => BugStatus::Unknown,
    }
}

fn word(issue: &Issue) -> String {
    let reason = issue
        .state_reason
        .as_deref()
        .filter(|_| issue.state == "closed");
    match reason {
        Some(reason) => say::line(&format!("{} ({})", issue.state, reason.replace('_', " "))),
        None => say::line(&issue.state),
    }
}

/// Open pull requests that mention the issue.
fn reviews(timeline: Vec<Happening>) -> Vec<BugReview> {
    let named = timeline
        .into_iter()
        .filter(|one| one.event.as_deref() == Some("cross-referenced"));
    let issues = named.filter_map(|one| one.source?.issue);
    let open = issues.filter(|issue| issue.pull_request.is_some() && issue.state == "open");
    let mut all: Vec<BugReview> = Vec::new();
    for pull in open {
        let Some(url) = say::link(pull.html_url.as_deref()) else {
            continue;
        };
        if all.len() < say::REVIEWS && all.iter().all(|known| known.url != url) {
            all.push(BugReview {
                title: say::line(&pull.title),
                url,
            });
        }
    }
    all
}
