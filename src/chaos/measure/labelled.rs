//! Runs with their labels.

use crate::event::{Build, Verdict};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A run of which is known what was wrong: a line of `runs.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// Its name.
    pub run: String,
    /// What was put in; nothing for a control run.
    #[serde(default)]
    pub causes: Vec<String>,
    /// Whether it failed; when not given, its build's result says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<bool>,
    /// Whether it is sure that what was to be put in was put in.
    #[serde(default = "yes")]
    pub verified: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its log, or the folder of its logs.
    pub logs: PathBuf,
    /// What the CI knows about the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildAt>,
}

fn yes() -> bool {
    true
}

/// A build, or the file that describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BuildAt {
    /// The file.
    File(PathBuf),
    /// Itself.
    Here(Box<Build>),
}

/// A line of `runs.jsonl` that says which fingerprints are meant to find a cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The cause.
    pub cause: String,
    /// What it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The ids of the fingerprints; when not given, the fingerprint that has the cause's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expects: Option<Vec<String>>,
}

/// What became of a run. These are never merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A fault was put in, and the run failed.
    Failed,
    /// A fault was put in, and the run passed all the same.
    Passed,
    /// The run failed though nothing was put in: noise of its surroundings.
    Noise,
    /// Nothing was put in, and the run passed.
    Clean,
    /// It is not sure that the fault was there, or the log was not read whole.
    Inconclusive,
}

/// A run and what the fingerprints said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// What was put in.
    pub causes: Vec<String>,
    /// What became of it.
    pub kind: Kind,
    /// The verdict on its logs.
    pub verdict: Verdict,
    /// The fingerprints that match, the headline first.
    pub found: Vec<String>,
    /// Why it judges nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Run {
    /// From what was put in, what came of it and what was found.
    pub fn new(labelled: &Labelled, failed: bool, verdict: Verdict, found: Vec<String>) -> Self {
        let read = matches!(verdict, Verdict::Matched | Verdict::Unmatched);
        let kind = match (
            labelled.verified && read,
            labelled.causes.is_empty(),
            failed,
        ) {
            (false, _, _) => Kind::Inconclusive,
            (true, false, true) => Kind::Failed,
            (true, false, false) => Kind::Passed,
            (true, true, true) => Kind::Noise,
            (true, true, false) => Kind::Clean,
        };
        let unread = (labelled.verified && !read).then(|| format!("the verdict is {verdict}"));
        Self {
            name: labelled.run.clone(),
            causes: labelled.causes.clone(),
            kind,
            verdict,
            found,
            why: labelled.why.clone().or(unread),
        }
    }

    /// What was put in, as rows are named.
    pub fn label(&self) -> String {
        self.causes.join(" + ")
    }
}
