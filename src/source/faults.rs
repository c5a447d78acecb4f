//! Which errors a source may raise, for sources that fail on purpose.

use crate::chance::{Kind, MARK, Site};

/// The methods of [`super::Source`] that can fail: `run` says at the desk what goes wrong, and what goes
/// wrong there are its requests and the state.
pub const SITES: &[Site] = &[Site::new("source.headers", &[Kind::before("refused")])];

/// The error of a kind; there is only one.
pub fn error(_: &'static str) -> String {
    format!("the account is not taken: {MARK}")
}
