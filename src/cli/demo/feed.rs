//! Sends recordings to the running service, over HTTP as a CI does.

use super::recordings::{self, Recording};
use crate::event::{Build, FieldValue};
use anyhow::{Context, bail};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Time between two looks at how many builds still wait.
const LOOK: Duration = Duration::from_millis(200);
/// The field that says which recording a build is.
const NAME: &str = "recording";

/// A sender to one service.
pub(super) struct Sender {
    client: Client,
    base: Url,
}

impl Sender {
    /// For the service at an address. A proxy that the environment names cannot reach it.
    pub(super) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::builder().no_proxy().timeout(ANSWER).build()?,
            base: Url::parse(&format!("http://{address}/"))?,
        })
    }

    /// Sends all, spread over the last days, waits for the verdicts and has a report made of them.
    pub(super) async fn load(&self, all: &[Recording]) -> anyhow::Result<()> {
        let now = Timestamp::now();
        for (at, recording) in all.iter().enumerate() {
            let build = recording.ended(recordings::end(now, at, all.len()));
            self.send(recording, build).await?;
        }
        while self.waiting().await? > 0 {
            tokio::time::sleep(LOOK).await;
        }
        let url = self.url(&["report"])?;
        self.ask(|| self.client.post(url.clone())).await?;
        Ok(())
    }

    /// Sends one after the other, as new builds that end now, for ever.
    pub(super) async fn feed(&self, all: &[Recording], every: Duration) -> anyhow::Result<()> {
        for round in 0_u64.. {
            for recording in all {
                tokio::time::sleep(every).await;
                let mut build = recording.ended(Timestamp::now());
                build.uuid = new_uuid(&build.uuid, round);
                self.send(recording, build).await?;
            }
            if all.is_empty() {
                break;
            }
        }
        std::future::pending().await
    }

    /// Metadata, then each log, then "complete": the three calls of the intake API.
    async fn send(&self, recording: &Recording, mut build: Build) -> anyhow::Result<()> {
        let name = recording.name();
        build.extra.set(NAME, FieldValue::text(&name));
        let ends = json!({ "result": build.result, "finished": build.finished });
        let url = self.url(&["builds", &build.uuid])?;
        self.ask(|| self.client.put(url.clone()).json(&build))
            .await
            .with_context(|| name.clone())?;
        let root = recording.logs();
        for file in files(&root).with_context(|| root.display().to_string())? {
            let path = file.strip_prefix(&root).unwrap_or(&file);
            let parts = path.iter().map(|p| p.to_string_lossy());
            let parts: Vec<String> = parts.map(std::borrow::Cow::into_owned).collect();
            let mut target = vec!["builds", &build.uuid, "logs"];
            target.extend(parts.iter().map(String::as_str));
            let url = self.url(&target)?;
            let bytes = tokio::fs::read(&file)
                .await
                .with_context(|| file.display().to_string())?;
            self.ask(|| self.client.put(url.clone()).body(bytes.clone()))
                .await
                .with_context(|| file.display().to_string())?;
        }
        let url = self.url(&["builds", &build.uuid, "complete"])?;
        self.ask(|| self.client.post(url.clone()).json(&ends))
            .await
            .with_context(|| name.clone())?;
        Ok(())
    }

    /// How many builds have no verdict yet.
    async fn waiting(&self) -> anyhow::Result<u64> {
        let mut url = self.url(&["builds"])?;
        url.set_query(Some("verdict=pending&limit=1"));
        let answer = self.ask(|| self.client.get(url.clone())).await?;
        let page: Value = answer.json().await?;
        page["total"].as_u64().context("no `total` in the answer")
    }

    fn url(&self, parts: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.clear().extend(["api", "v1"]).extend(parts),
            Err(()) => bail!("{} has no path", self.base),
        };
        Ok(url)
    }

    /// Sends a request, again after the time it is told when the service has too much to do.
    async fn ask(&self, request: impl Fn() -> RequestBuilder) -> anyhow::Result<Response> {
        loop {
            let answer = request().send().await?;
            let status = answer.status();
            if status == StatusCode::TOO_MANY_REQUESTS {
                tokio::time::sleep(retry_after(&answer)).await;
                continue;
            }
            if !status.is_success() {
                bail!("{status}: {}", answer.text().await.unwrap_or_default());
            }
            return Ok(answer);
        }
    }
}

fn retry_after(answer: &Response) -> Duration {
    let text = answer.headers().get(header::RETRY_AFTER);
    let seconds = text.and_then(|v| v.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// A uuid that no build has yet: 32 hex digits, another one in each round.
fn new_uuid(uuid: &str, round: u64) -> String {
    let digest = Sha256::digest(format!("{uuid}/{round}"));
    digest.iter().take(16).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_uuid_differs_in_each_round() {
        let (first, second) = (new_uuid("u", 0), new_uuid("u", 1));
        assert_ne!(first, second);
        assert_eq!(first.len(), 32);
        assert!(Build::check_uuid(&first).is_ok());
    }

    #[test]
    fn names_with_odd_characters_stay_one_part_of_the_address() {
        let sender = Sender::new(SocketAddr::from(([127, 0, 0, 1], 1))).unwrap();
        let url = sender.url(&["builds", "u", "logs", "a b#?.txt"]).unwrap();
        assert_eq!(url.path(), "/api/v1/builds/u/logs/a%20b%23%3F.txt");
    }
}
