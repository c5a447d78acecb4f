//! What was missed, asked of the REST API.

use super::hear::Patchset;
use crate::config::{GerritSource, Secret};
use crate::source::gerrit::Comment;
use crate::source::gerrit::event::of_row;
use jiff::Timestamp;
use reqwest::{Certificate, Client, Response, StatusCode, header};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// Changes on one page.
const PAGE: usize = 50;
/// Pages that are asked for in one go.
const PAGES: usize = 60;
/// Bytes of one answer.
const LARGEST: usize = 64 << 20;
/// Comments that are taken at once.
const COMMENTS: usize = 50_000;
/// How often is asked what has changed since the asking began.
const ROUNDS: usize = 4;
/// Seconds by which queries lag behind.
const LAG: i64 = 10;

/// A REST API.
pub(super) struct Rest {
    client: Client,
    url: Url,
    account: Option<(String, Secret)>,
}

/// What was found, oldest first.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) comments: Vec<Comment>,
    pub(super) patchsets: Vec<Patchset>,
    /// There was more than is asked for; the oldest is missing.
    pub(super) cut: bool,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

impl Rest {
    /// The one that the configuration names.
    pub(super) fn new(source: &GerritSource) -> Result<Option<Self>, String> {
        let Some(rest) = &source.rest else {
            return Ok(None);
        };
        let mut client = Client::builder()
            .timeout(rest.timeout.0)
            .connect_timeout(rest.timeout.0.min(Duration::from_secs(20)))
            // The password goes to the configured place only.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("whorl/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &rest.ca_file {
            let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
            let all = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?;
            for one in all {
                client = client.add_root_certificate(one);
            }
        }
        let user = rest.user.clone().unwrap_or_else(|| source.user.clone());
        Ok(Some(Self {
            client: client.build().map_err(|error| error.to_string())?,
            url: rest.url.clone(),
            account: rest.password.clone().map(|password| (user, password)),
        }))
    }

    /// The time by Gerrit's clock.
    pub(super) async fn now(&self) -> Result<i64, String> {
        let (_, now) = self.ask(&["config", "server", "version"], &[]).await?;
        Ok(now)
    }

    /// Everything since `after`.
    pub(super) async fn since(&self, after: i64) -> Result<Found, String> {
        let mut found = Found::default();
        let mut from = after;
        for _ in 0..ROUNDS {
            // While pages are asked for, changes move to those that were read already.
            let (began, pages) = self.sweep(from, after, &mut found).await?;
            if pages <= 1 {
                break;
            }
            from = began - LAG;
        }
        found.comments.sort_by_key(|comment| comment.created);
        Ok(found)
    }

    /// Reads the changes that were touched since `from`; gives when that began, and the pages.
    async fn sweep(
        &self,
        from: i64,
        after: i64,
        found: &mut Found,
    ) -> Result<(i64, usize), String> {
        let at = Timestamp::from_second(from).map_err(|error| error.to_string())?;
        let query = format!("after:\"{}\"", at.strftime("%Y-%m-%d %H:%M:%S +0000"));
        let (mut start, mut began) = (0, None);
        for page in 1..=PAGES {
            let (n, s) = (PAGE.to_string(), start.to_string());
            let asked = [
                ("q", query.as_str()),
                ("n", &n),
                ("S", &s),
                ("o", "MESSAGES"),
                ("o", "ALL_REVISIONS"),
                ("o", "DETAILED_ACCOUNTS"),
            ];
            let (answer, now) = self.ask(&["changes", ""], &asked).await?;
            let began = *began.get_or_insert(now);
            let Value::Array(changes) = answer else {
                return Err("the answer is no list of changes".into());
            };
            for change in &changes {
                self.add(change, after, found);
            }
            start += changes.len();
            let more = changes
                .last()
                .is_some_and(|last| last["_more_changes"] == true);
            if !more {
                return Ok((began, page));
            }
            if found.comments.len() > COMMENTS {
                break;
            }
        }
        found.cut = true;
        Ok((began.unwrap_or(after), 1))
    }

    /// Takes what happened to a change since `after`.
    fn add(&self, change: &Value, after: i64, found: &mut Found) {
        let (Some(project), Some(number)) =
            (change["project"].as_str(), change["_number"].as_u64())
        else {
            return;
        };
        let revisions = change["revisions"].as_object();
        let mut newest = 0;
        for revision in revisions.into_iter().flat_map(serde_json::Map::values) {
            newest = newest.max(revision["_number"].as_u64().unwrap_or(0));
        }
        if newest > 0 {
            found.patchsets.push(Patchset {
                project: project.to_owned(),
                change: number.to_string(),
                number: newest.to_string(),
            });
        }
        let recent = |comment: &Comment| {
            comment
                .created
                .is_some_and(|created| created.as_second() >= after)
        };
        let commit = |patchset: &Option<String>| {
            let number: u64 = patchset.as_deref()?.parse().ok()?;
            let mut all = revisions?.iter();
            all.find(|(_, one)| one["_number"] == number)
                .map(|(commit, _)| commit.clone())
        };
        let url = self.page_of(project, number);
        let comments = of_row(change).into_iter().flatten().filter(recent);
        found.comments.extend(comments.map(|mut comment| {
            comment.commit = commit(&comment.patchset);
            comment.change_url = Some(url.clone());
            comment
        }));
    }

    fn page_of(&self, project: &str, number: u64) -> String {
        let base = self.url.as_str().trim_end_matches('/');
        format!("{base}/c/{project}/+/{number}")
    }

    /// An answer, and the time that it says.
    async fn ask(&self, path: &[&str], query: &[(&str, &str)]) -> Result<(Value, i64), String> {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty();
            if self.account.is_some() {
                parts.push("a");
            }
            parts.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .client
            .get(url)
            .header(header::ACCEPT, "application/json");
        if let Some((user, password)) = &self.account {
            request = request.basic_auth(user, Some(password.expose()));
        }
        let answer = crate::chance::http::send(request)
            .await
            .map_err(|error| told(&error))?;
        let now = date(&answer).unwrap_or_else(Timestamp::now).as_second();
        refuse(answer.status())?;
        let body = body(answer).await?;
        let body = body.strip_prefix(b")]}'").unwrap_or(&body);
        let value = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
        Ok((value, now))
    }
}

fn refuse(status: StatusCode) -> Result<(), String> {
    match status.as_u16() {
        200..=299 => Ok(()),
        401 => Err("401: user and HTTP password are not those of an account".into()),
        300..=399 => Err(format!(
            "{status}: `rest.url` is not the address of Gerrit's pages"
        )),
        404 => Err("404: `rest.url` is not the address of Gerrit's pages".into()),
        _ => Err(status.to_string()),
    }
}

fn date(answer: &Response) -> Option<Timestamp> {
    let text = answer.headers().get(header::DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(date.timestamp())
}

async fn body(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| told(&error))? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("an answer of more than {LARGEST} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause says the most.
fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
