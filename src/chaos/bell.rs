//! Waiting that can be interrupted, by signals and by stop conditions.
//!
//! In: signals, conditions, results of other threads. Out: whoever waits goes on. The main thread of a
//! run hears every ring once; threads in the background hear only the one that ends everything.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why a run is to end early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGUSR1: end, rollbacks as their strategy says.
    Leave,
    /// SIGUSR2: end at once, without rollbacks.
    LeaveNow,
    /// A control asked for it.
    Control(String),
    /// A stop condition was met.
    Condition(String),
}

/// How closely somebody listens who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ear {
    /// The main thread of the run.
    Main,
    /// An activity in the background.
    Background,
}

/// How waiting ended.
#[derive(Debug)]
pub(crate) enum Waited<T> {
    /// What was waited for is there.
    Ready(T),
    /// Time is up.
    Late,
    /// The run is to end.
    Stopped(Stop),
}

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Stop>,
    /// SIGUSR2 was heard: background activities end, too.
    hard: bool,
}

/// What wakes those who wait.
#[derive(Debug, Default)]
pub struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the run to end.
    pub fn ring(&self, stop: Stop) {
        let mut state = self.state();
        state.hard |= stop == Stop::LeaveNow;
        state.pending.push_back(stop);
        self.rung.notify_all();
    }

    /// Wakes everybody who waits for something that may be there now.
    pub(crate) fn poke(&self) {
        let _state = self.state();
        self.rung.notify_all();
    }

    /// Waits until `ready` gives something, the time is up or the run is to end.
    pub(crate) fn wait<T>(
        &self,
        deadline: Option<Instant>,
        ear: Ear,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Waited<T> {
        let mut state = self.state();
        loop {
            if let Some(found) = ready() {
                return Waited::Ready(found);
            }
            if let Some(stop) = heard(&mut state, ear) {
                return Waited::Stopped(stop);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) if left.is_zero() => return Waited::Late,
                Some(left) => {
                    let waited = self.rung.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .rung
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Sleeps, unless the run is to end.
    pub(crate) fn sleep(&self, time: Duration, ear: Ear) -> Result<(), Stop> {
        let deadline = Instant::now().checked_add(time);
        match self.wait(deadline, ear, || None::<()>) {
            Waited::Stopped(stop) => Err(stop),
            Waited::Ready(()) | Waited::Late => Ok(()),
        }
    }

    /// Whether the run was asked to end, without waiting.
    pub(crate) fn check(&self, ear: Ear) -> Result<(), Stop> {
        heard(&mut self.state(), ear).map_or(Ok(()), Err)
    }
}

fn heard(state: &mut State, ear: Ear) -> Option<Stop> {
    match ear {
        Ear::Main => state.pending.pop_front(),
        Ear::Background => state.hard.then_some(Stop::LeaveNow),
    }
}

/// A result that another thread brings.
#[derive(Debug)]
pub(crate) struct Slot<T>(Mutex<Option<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    pub(crate) fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
