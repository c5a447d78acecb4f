//! How fast we speak, and how long we wait before we come back.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use tokio::time::Instant;

/// A token bucket: so many lines at once, and then one every so often.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pace: Duration,
    /// How far ahead of its time a line may be.
    ahead: Duration,
    /// When the next line would be due if all came evenly.
    due: Instant,
}

impl Bucket {
    pub(super) fn new(burst: u32, pace: Duration, now: Instant) -> Self {
        let ahead = pace.saturating_mul(burst.max(1) - 1);
        Self {
            pace,
            ahead,
            due: now,
        }
    }

    /// When the next line may be said.
    pub(super) fn ready(&self) -> Instant {
        self.due.checked_sub(self.ahead).unwrap_or(self.due)
    }

    /// Takes a line's place, if there is one now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.ready() > now {
            return false;
        }
        self.due = self.due.max(now) + self.pace;
        true
    }
}

/// The wait after failure number `n` (from 0): doubled each time up to `longest`, of which chance
/// takes away up to the half, so that many clients do not come back at once.
pub(super) fn back_off(n: u32, first: Duration, longest: Duration) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(n)).min(longest);
    // The seed that the standard library draws for its hash tables.
    let drawn = RandomState::new().build_hasher().finish();
    doubled.mul_f64(1.0 - 0.5 * (drawn as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let start = Instant::now();
        let pace = Duration::from_secs(2);
        let mut bucket = Bucket::new(3, pace, start);
        let taken = (0..10).filter(|_| bucket.take(start)).count();
        assert_eq!(taken, 3);
        assert_eq!(bucket.ready(), start + pace);
        assert!(!bucket.take(start + Duration::from_secs(1)));
        assert!(bucket.take(start + pace));
        assert!(!bucket.take(start + pace));
        // After a long rest the burst is back, and no more than that.
        let later = start + Duration::from_secs(100);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 3);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let seconds = Duration::from_secs;
        for (n, most) in [(0, 2), (1, 4), (4, 32), (5, 60), (4_000_000_000, 60)] {
            let wait = back_off(n, seconds(2), seconds(60));
            assert!(
                wait <= seconds(most) && wait >= seconds(most) / 2,
                "{n}: {wait:?}"
            );
        }
    }
}
