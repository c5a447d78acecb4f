//! How many builds are read at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the builds that are being read. While there are fewer than processors, one may have a second
/// thread: one reads and unpacks, the other looks for what is known.
#[derive(Debug)]
pub(super) struct InHand {
    builds: AtomicUsize,
    processors: usize,
}

/// A build that counts while this lives.
pub(super) struct Counted<'h> {
    all: &'h InHand,
    /// True when a processor is left for it.
    pub(super) has_room: bool,
}

impl InHand {
    /// None yet, on a machine with so many processors.
    pub(super) fn new(processors: usize) -> Self {
        Self {
            builds: AtomicUsize::new(0),
            processors,
        }
    }

    /// One more. Whether it has room is decided now: threads are not taken away from it.
    pub(super) fn begin(&self) -> Counted<'_> {
        let before = self.builds.fetch_add(1, Ordering::Relaxed);
        Counted {
            all: self,
            has_room: before + 1 < self.processors,
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.all.builds.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_while_there_are_fewer_builds_than_processors() {
        let all = InHand::new(3);
        let (first, second) = (all.begin(), all.begin());
        assert!(first.has_room && second.has_room);
        let third = all.begin();
        assert!(!third.has_room);
        drop((first, second));
        assert!(all.begin().has_room);
        assert!(!InHand::new(1).begin().has_room);
    }
}
