//! Keeps the blocks that wait for the index few: its own queue counts them and not their bytes.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of word lists that may wait. Blocks are about as large as their lists.
const WAITING: usize = 8 << 20;

/// An index that took nothing for so long has failed, and says so itself when it is asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts what has been handed to the index and not been taken up.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: Mutex<usize>,
    left: Condvar,
}

impl Gate {
    /// Waits until there is room for so many bytes more.
    pub(super) fn enter(&self, bytes: usize) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |waiting: &mut usize| *waiting > 0 && *waiting + bytes > WAITING;
        let waited = self.left.wait_timeout_while(waiting, PATIENCE, full);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *waiting += bytes;
    }

    /// So many bytes were taken up.
    pub(super) fn leave(&self, bytes: usize) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = waiting.saturating_sub(bytes);
        self.left.notify_all();
    }

    /// Nothing waits: the writer that had it is gone.
    pub(super) fn clear(&self) {
        self.leave(usize::MAX);
    }
}
