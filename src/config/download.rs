//! Logs that are fetched from where they lie.

use super::{Period, Size, Wrong};
use serde::Deserialize;
use std::path::PathBuf;

/// Whom downloads may ask, and their limits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Download {
    /// Hosts that may be asked: `logs.example.org`, `*.example.org` or an address, with `:PORT` if it
    /// is not the scheme's own.
    pub hosts: Vec<String>,
    /// Hosts that may be asked although their names stand for addresses of the own network.
    pub private_hosts: Vec<String>,
    /// Files of a build that are worth downloading, as globs, the most important first.
    pub files: Vec<String>,
    /// Files of one build.
    pub max_files: usize,
    /// Bytes of all files of a build, as sent.
    pub max_build: Size,
    /// Bytes of one file, as sent.
    pub max_file: Size,
    /// Downloads at the same time.
    pub parallel: usize,
    /// Of them from one host.
    pub per_host: usize,
    /// Downloads that may wait for one host.
    pub waiting: usize,
    /// How long a connection may take to be made.
    pub connect_timeout: Period,
    /// How long nothing may come.
    pub idle_timeout: Period,
    /// How long one file may take, all tries together.
    pub file_timeout: Period,
    /// How often a file is asked for.
    pub tries: u32,
    /// Pause after the first try in vain.
    pub retry: Period,
    /// The longest that a server may ask to be left alone.
    pub max_wait: Period,
    /// How often one file may be somewhere else.
    pub redirects: usize,
    /// PEM file of the authorities to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// How long after it was announced a build waits for logs that cannot be had yet.
    pub deadline: Period,
}

impl Default for Download {
    fn default() -> Self {
        let files = [
            "job-output.txt",
            "job-output.json",
            "console.{html,txt,log}",
            "consoleText",
            "*.{txt,log}",
            "**/*.{txt,log}",
        ];
        Self {
            hosts: Vec::new(),
            private_hosts: Vec::new(),
            files: files.map(str::to_owned).into(),
            max_files: 200,
            max_build: Size::mebibytes(2048),
            max_file: Size::mebibytes(512),
            parallel: 32,
            per_host: 6,
            waiting: 1000,
            connect_timeout: Period::seconds(10),
            idle_timeout: Period::seconds(30),
            file_timeout: Period::seconds(600),
            tries: 5,
            retry: Period::seconds(1),
            max_wait: Period::seconds(120),
            redirects: 5,
            ca_file: None,
            deadline: Period::seconds(1200),
        }
    }
}

impl Download {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("download.{key}"), why));
        let counts = [
            ("max-files", self.max_files),
            ("parallel", self.parallel),
            ("per-host", self.per_host),
            ("waiting", self.waiting),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return wrong(key, "give at least 1");
        }
        if self.per_host >= self.parallel {
            let why = "give less than `parallel`, or one slow host holds up all others";
            return wrong("per-host", why);
        }
        if !(1..=20).contains(&self.tries) {
            return wrong("tries", "1 to 20");
        }
        if self.redirects > 20 {
            return wrong("redirects", "at most 20");
        }
        let sizes = [("max-file", self.max_file), ("max-build", self.max_build)];
        if let Some((key, _)) = sizes.iter().find(|(_, size)| size.0 == 0) {
            return wrong(key, "give at least 1 byte");
        }
        let periods = [
            ("connect-timeout", self.connect_timeout),
            ("idle-timeout", self.idle_timeout),
            ("file-timeout", self.file_timeout),
        ];
        if let Some((key, _)) = periods.iter().find(|(_, period)| period.0.is_zero()) {
            return wrong(key, "give more than nothing");
        }
        if self.files.is_empty() {
            return wrong("files", "give at least one glob");
        }
        Ok(())
    }
}
