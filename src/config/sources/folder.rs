//! A folder in which a CI drops builds.

use crate::config::{Period, Wrong};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Names of our own below the folder; no build may be called so.
const OWN: [&str; 2] = ["done", "failed"];

/// One spool folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FolderSource {
    /// Its name here.
    #[serde(default = "folder")]
    pub name: String,
    /// The folder; each folder in it is one build.
    pub path: PathBuf,
    /// How a folder is known to be complete.
    #[serde(default)]
    pub complete: FolderComplete,
    /// Name of the file that says so, with `complete: marker`.
    #[serde(default = "marker")]
    pub marker: String,
    /// What becomes of a folder whose logs were taken over.
    #[serde(default)]
    pub after: FolderAfter,
    /// How often the folder is looked at without a notice of the system.
    #[serde(default = "every")]
    pub every: Period,
    /// Builds that are announced at once.
    #[serde(default = "batch")]
    pub batch: usize,
}

/// How a folder is known to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FolderComplete {
    /// A file of a certain name is in it.
    #[default]
    Marker,
    /// It is there: it was written elsewhere, or under a name with a dot before it, and renamed.
    Rename,
}

/// What becomes of a folder whose logs were taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FolderAfter {
    /// It stays where it is; somebody else clears up.
    Keep,
    /// It goes to `done`.
    #[default]
    Move,
    /// It is deleted.
    Delete,
}

fn folder() -> String {
    "folder".to_owned()
}

fn marker() -> String {
    "complete".to_owned()
}

fn every() -> Period {
    Period::seconds(30)
}

fn batch() -> usize {
    50
}

impl FolderSource {
    /// A folder with the usual settings.
    pub fn new(name: impl Into<String>, path: impl AsRef<Path>) -> Self {
        Self {
            name: name.into(),
            path: path.as_ref().to_owned(),
            complete: FolderComplete::default(),
            marker: marker(),
            after: FolderAfter::default(),
            every: every(),
            batch: batch(),
        }
    }

    pub(super) fn check(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, why: &str| Err(Wrong::new(format!("{path}.{key}"), why));
        if self.path.as_os_str().is_empty() {
            return wrong("path", "must not be empty");
        }
        let marker = self.marker.as_str();
        let odd = marker.is_empty() || marker.contains(['/', '\\']) || matches!(marker, "." | "..");
        if odd || OWN.contains(&marker) || marker == "build.json" {
            return wrong("marker", "give the name of a file");
        }
        if self.every.0.is_zero() {
            return wrong("every", "give more than nothing");
        }
        if !(1..=1000).contains(&self.batch) {
            return wrong("batch", "1 to 1000");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(one: &str) -> Result<Config, String> {
        let text = format!("sources:\n  folder:\n    - {{{one}}}\n");
        Config::parse("w.yaml", &text, &|_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_is_all_that_must_be_said() {
        let config = parse("path: /srv/spool").unwrap();
        assert_eq!(
            config.sources.folder[0],
            FolderSource::new("folder", "/srv/spool")
        );
        let other = parse("path: s, complete: rename, after: delete, every: 5s").unwrap();
        assert_eq!(
            (
                other.sources.folder[0].complete,
                other.sources.folder[0].after
            ),
            (FolderComplete::Rename, FolderAfter::Delete)
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        for (one, wanted) in [
            ("path: ''", "sources.folder[0].path: "),
            ("path: s, marker: a/b", "sources.folder[0].marker: "),
            ("path: s, marker: build.json", "sources.folder[0].marker: "),
            ("path: s, every: 0s", "sources.folder[0].every: "),
            ("path: s, batch: 0", "sources.folder[0].batch: "),
            ("path: s, after: burn", "w.yaml:3:"),
        ] {
            let error = parse(one).unwrap_err();
            assert!(error.contains(wanted), "{one}: {error}");
        }
    }
}
