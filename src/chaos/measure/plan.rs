//! Plans: a system under test, faults, seeds.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What is to be measured, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    /// For the report.
    pub title: String,
    /// Folders of fingerprints, from the plan's own folder on.
    #[serde(default = "queries")]
    pub fingerprints: Vec<PathBuf>,
    /// What is tested, and by what.
    pub system: System,
    /// Seeds 1 to this.
    #[serde(default = "one")]
    pub seeds: u64,
    /// How often each seed is run.
    #[serde(default = "one")]
    pub repetitions: u64,
    /// Control runs for each seed and repetition.
    #[serde(default = "one")]
    pub controls: u64,
    /// Fingerprints that may fire on control runs.
    #[serde(default)]
    pub allow_on_controls: Vec<String>,
    /// What is put in.
    pub faults: Vec<FaultPlan>,
}

/// The system under test: commands, run in the plan's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct System {
    /// Makes the run's folder ready; may write `facts.json` there.
    #[serde(default)]
    pub prepare: Vec<String>,
    /// Starts what is tested; may write `facts.json` too.
    #[serde(default)]
    pub start: Vec<String>,
    /// The test suite. It fails by its exit status.
    pub test: Vec<String>,
    /// Ends everything.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Seconds that the tests may take, and each of the other commands.
    #[serde(default = "minute")]
    pub time_limit: f64,
    /// Probes that must hold before a fault is put in.
    #[serde(default)]
    pub healthy: Vec<Value>,
    /// What the CI would say about the build, by the names of `build.json`.
    #[serde(default)]
    pub build: Map<String, Value>,
    /// The console log's name.
    #[serde(default = "console")]
    pub console: String,
}

/// When a fault is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// Before the system is started: a system that does not start has failed.
    Start,
    /// Between start and tests.
    #[default]
    Test,
}

/// A fault: an experiment whose last activity is the test suite.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultPlan {
    /// The label of its runs.
    pub name: String,
    /// What it is, in words.
    #[serde(default)]
    pub cause: Option<String>,
    /// The fingerprints that are meant to find it. When not given, the one of its name; `[]` for none.
    #[serde(default)]
    pub expects: Option<Vec<String>>,
    /// When it is put in.
    #[serde(default)]
    pub at: At,
    /// An experiment whose configuration, method and rollbacks come first.
    #[serde(default)]
    pub experiment: Option<PathBuf>,
    /// Values for `${name}`.
    #[serde(default)]
    pub configuration: Map<String, Value>,
    /// Activities that put it in. An action that fails, or a process that says anything but 0, means
    /// that it is not there.
    #[serde(default)]
    pub method: Vec<Value>,
    /// Probes that see that it is there.
    #[serde(default)]
    pub verify: Vec<Value>,
    /// Activities that take it back, beyond what faults take back by themselves.
    #[serde(default)]
    pub rollbacks: Vec<Value>,
    /// What the CI would say about these builds.
    #[serde(default)]
    pub build: Map<String, Value>,
}

fn one() -> u64 {
    1
}

fn minute() -> f64 {
    60.0
}

fn queries() -> Vec<PathBuf> {
    vec!["queries".into()]
}

fn console() -> String {
    "console.log".into()
}

/// Why a plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// It is no plan.
    #[error("{file}:{line}:{column}: {message}")]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
        /// What is wrong.
        message: String,
    },
    /// It contradicts itself.
    #[error("{0}: {1}")]
    Wrong(PathBuf, String),
}

impl Plan {
    /// Reads a plan.
    pub fn load(file: &Path) -> Result<Self, PlanError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| PlanError::Read(file.to_owned(), error))?;
        Self::parse(file, &text)
    }

    /// Reads a plan's text.
    pub fn parse(file: &Path, text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location();
            PlanError::Invalid {
                file: file.to_owned(),
                line: place.map_or(1, |place| place.line()),
                column: place.map_or(1, |place| place.column()),
                message: error.without_snippet().to_string(),
            }
        })?;
        plan.check()
            .map_err(|message| PlanError::Wrong(file.to_owned(), message))?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        if self.system.test.is_empty() {
            return Err("system.test: a command is needed".into());
        }
        if self.faults.is_empty() {
            return Err("faults: at least one is needed".into());
        }
        let mut names = BTreeSet::new();
        for fault in &self.faults {
            let name = &fault.name;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(plain) || name.starts_with('.') {
                return Err(format!(
                    "faults: {name:?} is no name: use letters, digits, - _ ."
                ));
            }
            if name == super::bench::CONTROL {
                return Err(format!(
                    "faults: {name:?} is what runs without a fault are called"
                ));
            }
            if !names.insert(name) {
                return Err(format!("faults: there are two of the name {name:?}"));
            }
            if fault.method.is_empty() && fault.experiment.is_none() {
                return Err(format!("faults: {name}: neither `method` nor `experiment`"));
            }
        }
        if self.seeds == 0 || self.repetitions == 0 {
            return Err("seeds and repetitions: at least 1".into());
        }
        Ok(())
    }

    /// Makes paths begin at the plan's folder.
    pub fn at(&mut self, folder: &Path) {
        let experiments = self
            .faults
            .iter_mut()
            .filter_map(|fault| fault.experiment.as_mut());
        for path in self.fingerprints.iter_mut().chain(experiments) {
            *path = folder.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Plan::parse(Path::new("p.yaml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_wrong_with_a_plan_is_said_with_its_place() {
        let unknown = refused("title: t\nsystem: {test: [a], tset: [b]}\nfaults: []\n");
        assert!(unknown.starts_with("p.yaml:2:"), "{unknown}");
        assert!(unknown.contains("tset"), "{unknown}");
        let fault = "{name: x, method: [{}]}";
        let head = "title: t\nsystem: {test: [a]}\n";
        assert!(refused(&format!("{head}faults: []")).contains("at least one"));
        assert!(refused(&format!("{head}faults: [{fault}, {fault}]")).contains("two of the name"));
        assert!(
            refused(&format!("{head}faults: [{{name: a/b, method: [{{}}]}}]")).contains("no name")
        );
        assert!(refused(&format!("{head}faults: [{{name: x}}]")).contains("neither"));
        assert!(refused(&format!("{head}seeds: 0\nfaults: [{fault}]")).contains("at least 1"));
        assert!(refused("title: t\nsystem: {test: []}\nfaults: []").contains("system.test"));
    }
}
