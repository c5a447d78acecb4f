//! What the Notification plug-in of Jenkins says, read into builds. No I/O.

use crate::event::{Build, FieldValue};
use crate::source::digest::digest;
use crate::source::lenient::{commit, text, text_or_number};
use crate::source::{Announced, Logs};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use url::Url;

/// Words for the same parameter: Gerrit Trigger, Zuul, the pull request builder, the GitLab plug-in.
const CHANGE: &[&str] = &[
    "GERRIT_CHANGE_NUMBER",
    "ZUUL_CHANGE",
    "ghprbPullId",
    "gitlabMergeRequestIid",
];
const PATCHSET: &[&str] = &[
    "GERRIT_PATCHSET_NUMBER",
    "ZUUL_PATCHSET",
    "ghprbActualCommit",
    "gitlabMergeRequestLastCommit",
];
const PROJECT: &[&str] = &[
    "GERRIT_PROJECT",
    "ZUUL_PROJECT",
    "ghprbGhRepository",
    "gitlabTargetNamespace/gitlabTargetRepoName",
];
const BRANCH: &[&str] = &[
    "GERRIT_BRANCH",
    "ZUUL_BRANCH",
    "ghprbTargetBranch",
    "gitlabTargetBranch",
];
const REVISION: &[&str] = &[
    "GERRIT_PATCHSET_REVISION",
    "ZUUL_COMMIT",
    "ghprbActualCommit",
    "gitlabMergeRequestLastCommit",
];

/// When a build counts as ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// When its log is complete (`FINALIZED`).
    #[default]
    Finalized,
    /// When it has a result, though what comes after the build may still be written to its log.
    Completed,
}

/// Reads a notification: a build that ended, nothing of interest, or what was not understood.
pub(super) fn read(
    payload: &Value,
    base: &Url,
    phase: Phase,
    account: Option<&str>,
) -> Result<Option<Announced>, String> {
    let about = &payload["build"];
    let name = text(&payload["name"]).ok_or("no `name` of a job")?;
    let said = text(&about["phase"]).ok_or_else(|| format!("{name}: no `build.phase`"))?;
    let ended = match said.to_ascii_uppercase().as_str() {
        // An old plug-in says FINISHED.
        "FINALIZED" | "FINISHED" => true,
        "COMPLETED" => phase == Phase::Completed,
        "QUEUED" | "STARTED" => false,
        _ => return Err(format!("{name}: the phase {said:?} is not known")),
    };
    if !ended {
        return Ok(None);
    }
    let number =
        text_or_number(&about["number"]).ok_or_else(|| format!("{name}: no `build.number`"))?;
    let missing = |key: &str| format!("{name} #{number}: no `{key}`");
    let result = text(&about["status"]).ok_or_else(|| missing("build.status"))?;
    let page =
        page(about, base).ok_or_else(|| format!("{name} #{number}: no address below {base}"))?;
    let (job, change) = job(&payload["url"], name);
    let mut build = Build {
        job: Some(job),
        result: Some(word(&result)),
        log_url: Some(page.clone().into()),
        ..Build::new(format!("jenkins-{}", digest(&[page.as_str()])))
    };
    facts(&mut build, about);
    build.change = build.change.or(change);
    build.extra.set("build_number", FieldValue::text(&number));
    let logs = page.join("consoleText").ok().map(|url| Logs::File {
        url: url.into(),
        name: "consoleText".to_owned(),
        account: account.map(str::to_owned),
    });
    Ok(Some(Announced { build, logs }))
}

/// The job's name with its folders, which the notification's own lacks, and the change that a job of a
/// multibranch pipeline is named after (`PR-17`, `MR-17-merge`).
fn job(url: &Value, name: String) -> (String, Option<String>) {
    let path = text(url).unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let folders = parts
        .chunks(2)
        .all(|pair| pair.len() == 2 && pair[0] == "job");
    if !folders || parts.len() < 4 {
        return (name, None);
    }
    let mut names: Vec<&str> = parts.chunks(2).map(|pair| pair[1]).collect();
    names.pop();
    let folder = names.join("/");
    let number = name
        .strip_prefix("PR-")
        .or_else(|| name.strip_prefix("MR-"));
    let number = number.map(|rest| rest.split('-').next().unwrap_or(rest));
    match number.filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
        Some(number) => (folder, Some(number.to_owned())),
        None => (format!("{folder}/{name}"), None),
    }
}

/// Jenkins' own word, but for a build that never ran.
fn word(result: &str) -> String {
    match result.to_uppercase().as_str() {
        "NOT_BUILT" => "SKIPPED".to_owned(),
        word => word.to_owned(),
    }
}

/// The build's page: an address below the configured one, for our password goes there.
fn page(about: &Value, base: &Url) -> Option<Url> {
    let whole = text(&about["full_url"]).and_then(|url| Url::parse(&url).ok());
    // Jenkins may not know how it is reached; the path below it is the same.
    let part = || base.join(text(&about["url"])?.trim_start_matches('/')).ok();
    let below = |url: &Url| {
        url.origin() == base.origin()
            && url.path().starts_with(base.path())
            && !url.path().to_ascii_lowercase().contains("%2e%2e")
            && url.path().len() > base.path().len()
    };
    let mut page = whole.filter(below).or_else(|| part().filter(below))?;
    page.set_query(None);
    page.set_fragment(None);
    // No name and password that a notification brings.
    (page.username().is_empty() && page.password().is_none()).then_some(())?;
    if !page.path().ends_with('/') {
        let path = format!("{}/", page.path());
        page.set_path(&path);
    }
    Some(page)
}

fn facts(build: &mut Build, about: &Value) {
    let parameters = &about["parameters"];
    let find = |names: &[&str]| names.iter().find_map(|name| parameter(parameters, name));
    let scm = &about["scm"];
    build.change = find(CHANGE);
    build.patchset = find(PATCHSET);
    build.project = find(PROJECT);
    build.branch = find(BRANCH).or_else(|| text(&scm["branch"]));
    build.commit = find(REVISION).or_else(|| commit(&scm["commit"]));
    build.pipeline = find(&["ZUUL_PIPELINE"]);
    build.node_provider = text(&about["node_name"]);
    let tests = about["test_summary"]["failed_tests"].as_array();
    let named = |all: &Vec<Value>| all.iter().filter_map(text).collect::<Vec<_>>();
    build.failed_tests = tests.map(named).filter(|all| !all.is_empty());
    // When the build ended, in milliseconds since 1970, and how long it took.
    let ended = about["timestamp"].as_i64();
    build.finished = ended.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let took = about["duration"].as_i64().filter(|took| *took > 0);
    if let (Some(finished), Some(took)) = (build.finished, took) {
        let began = finished.checked_sub(SignedDuration::from_millis(took));
        build.started = began.ok();
    }
}

/// A parameter's value; of a name with `/` both parts are parameters.
fn parameter(parameters: &Value, name: &str) -> Option<String> {
    match name.split_once('/') {
        None => text_or_number(&parameters[name]),
        Some((group, name)) => {
            let (group, name) = (text(&parameters[group])?, text(&parameters[name])?);
            Some(format!("{group}/{name}"))
        }
    }
}
