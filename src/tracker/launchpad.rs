//! Launchpad: `https://api.launchpad.net/devel`, its web service of linked resources.
//!
//! A bug has a task for each project that it concerns; it counts as closed when all of them are.

use super::error::{TrackerError, spare};
use super::http::{Failed, Http, form};
use super::{Answer, Bug, BugFacts, BugReview, BugStatus, Comment, Fetched, Tracker, say};
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Pages of a collection that are read at most.
const PAGES: usize = 20;
/// Tasks that are told in words.
const TOLD: usize = 5;

/// Launchpad.
#[derive(Debug)]
pub(super) struct Launchpad {
    http: Http,
}

#[derive(Deserialize)]
struct BugEntry {
    title: String,
    web_link: Option<String>,
    date_last_updated: Option<Timestamp>,
    bug_tasks_collection_link: String,
    linked_merge_proposals_collection_link: Option<String>,
    duplicate_of_link: Option<String>,
}

#[derive(Deserialize)]
struct Collection<T> {
    entries: Vec<T>,
    next_collection_link: Option<String>,
}

#[derive(Deserialize)]
struct Task {
    status: String,
    bug_target_name: Option<String>,
    assignee_link: Option<String>,
    date_closed: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Proposal {
    queue_status: String,
    web_link: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    self_link: String,
    owner_link: Option<String>,
    content: Option<String>,
}

#[derive(Deserialize)]
struct Person {
    self_link: String,
}

impl Launchpad {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    async fn facts(&self, bug: &Bug, validator: Option<&str>) -> Result<Fetched, TrackerError> {
        let url = self.http.at(&["bugs", &bug.id], &[]);
        let found = self.http.get_if(url, validator).await;
        let Some(reply) = found.map_err(private)? else {
            return Ok(Fetched::Unchanged);
        };
        let entry: BugEntry = reply.json()?;
        let (tasks, _): (Vec<Task>, _) = self.all(&entry.bug_tasks_collection_link).await?;
        let proposals = match &entry.linked_merge_proposals_collection_link {
            Some(link) => spare(self.all(link).await)?.0,
            None => Vec::new(),
        };
        let status = whole(&tasks);
        let closed = tasks.iter().filter_map(|task| task.date_closed).max();
        let facts = BugFacts {
            title: say::line(&entry.title),
            status,
            word: words(&tasks, entry.duplicate_of_link.as_deref()),
            assignee: assignee(&tasks),
            url: say::link(entry.web_link.as_deref()),
            updated: entry.date_last_updated,
            closed: closed.filter(|_| status.closed()),
            reviews: reviews(proposals),
        };
        Ok(Fetched::Facts {
            facts,
            validator: reply.etag(),
        })
    }

    /// The first entries of a collection, and whether that is all of them.
    async fn all<T: DeserializeOwned>(&self, link: &str) -> Result<(Vec<T>, bool), TrackerError> {
        let mut all = Vec::new();
        let mut next = Some(link.to_owned());
        for _ in 0..PAGES {
            let Some(link) = next else { break };
            let page: Collection<T> = self.http.get(self.http.ours(&link)?).await?.json()?;
            all.extend(page.entries);
            next = page.next_collection_link;
        }
        Ok((all, next.is_none()))
    }

    async fn own(&self, bug: &Bug) -> Result<Option<Comment>, TrackerError> {
        let me: Person = self
            .http
            .get(self.http.at(&["people", "+me"], &[]))
            .await?
            .json()?;
        let link = self.http.at(&["bugs", &bug.id, "messages"], &[]);
        let (messages, whole): (Vec<Message>, _) = self.all(link.as_str()).await?;
        let own = messages.into_iter().find_map(|message| {
            let text = message.content?;
            let ours = message.owner_link.as_deref() == Some(&me.self_link);
            (ours && text.contains(self.marker())).then_some(Comment {
                id: message.self_link,
                text,
            })
        });
        if own.is_none() && !whole {
            return Err(TrackerError::TooMany);
        }
        Ok(own)
    }

    async fn add(&self, bug: &Bug, text: &str) -> Result<String, TrackerError> {
        let url = self.http.at(&["bugs", &bug.id], &[]);
        let fields = form(&[("ws.op", "newMessage"), ("content", text)]);
        let reply = self.http.send(Method::POST, url, fields).await?;
        let lost = || TrackerError::Malformed("no place of the new message".into());
        Ok(reply.header("location").ok_or_else(lost)?.to_owned())
    }
}

impl Tracker for Launchpad {
    fn fetch<'a>(&'a self, bug: &'a Bug, validator: Option<&'a str>) -> Answer<'a, Fetched> {
        Box::pin(self.facts(bug, validator))
    }

    fn marker(&self) -> &'static str {
        "[whorl: hit counts]"
    }

    fn own_comment<'a>(&'a self, bug: &'a Bug) -> Answer<'a, Option<Comment>> {
        Box::pin(self.own(bug))
    }

    fn add_comment<'a>(&'a self, bug: &'a Bug, text: &'a str) -> Answer<'a, String> {
        Box::pin(self.add(bug, text))
    }

    fn edit_comment<'a>(&'a self, _: &'a Bug, id: &'a str, text: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let fields = form(&[("ws.op", "editContent"), ("new_content", text)]);
            let sent = self.http.send(Method::POST, self.http.ours(id)?, fields);
            sent.await?;
            Ok(())
        })
    }
}

/// A private bug is answered with 401 as a wrong token is, but names the object that is private.
fn private(failed: Failed) -> TrackerError {
    match failed.error {
        TrackerError::Unauthorized if failed.said.starts_with(b"(<") => TrackerError::Denied,
        error => error,
    }
}

/// Where one task stands.
fn status(word: &str) -> BugStatus {
    match word {
        "New"
        | "Incomplete"
        | "Incomplete (with response)"
        | "Incomplete (without response)"
        | "Confirmed"
        | "Triaged"
        | "Deferred" => BugStatus::Open,
        // A committed fix is not in use everywhere: Launchpad counts it among the open ones too.
        "In Progress" | "Fix Committed" => BugStatus::InProgress,
        "Fix Released" => BugStatus::Fixed,
        "Opinion" | "Invalid" | "Won't Fix" | "Expired" | "Does Not Exist" => {
            BugStatus::ClosedOtherwise
        }
        _ => BugStatus::Unknown,
    }
}

/// Where the bug stands: as far as the task that has the most left to do.
fn whole(tasks: &[Task]) -> BugStatus {
    let all: Vec<BugStatus> = tasks.iter().map(|task| status(&task.status)).collect();
    let order = [
        BugStatus::InProgress,
        BugStatus::Open,
        BugStatus::Unknown,
        BugStatus::Fixed,
        BugStatus::ClosedOtherwise,
    ];
    let first = order.into_iter().find(|status| all.contains(status));
    first.unwrap_or(BugStatus::Unknown)
}

fn words(tasks: &[Task], duplicate_of: Option<&str>) -> String {
    let one = |task: &Task| match (tasks.len(), task.bug_target_name.as_deref()) {
        (1, _) | (_, None) => task.status.clone(),
        (_, Some(target)) => format!("{target}: {}", task.status),
    };
    let mut told: Vec<String> = tasks.iter().take(TOLD).map(one).collect();
    if tasks.len() > TOLD {
        told.push(format!("{} more", tasks.len() - TOLD));
    }
    if let Some((_, id)) = duplicate_of.and_then(|link| link.rsplit_once('/')) {
        told.push(format!("duplicate of {id}"));
    }
    say::line(&told.join(", "))
}

/// Who works on a task that is open; else on any.
fn assignee(tasks: &[Task]) -> Option<String> {
    let open = tasks.iter().filter(|task| !status(&task.status).closed());
    let link = open
        .chain(tasks)
        .find_map(|task| task.assignee_link.as_deref())?;
    say::name(link.rsplit_once("/~").map(|(_, name)| name))
}

fn reviews(proposals: Vec<Proposal>) -> Vec<BugReview> {
    let open = [
        "Work in progress",
        "Needs review",
        "Approved",
        "Code approved",
    ];
    let open = proposals
        .into_iter()
        .filter(|one| open.contains(&one.queue_status.as_str()));
    let all = open.filter_map(|one| {
        let url = say::link(one.web_link.as_deref())?;
        let first = one
            .description
            .as_deref()
            .and_then(|text| text.lines().next());
        let title = say::name(first).unwrap_or_else(|| "Merge proposal".into());
        Some(BugReview { title, url })
    });
    all.take(say::REVIEWS).collect()
}
