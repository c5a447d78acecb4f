//! Fetching logs by their URLs: all at once, into temporary files, when the first of them is read.

use crate::intake::Limits;
use crate::intake::download::{
    Answer, Cut, DownloadError, Downloader, Fetched, Hosts, Request, Settings, Wanted,
};
use reqwest::header::AUTHORIZATION;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use url::Url;

/// How often a log is asked for.
const TRIES: u32 = 3;
/// Nobody waits longer at a terminal.
const WHOLE: Duration = Duration::from_secs(6 * 3600);

/// The last part of a URL's path: what the log is called.
pub(super) fn last_part(address: &str) -> String {
    let url = Url::parse(address).ok();
    let mut parts = url.iter().filter_map(Url::path_segments).flatten();
    let last = parts.rfind(|part| !part.is_empty());
    last.unwrap_or("log").to_owned()
}

/// The logs that the arguments name by URL.
#[derive(Debug)]
pub(super) struct Fetches {
    urls: Vec<Url>,
    max_bytes: u64,
    came: Mutex<Option<Came>>,
}

/// What came, each to be taken once; the folder goes with the last of it.
#[derive(Debug)]
struct Came {
    logs: Vec<Option<io::Result<Log>>>,
    _folder: Option<TempDir>,
}

/// A log, or the beginning of one and why there is no more.
#[derive(Debug)]
struct Log {
    file: File,
    cut: Option<Cut>,
}

impl Fetches {
    /// Nothing is asked for yet.
    pub(super) fn new(urls: Vec<Url>, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            urls,
            max_bytes: limits.max_bytes,
            came: Mutex::default(),
        })
    }

    /// Opens the log of the URL at this place.
    pub(super) fn open(&self, place: usize) -> io::Result<Box<dyn Read>> {
        let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        let came = came.get_or_insert_with(|| self.fetch().unwrap_or_else(|e| self.none(&e)));
        let log = came.logs.get_mut(place).and_then(Option::take);
        let log = log.unwrap_or_else(|| Err(io::Error::other("read twice")))?;
        Ok(Box::new(log))
    }

    fn fetch(&self) -> io::Result<Came> {
        let settings = Settings {
            max_bytes: self.max_bytes,
            tries: TRIES,
            whole: WHOLE,
            retry: Duration::from_millis(500),
            waiting: usize::MAX,
            system_proxy: true,
            ..Settings::new(Hosts::typed(&self.urls))
        };
        let folder = tempfile::tempdir()?;
        let wanted = self.urls.iter().enumerate().map(|(n, url)| Wanted {
            request: request(url),
            target: folder.path().join(n.to_string()),
        });
        let wanted: Vec<_> = wanted.collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let all = runtime.block_on(async {
            let downloader = Downloader::new(settings).map_err(io::Error::other)?;
            Ok::<_, io::Error>(downloader.fetch_all(wanted).await)
        })?;
        Ok(Came {
            logs: all.into_iter().map(|answer| Some(log(answer))).collect(),
            _folder: Some(folder),
        })
    }

    /// When nothing could even be tried.
    fn none(&self, error: &io::Error) -> Came {
        let each = || Some(Err(io::Error::new(error.kind(), error.to_string())));
        Came {
            logs: self.urls.iter().map(|_| each()).collect(),
            _folder: None,
        }
    }
}

/// A user and password that somebody typed into an address go into a header, which no redirect takes
/// elsewhere.
fn request(url: &Url) -> Request {
    if url.username().is_empty() && url.password().is_none() {
        return Request::new(url.clone());
    }
    let built = reqwest::Client::new().get(url.clone()).build();
    let Ok(built) = built else {
        return Request::new(url.clone());
    };
    let request = Request::new(built.url().clone());
    match built.headers().get(AUTHORIZATION) {
        Some(value) => request.header(AUTHORIZATION, value.clone()),
        None => request,
    }
}

fn log(answer: Result<Answer, DownloadError>) -> io::Result<Log> {
    match answer.map_err(io::Error::other)? {
        Answer::Fetched(fetched) if is_listing(&fetched) => Err(io::Error::other(
            "a page that lists files, no log; name the log itself",
        )),
        Answer::Fetched(mut fetched) => Ok(Log {
            file: fetched.open()?,
            cut: fetched.cut.take(),
        }),
        Answer::Unchanged => Err(io::Error::other("unchanged")),
    }
}

/// A folder of a web server is a page of links: no log would look like a log without known bugs.
fn is_listing(fetched: &Fetched) -> bool {
    let kind = fetched.content_type.as_deref();
    kind.is_some_and(|kind| kind.starts_with("text/html")) && fetched.url.path().ends_with('/')
}

impl Read for Log {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer)? {
            0 if !buffer.is_empty() => match self.cut.take() {
                Some(cut) => Err(io::Error::other(cut.to_string())),
                None => Ok(0),
            },
            n => Ok(n),
        }
    }
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

    #[test]
    fn a_password_that_was_typed_is_no_part_of_the_address() {
        let url = Url::parse("https://me:s3cret@h/a").unwrap();
        let request = request(&url);
        assert_eq!(request.url().as_str(), "https://h/a");
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
