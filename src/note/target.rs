//! Where notes go: one trait for code review, chat, mail and webhooks.

use crate::state::Note;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A note that is being said.
pub type Saying<'a> = Pin<Box<dyn Future<Output = Result<Said, Refusal>> + Send + 'a>>;

/// A place where notes are said. One that cannot be reached or hangs must end its tries by itself.
pub trait Target: fmt::Debug + Send + Sync {
    /// Says the note, or brings what was said before ([`Note::remote`]) to what is wanted now. It can
    /// be asked again for what was said already, when the answer was lost: where the target can tell,
    /// it looks before it speaks.
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a>;
}

/// A note was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// What the target calls it, to find it again: the number of a comment, the moment of a message.
    pub remote: Option<String>,
}

/// A note was not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, for people; without secrets.
    pub error: String,
    /// What follows from it.
    pub then: Then,
}

/// What follows from a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The note may be tried again, not before this wait where the target asked for one.
    Again(Option<Duration>),
    /// The target itself is away or wants to be left alone: none of its notes is tried before.
    Rest(Option<Duration>),
    /// The note will never be taken: it waits for a person.
    Park,
    /// Nobody needs the note any more, such as one for an outdated patchset.
    Drop,
}

impl Refusal {
    /// May be tried again.
    pub fn again(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            then: Then::Again(None),
        }
    }

    /// The target is away.
    pub fn rest(error: impl Into<String>, wish: Option<Duration>) -> Self {
        Self {
            error: error.into(),
            then: Then::Rest(wish),
        }
    }

    /// Waits for a person.
    pub fn park(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            then: Then::Park,
        }
    }

    /// Nobody needs it any more.
    pub fn outdated(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            then: Then::Drop,
        }
    }
}
