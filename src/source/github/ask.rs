//! What is asked of GitHub's API: pull requests of commits, runs and their jobs.

use super::read::{self, Job, pull_of};
use super::{Account, Desk, GitHub};
use crate::forge::{Answer, ForgeError};
use crate::source::Announced;
use crate::state::StateError;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue, IF_NONE_MATCH};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Pages of a list that are read; GitHub gives out no more than these of a search.
const PAGES: usize = 10;
/// How long a notification may wait for its pull request: GitHub gives up after ten seconds.
const IN_TIME: Duration = Duration::from_secs(5);

/// The things of a list, whether there were more, and what the first page is called.
pub(super) struct Listed {
    pub(super) all: Vec<Value>,
    pub(super) cut: bool,
    pub(super) etag: Option<HeaderValue>,
}

impl GitHub {
    /// What every request says, with who we are.
    pub(super) async fn request_headers(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, ForgeError> {
        let token = match &self.settings.account {
            Account::Token(token) => token.clone(),
            Account::App(app) => app.token(&self.api, now).await?,
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| ForgeError::Credentials)?;
        value.set_sensitive(true);
        Ok(vec![
            (AUTHORIZATION, value),
            (
                ACCEPT,
                HeaderValue::from_static("application/vnd.github+json"),
            ),
            (
                HeaderName::from_static("x-github-api-version"),
                HeaderValue::from_static("2022-11-28"),
            ),
        ])
    }

    /// Reads something, with a new token when the old one is not taken any more.
    pub(super) async fn get(
        &self,
        url: Url,
        etag: Option<&HeaderValue>,
    ) -> Result<Answer, ForgeError> {
        let mut headers = self.request_headers(Timestamp::now()).await?;
        let first = headers[0].1.clone();
        headers.extend(etag.map(|etag| (IF_NONE_MATCH, etag.clone())));
        let answer = self.api.get(url.clone(), headers).await;
        let (Err(ForgeError::Credentials), Account::App(app)) = (&answer, &self.settings.account)
        else {
            return answer;
        };
        if let Ok(token) = first.to_str() {
            app.forget(token.trim_start_matches("Bearer ")).await;
        }
        let mut headers = self.request_headers(Timestamp::now()).await?;
        headers.extend(etag.map(|etag| (IF_NONE_MATCH, etag.clone())));
        self.api.get(url, headers).await
    }

    /// All of a list, page by page; `key` where it stands in an object. None when nothing is new.
    pub(super) async fn pages(
        &self,
        first: Url,
        key: Option<&str>,
        etag: Option<&HeaderValue>,
    ) -> Result<Option<Listed>, ForgeError> {
        let (mut all, mut next, mut tag) = (Vec::new(), Some(first), None);
        for page in 0..PAGES {
            let Some(url) = next.take() else {
                break;
            };
            let answer = self.get(url, etag.filter(|_| page == 0)).await?;
            if answer.unchanged {
                return Ok(None);
            }
            if page == 0 {
                tag = answer.etag();
            }
            let mut json = answer.json()?;
            let list = match key {
                Some(key) => json.get_mut(key).map(Value::take).unwrap_or_default(),
                None => json,
            };
            let Value::Array(list) = list else {
                return Err(ForgeError::Broken("no list".to_owned()));
            };
            all.extend(list);
            next = answer.next();
        }
        Ok(Some(Listed {
            all,
            cut: next.is_some(),
            etag: tag,
        }))
    }

    /// Below a repository.
    pub(super) fn below(&self, project: &str, rest: &[&str]) -> Url {
        let (owner, name) = project.split_once('/').unwrap_or_default();
        let mut path = vec!["repos", owner, name];
        path.extend(rest);
        self.api.url(&path)
    }

    /// The pull request whose newest commit a job ran for, if there is one.
    pub(super) async fn find_change(&self, job: &mut Job) -> Result<(), ForgeError> {
        let build = &job.build;
        let (Some(project), Some(sha)) = (build.project.clone(), build.commit.clone()) else {
            return Ok(());
        };
        let key = (project, sha);
        let known = self.heads().get(&key).copied();
        let change = if let Some(change) = known {
            change
        } else {
            let asked = self.asked_change(&key.0, &key.1, job.run);
            let asked = tokio::time::timeout(IN_TIME, asked).await;
            asked.unwrap_or_else(|_| Err(ForgeError::Away("no answer in time".to_owned())))?
        };
        self.heads().put(key, change);
        job.build.change = change.map(|number| number.to_string());
        Ok(())
    }

    async fn asked_change(
        &self,
        project: &str,
        sha: &str,
        run: Option<u64>,
    ) -> Result<Option<u64>, ForgeError> {
        let url = self.below(project, &["commits", sha, "pulls"]);
        // A commit that is not there (yet) has no pull request either.
        let pulls = gone(self.pages(url, None, None).await)?.flatten();
        let pulls = pulls.map(|list| list.all).unwrap_or_default();
        if let Some(number) = pull_of(&pulls, sha) {
            return Ok(Some(number));
        }
        let Some(run) = run else {
            return Ok(None);
        };
        self.change_of_fork(project, sha, run).await
    }

    /// The lists of a repository leave pull requests of forks out; they are found by their branch.
    async fn change_of_fork(
        &self,
        project: &str,
        sha: &str,
        run: u64,
    ) -> Result<Option<u64>, ForgeError> {
        let url = self.below(project, &["actions", "runs", &run.to_string()]);
        let Some(answer) = gone(self.get(url, None).await)? else {
            return Ok(None);
        };
        let run = answer.json()?;
        let owner = run["head_repository"]["owner"]["login"].as_str();
        let (Some(owner), Some(branch)) = (owner, run["head_branch"].as_str()) else {
            return Ok(None);
        };
        let mut url = self.below(project, &["pulls"]);
        url.query_pairs_mut()
            .append_pair("state", "open")
            .append_pair("head", &format!("{owner}:{branch}"));
        let pulls = self.pages(url, None, None).await?;
        Ok(pulls.and_then(|list| pull_of(&list.all, sha)))
    }

    /// The jobs of a check suite of GitHub's own CI.
    pub(super) async fn jobs_of_suite(
        &self,
        project: &str,
        id: u64,
    ) -> Result<Vec<Job>, ForgeError> {
        let mut url = self.below(project, &["actions", "runs"]);
        url.query_pairs_mut()
            .append_pair("check_suite_id", &id.to_string());
        let mut jobs = Vec::new();
        let runs = self.pages(url, Some("workflow_runs"), None).await?;
        for run in runs.map(|list| list.all).unwrap_or_default() {
            let Some(run) = run["id"].as_u64() else {
                continue;
            };
            let (found, _) = self.jobs_of_run(project, run, "latest").await?;
            jobs.extend(found);
        }
        Ok(jobs)
    }

    /// The jobs of a run that ended, with their pull requests, and what was not understood.
    pub(super) async fn jobs_of_run(
        &self,
        project: &str,
        run: u64,
        filter: &str,
    ) -> Result<(Vec<Job>, Vec<String>), ForgeError> {
        let mut url = self.below(project, &["actions", "runs", &run.to_string(), "jobs"]);
        url.query_pairs_mut()
            .append_pair("filter", filter)
            .append_pair("per_page", "100");
        let (mut jobs, mut wrong) = (Vec::new(), Vec::new());
        let Some(list) = self.pages(url, Some("jobs"), None).await? else {
            return Ok((jobs, wrong));
        };
        if list.cut {
            wrong.push(format!("run {run} of {project} has too many jobs"));
        }
        for one in list.all.iter().filter(|job| job["status"] == "completed") {
            match read::job(project, one, &self.forge) {
                Ok(mut job) => {
                    self.find_change(&mut job).await?;
                    jobs.push(job);
                }
                Err(why) => wrong.push(why),
            }
        }
        Ok((jobs, wrong))
    }

    /// Brings jobs to the desk, the oldest first.
    pub(super) async fn announce(
        &self,
        desk: &Arc<Desk>,
        mut jobs: Vec<Job>,
        mark: Option<String>,
    ) -> Result<(), StateError> {
        jobs.sort_by_key(|job| job.build.started);
        let builds = jobs.into_iter().map(|job| self.announced(job)).collect();
        desk.announce(&self.settings.name, builds, mark).await
    }

    /// The same, where what could not be kept is asked for again.
    pub(super) async fn kept(
        &self,
        desk: &Arc<Desk>,
        jobs: Vec<Job>,
        mark: Option<String>,
    ) -> Result<(), ForgeError> {
        let kept = self.announce(desk, jobs, mark).await;
        kept.map_err(|error| ForgeError::Away(format!("could not be kept: {error}")))
    }

    fn announced(&self, mut job: Job) -> Announced {
        let name = job.build.job.as_deref().unwrap_or_default();
        if self.settings.non_voting.is_match(name) {
            job.build.voting = Some(false);
        }
        let project = job.build.project.clone().unwrap_or_default();
        let path = ["actions", "jobs", &job.id.to_string(), "logs"];
        let url = self.below(&project, &path);
        job.announced(url.into(), &self.settings.name)
    }
}

/// None for what is not there.
fn gone<T>(answer: Result<T, ForgeError>) -> Result<Option<T>, ForgeError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ForgeError::NotFound) => Ok(None),
        // 422: GitHub knows no such commit.
        Err(ForgeError::Denied(why)) if why.starts_with("answered 422") => Ok(None),
        Err(error) => Err(error),
    }
}
