//! The normal road: what `whorl classify` says of a folder of logs.

use crate::classify::one::sweep;
use crate::event::{Build, Verdict};
use crate::fingerprint::{FingerprintSet, Severity};
use crate::intake::{IntakeError, Limits, open_path};
use crate::matcher::Matcher;
use crate::query::Schema;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why nobody can be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A folder is missing.
    #[error("no fingerprint folder {0}")]
    NoFolder(PathBuf),
    /// There is nothing in them.
    #[error("no usable fingerprint in {0:?}")]
    Empty(Vec<PathBuf>),
}

/// Fingerprints, and what they say of logs.
pub struct Judge {
    matcher: Matcher,
    /// The ids in force.
    pub known: Vec<String>,
    /// Which set it is.
    pub version: String,
    /// Files that are left out because something is wrong with them.
    pub left_out: Vec<String>,
}

impl Judge {
    /// Loads fingerprints as `whorl classify --queries` does.
    pub fn load(folders: &[PathBuf]) -> Result<Self, JudgeError> {
        if let Some(missing) = folders.iter().find(|folder| !folder.exists()) {
            return Err(JudgeError::NoFolder(missing.clone()));
        }
        let set = FingerprintSet::load_for(folders, &Schema::default());
        if set.fingerprints.is_empty() {
            return Err(JudgeError::Empty(folders.to_vec()));
        }
        let broken = set
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error);
        Ok(Self {
            left_out: broken.map(ToString::to_string).collect(),
            known: set.fingerprints.iter().map(|f| f.id.clone()).collect(),
            version: set.version.clone(),
            matcher: Matcher::new(Arc::new(set)),
        })
    }

    /// The verdict on a build by its logs, and the fingerprints that match, the headline first.
    pub fn judge(&self, build: &Build, logs: &Path) -> Result<(Verdict, Vec<String>), IntakeError> {
        let limits = Limits::default();
        let inputs = open_path(logs, &limits)?;
        let now = Timestamp::now();
        let outcome = sweep(&self.matcher, build, now, &inputs, &limits, true);
        let found = outcome.matches.into_iter().map(|found| found.fingerprint);
        Ok((outcome.verdict, found.collect()))
    }
}
