//! What GitLab's notifications say, read into builds. No I/O.

use crate::event::{Build, FieldValue};
use crate::source::lenient::{address, commit, moment, text};
use jiff::Timestamp;
use serde_json::Value;

/// A job that ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    pub(super) id: u64,
    /// The number of the project.
    pub(super) project: u64,
    pub(super) build: Build,
    /// True when it ran for a merge request as merged, whose commit is none of the merge request.
    pub(super) merged: bool,
}

/// What is in a notification.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum News {
    /// A job ended.
    Job(Box<Job>),
    /// A merge request has a new newest commit.
    Patchset {
        project: String,
        number: u64,
        change: u64,
        commit: String,
    },
    /// A person wrote something.
    Note(Note),
    /// Nothing that matters here.
    Nothing,
    /// An event that is not known.
    Unknown,
}

/// What a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) project: String,
    pub(super) change: String,
    pub(super) patchset: Option<String>,
    pub(super) author: String,
    pub(super) text: String,
    pub(super) at: Timestamp,
}

/// Reads a notification; the error says what was not understood. `forge` is what the names of builds
/// begin with.
pub(super) fn read(event: &str, payload: &Value, forge: &str) -> Result<News, String> {
    // What a system hook sends is told apart by what it is.
    let kind = payload["object_kind"].as_str().unwrap_or_default();
    match (event, kind) {
        ("Job Hook", _) | ("System Hook", "build") => job(payload, forge),
        ("Merge Request Hook", _) | ("System Hook", "merge_request") => patchset(payload),
        ("Note Hook", _) => note(payload),
        ("System Hook", _) => Ok(News::Nothing),
        _ => Ok(News::Unknown),
    }
}

fn job(payload: &Value, forge: &str) -> Result<News, String> {
    let id = payload["build_id"]
        .as_u64()
        .ok_or("a job without `build_id`")?;
    let missing = |key: &str| format!("job {id} has no `{key}`");
    let status = text(&payload["build_status"]).ok_or_else(|| missing("build_status"))?;
    let result = match status.as_str() {
        "success" => "SUCCESS",
        "failed" => "FAILURE",
        "canceled" => "CANCELED",
        // Waiting, running, or not to be run unless somebody wants it.
        "created"
        | "pending"
        | "running"
        | "preparing"
        | "waiting_for_resource"
        | "scheduled"
        | "manual"
        | "skipped"
        | "canceling"
        | "waiting_for_callback" => return Ok(News::Nothing),
        other => return Err(format!("job {id} has the unknown status {other:?}")),
    };
    let number = payload["project_id"].as_u64();
    let number = number.ok_or_else(|| missing("project_id"))?;
    let sha = commit(&payload["sha"]).ok_or_else(|| missing("sha"))?;
    let ref_name = text(&payload["ref"]).unwrap_or_default();
    let (change, merged) = merge_request(&ref_name);
    let mut build = Build {
        job: Some(text(&payload["build_name"]).ok_or_else(|| missing("build_name"))?),
        result: Some(result.to_owned()),
        project: Some(project(payload).ok_or_else(|| missing("project"))?),
        branch: Some(ref_name).filter(|name| change.is_none() && !name.is_empty()),
        change: change.map(|number| number.to_string()),
        patchset: (!merged).then(|| sha.clone()),
        commit: Some(sha),
        voting: payload["build_allow_failure"]
            .as_bool()
            .map(|allowed| !allowed),
        log_url: job_page(payload, id),
        node_provider: text(&payload["runner"]["description"]),
        started: moment(&payload["build_started_at"]),
        finished: moment(&payload["build_finished_at"]),
        ..Build::new(format!("{forge}-{id}"))
    };
    more(&mut build, payload);
    Ok(News::Job(Box::new(Job {
        id,
        project: number,
        build,
        merged,
    })))
}

/// What queries may ask for beside the usual facts.
fn more(build: &mut Build, payload: &Value) {
    let extra = [
        ("stage", text(&payload["build_stage"])),
        ("failure_reason", text(&payload["build_failure_reason"])),
        (
            "pipeline_id",
            payload["pipeline_id"].as_u64().map(|id| id.to_string()),
        ),
    ];
    for (name, value) in extra {
        if let Some(value) = value {
            build.extra.set(name, FieldValue::text(value));
        }
    }
    if let Some(retries) = payload["retries_count"].as_i64() {
        build.extra.set("retries", FieldValue::Integer(retries));
    }
}

/// The merge request of a pipeline's `ref`, and whether it ran for what merging would make.
fn merge_request(name: &str) -> (Option<u64>, bool) {
    let Some(rest) = name.strip_prefix("refs/merge-requests/") else {
        return (None, false);
    };
    let (number, kind) = rest.split_once('/').unwrap_or((rest, ""));
    match number.parse() {
        Ok(number) => (Some(number), matches!(kind, "merge" | "train")),
        Err(_) => (None, false),
    }
}

/// The project's path: `GROUP/PROJECT`, with any number of groups.
fn project(payload: &Value) -> Option<String> {
    let path = text(&payload["project"]["path_with_namespace"]);
    // Before GitLab 15 only the address of its pages says it.
    let home = || {
        let home = address(&payload["repository"]["homepage"])?;
        let path = url::Url::parse(&home)
            .ok()?
            .path()
            .trim_matches('/')
            .to_owned();
        (!path.is_empty()).then_some(path)
    };
    path.or_else(home)
}

fn job_page(payload: &Value, id: u64) -> Option<String> {
    let home = address(&payload["project"]["web_url"])
        .or_else(|| address(&payload["repository"]["homepage"]))?;
    Some(format!("{}/-/jobs/{id}", home.trim_end_matches('/')))
}

fn patchset(payload: &Value) -> Result<News, String> {
    let about = &payload["object_attributes"];
    let change = about["iid"]
        .as_u64()
        .ok_or("a merge request without `iid`")?;
    let fresh = match about["action"].as_str() {
        Some("open" | "reopen") => true,
        // Only with new commits; else a title or a label changed.
        Some("update") => about["oldrev"].is_string(),
        _ => false,
    };
    if !fresh {
        return Ok(News::Nothing);
    }
    let missing = |key: &str| format!("merge request {change} has no `{key}`");
    Ok(News::Patchset {
        project: project(payload).ok_or_else(|| missing("project.path_with_namespace"))?,
        number: payload["project"]["id"].as_u64().unwrap_or_default(),
        change,
        commit: commit(&about["last_commit"]["id"]).ok_or_else(|| missing("last_commit.id"))?,
    })
}

fn note(payload: &Value) -> Result<News, String> {
    let about = &payload["object_attributes"];
    let on_change = about["noteable_type"] == "MergeRequest";
    let written = about["system"] != true && about["action"] != "update";
    let author = text(&payload["user"]["username"]).ok_or("a comment without `user.username`")?;
    if !on_change || !written || is_bot(&author) {
        return Ok(News::Nothing);
    }
    let request = &payload["merge_request"];
    let change = request["iid"]
        .as_u64()
        .ok_or("a comment without `merge_request.iid`")?;
    let missing = |key: &str| format!("a comment on merge request {change} has no `{key}`");
    Ok(News::Note(Note {
        project: project(payload).ok_or_else(|| missing("project.path_with_namespace"))?,
        change: change.to_string(),
        patchset: commit(&request["last_commit"]["id"]),
        author,
        text: text(&about["note"]).ok_or_else(|| missing("note"))?,
        at: moment(&about["created_at"]).ok_or_else(|| missing("created_at"))?,
    }))
}

/// True for the accounts that GitLab makes for access tokens of projects and groups.
fn is_bot(name: &str) -> bool {
    let rest = name
        .strip_prefix("project_")
        .or_else(|| name.strip_prefix("group_"));
    rest.and_then(|rest| rest.split_once('_'))
        .is_some_and(|(number, rest)| number.parse::<u64>().is_ok() && rest.starts_with("bot"))
}
