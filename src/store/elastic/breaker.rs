//! When to stop asking a cluster that does not answer.
//!
//! The pattern is the circuit breaker of M. Nygard's *Release It!*: after some failures in a row no
//! request goes out for a while; then one is let through, and its answer decides.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row after which it opens.
const FAILURES: u32 = 5;
/// How long it stays open at first; doubled each time the trial fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long it stays open at most.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Whether requests may go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BreakerState {
    /// They may.
    Closed,
    /// They may not, for this long yet; the text is the last failure.
    Open(Duration, String),
    /// One is out to try.
    Trial,
}

#[derive(Debug, Default)]
struct Inner {
    failures: u32,
    pause: Duration,
    open_until: Option<Instant>,
    trial: bool,
    last: String,
}

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Inner>);

impl Breaker {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to send a request at `now`. `Err` holds the time to wait and the last failure.
    pub(super) fn ask(&self, now: Instant) -> Result<(), (Duration, String)> {
        let mut inner = self.inner();
        let Some(until) = inner.open_until else {
            return Ok(());
        };
        if now < until || inner.trial {
            let wait = until.saturating_duration_since(now);
            return Err((wait.max(Duration::from_millis(100)), inner.last.clone()));
        }
        inner.trial = true;
        Ok(())
    }

    /// The cluster answered.
    pub(super) fn good(&self) {
        *self.inner() = Inner::default();
    }

    /// The cluster did not answer.
    pub(super) fn bad(&self, now: Instant, why: &str) {
        let mut inner = self.inner();
        inner.failures = inner.failures.saturating_add(1);
        why.clone_into(&mut inner.last);
        if inner.failures < FAILURES {
            return;
        }
        // Failures of requests that were out already when it opened do not make it longer.
        if inner.open_until.is_none() || inner.trial {
            inner.pause = (inner.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
            inner.open_until = Some(now + inner.pause);
            inner.trial = false;
        }
    }

    /// How it stands at `now`.
    pub(super) fn state(&self, now: Instant) -> BreakerState {
        let inner = self.inner();
        match inner.open_until {
            None => BreakerState::Closed,
            Some(_) if inner.trial => BreakerState::Trial,
            Some(until) => {
                BreakerState::Open(until.saturating_duration_since(now), inner.last.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_tries_once_and_closes() {
        let breaker = Breaker::default();
        let start = Instant::now();
        for _ in 0..FAILURES {
            assert!(breaker.ask(start).is_ok());
            breaker.bad(start, "refused");
        }
        assert_eq!(breaker.ask(start), Err((FIRST_PAUSE, "refused".into())));
        let later = start + FIRST_PAUSE;
        assert!(breaker.ask(later).is_ok());
        assert_eq!(breaker.state(later), BreakerState::Trial);
        assert!(breaker.ask(later).is_err(), "one trial at a time");
        breaker.bad(later, "again");
        assert_eq!(
            breaker.state(later),
            BreakerState::Open(FIRST_PAUSE * 2, "again".into())
        );
        assert!(breaker.ask(later + FIRST_PAUSE * 2).is_ok());
        breaker.good();
        assert_eq!(breaker.state(later), BreakerState::Closed);
    }

    #[test]
    fn the_pause_has_a_limit() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        for _ in 0..FAILURES + 20 {
            while breaker.ask(now).is_err() {
                now += Duration::from_secs(1);
            }
            breaker.bad(now, "down");
        }
        let BreakerState::Open(left, _) = breaker.state(now) else {
            panic!("not open");
        };
        assert_eq!(left, LAST_PAUSE);
    }
}
