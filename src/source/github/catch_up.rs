//! What no notification told: runs since the mark are listed after each start and then every so often.

use super::{Desk, GitHub, Later};
use crate::forge::ForgeError;
use crate::source::lenient::moment;
use jiff::{SignedDuration, Timestamp, ToSpan, Unit};
use reqwest::header::HeaderValue;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Clocks differ, and a run is listed a little after it ended.
const SLACK: SignedDuration = SignedDuration::from_mins(5);
/// A run is listed by when it began; the longest that jobs of GitHub's own machines may take.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(6);
/// Tries in vain until something is given up.
const TRIES: u32 = 5;

/// Which repositories are looked at, and how often.
#[derive(Debug, Clone)]
pub struct CatchUp {
    /// The repositories, as `OWNER/NAME`.
    pub repositories: Vec<String>,
    /// How often.
    pub every: Duration,
    /// How far back the first look goes.
    pub since: Duration,
}

/// How far each repository was looked at.
type Marks = BTreeMap<String, Timestamp>;
/// The address of each repository's list and what its first page was called.
type Tags = HashMap<String, (url::Url, HeaderValue)>;

impl GitHub {
    /// Looks for what was missed and asks for what waits, until it is stopped.
    pub(super) async fn work(&self, desk: Arc<Desk>, stop: CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        let mut tags = Tags::new();
        let mut due = self.settings.catch_up.is_some().then(Instant::now);
        desk.connected(&self.settings.name, Timestamp::now(), None);
        loop {
            let look = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = look => {
                    let wait = tokio::select! {
                        () = stop.cancelled() => return,
                        wait = self.look(&desk, &mut tags) => wait,
                    };
                    due = Some(Instant::now() + wait);
                }
                Some(later) = waiting.recv() => tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.patiently(&desk, later) => {}
                },
            }
        }
    }

    /// Asks until there is an answer, or often enough.
    async fn patiently(&self, desk: &Arc<Desk>, later: Later) {
        let what = format!("{later:?}");
        let mut wait = self.settings.retry;
        for _ in 0..TRIES {
            let again = match &later {
                Later::Suite { project, id } => Later::Suite {
                    project: project.clone(),
                    id: *id,
                },
                Later::Change(job) => Later::Change(job.clone()),
            };
            let Err(error) = self.ask(desk, again).await else {
                return;
            };
            tracing::warn!(source = self.settings.name, %error, "GitHub was asked in vain");
            if !error.may_pass() {
                break;
            }
            let pause = match error {
                ForgeError::Later(wish) => wish.max(wait),
                _ => wait,
            };
            tokio::time::sleep(pause).await;
            wait = wait.saturating_mul(2);
        }
        let what: String = what.chars().take(120).collect();
        let lost = [format!("asked GitHub in vain: {what}")];
        desk.heard(&self.settings.name, Timestamp::now(), 0, &lost);
    }

    /// One look at all repositories; returns the time until the next.
    async fn look(&self, desk: &Arc<Desk>, tags: &mut Tags) -> Duration {
        let Some(catch_up) = &self.settings.catch_up else {
            return self.settings.retry;
        };
        let (mut error, mut wait) = (None, catch_up.every);
        for project in &catch_up.repositories {
            match self.look_at(desk, project, catch_up, tags).await {
                Ok(()) => {}
                Err(ForgeError::Later(wish)) => {
                    wait = wish;
                    error = Some(format!("{project}: {}", ForgeError::Later(wish)));
                    break;
                }
                Err(other) => {
                    if other.may_pass() {
                        wait = self.settings.retry;
                    }
                    error = Some(format!("{project}: {other}"));
                }
            }
        }
        desk.connected(&self.settings.name, Timestamp::now(), error);
        wait
    }

    async fn look_at(
        &self,
        desk: &Arc<Desk>,
        project: &str,
        catch_up: &CatchUp,
        tags: &mut Tags,
    ) -> Result<(), ForgeError> {
        let now = Timestamp::now();
        let kept = |error| ForgeError::Away(format!("{error}"));
        let mark = desk.mark(&self.settings.name).await.map_err(kept)?;
        let mut marks = marks(mark.as_deref());
        let back = SignedDuration::try_from(catch_up.since).unwrap_or(LONGEST_RUN);
        let first = earlier(now, back);
        let mark = marks.get(project).map_or(first, |at| earlier(*at, SLACK));
        let url = self.runs_since(project, earlier(mark, LONGEST_RUN));
        let tag = tags.get(project).filter(|(of, _)| *of == url);
        let tag = tag.map(|(_, tag)| tag.clone());
        let Some(runs) = self
            .pages(url.clone(), Some("workflow_runs"), tag.as_ref())
            .await?
        else {
            return Ok(());
        };
        let (mut jobs, mut wrong) = (Vec::new(), Vec::new());
        if runs.cut {
            wrong.push(format!(
                "{project}: more runs than GitHub lists since {mark}"
            ));
        }
        for run in runs.all.iter().filter(|run| is_newer(run, mark)) {
            let Some(id) = run["id"].as_u64() else {
                wrong.push(format!("{project}: a run without `id`"));
                continue;
            };
            let (found, strange) = self.jobs_of_run(project, id, "all").await?;
            jobs.extend(found);
            wrong.extend(strange);
        }
        marks.insert(project.to_owned(), now);
        let mark = serde_json::to_string(&marks).ok();
        self.kept(desk, jobs, mark).await?;
        desk.heard(&self.settings.name, Timestamp::now(), 0, &wrong);
        // Only what was kept need not be read again.
        tags.extend(runs.etag.map(|etag| (project.to_owned(), (url, etag))));
        Ok(())
    }

    /// The list of runs that began since then, to the hour, so that it can be asked for again.
    fn runs_since(&self, project: &str, since: Timestamp) -> url::Url {
        let hour = since.round(Unit::Hour).unwrap_or(since);
        let hour = hour.checked_sub(1.hour()).unwrap_or(hour);
        let mut url = self.below(project, &["actions", "runs"]);
        url.query_pairs_mut()
            .append_pair("status", "completed")
            .append_pair("created", &format!(">={hour}"))
            .append_pair("per_page", "100");
        url
    }
}

/// True for a run that ended after this, or does not say when.
fn is_newer(run: &Value, mark: Timestamp) -> bool {
    moment(&run["updated_at"]).is_none_or(|at| at >= mark)
}

fn earlier(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn marks(text: Option<&str>) -> Marks {
    // A mark that is not ours is none.
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}
