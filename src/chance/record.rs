//! What was made to fail, as one line of JSON each: the truth that verdicts can be held against.

use super::Phase;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// One call that was made to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which run of the service.
    pub run: String,
    /// The seed.
    pub seed: u64,
    /// The site.
    pub site: String,
    /// How many calls with the key there were before.
    pub n: u64,
    /// The key; empty where calls are only counted by site.
    pub key: String,
    /// Before or after it was done.
    pub phase: Phase,
    /// The error that came back.
    pub error: String,
    /// When.
    pub time: Timestamp,
}

/// Where faults are written down. Bounded: when it is full the faults go on, and are only counted.
#[derive(Debug)]
pub struct Record {
    kept: Option<Mutex<Kept>>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    /// Bytes that may still be written.
    room: u64,
}

impl Record {
    /// Nothing is written down.
    pub fn nowhere() -> Self {
        Self { kept: None }
    }

    /// Writes to the end of a file, `room` bytes at most.
    pub fn to(path: &Path, room: u64) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let kept = Some(Mutex::new(Kept { file, room }));
        Ok(Self { kept })
    }

    /// Reads what was written. A line that a kill cut off is left out.
    pub fn read(path: &Path) -> std::io::Result<Vec<Fault>> {
        let text = std::fs::read_to_string(path)?;
        let lines = text.lines().map(serde_json::from_str);
        Ok(lines.map_while(Result::ok).collect())
    }

    pub(super) fn write(&self, fault: impl FnOnce() -> Fault) {
        let Some(kept) = &self.kept else { return };
        let Ok(mut line) = serde_json::to_vec(&fault()) else {
            return;
        };
        line.push(b'\n');
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.room == 0 {
            return;
        }
        let left = kept.room.checked_sub(line.len() as u64);
        if left.is_none() {
            tracing::warn!("the record of what was made to fail is full");
        }
        let written = left.map(|_| kept.file.write_all(&line));
        if let Some(Err(error)) = &written {
            tracing::warn!(%error, "what was made to fail cannot be written down any more");
        }
        // After a half line nothing more could be read.
        kept.room = left
            .filter(|_| !matches!(written, Some(Err(_))))
            .unwrap_or(0);
    }
}
