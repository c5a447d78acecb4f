//! Experiments from an address.

use super::{Access, Format, Source, SourceError, read, unknown_format};
use std::time::Duration;

pub(super) fn fetch(url: &str, access: &Access) -> Result<Source, SourceError> {
    let broken = |error: reqwest::Error| SourceError::Broken(format!("{url}: {error:#}"));
    let client = reqwest::blocking::Client::builder()
        .danger_accept_invalid_certs(access.no_verify_tls)
        .timeout(Duration::from_secs(60))
        .build()
        .map_err(broken)?;
    let mut request = client
        .get(url)
        .header("Accept", "application/json, application/x-yaml");
    if let Some(token) = &access.bearer {
        request = request.header("Authorization", format!("bearer {}", token.trim()));
    }
    let answer = request.send().map_err(broken)?;
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type");
    let kind = kind
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let text = answer.text().map_err(broken)?;
    if status != 200 {
        return Err(SourceError::Invalid(format!(
            "Failed to fetch the experiment: {text}"
        )));
    }
    by_content_type(url, text, &kind)
}

fn by_content_type(url: &str, text: String, kind: &str) -> Result<Source, SourceError> {
    if kind.contains("application/json") {
        return read(url, text, Format::Json);
    }
    if kind.contains("application/x-yaml") || kind.contains("text/yaml") {
        return read(url, text, Format::Yaml);
    }
    if !kind.contains("text/plain") {
        return Err(unknown_format());
    }
    read(url, text.clone(), Format::Json)
        .or_else(|_| read(url, text, Format::Yaml))
        .map_err(|_| unknown_format())
}
