//! Jira, in the cloud and on a server of one's own: the REST API, version 2.

use super::error::TrackerError;
use super::http::{Http, Payload};
use super::{Answer, Bug, BugFacts, BugStatus, Comment, Fetched, Tracker, say};
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use url::Url;

/// Pages of comments that are read at most, each of 100.
const PAGES: usize = 20;

/// Jira.
#[derive(Debug)]
pub(super) struct Jira {
    http: Http,
    web: Url,
}

#[derive(Deserialize)]
struct Issue {
    key: String,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    summary: String,
    status: Status,
    resolution: Option<Named>,
    resolutiondate: Option<String>,
    updated: Option<String>,
    assignee: Option<User>,
}

#[derive(Deserialize)]
struct Status {
    name: String,
    #[serde(rename = "statusCategory")]
    category: Option<Category>,
}

#[derive(Deserialize)]
struct Category {
    key: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// In the cloud people have an `accountId`, elsewhere a `name`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    account_id: Option<String>,
    name: Option<String>,
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    comments: Vec<Note>,
    total: usize,
}

#[derive(Deserialize)]
struct Note {
    id: String,
    body: Option<String>,
    author: Option<User>,
}

impl Jira {
    pub(super) fn new(http: Http, web: Url) -> Self {
        Self { http, web }
    }

    async fn facts(&self, bug: &Bug) -> Result<Fetched, TrackerError> {
        let wanted = "summary,status,resolution,resolutiondate,updated,assignee";
        let url = self.http.at(&["issue", &bug.id], &[("fields", wanted)]);
        let issue: Issue = self.http.get(url).await?.json()?;
        let fields = issue.fields;
        let status = status(&fields);
        let assignee = fields.assignee.as_ref();
        let resolution = fields
            .resolution
            .as_ref()
            .map(|one| format!(" ({})", one.name));
        let mut url = self.web.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // The key that the issue has now: it changes when an issue moves.
            path.pop_if_empty().extend(["browse", issue.key.as_str()]);
        }
        let facts = BugFacts {
            title: say::line(&fields.summary),
            status,
            word: say::line(&format!(
                "{}{}",
                fields.status.name,
                resolution.unwrap_or_default()
            )),
            assignee: say::name(
                assignee.and_then(|who| who.display_name.as_deref().or(who.name.as_deref())),
            ),
            url: say::link(Some(url.as_str())),
            updated: moment(fields.updated.as_deref())?,
            closed: moment(fields.resolutiondate.as_deref())?.filter(|_| status.closed()),
            // What development tools know of an issue is in no documented part of the API.
            reviews: Vec::new(),
        };
        Ok(Fetched::Facts {
            facts,
            validator: None,
        })
    }

    async fn own(&self, bug: &Bug) -> Result<Option<Comment>, TrackerError> {
        let me: User = self
            .http
            .get(self.http.at(&["myself"], &[]))
            .await?
            .json()?;
        let mut seen = 0;
        for _ in 0..PAGES {
            let start = seen.to_string();
            let query = [("startAt", start.as_str()), ("maxResults", "100")];
            let url = self.http.at(&["issue", &bug.id, "comment"], &query);
            let page: Page = self.http.get(url).await?.json()?;
            seen += page.comments.len();
            let done = page.comments.is_empty() || seen >= page.total;
            let own = page.comments.into_iter().find_map(|note| {
                let text = note.body?;
                let ours = note.author.is_some_and(|author| author.is(&me));
                (ours && text.contains(self.marker())).then_some(Comment { id: note.id, text })
            });
            if own.is_some() || done {
                return Ok(own);
            }
        }
        Err(TrackerError::TooMany)
    }

    async fn add(&self, bug: &Bug, text: &str) -> Result<String, TrackerError> {
        let url = self.http.at(&["issue", &bug.id, "comment"], &[]);
        let body = Payload::Json(json!({ "body": text }));
        let made: Note = self.http.send(Method::POST, url, body).await?.json()?;
        Ok(made.id)
    }
}

impl User {
    fn is(&self, other: &Self) -> bool {
        match (&self.account_id, &other.account_id) {
            (Some(one), Some(other)) => one == other,
            _ => self.name.is_some() && self.name == other.name,
        }
    }
}

impl Tracker for Jira {
    fn fetch<'a>(&'a self, bug: &'a Bug, _: Option<&'a str>) -> Answer<'a, Fetched> {
        Box::pin(self.facts(bug))
    }

    fn marker(&self) -> &'static str {
        "(whorl: hit counts)"
    }

    fn own_comment<'a>(&'a self, bug: &'a Bug) -> Answer<'a, Option<Comment>> {
        Box::pin(self.own(bug))
    }

    fn add_comment<'a>(&'a self, bug: &'a Bug, text: &'a str) -> Answer<'a, String> {
        Box::pin(self.add(bug, text))
    }

    fn edit_comment<'a>(&'a self, bug: &'a Bug, id: &'a str, text: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let url = self.http.at(&["issue", &bug.id, "comment", id], &[]);
            let body = Payload::Json(json!({ "body": text }));
            self.http.send(Method::PUT, url, body).await?;
            Ok(())
        })
    }
}

/// Statuses are named freely; their category is one of four everywhere.
fn status(fields: &Fields) -> BugStatus {
    let category = fields
        .status
        .category
        .as_ref()
        .map(|category| category.key.as_str());
    let resolution = fields
        .resolution
        .as_ref()
        .map(|one| one.name.to_lowercase());
    match category {
        Some("new") => BugStatus::Open,
        Some("indeterminate") => BugStatus::InProgress,
        Some("done") => match resolution.as_deref() {
            None
            | Some(
                "fixed" | "done" | "resolved" | "complete" | "completed" | "implemented"
                | "delivered" | "done-errata",
            ) => BugStatus::Fixed,
            Some(_) => BugStatus::ClosedOtherwise,
        },
        _ => BugStatus::Unknown,
    }
}

/// `2026-03-05T10:00:00.000+0000`.
fn moment(text: Option<&str>) -> Result<Option<Timestamp>, TrackerError> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| TrackerError::Malformed("a time in it is none".into()))
    };
    text.map(parse).transpose()
}
