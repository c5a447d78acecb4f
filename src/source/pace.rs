//! How long to wait before somebody is asked again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Pauses after errors: each is twice the one before it, up to a limit, and spread, so that many who
/// wait do not come back at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest: longest.max(first),
            next: first,
        }
    }

    /// All is well again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The pause after one error more.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = spread(self.next);
        self.next = self.next.saturating_mul(2).min(self.longest);
        pause
    }
}

/// The pause, of which up to a quarter is taken away.
pub(crate) fn spread(pause: Duration) -> Duration {
    // The standard library draws the seed anew for each of its hash tables.
    let drawn = RandomState::new().build_hasher().finish() % 1000;
    let quarter = pause / 4;
    pause.saturating_sub(quarter * u32::try_from(drawn).unwrap_or(0) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(4), Duration::from_secs(20));
        for whole in [4.0, 8.0, 16.0, 20.0, 20.0] {
            let pause = backoff.next().as_secs_f64();
            assert!((whole * 0.75..=whole).contains(&pause), "{whole}: {pause}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(4));
    }
}
