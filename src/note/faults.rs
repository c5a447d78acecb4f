//! Which refusals a target may give, for targets that fail on purpose.

use super::{Refusal, Then};
use crate::chance::{Kind, MARK, Site};
use std::time::Duration;

/// The one method of [`super::Target`]. Never [`Then::Park`] and [`Then::Drop`]: these say that the note
/// is wrong or that nobody needs it, which is not so.
pub const SITES: &[Site] = &[Site::new(
    "note.say",
    &[
        Kind::either("again"),
        Kind::before("later"),
        Kind::either("rest"),
    ],
)];

/// The refusal of a kind.
pub fn refusal(kind: &'static str) -> Refusal {
    match kind {
        "rest" => Refusal::rest(MARK, None),
        "later" => Refusal {
            error: MARK.to_owned(),
            then: Then::Again(Some(Duration::from_millis(50))),
        },
        _ => Refusal::again(MARK),
    }
}
