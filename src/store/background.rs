//! Who gives way to whom on the processors, so that a verdict takes less than a second whatever else is done.
//!
//! The kernel weighs a thread with new builds 1,024, the index 335, a second look 110 and a search 15: people
//! who search all that is kept wait longer on a busy machine, and builds do not.

/// Work that may wait while new builds get their verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Background {
    /// Stored builds, looked at with other fingerprints.
    SecondLook,
    /// What makes events searchable.
    Index,
    /// Looking through what is kept.
    Search,
}

impl Background {
    /// Steps of priority, of which there are 19 below the usual one.
    pub(crate) const fn steps(self) -> i32 {
        match self {
            Self::SecondLook => 10,
            Self::Index => 5,
            Self::Search => 19,
        }
    }

    /// Has this thread and those that it starts give way, for good. Should the system refuse, the work only is as
    /// important as the rest.
    pub(crate) fn give_way(self) {
        let _ = rustix::process::nice(self.steps());
    }
}
