//! What was really done: a line of JSON for each effect, written before anybody can see the effect.

use jiff::Timestamp;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where effects are written down.
#[derive(Debug)]
pub(super) struct Record {
    files: Mutex<Vec<File>>,
    about: Value,
}

fn own(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("effects-{id}.jsonl"))
}

impl Record {
    /// A record in the run's folder, and in another file when one is given.
    pub(super) fn open(
        folder: &Path,
        id: u64,
        other: Option<&Path>,
        about: Value,
    ) -> io::Result<Self> {
        let own = own(folder, id);
        let paths = [Some(own.as_path()), other].into_iter().flatten();
        let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            files: Mutex::new(paths.map(open).collect::<io::Result<_>>()?),
            about,
        })
    }

    /// Writes down what happens to one.
    pub(super) fn note(&self, effect: &str, key: &str, n: u64, value: &Value) {
        let mut line = self.about.clone();
        line["at"] = json!(Timestamp::now().to_string());
        line["effect"] = json!(effect);
        line["key"] = json!(key);
        line["n"] = json!(n);
        line["value"] = value.clone();
        let line = format!("{line}\n");
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files.iter_mut() {
            // A full disk is no reason to let the connection fail in another way than planned.
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// How many effects a fault had.
    pub(super) fn count(folder: &Path, id: u64) -> usize {
        let text = fs::read(own(folder, id)).unwrap_or_default();
        text.iter().filter(|byte| **byte == b'\n').count()
    }
}
