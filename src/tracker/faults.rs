//! Which errors each method of a tracker may raise, for trackers that fail on purpose.

use super::{TrackerError, error::Wait};
use crate::chance::{Kind, MARK, Site};
use std::time::Duration;

const READ: &[Kind] = &[
    Kind::before("limited"),
    Kind::before("server"),
    Kind::before("timeout"),
    Kind::before("network"),
];
/// Whoever asks for too much is told so before anything is done.
const WRITE: &[Kind] = &[
    Kind::before("limited"),
    Kind::either("server"),
    Kind::either("timeout"),
    Kind::either("network"),
];

/// The methods of [`super::Tracker`]. Never an error that says something of a bug, such as that it is
/// gone, or of our account.
pub const SITES: &[Site] = &[
    Site::new("tracker.fetch", READ),
    Site::new("tracker.own_comment", READ),
    Site::new("tracker.add_comment", WRITE),
    Site::new("tracker.edit_comment", WRITE),
];

/// The error of a kind.
pub fn error(kind: &'static str) -> TrackerError {
    match kind {
        "limited" => TrackerError::Limited {
            status: 429,
            wait: Wait::For(Duration::from_secs(1)),
        },
        "server" => TrackerError::Server {
            status: 503,
            wait: None,
        },
        "timeout" => TrackerError::Timeout,
        _ => TrackerError::Network(MARK.to_owned()),
    }
}
