//! The watchdog: a process beside the runner that takes everything back when the runner dies, and each
//! fault when its time is over.
//!
//! It knows of the runner's death by the end of its standard input, which no signal can suppress.

use super::clock;
use super::undo::{Journal, Which, remove, take_back};
use crate::chaos::child::READY;
use nix::sys::signal::SigSet;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// What the runner says when everything is taken back.
pub(super) const DONE: &str = "done";
/// What the runner says when there is something new in the journal.
pub(super) const LOOK: &str = "look";

/// How long to wait when nothing is due, and after something could not be taken back.
const IDLE: Duration = Duration::from_secs(3600);
const AGAIN: Duration = Duration::from_millis(500);
/// How often to try when the runner is dead; afterwards `whorl chaos undo` is left.
const TRIES: u32 = 20;

/// Watches until the runner is done or dead. `say` gets the word that it watches.
pub fn watch(folder: &Path, say: &mut dyn Write) -> io::Result<()> {
    // Who ends the run ends it by its runner; a watchdog that goes first would be no good.
    SigSet::all().thread_block()?;
    let (send, heard) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    // Who does not hear it may be dead already: then there is all the more to do.
    let _ = writeln!(say, "{READY}").and_then(|()| say.flush());
    let mut pause = due_in(folder);
    loop {
        match heard.recv_timeout(pause) {
            Ok(line) if line == DONE => return Ok(()),
            Ok(_) => pause = due_in(folder),
            Err(RecvTimeoutError::Timeout) => {
                let undone = take_back(folder, Which::Expired).unwrap_or_default();
                let failed = undone.iter().any(|fault| !fault.done);
                pause = if failed { AGAIN } else { due_in(folder) };
            }
            Err(RecvTimeoutError::Disconnected) => return orphaned(folder),
        }
    }
}

/// The runner is dead: everything is taken back, and tried again when that fails.
fn orphaned(folder: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        match take_back(folder, Which::All) {
            Ok(undone) if undone.iter().all(|fault| fault.done) => {
                return remove(folder);
            }
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            _ => thread::sleep(AGAIN),
        }
    }
    Ok(())
}

/// How long until the next fault's time is over.
fn due_in(folder: &Path) -> Duration {
    let Ok(journal) = Journal::read(folder) else {
        return AGAIN;
    };
    let now = clock::uptime();
    let due = journal
        .pending()
        .iter()
        .map(|entry| entry.until - now)
        .fold(f64::MAX, f64::min);
    // Uptime counts in hundredths of a second.
    Duration::try_from_secs_f64((due + 0.01).max(0.0))
        .unwrap_or(IDLE)
        .min(IDLE)
}
