//! A channel of IRC as a target of notes.

use super::{IrcHandle, SayError};
use crate::note::{Refusal, Said, Saying, Target, Then};
use crate::state::Note;
use std::fmt;

/// A channel.
pub struct IrcTarget {
    handle: IrcHandle,
    channel: String,
}

impl fmt::Debug for IrcTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrcTarget")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl IrcTarget {
    /// A channel of the server that the handle leads to.
    pub fn new(handle: IrcHandle, channel: impl Into<String>) -> Self {
        Self {
            handle,
            channel: channel.into(),
        }
    }
}

impl Target for IrcTarget {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(async move {
            let said = self.handle.say(&self.channel, &note.text).await;
            said.map(|()| Said::default())
                .map_err(|error| refusal(&error))
        })
    }
}

fn refusal(error: &SayError) -> Refusal {
    let then = match error {
        SayError::NotConnected(_) | SayError::NotJoined { .. } | SayError::Muted { .. } => {
            Then::Rest(None)
        }
        other if other.may_try_again() => Then::Again(None),
        _ => Then::Park,
    };
    Refusal {
        error: error.to_string(),
        then,
    }
}
