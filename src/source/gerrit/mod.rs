//! Gerrit: the events of `stream-events`, and the comments by which a CI reports its builds.
//!
//! A comment has no format that anybody promised. [`Report::read`] reads those that Zuul (since
//! version 2), the Jenkins Gerrit Trigger and third-party CIs write: a head such as
//! `Build failed (check pipeline).` and one line for each build. What looks like the line of a build
//! and cannot be read is kept in [`Report::unread`].

mod account;
mod address;
mod builds;
mod event;
mod head;
mod input;
mod line;
mod live;
mod report;
mod tail;
mod words;

pub use account::{Accounts, Counts};
pub use address::Address;
pub use builds::builds;
pub use event::{Comment, Happened};
pub use head::{Head, Status};
pub use input::{Damage, Input, Item};
pub use line::ResultLine;
pub use live::{Gerrit, GerritError};
pub use report::{Limits, Met, OWN_TAG, Report, Unread};
