//! What takes long to make and may be a little old.
//!
//! In: how it is made. Out: what was made, now or a short time ago. Invariants: what is made quickly is always made
//! anew; what took long is shown ten times as long, so that making it takes a tenth of a processor, however many
//! ask; nobody waits for another one: while one thread makes it anew the others get the old one, unless that is more
//! than a minute too old.

use super::held;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

/// What takes less is made for each who asks.
const QUICK: Duration = Duration::from_millis(100);
/// How often as long as it took a thing is shown, and the longest time for which any is.
const SHARE: u32 = 10;
const LONGEST: Duration = Duration::from_secs(60);

/// One of these things.
pub(super) struct Kept<T> {
    /// The last one that was made, and until when it is shown.
    last: Mutex<Option<(Instant, Arc<T>)>>,
    /// Held by who makes another one in its place.
    making: Mutex<()>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            making: Mutex::default(),
        }
    }
}

impl<T> Kept<T> {
    /// What was made last, if it still counts, else what `make` makes. `now` tells the time.
    pub(super) fn get<E>(
        &self,
        now: impl Fn() -> Instant,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let began = now();
        let last = held(&self.last).clone();
        let making = self.making.try_lock();
        let others = matches!(making, Err(TryLockError::WouldBlock));
        if let Some((until, made)) = last
            && (began < until || (others && began < until + LONGEST))
        {
            return Ok(made);
        }
        let made = Arc::new(make()?);
        let done = now();
        let took = done.duration_since(began);
        let shown = (took * SHARE).min(LONGEST);
        *held(&self.last) = (took >= QUICK).then(|| (done + shown, Arc::clone(&made)));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_took_long_is_shown_ten_times_as_long() {
        let (start, passed) = (Instant::now(), Cell::new(0));
        let kept = Kept::default();
        let get = |takes| {
            let clock = || start + Duration::from_millis(passed.get());
            kept.get(clock, || {
                passed.set(passed.get() + takes);
                Ok::<u64, ()>(passed.get())
            })
            .map(|made| *made)
        };
        assert_eq!(get(99), Ok(99));
        assert_eq!(get(300), Ok(399), "made quickly");
        assert_eq!(get(300), Ok(399));
        passed.set(399 + 2999);
        assert_eq!(get(300), Ok(399));
        passed.set(399 + 3000);
        assert_eq!(get(20_000), Ok(23_399));
        passed.set(23_399 + 59_999);
        assert_eq!(get(1), Ok(23_399), "a minute at most");
        passed.set(23_399 + 60_000);
        assert_eq!(get(1), Ok(83_400));
    }

    #[test]
    fn nobody_waits_for_another_one() {
        let (clock, kept) = (Instant::now(), Kept::default());
        let passed = Cell::new(0);
        let now = || clock + Duration::from_secs(passed.get());
        let slowly = |value| {
            passed.set(passed.get() + 1);
            Ok::<u64, ()>(value)
        };
        assert_eq!(*kept.get(now, || slowly(1)).unwrap(), 1);
        passed.set(30);
        let made = kept.get(now, || {
            // Somebody else asks meanwhile.
            assert_eq!(*kept.get(now, || slowly(3)).unwrap(), 1);
            slowly(2)
        });
        assert_eq!(*made.unwrap(), 2);
        assert_eq!(*kept.get(now, || slowly(4)).unwrap(), 2);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let kept = Kept::default();
        let slowly = |value| {
            let clock = Cell::new(Instant::now());
            let now = || clock.replace(clock.get() + Duration::from_secs(1));
            kept.get(now, || value).map(|made| *made)
        };
        assert_eq!(slowly(Err("no")), Err("no"));
        assert_eq!(slowly(Ok(1)), Ok(1));
    }
}
