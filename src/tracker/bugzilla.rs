//! Bugzilla: the REST API of version 5, which Mozilla's and Red Hat's have too.
//!
//! It has no way to edit a comment, so no counts are written there.

use super::error::{TrackerError, spare};
use super::http::{Failed, Http};
use super::{Answer, Bug, BugFacts, BugReview, BugStatus, Comment, Fetched, Tracker, say};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use url::Url;

const NO_EDIT: TrackerError = TrackerError::Unsupported("Bugzilla's API cannot edit a comment");

/// Bugzilla.
#[derive(Debug)]
pub(super) struct Bugzilla {
    http: Http,
    web: Url,
}

#[derive(Deserialize)]
struct Bugs {
    bugs: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    summary: String,
    status: String,
    #[serde(default)]
    resolution: String,
    is_open: bool,
    assigned_to: Option<String>,
    last_change_time: Option<Timestamp>,
    /// A field that the large instances have.
    cf_last_closed: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Attachments {
    bugs: BTreeMap<String, Vec<Attachment>>,
}

#[derive(Deserialize)]
struct Attachment {
    id: u64,
    summary: String,
    is_obsolete: Flagged,
    #[serde(default)]
    flags: Vec<Flag>,
}

/// Yes and no; version 5.0 writes them as numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flagged {
    Word(bool),
    Number(u8),
}

#[derive(Deserialize)]
struct Flag {
    name: String,
    status: String,
}

/// Old versions answer 200 to everything and say in the body that it went wrong.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error: bool,
    code: Option<i64>,
}

impl Bugzilla {
    pub(super) fn new(http: Http, web: Url) -> Self {
        Self { http, web }
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, TrackerError> {
        let reply = match self.http.get(url).await {
            Ok(reply) => reply,
            // 401 can mean the account or just this bug: the code tells them apart.
            Err(Failed { error, said }) => {
                let code = serde_json::from_slice(&said)
                    .ok()
                    .and_then(|said: Refusal| said.code);
                return Err(code.map_or(error, |code| refusal(Some(code))));
            }
        };
        if let Ok(Refusal { error: true, code }) = reply.json() {
            return Err(refusal(code));
        }
        reply.json()
    }

    async fn facts(&self, bug: &Bug) -> Result<Fetched, TrackerError> {
        let wanted =
            "id,summary,status,resolution,is_open,assigned_to,last_change_time,cf_last_closed";
        let url = self
            .http
            .at(&["bug", &bug.id], &[("include_fields", wanted)]);
        let found: Bugs = self.get(url).await?;
        let entry = found
            .bugs
            .into_iter()
            .next()
            .ok_or(TrackerError::NotFound)?;
        let status = status(&entry);
        let reviews = if entry.is_open {
            spare(self.reviews(bug).await)?
        } else {
            Vec::new()
        };
        let assignee = say::name(entry.assigned_to.as_deref());
        let facts = BugFacts {
            title: say::line(&entry.summary),
            status,
            word: say::line(&format!("{} {}", entry.status, entry.resolution)),
            // The usual address of nobody.
            assignee: assignee.filter(|who| !who.starts_with("nobody")),
            url: say::link(Some(self.page("show_bug.cgi", &[("id", &bug.id)]).as_str())),
            updated: entry.last_change_time,
            closed: entry.cf_last_closed.filter(|_| status.closed()),
            reviews,
        };
        Ok(Fetched::Facts {
            facts,
            validator: None,
        })
    }

    /// Attachments that somebody was asked to review.
    async fn reviews(&self, bug: &Bug) -> Result<Vec<BugReview>, TrackerError> {
        let wanted = [("include_fields", "id,summary,is_obsolete,flags")];
        let url = self.http.at(&["bug", &bug.id, "attachment"], &wanted);
        let mut found: Attachments = self.get(url).await?;
        let all = found.bugs.remove(&bug.id).unwrap_or_default().into_iter();
        let asked = |flag: &Flag| flag.name == "review" && flag.status == "?";
        let open = all.filter(|one| one.is_obsolete.no() && one.flags.iter().any(asked));
        let reviews = open.map(|one| BugReview {
            title: say::line(&one.summary),
            url: self
                .page("attachment.cgi", &[("id", &one.id.to_string())])
                .into(),
        });
        Ok(reviews.take(say::REVIEWS).collect())
    }

    fn page(&self, name: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.web.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(name);
        }
        url.query_pairs_mut().extend_pairs(query);
        url
    }
}

impl Flagged {
    fn no(&self) -> bool {
        matches!(self, Self::Word(false) | Self::Number(0))
    }
}

impl Tracker for Bugzilla {
    fn fetch<'a>(&'a self, bug: &'a Bug, _: Option<&'a str>) -> Answer<'a, Fetched> {
        Box::pin(self.facts(bug))
    }

    fn marker(&self) -> &'static str {
        "[whorl: hit counts]"
    }

    fn own_comment<'a>(&'a self, _: &'a Bug) -> Answer<'a, Option<Comment>> {
        Box::pin(async { Err(NO_EDIT) })
    }

    fn add_comment<'a>(&'a self, _: &'a Bug, _: &'a str) -> Answer<'a, String> {
        Box::pin(async { Err(NO_EDIT) })
    }

    fn edit_comment<'a>(&'a self, _: &'a Bug, _: &'a str, _: &'a str) -> Answer<'a, ()> {
        Box::pin(async { Err(NO_EDIT) })
    }
}

fn refusal(code: Option<i64>) -> TrackerError {
    match code {
        Some(100 | 101) => TrackerError::NotFound,
        Some(102) => TrackerError::Denied,
        // Wrong password, disabled account, wrong or revoked key, login needed.
        Some(300 | 301 | 306 | 410) => TrackerError::Unauthorized,
        Some(code) => TrackerError::Malformed(format!("it says error {code}")),
        None => TrackerError::Malformed("it says that something went wrong".into()),
    }
}

fn status(entry: &Entry) -> BugStatus {
    let word = entry.status.to_uppercase();
    if entry.is_open {
        let begun = [
            "ASSIGNED",
            "IN_PROGRESS",
            "ON_DEV",
            "POST",
            "MODIFIED",
            "ON_QA",
            "NEEDINFO",
        ];
        let begun = begun.contains(&word.as_str());
        return if begun {
            BugStatus::InProgress
        } else {
            BugStatus::Open
        };
    }
    let fixed = [
        "FIXED",
        "CURRENTRELEASE",
        "NEXTRELEASE",
        "RAWHIDE",
        "ERRATA",
        "UPSTREAM",
    ];
    match entry.resolution.to_uppercase().as_str() {
        "" => BugStatus::Unknown,
        resolution if fixed.contains(&resolution) => BugStatus::Fixed,
        _ => BugStatus::ClosedOtherwise,
    }
}
