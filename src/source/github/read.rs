//! What GitHub's notifications and answers say, read into builds. No I/O.

use crate::event::{Build, FieldValue};
use crate::source::lenient::{address, commit, moment, text};
use crate::source::{Announced, Logs};
use jiff::Timestamp;
use serde_json::Value;

/// A job that ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) run: Option<u64>,
    pub(super) build: Build,
    pub(super) place: Place,
}

/// Where a job's logs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// GitHub has them.
    Here,
    /// Somebody else has them.
    Elsewhere(String),
    /// It has none.
    Nowhere,
}

/// What a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) project: String,
    pub(super) change: String,
    pub(super) author: String,
    pub(super) text: String,
    pub(super) at: Timestamp,
}

/// What is in a notification.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum News {
    /// A job ended.
    Job(Box<Job>),
    /// All jobs of a suite ended.
    Suite { project: String, id: u64 },
    /// A pull request has a new newest commit.
    Patchset {
        project: String,
        change: u64,
        commit: String,
    },
    /// A person wrote something.
    Comment(Comment),
    /// Nothing that matters here.
    Nothing,
    /// An event that is not known.
    Unknown,
}

/// Reads a notification; the error says what was not understood. `checks` are the names of the Apps
/// whose check runs are builds, and `forge` is what the names of builds begin with.
pub(super) fn read(
    event: &str,
    payload: &Value,
    checks: &[String],
    forge: &str,
) -> Result<News, String> {
    let action = payload["action"].as_str().unwrap_or_default();
    match (event, action) {
        ("workflow_job", "completed") => {
            let job = job(&project(payload)?, &payload["workflow_job"], forge)?;
            Ok(News::Job(Box::new(job)))
        }
        ("check_run", "completed") => check_run(payload, checks, forge),
        ("check_suite", "completed") => check_suite(payload),
        ("pull_request", "opened" | "synchronize" | "reopened") => patchset(payload),
        ("issue_comment", "created") => comment(payload),
        ("workflow_job" | "check_run" | "check_suite" | "pull_request" | "issue_comment", "") => {
            Err(format!("{event}: no action"))
        }
        (
            "workflow_job" | "check_run" | "check_suite" | "pull_request" | "issue_comment"
            | "ping",
            _,
        ) => Ok(News::Nothing),
        _ => Ok(News::Unknown),
    }
}

/// A job as `workflow_job` and the API's lists of jobs have it.
pub(super) fn job(project: &str, job: &Value, forge: &str) -> Result<Job, String> {
    let id = job["id"].as_u64().ok_or("a job without `id`")?;
    let missing = |key: &str| format!("job {id} has no `{key}`");
    let attempt = job["run_attempt"].as_u64().unwrap_or(1);
    let result = text(&job["conclusion"]).ok_or_else(|| missing("conclusion"))?;
    let name = text(&job["name"]).ok_or_else(|| missing("name"))?;
    let sha = commit(&job["head_sha"]).ok_or_else(|| missing("head_sha"))?;
    let named = match text(&job["workflow_name"]) {
        Some(workflow) => format!("{workflow} / {name}"),
        None => name,
    };
    let mut build = Build {
        job: Some(named),
        branch: text(&job["head_branch"]),
        log_url: address(&job["html_url"]),
        node_provider: text(&job["runner_group_name"]),
        started: moment(&job["started_at"]),
        finished: moment(&job["completed_at"]),
        ..common(format!("{forge}-{id}-{attempt}"), project, &result, sha)
    };
    let run = job["run_id"].as_u64();
    if let Some(run) = run {
        build.extra.set("run_id", FieldValue::text(run.to_string()));
    }
    let attempt = i64::try_from(attempt).unwrap_or(i64::MAX);
    build.extra.set("run_attempt", FieldValue::Integer(attempt));
    let ran = job["started_at"].is_string() && result != "skipped";
    Ok(Job {
        id,
        run,
        build,
        place: if ran { Place::Here } else { Place::Nowhere },
    })
}

fn common(uuid: String, project: &str, result: &str, sha: String) -> Build {
    Build {
        result: Some(result.to_uppercase()),
        project: Some(project.to_owned()),
        patchset: Some(sha.clone()),
        commit: Some(sha),
        ..Build::new(uuid)
    }
}

fn check_run(payload: &Value, checks: &[String], forge: &str) -> Result<News, String> {
    let check = &payload["check_run"];
    let app = check["app"]["slug"].as_str().unwrap_or_default();
    // The jobs of GitHub's own CI are told by `workflow_job`, with more in it.
    if app == "github-actions" || !checks.iter().any(|name| name == app) {
        return Ok(News::Nothing);
    }
    let project = project(payload)?;
    let id = check["id"].as_u64().ok_or("a check run without `id`")?;
    let missing = |key: &str| format!("check run {id} has no `{key}`");
    let result = text(&check["conclusion"]).ok_or_else(|| missing("conclusion"))?;
    let name = text(&check["name"]).ok_or_else(|| missing("name"))?;
    let sha = commit(&check["head_sha"]).ok_or_else(|| missing("head_sha"))?;
    let details = address(&check["details_url"]);
    let change = check["pull_requests"]
        .as_array()
        .and_then(|all| pull_of(all, &sha));
    let build = Build {
        job: Some(name),
        branch: text(&check["check_suite"]["head_branch"]),
        change: change.map(|number| number.to_string()),
        log_url: details.clone().or_else(|| address(&check["html_url"])),
        started: moment(&check["started_at"]),
        finished: moment(&check["completed_at"]),
        ..common(format!("{forge}-check-{id}"), &project, &result, sha)
    };
    let run = None;
    let place = match details {
        Some(url) if result != "skipped" => Place::Elsewhere(url),
        _ => Place::Nowhere,
    };
    Ok(News::Job(Box::new(Job {
        id,
        run,
        build,
        place,
    })))
}

fn check_suite(payload: &Value) -> Result<News, String> {
    let suite = &payload["check_suite"];
    let own = suite["app"]["slug"] == "github-actions";
    let well = matches!(
        suite["conclusion"].as_str(),
        Some("success" | "skipped" | "neutral")
    );
    if !own || well {
        return Ok(News::Nothing);
    }
    let id = suite["id"].as_u64().ok_or("a check suite without `id`")?;
    let project = project(payload)?;
    Ok(News::Suite { project, id })
}

fn patchset(payload: &Value) -> Result<News, String> {
    let pull = &payload["pull_request"];
    let change = pull["number"].as_u64().or(payload["number"].as_u64());
    let change = change.ok_or("a pull request without `number`")?;
    let commit = commit(&pull["head"]["sha"])
        .ok_or_else(|| format!("pull request {change} has no `head.sha`"))?;
    Ok(News::Patchset {
        project: project(payload)?,
        change,
        commit,
    })
}

fn comment(payload: &Value) -> Result<News, String> {
    let (issue, comment) = (&payload["issue"], &payload["comment"]);
    let human = comment["user"]["type"] == "User";
    if !issue["pull_request"].is_object() || !human {
        return Ok(News::Nothing);
    }
    let change = issue["number"]
        .as_u64()
        .ok_or("a comment without `issue.number`")?;
    let missing = |key: &str| format!("a comment on pull request {change} has no `{key}`");
    Ok(News::Comment(Comment {
        project: project(payload)?,
        change: change.to_string(),
        author: text(&comment["user"]["login"]).ok_or_else(|| missing("user.login"))?,
        text: text(&comment["body"]).ok_or_else(|| missing("body"))?,
        at: moment(&comment["created_at"]).ok_or_else(|| missing("created_at"))?,
    }))
}

/// The repository of a notification, as `OWNER/NAME`.
fn project(payload: &Value) -> Result<String, String> {
    let name = text(&payload["repository"]["full_name"]).ok_or("no `repository.full_name`")?;
    if is_repository(&name) {
        Ok(name)
    } else {
        Err(format!("{name:?} is no repository"))
    }
}

/// True for `OWNER/NAME`.
pub(super) fn is_repository(name: &str) -> bool {
    let plain = |part: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(known)
    };
    name.split_once('/')
        .is_some_and(|(owner, name)| plain(owner) && plain(name))
}

/// The open pull request of a list whose newest commit this is.
pub(super) fn pull_of(pulls: &[Value], sha: &str) -> Option<u64> {
    let of = |pull: &&Value| {
        let open = pull["state"].as_str().is_none_or(|state| state == "open");
        let head = pull["head"]["sha"].as_str();
        open && head.is_some_and(|head| head.eq_ignore_ascii_case(sha))
    };
    pulls.iter().find(of)?["number"].as_u64()
}

impl Job {
    /// What the desk is told. `url` is where GitHub has the log, and `account` who may fetch it.
    pub(super) fn announced(self, url: String, account: &str) -> Announced {
        let logs = match self.place {
            Place::Here => Some(Logs::File {
                url,
                name: "job-output.txt".to_owned(),
                account: Some(account.to_owned()),
            }),
            Place::Elsewhere(url) => Some(Logs::Root { url }),
            Place::Nowhere => None,
        };
        Announced {
            build: self.build,
            logs,
        }
    }
}
