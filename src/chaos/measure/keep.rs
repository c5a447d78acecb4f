//! Runs with their labels, kept as `fixtures/` has them and as `whorl chaos import` reads them.

use super::import::RUNS;
use super::labelled::{BuildAt, Label, Labelled, Run};
use crate::event::Build;
use serde::Serialize;
use serde_json::{Map, json};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder of labelled runs that grows.
#[derive(Debug)]
pub struct Keeper {
    root: PathBuf,
    causes: Map<String, serde_json::Value>,
    number: usize,
}

impl Keeper {
    /// Begins a folder of runs. One that holds runs is refused: two measurements are not to be mixed.
    pub fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("builds"))?;
        let runs = root.join(RUNS);
        if runs.exists() {
            let message = format!("{} is there already: name a new folder", runs.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(Self {
            root: root.to_owned(),
            causes: Map::new(),
            number: 0,
        })
    }

    /// The folder in which a run happens.
    pub(super) fn work(&self, run: &str) -> PathBuf {
        self.root.join("work").join(run)
    }

    /// The folder that all runs share.
    pub(super) fn shared(&self) -> PathBuf {
        self.root.join("work/shared")
    }

    /// Where the kept runs are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn add(&self, line: &impl Serialize) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.root.join(RUNS))?;
        writeln!(file, "{}", serde_json::to_string(line)?)
    }

    pub(super) fn label(&self, label: &Label) -> io::Result<()> {
        self.add(label)
    }

    /// Takes the logs of a run over and writes its label. Gives the logs' new place.
    pub(super) fn take(
        &mut self,
        labelled: &mut Labelled,
        build: &Build,
        failed: bool,
        logs: &Path,
    ) -> io::Result<PathBuf> {
        self.number += 1;
        let relative = PathBuf::from(format!("builds/{:03}-{}", self.number, labelled.run));
        let home = self.root.join(&relative);
        fs::create_dir_all(&home)?;
        fs::rename(logs, home.join("logs"))?;
        tidy(&home.join("logs"))?;
        let text = serde_json::to_string_pretty(&without_nulls(build)?)?;
        fs::write(home.join("build.json"), text + "\n")?;
        labelled.logs = relative.join("logs");
        labelled.build = Some(BuildAt::File(relative.join("build.json")));
        self.add(labelled)?;
        let cause = match (labelled.causes.as_slice(), failed) {
            ([], true) => "unexplained".to_owned(),
            ([], false) => "passed".to_owned(),
            (causes, _) => causes.join(" + "),
        };
        self.causes.insert(build.uuid.clone(), json!(cause));
        Ok(home.join("logs"))
    }

    /// Writes `causes.json` and drops what the runs have left behind.
    pub(super) fn finish(&self) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&self.causes)?;
        fs::write(self.root.join("causes.json"), text + "\n")?;
        match fs::remove_dir_all(self.root.join("work")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Drops the folder of a run that is over.
    pub(super) fn drop_work(&self, run: &Run) -> io::Result<()> {
        fs::remove_dir_all(self.work(&run.name))
    }
}

fn without_nulls(build: &Build) -> io::Result<serde_json::Value> {
    let mut value = serde_json::to_value(build)?;
    if let Some(map) = value.as_object_mut() {
        let empty = |value: &serde_json::Value| value.as_object().is_some_and(Map::is_empty);
        map.retain(|_, value| !value.is_null() && !empty(value));
    }
    Ok(value)
}

/// Drops empty files and folders; lets everybody read the others.
fn tidy(folder: &Path) -> io::Result<bool> {
    let mut empty = true;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let data = fs::symlink_metadata(&path)?;
        let gone = if data.is_dir() {
            tidy(&path)?
        } else {
            // Only what is a file is a log: a pipe would never end, and a link leads elsewhere.
            let drop = !data.is_file() || data.len() == 0;
            if drop {
                fs::remove_file(&path)?;
            } else {
                fs::set_permissions(&path, Permissions::from_mode(0o644))?;
            }
            drop
        };
        if gone && path.is_dir() {
            fs::remove_dir(&path)?;
        }
        empty &= gone;
    }
    Ok(empty)
}
