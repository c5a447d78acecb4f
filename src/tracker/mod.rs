//! Bug trackers: what became of a bug, and how often it still happens.
//!
//! In: the bugs of the fingerprints in force. Out: facts in `state` with their age, one comment with
//! counts in each bug where that is wanted, and an event for each closed bug that is hit again.
//! Invariants: a tracker that is down or talks nonsense never removes what is known and never holds up
//! another one; its limits are kept to; answers are bounded in time and size; links in answers are only
//! followed to the place that was configured; tokens go there and nowhere else, and are never shown.

mod account;
mod address;
mod bugzilla;
mod counts;
mod due;
mod error;
pub mod faults;
mod gerrit;
mod github;
mod gitlab;
mod http;
mod jira;
mod launchpad;
mod limits;
mod record;
mod refresh;
mod returned;
mod say;

pub use crate::event::{BugFacts, BugReview, BugStatus};
pub use address::{Bug, Site, SiteError, sites};
pub use counts::{Written, counts_text};
pub use due::{Gate, Known, Pace, due};
pub use error::{TrackerError, Wait};
pub use gerrit::Gerrit;
pub use refresh::{Refresher, Round, Wanted};
pub use returned::{closed_since, returned, settled};

use std::future::Future;
use std::pin::Pin;

/// What a tracker will have answered.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, TrackerError>> + Send + 'a>>;

/// One bug tracker, asked over the network.
pub trait Tracker: Send + Sync + std::fmt::Debug {
    /// What it says of a bug. With the validator of an earlier answer it may say that nothing has
    /// changed.
    fn fetch<'a>(&'a self, bug: &'a Bug, validator: Option<&'a str>) -> Answer<'a, Fetched>;

    /// The line by which our comment is found again among those of our account.
    fn marker(&self) -> &'static str;

    /// The comment of our own account that has the marker.
    fn own_comment<'a>(&'a self, bug: &'a Bug) -> Answer<'a, Option<Comment>>;

    /// Writes a new comment and returns its name.
    fn add_comment<'a>(&'a self, bug: &'a Bug, text: &'a str) -> Answer<'a, String>;

    /// Gives a comment of our account another text.
    fn edit_comment<'a>(&'a self, bug: &'a Bug, id: &'a str, text: &'a str) -> Answer<'a, ()>;
}

/// An answer about a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// All that the tracker says.
    Facts {
        /// What it says.
        facts: BugFacts,
        /// What it calls this state of the bug.
        validator: Option<String>,
    },
    /// Nothing has changed since the validator was given.
    Unchanged,
}

/// A comment in a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its name in the tracker.
    pub id: String,
    /// What it says.
    pub text: String,
}
