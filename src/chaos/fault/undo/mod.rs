//! The undo journal: what is to be taken back, written and synced before it is done.
//!
//! A run has a folder: `undo.jsonl` (one record a line, the last one may be torn), `runner.lock` (held
//! while the runner lives), `undo.lock` (held while something is put in or taken back), and what faults
//! keep for themselves. Who takes back needs nothing but the folder.

mod journal;

pub use journal::{Entry, Journal};

use super::{FaultError, Ground, clock, find};
use serde::Serialize;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What the name of a folder to plan in begins with.
const SKETCH: &str = "plan-";

/// Which faults are to be taken back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Which {
    /// All of them.
    All,
    /// Those whose time is over.
    Expired,
    /// One.
    One(u64),
}

/// What became of one fault.
#[derive(Debug, Clone, Serialize)]
pub struct Undone {
    /// Its number in the run.
    pub id: u64,
    /// Its name.
    pub fault: String,
    /// What was done, or why it could not be.
    pub text: String,
    /// It is taken back.
    pub done: bool,
}

/// What became of one run's folder.
#[derive(Debug, Clone, Serialize)]
pub struct Finished {
    /// The folder.
    pub folder: PathBuf,
    /// The runner lives: nothing was touched.
    pub running: bool,
    /// Its faults, the last one first.
    pub faults: Vec<Undone>,
}

/// Whether a fault is written down and not taken back.
pub fn is_pending(folder: &Path, id: u64) -> bool {
    Journal::read(folder).is_ok_and(|journal| journal.pending().iter().any(|entry| entry.id == id))
}

/// Takes faults of a run back, the last one first. Nobody else does so at the same time.
pub fn take_back(folder: &Path, which: Which) -> io::Result<Vec<Undone>> {
    let _lock = locked(folder)?;
    let journal = Journal::read(folder)?;
    let now = clock::uptime();
    let boot = clock::boot();
    let mut undone = Vec::new();
    for entry in journal.pending().into_iter().rev() {
        let meant = match which {
            Which::All => true,
            Which::Expired => entry.boot != boot || entry.until <= now,
            Which::One(id) => entry.id == id,
        };
        if !meant {
            continue;
        }
        let result = undo_one(folder, entry);
        let done = result.is_ok();
        let text = result.unwrap_or_else(|error| error.to_string());
        if done {
            Journal::append_undone(folder, entry.id, &text)?;
        }
        undone.push(Undone {
            id: entry.id,
            fault: entry.fault.clone(),
            text,
            done,
        });
    }
    Ok(undone)
}

fn undo_one(folder: &Path, entry: &Entry) -> Result<String, FaultError> {
    let fault = find(&entry.fault)
        .ok_or_else(|| FaultError::Target(format!("there is no fault '{}'", entry.fault)))?;
    let ground = Ground {
        folder,
        id: entry.id,
        seed: entry.seed,
        seconds: 0.0,
        program: None,
    };
    fault.undo(&entry.plan, &ground)
}

/// Waits for the right to put in or take back.
pub(super) fn locked(folder: &Path) -> io::Result<File> {
    let lock = File::create(folder.join("undo.lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// A folder to plan in, which is gone afterwards, or when dead runs are looked after.
pub(super) fn sketch(state: &Path) -> io::Result<TempDir> {
    fs::create_dir_all(state)?;
    let name = format!("{SKETCH}{}-", std::process::id());
    tempfile::Builder::new().prefix(&name).tempdir_in(state)
}

/// Whether it is a folder to plan in, or one on its way out, of somebody who is dead.
fn is_left_sketch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let rest = name
        .strip_prefix(SKETCH)
        .and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(pid, _)| is_dead(pid))
}

/// Whether it is the folder of a run that died before it began its journal, and so did nothing.
fn is_never_begun(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts = name.split_once('-');
    parts.is_some_and(|(at, pid)| number(at) && number(pid) && is_dead(pid))
        && !path.join("undo.jsonl").exists()
}

fn is_dead(pid: &str) -> bool {
    !Path::new("/proc").join(pid).exists()
}

/// Removes a run's folder, of which all is taken back. It first gets the name of one to plan in: a power
/// loss in the middle must not leave a part of it without its journal.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let gone = folder.with_file_name(format!("{SKETCH}{}-{name}", std::process::id()));
    fs::rename(folder, &gone)?;
    fs::remove_dir_all(gone)
}

/// Takes the place of the runner, if it is free.
pub(super) fn runner_lock(folder: &Path) -> io::Result<Option<File>> {
    let lock = File::create(folder.join("runner.lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Finishes what dead runners have left. Runs that are going on are not touched unless `running` says so.
pub fn finish(state: &Path, running: bool) -> io::Result<Vec<Finished>> {
    let entries = match fs::read_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for left in folders.iter().filter(|path| is_left_sketch(path)) {
        // Nothing was done by what is in it; the next one tries again.
        let _ = fs::remove_dir_all(left);
    }
    for left in folders.iter().filter(|path| is_never_begun(path)) {
        sweep(left);
    }
    folders.retain(|path| path.join("undo.jsonl").is_file());
    folders.sort();
    let mut finished = Vec::new();
    for folder in folders {
        match finish_one(&folder, running) {
            Ok(one) => finished.push(one),
            // The run's watchdog was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => sweep(&folder),
            Err(error) => return Err(error),
        }
    }
    Ok(finished)
}

fn finish_one(folder: &Path, running: bool) -> io::Result<Finished> {
    let lock = runner_lock(folder)?;
    if lock.is_none() && !running {
        return Ok(Finished {
            folder: folder.to_owned(),
            running: true,
            faults: Vec::new(),
        });
    }
    let faults = take_back(folder, Which::All)?;
    if lock.is_some() && faults.iter().all(|fault| fault.done) {
        remove(folder)?;
    }
    Ok(Finished {
        folder: folder.to_owned(),
        running: false,
        faults,
    })
}

/// Removes the locks that were made anew while somebody else removed the folder, and the folder if
/// nothing else is in it.
fn sweep(folder: &Path) {
    for lock in ["runner.lock", "undo.lock"] {
        // What is not there, or not ours, stays as it is.
        let _ = fs::remove_file(folder.join(lock));
    }
    let _ = fs::remove_dir(folder);
}
