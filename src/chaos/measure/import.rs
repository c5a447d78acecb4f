//! Runs that were labelled elsewhere: `runs.jsonl` in a folder.

use super::count::{Meant, Measured, measured};
use super::draft;
use super::judge::Judge;
use super::labelled::{BuildAt, Label, Labelled, Run};
use crate::event::Build;
use crate::intake::IntakeError;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The file that says which runs there are.
pub(super) const RUNS: &str = "runs.jsonl";

/// Why a folder of runs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// A line makes no sense.
    #[error("{file}:{line}: {message}")]
    Line {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A run's logs cannot be opened.
    #[error("run {0}: {1}")]
    Logs(String, IntakeError),
    /// There is no run.
    #[error("{0}: no run in it")]
    Empty(PathBuf),
}

/// A line of the file.
enum Line {
    Run(Box<Labelled>),
    Cause(Label),
}

fn line(text: &str) -> Result<Line, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let said = |error: serde_json::Error| error.to_string();
    if value.get("cause").is_some() {
        return serde_json::from_value(value).map(Line::Cause).map_err(said);
    }
    if value.get("run").is_none() {
        return Err(
            "a line has either `run` (with `causes` and `logs`) or `cause` (with `expects`)".into(),
        );
    }
    serde_json::from_value(value)
        .map(|run| Line::Run(Box::new(run)))
        .map_err(said)
}

/// What a folder holds.
pub(super) struct Runs {
    pub(super) runs: Vec<Labelled>,
    pub(super) labels: Vec<Label>,
}

pub(super) fn read(folder: &Path) -> Result<Runs, ImportError> {
    let file = folder.join(RUNS);
    let text = fs::read_to_string(&file).map_err(|error| ImportError::Read(file.clone(), error))?;
    let mut found = Runs {
        runs: Vec::new(),
        labels: Vec::new(),
    };
    let mut names = BTreeSet::new();
    for (at, one) in text.lines().enumerate() {
        if one.trim().is_empty() {
            continue;
        }
        let wrong = |message| ImportError::Line {
            file: file.clone(),
            line: at + 1,
            message,
        };
        match line(one).map_err(wrong)? {
            Line::Cause(label) => found.labels.push(label),
            Line::Run(run) => {
                if !names.insert(run.run.clone()) {
                    return Err(wrong(format!("there are two runs {:?}", run.run)));
                }
                found.runs.push(*run);
            }
        }
    }
    if found.runs.is_empty() {
        return Err(ImportError::Empty(file));
    }
    Ok(found)
}

/// What the labels mean for these fingerprints.
pub(super) fn meant(labels: &[Label], judge: &Judge, allowed: &[String]) -> Meant {
    let with = |label: &Label| Some((label.cause.clone(), label.expects.clone()?));
    let texts = |label: &Label| Some((label.cause.clone(), label.text.clone()?));
    Meant {
        expects: labels.iter().filter_map(with).collect(),
        texts: labels.iter().filter_map(texts).collect(),
        allowed: allowed.iter().cloned().collect(),
        known: judge.known.clone(),
    }
}

fn build_of(folder: &Path, run: &Labelled) -> Result<Build, ImportError> {
    let mut build = match &run.build {
        None => Build::new(""),
        Some(BuildAt::Here(build)) => (**build).clone(),
        Some(BuildAt::File(file)) => {
            let file = folder.join(file);
            let text = fs::read(&file).map_err(|error| ImportError::Read(file.clone(), error))?;
            serde_json::from_slice(&text).map_err(|error| ImportError::Line {
                file,
                line: error.line(),
                message: error.to_string(),
            })?
        }
    };
    if let (Some(failed), None) = (run.failed, &build.result) {
        build.result = Some(if failed { "FAILURE" } else { "SUCCESS" }.into());
    }
    Ok(build)
}

/// Judges the runs of a folder and counts. `told` hears of each run when it is judged.
pub fn import(
    folder: &Path,
    title: &str,
    judge: &Judge,
    allowed: &[String],
    told: &mut dyn FnMut(&Run, usize),
) -> Result<Measured, ImportError> {
    let found = read(folder)?;
    let meant = meant(&found.labels, judge, allowed);
    let mut runs = Vec::new();
    for labelled in &found.runs {
        let build = build_of(folder, labelled)?;
        let failed = labelled.failed.unwrap_or_else(|| build.failed());
        let judged = judge.judge(&build, &folder.join(&labelled.logs));
        let (verdict, matches) =
            judged.map_err(|error| ImportError::Logs(labelled.run.clone(), error))?;
        let run = Run::new(labelled, failed, verdict, matches);
        told(&run, found.runs.len());
        runs.push(run);
    }
    let mut measured = measured(title, &judge.version, runs, &meant);
    let logs = found
        .runs
        .iter()
        .map(|run| (run.run.as_str(), folder.join(&run.logs)));
    draft::add(&mut measured, &logs.collect());
    Ok(measured)
}
