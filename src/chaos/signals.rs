//! Signals to a run become rings of its bell.

use super::bell::{Bell, Stop};
use nix::sys::signal::{SigSet, Signal};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Which signal was heard first, for the result.
#[derive(Debug, Default)]
pub struct FirstSignal(Mutex<Option<&'static str>>);

impl FirstSignal {
    fn note(&self, name: &'static str) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(name);
    }

    /// `SIGINT` or `SIGTERM`, when one was heard.
    pub fn name(&self) -> Option<&'static str> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens to signals from now on. To be called before other threads begin, for they inherit that the
/// signals wait for this one; children do not.
pub fn listen(bell: &Arc<Bell>, first: &Arc<FirstSignal>) -> nix::Result<()> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2] {
        set.add(signal);
    }
    // A background job of a shell ignores SIGINT, and so do we then.
    if !ignored(Signal::SIGINT) {
        set.add(Signal::SIGINT);
    }
    set.thread_block()?;
    let (bell, first) = (Arc::clone(bell), Arc::clone(first));
    thread::spawn(move || {
        while let Ok(signal) = set.wait() {
            let stop = match signal {
                Signal::SIGINT => Stop::Interrupt,
                Signal::SIGTERM => Stop::Terminate,
                Signal::SIGUSR1 => Stop::Leave,
                _ => Stop::LeaveNow,
            };
            match signal {
                Signal::SIGINT => first.note("SIGINT"),
                Signal::SIGTERM => first.note("SIGTERM"),
                _ => {}
            }
            bell.ring(stop);
        }
    });
    Ok(())
}

fn ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
}
