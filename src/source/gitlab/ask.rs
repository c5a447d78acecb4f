//! What is asked of GitLab's API: the merge request of a job, and its commit.

use super::GitLab;
use super::read::Job;
use crate::forge::ForgeError;
use crate::source::lenient::commit;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// How long a notification may wait for an answer: GitLab gives up after ten seconds.
const IN_TIME: Duration = Duration::from_secs(5);

impl GitLab {
    /// What says who we are.
    pub(super) fn token(&self) -> Result<Vec<(HeaderName, HeaderValue)>, ForgeError> {
        let mut value =
            HeaderValue::from_str(&self.settings.token).map_err(|_| ForgeError::Credentials)?;
        value.set_sensitive(true);
        Ok(vec![(HeaderName::from_static("private-token"), value)])
    }

    /// Finds out what the notification does not say: the merge request, or its commit.
    pub(super) async fn complete(&self, job: &mut Job) -> Result<(), ForgeError> {
        let whole = job.build.change.is_some() && job.build.patchset.is_some();
        let Some(sha) = job.build.commit.clone().filter(|_| !whole) else {
            return Ok(());
        };
        let asked = async {
            if job.merged {
                job.build.patchset = self.source_of(job.project, &sha).await?;
                return Ok(());
            }
            let change = self.change_of(job.project, &sha).await?;
            job.build.change = change.map(|number| number.to_string());
            Ok(())
        };
        let asked = tokio::time::timeout(IN_TIME, asked).await;
        asked.unwrap_or_else(|_| Err(ForgeError::Away("no answer in time".to_owned())))
    }

    /// The open merge request whose newest commit this is.
    async fn change_of(&self, project: u64, sha: &str) -> Result<Option<u64>, ForgeError> {
        let key = (project, sha.to_owned());
        if let Some(known) = self.heads().get(&key).copied() {
            return Ok(known);
        }
        let url = self.commit_url(project, sha, &["merge_requests"]);
        let found = match self.get(url).await {
            Ok(found) => found,
            // No such commit, or gone since.
            Err(ForgeError::NotFound) => Value::Array(Vec::new()),
            Err(error) => return Err(error),
        };
        let Value::Array(all) = found else {
            return Err(ForgeError::Broken("no list".to_owned()));
        };
        let of =
            |one: &&Value| one["state"] == "opened" && commit(&one["sha"]).as_deref() == Some(sha);
        let change = all.iter().find(of).and_then(|one| one["iid"].as_u64());
        self.heads().put(key, change);
        Ok(change)
    }

    /// The newest commit of the merge request that a commit merges: its last parent.
    async fn source_of(&self, project: u64, sha: &str) -> Result<Option<String>, ForgeError> {
        let found = match self.get(self.commit_url(project, sha, &[])).await {
            Ok(found) => found,
            Err(ForgeError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let parents = found["parent_ids"].as_array();
        let last = parents
            .filter(|all| all.len() > 1)
            .and_then(|all| all.last());
        Ok(last.and_then(commit))
    }

    fn commit_url(&self, project: u64, sha: &str, rest: &[&str]) -> Url {
        let project = project.to_string();
        let mut path = vec!["projects", &project, "repository", "commits", sha];
        path.extend(rest);
        self.api.url(&path)
    }

    async fn get(&self, url: Url) -> Result<Value, ForgeError> {
        self.api.get(url, self.token()?).await?.json()
    }
}
