//! Signals to a run become rings of its bell.

use super::bell::{Bell, Stop};
use nix::sys::signal::Signal;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

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

/// Listens to signals from now on. They are handled, not blocked: what is blocked stays so in children,
/// which could then be ended by nothing but `SIGKILL`.
pub fn listen(bell: &Arc<Bell>, first: &Arc<FirstSignal>) -> io::Result<()> {
    let mut kinds = vec![
        (SignalKind::terminate(), Stop::Terminate, Some("SIGTERM")),
        (SignalKind::user_defined1(), Stop::Leave, None),
        (SignalKind::user_defined2(), Stop::LeaveNow, None),
    ];
    // A background job of a shell ignores SIGINT, and so do we then.
    if !ignored(Signal::SIGINT) {
        kinds.push((SignalKind::interrupt(), Stop::Interrupt, Some("SIGINT")));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut listeners = JoinSet::new();
    for (kind, stop, name) in kinds {
        let (bell, first) = (Arc::clone(bell), Arc::clone(first));
        // Heard from here on, and not only when the thread comes to it.
        let mut heard = {
            let _inside = runtime.enter();
            signal(kind)?
        };
        let listener = async move {
            while heard.recv().await.is_some() {
                if let Some(name) = name {
                    first.note(name);
                }
                bell.ring(stop.clone());
            }
        };
        listeners.spawn_on(listener, runtime.handle());
    }
    thread::spawn(move || runtime.block_on(listeners.join_all()));
    Ok(())
}

fn ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
}
