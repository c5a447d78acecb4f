//! The check run of a note: its text, and the evidence as annotations.
//!
//! Annotations cannot be taken away, so another generation is another run of the same name, of which
//! GitHub shows the newest. Each run's `external_id` says what it is about and how many annotations
//! it has, written with them, so that one that was cut short is carried on where it ended.

use super::github::Place;
use super::markdown;
use super::plain::one_line;
use crate::note::Refusal;
use crate::state::Note;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Annotations that GitHub takes in one request.
const AT_ONCE: usize = 50;
/// Annotations of one run.
const MOST: usize = 200;
/// Longest summary, in characters.
const LONGEST: usize = 65_535;
/// Longest title of an annotation, in characters.
const TITLE: usize = 255;
/// Longest excerpt in an annotation, in bytes; GitHub takes 64 KiB.
const EXCERPT: usize = 8 * 1024;

/// A check run that is there.
struct Run {
    id: u64,
    generation: u64,
    annotations: usize,
}

/// Makes the check run of a note, or what is missing of it.
pub(super) async fn run(
    place: &Place<'_>,
    note: &Note,
    name: &str,
    sha: &str,
    app: u64,
) -> Result<(), Refusal> {
    let annotations = annotations(&note.json);
    let topic = topic(note);
    let newest = newest(place, &topic, name, sha, app).await?;
    let newest = newest.filter(|run| run.generation >= note.generation);
    let (mut id, mut done) = match &newest {
        Some(run) if run.generation > note.generation => return Ok(()),
        Some(run) => (Some(run.id), run.annotations),
        None => (None, 0),
    };
    while id.is_none() || done < annotations.len() {
        let end = annotations.len().min(done + AT_ONCE);
        let output = json!({
            "title": title(&note.json),
            "summary": markdown::summary(note, place.wanted.page.as_deref(), LONGEST),
            "annotations": &annotations[done..end],
        });
        let external = format!("{topic}:{}:{end}", note.generation);
        id = Some(send(place, id, name, sha, &external, &output).await?);
        done = end;
    }
    Ok(())
}

async fn send(
    place: &Place<'_>,
    id: Option<u64>,
    name: &str,
    sha: &str,
    external: &str,
    output: &Value,
) -> Result<u64, Refusal> {
    let mut body = json!({"external_id": external, "output": output});
    let answer = if let Some(id) = id {
        let url = place.url(&["check-runs", &id.to_string()]);
        place.send(Method::PATCH, url, Some(&body)).await?
    } else {
        body["name"] = name.into();
        body["head_sha"] = sha.into();
        body["status"] = "completed".into();
        // It tells; it never stands in the way of a merge.
        body["conclusion"] = "neutral".into();
        if let Some(page) = &place.wanted.page {
            body["details_url"] = page.as_str().into();
        }
        let url = place.url(&["check-runs"]);
        place.send(Method::POST, url, Some(&body)).await?
    };
    let id = answer.json()?["id"].as_u64();
    id.ok_or_else(|| answer.not_understood("no check run"))
}

async fn newest(
    place: &Place<'_>,
    topic: &str,
    name: &str,
    sha: &str,
    app: u64,
) -> Result<Option<Run>, Refusal> {
    let mut url = place.url(&["commits", sha, "check-runs"]);
    url.query_pairs_mut()
        .append_pair("check_name", name)
        .append_pair("app_id", &app.to_string())
        .append_pair("filter", "all")
        .append_pair("per_page", "100");
    let runs = place.pages(url, Some("check_runs")).await?;
    let ours = runs.iter().filter_map(|run| Run::read(run, topic));
    Ok(ours.max_by_key(|run| run.generation))
}

impl Run {
    fn read(json: &Value, topic: &str) -> Option<Self> {
        let rest = json["external_id"].as_str()?.strip_prefix(topic)?;
        let (generation, annotations) = rest.strip_prefix(':')?.split_once(':')?;
        Some(Self {
            id: json["id"].as_u64()?,
            generation: generation.parse().ok()?,
            annotations: annotations.parse().ok()?,
        })
    }
}

/// A name of the topic that is short enough for any field.
fn topic(note: &Note) -> String {
    let digest = Sha256::digest(&note.topic);
    let mut text = "whorl:".to_owned();
    for byte in digest.iter().take(12) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn list<'a>(json: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    json[name].as_array().into_iter().flatten()
}

fn title(json: &Value) -> String {
    let all = list(json, "builds").count();
    let known = list(json, "builds").filter(|build| list(build, "bugs").next().is_some());
    match (known.count(), all) {
        (_, 0) => "No failed build".to_owned(),
        (known, all) => format!("{known} of {all} failed builds explained"),
    }
}

fn annotations(json: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for build in list(json, "builds") {
        for bug in list(build, "bugs") {
            for evidence in list(bug, "evidence") {
                all.extend(annotation(build, bug, evidence));
            }
        }
    }
    all.truncate(MOST);
    all
}

/// An evidence line; its file is one of the build's logs.
fn annotation(build: &Value, bug: &Value, evidence: &Value) -> Option<Value> {
    let file = evidence["file"].as_str().filter(|file| !file.is_empty())?;
    let line = evidence["line"].as_u64()?.max(1);
    let text = |value: &Value| one_line(value.as_str().unwrap_or_default());
    let job = text(&build["job"]);
    let name = format!("{}: {}", text(&bug["bug"]["name"]), text(&bug["title"]));
    let excerpt = cut(evidence["excerpt"].as_str().unwrap_or_default());
    let mut message = format!("{job}: {name}");
    if let Some(url) = bug["bug"]["url"].as_str() {
        let _ = write!(message, "\n{}", one_line(url));
    }
    Some(json!({
        "path": one_line(file), "start_line": line, "end_line": line,
        "annotation_level": "notice",
        "title": name.chars().take(TITLE).collect::<String>(),
        "message": message.chars().take(EXCERPT).collect::<String>(),
        "raw_details": excerpt,
    }))
}

/// Whole lines where there are any, without control characters.
fn cut(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().map(one_line) {
        if out.len() + line.len() > EXCERPT {
            let room = EXCERPT.saturating_sub(out.len());
            out.extend(line.chars().take(room / 4));
            break;
        }
        out.push_str(&line);
        out.push('\n');
    }
    out.trim_end().to_owned()
}
