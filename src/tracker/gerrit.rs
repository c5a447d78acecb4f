//! Open changes in Gerrit whose message names a bug.

use super::address::SiteError;
use super::error::TrackerError;
use super::http::Http;
use super::{Bug, BugReview, say};
use crate::config::{TrackerKind, TrackerSite};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

/// Shorter numbers are in many messages that mean something else.
const SHORTEST: usize = 4;
/// What stands before every answer, so that browsers do not run it.
const GUARD: &[u8] = b")]}'";

/// A Gerrit that is asked without an account.
#[derive(Debug)]
pub struct Gerrit {
    http: Http,
    web: Url,
}

#[derive(Deserialize)]
struct Change {
    #[serde(rename = "_number")]
    number: u64,
    project: String,
    subject: String,
}

impl Gerrit {
    /// The one at this address.
    pub fn new(web: &Url, timeout: Duration) -> Result<Self, SiteError> {
        // Any kind without an account and with an API of its own address will do.
        let mut site = TrackerSite::new(TrackerKind::Jira);
        site.api = Some(web.clone());
        Ok(Self {
            http: Http::new(&site, web, timeout)?,
            web: web.clone(),
        })
    }

    /// Open changes that name the bug.
    pub async fn reviews(
        &self,
        kind: TrackerKind,
        bug: &Bug,
    ) -> Result<Vec<BugReview>, TrackerError> {
        let of_its_own = !matches!(kind, TrackerKind::Github | TrackerKind::Gitlab);
        if !of_its_own || bug.id.len() < SHORTEST {
            return Ok(Vec::new());
        }
        let query = format!("status:open message:\"{}\"", bug.id);
        let most = say::REVIEWS.to_string();
        let url = self
            .http
            .at(&["changes", ""], &[("q", &query), ("n", &most)]);
        let changes: Vec<Change> = self.http.get(url).await?.json_behind(GUARD)?;
        Ok(changes
            .into_iter()
            .take(say::REVIEWS)
            .map(|change| self.review(&change))
            .collect())
    }

    /// True for an address of this Gerrit.
    pub(super) fn has(&self, url: &str) -> bool {
        url.starts_with(self.web.as_str())
    }

    fn review(&self, change: &Change) -> BugReview {
        let mut url = self.web.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            let parts = change.project.split('/').filter(|part| !part.is_empty());
            path.pop_if_empty()
                .push("c")
                .extend(parts)
                .push("+")
                .push(&change.number.to_string());
        }
        BugReview {
            title: say::line(&change.subject),
            url: url.into(),
        }
    }
}
