//! Fetching a log by its URL.

use anyhow::Context;
use std::io::Read;
use std::time::Duration;
use url::Url;

/// How long a connection may take to be made, and a read to bring anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the body of a URL; the name is the last part of its path.
pub(super) fn open(address: &str) -> anyhow::Result<(String, impl Read + use<>)> {
    let url = Url::parse(address).with_context(|| format!("`{address}` is no URL"))?;
    let name = url
        .path_segments()
        .and_then(|parts| parts.rev().find(|part| !part.is_empty()))
        .unwrap_or("log")
        .to_owned();
    let client = reqwest::blocking::Client::builder()
        .connect_timeout(PATIENCE)
        .timeout(None)
        .user_agent(concat!("whorl/", env!("CARGO_PKG_VERSION")))
        .build()?;
    let answer = client
        .get(url)
        .send()
        .and_then(reqwest::blocking::Response::error_for_status)
        .with_context(|| format!("cannot fetch {address}"))?;
    Ok((name, answer))
}
