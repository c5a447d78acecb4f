//! What a bug tracker says of a bug.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a bug stands, in words that are the same for every tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BugStatus {
    /// Nobody works on it yet.
    Open,
    /// Somebody works on it.
    InProgress,
    /// It counts as fixed.
    Fixed,
    /// Closed without a fix: a duplicate, invalid, not wanted.
    ClosedOtherwise,
    /// The tracker uses a word that we do not know.
    Unknown,
}

impl BugStatus {
    /// The word on pages and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::InProgress => "in-progress",
            Self::Fixed => "fixed",
            Self::ClosedOtherwise => "closed-otherwise",
            Self::Unknown => "unknown",
        }
    }

    /// True when nobody is expected to work on it any more.
    pub fn closed(self) -> bool {
        matches!(self, Self::Fixed | Self::ClosedOtherwise)
    }
}

impl fmt::Display for BugStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A change under review that names a bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BugReview {
    /// What it is called.
    pub title: String,
    /// Where it is reviewed.
    pub url: String,
}

/// What a tracker says of a bug. All texts are cut to a readable length and free of characters that
/// deceive, but they are still written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BugFacts {
    /// Its title.
    pub title: String,
    /// Where it stands.
    pub status: BugStatus,
    /// The same in the tracker's own words.
    pub word: String,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Where people read it.
    pub url: Option<String>,
    /// When it last changed.
    pub updated: Option<Timestamp>,
    /// When it was closed; for a closed bug of a tracker that does not say so, when we first saw it.
    pub closed: Option<Timestamp>,
    /// Open reviews that name it, where the tracker knows of any.
    pub reviews: Vec<BugReview>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_one_that_is_stored() {
        use BugStatus::{ClosedOtherwise, Fixed, InProgress, Open, Unknown};
        for status in [Open, InProgress, Fixed, ClosedOtherwise, Unknown] {
            let stored = serde_json::to_value(status).unwrap();
            assert_eq!(stored, status.as_str());
        }
        assert!(Fixed.closed() && ClosedOtherwise.closed());
        assert!(!Open.closed() && !InProgress.closed() && !Unknown.closed());
    }
}
