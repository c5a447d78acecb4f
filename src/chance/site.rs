//! What may fail: the tables that stand beside the traits.

use serde::{Deserialize, Serialize};

/// Whether the call is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It fails before anything is done.
    Before,
    /// It is done, but an error comes back.
    After,
}

/// An error that a call may raise.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// What it is called, in records too.
    pub name: &'static str,
    /// When it may be raised.
    pub phases: &'static [Phase],
}

impl Kind {
    /// One that says that nothing was done.
    pub const fn before(name: &'static str) -> Self {
        let phases = &[Phase::Before];
        Self { name, phases }
    }

    /// One that does not say whether it was done.
    pub const fn either(name: &'static str) -> Self {
        let phases = &[Phase::Before, Phase::After];
        Self { name, phases }
    }
}

/// A method of a trait, with the errors that it may raise. Without any it never fails.
#[derive(Debug, PartialEq, Eq)]
pub struct Site {
    /// `ROOM.METHOD`.
    pub name: &'static str,
    /// The errors.
    pub kinds: &'static [Kind],
}

impl Site {
    /// A row of a table.
    pub const fn new(name: &'static str, kinds: &'static [Kind]) -> Self {
        Self { name, kinds }
    }
}
