//! What is asked for, and what came of it.

use super::error::DownloadError;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempPath;
use url::Url;

/// Limits and manners of downloads.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whom downloads may ask.
    pub hosts: super::Hosts,
    /// Downloads at the same time.
    pub parallel: usize,
    /// Of them from one host.
    pub per_host: usize,
    /// Downloads that may wait for one host; more are refused.
    pub waiting: usize,
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long nothing may come.
    pub idle: Duration,
    /// How long one file may take, from its first connection on, all tries together.
    pub whole: Duration,
    /// Bytes of one file as sent; what is beyond is left.
    pub max_bytes: u64,
    /// How often a file is asked for.
    pub tries: u32,
    /// Pause after the first try in vain; it doubles.
    pub retry: Duration,
    /// The longest that a server may ask to be left alone.
    pub max_wait: Duration,
    /// How long a host is left alone that did not answer many times in a row.
    pub rest: Duration,
    /// How often one file may be somewhere else.
    pub redirects: usize,
    /// True when the proxy of the environment is used. It then resolves names, so that only addresses
    /// are looked at and not what names stand for.
    pub system_proxy: bool,
    /// PEM of authorities to trust beside the public ones.
    pub ca: Option<String>,
}

impl Settings {
    /// The usual limits, for these hosts.
    pub fn new(hosts: super::Hosts) -> Self {
        Self {
            hosts,
            parallel: 32,
            per_host: 6,
            waiting: 1000,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(600),
            max_bytes: 512 << 20,
            tries: 5,
            retry: Duration::from_secs(1),
            max_wait: Duration::from_secs(120),
            rest: Duration::from_secs(15),
            redirects: 5,
            system_proxy: false,
            ca: None,
        }
    }
}

/// By what a server knows a version of a file again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// Bytes that several downloads may take together, such as all logs of a build.
#[derive(Debug, Clone)]
pub struct Budget {
    left: Arc<AtomicU64>,
    total: u64,
}

impl Budget {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        Self {
            left: Arc::new(AtomicU64::new(bytes)),
            total: bytes,
        }
    }

    /// Takes as many of the wanted bytes as there are left.
    pub(super) fn take(&self, wanted: u64) -> u64 {
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        // The closure always gives a value.
        before.unwrap_or_else(|left| left).min(wanted)
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

/// One file that is wanted.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) known: Option<Known>,
    pub(super) max_bytes: Option<u64>,
    pub(super) budget: Option<Budget>,
}

impl Request {
    /// The file at this address.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            headers: HeaderMap::new(),
            known: None,
            max_bytes: None,
            budget: None,
        }
    }

    /// With a header, such as `Authorization`. It goes to the host of the address only, never to one
    /// that a redirect leads to, and is shown nowhere.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// Only when the file is no longer the one that is known.
    #[must_use]
    pub fn unless(mut self, known: Known) -> Self {
        self.known = Some(known);
        self
    }

    /// With another limit than the usual one.
    #[must_use]
    pub fn at_most(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Together with others that have the same budget.
    #[must_use]
    pub fn within(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// For another address, with all else the same. Headers go along only within one host.
    #[must_use]
    pub fn of(&self, url: Url) -> Self {
        let headers = if same_origin(&self.url, &url) {
            self.headers.clone()
        } else {
            HeaderMap::new()
        };
        Self {
            url,
            headers,
            known: None,
            max_bytes: self.max_bytes,
            budget: self.budget.clone(),
        }
    }

    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

/// True when what is meant for one address may be told to the other.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin()
}

/// Why only the beginning of a file is there.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// The file is larger than a file may be.
    #[error("larger than the limit of {limit} bytes; the rest was not downloaded")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// All files together are larger than they may be.
    #[error(
        "all files together are larger than the limit of {limit} bytes; the rest was not downloaded"
    )]
    Budget {
        /// The limit.
        limit: u64,
    },
    /// It broke off, and was not to be had in all tries.
    #[error("{0}")]
    Failed(DownloadError),
}

/// A file, or the beginning of one.
#[derive(Debug)]
pub struct Fetched {
    /// Where it came from in the end.
    pub url: Url,
    /// Bytes, as sent.
    pub bytes: u64,
    /// SHA-256 of them, in hex.
    pub sha256: String,
    /// True when the server said where the file ends; else the end of the connection was taken for it.
    pub framed: bool,
    /// By what it is known again.
    pub known: Known,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`: the bytes are kept as they were sent.
    pub content_encoding: Option<String>,
    /// How often it was asked for.
    pub tries: u32,
    /// How often a download went on where it had broken off.
    pub resumes: u32,
    /// How often it began anew although a part was there.
    pub restarts: u32,
    /// Why it is only the beginning, when it is.
    pub cut: Option<Cut>,
    pub(super) part: Option<TempPath>,
    pub(super) target: PathBuf,
}

impl Fetched {
    /// True when the whole file is there, at its target.
    pub fn is_complete(&self) -> bool {
        self.cut.is_none()
    }

    /// True when it is cut and another try may bring the rest.
    pub fn may_be_whole_later(&self) -> bool {
        matches!(self.cut, Some(Cut::Failed(_)))
    }

    /// Moves the beginning of a file to its target all the same. Else it is gone when this is dropped.
    pub fn keep(&mut self) -> io::Result<()> {
        match self.part.take() {
            Some(part) => part.persist(&self.target).map_err(|error| error.error),
            None => Ok(()),
        }
    }

    /// What there is.
    pub fn open(&self) -> io::Result<File> {
        File::open(self.path())
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.part.as_deref().unwrap_or(&self.target)
    }
}

/// What came of a request.
#[derive(Debug)]
pub enum Answer {
    /// The file came.
    Fetched(Box<Fetched>),
    /// The file is still the one that was known.
    Unchanged,
}
