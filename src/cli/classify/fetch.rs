//! Fetching a log by its URL.

use std::io::{self, Read};
use std::time::Duration;
use url::Url;

/// How long a connection may take to be made, and each read to bring anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The last part of a URL's path: what the log is called.
pub(super) fn last_part(address: &str) -> String {
    let url = Url::parse(address).ok();
    let mut parts = url.iter().filter_map(Url::path_segments).flatten();
    let last = parts.rfind(|part| !part.is_empty());
    last.unwrap_or("log").to_owned()
}

/// Opens the body of a URL.
pub(super) fn open(address: &str) -> io::Result<Box<dyn Read>> {
    let answer = get(address).map_err(|error| io::Error::other(chain(&error)))?;
    if is_listing(&answer) {
        return Err(io::Error::other(
            "a page that lists files, no log; name the log itself",
        ));
    }
    Ok(Box::new(Body(answer)))
}

/// A folder of a web server is a page of links: no log would look like a log without known bugs.
fn is_listing(answer: &reqwest::blocking::Response) -> bool {
    let kind = answer.headers().get(reqwest::header::CONTENT_TYPE);
    let html = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    html && answer.url().path().ends_with('/')
}

fn get(address: &str) -> reqwest::Result<reqwest::blocking::Response> {
    reqwest::blocking::Client::builder()
        .connect_timeout(PATIENCE)
        // The blocking client takes this for each read, not for the whole download.
        .timeout(PATIENCE)
        .user_agent(concat!("whorl/", env!("CARGO_PKG_VERSION")))
        .build()?
        .get(address)
        .send()?
        .error_for_status()
}

/// The body; its errors say their causes too.
struct Body(reqwest::blocking::Response);

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer);
        read.map_err(|error| io::Error::new(error.kind(), chain(&error)))
    }
}

/// An error with all its causes, each said once. The address stands in the message anyway.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_called_by_the_last_part_of_its_path() {
        assert_eq!(last_part("http://h/a/b.txt.gz?x=/y"), "b.txt.gz");
        assert_eq!(last_part("http://h/a/b/"), "b");
        assert_eq!(last_part("http://h"), "log");
    }
}
