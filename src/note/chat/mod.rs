//! Notes to chat.

pub mod hook;
mod http;
pub mod irc;
pub mod matrix;
pub mod slack;
pub mod text;

/// A message in a channel that is meant for us, such as `whorl: status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The target that heard it, as the configuration names it.
    pub target: String,
    /// The channel or room.
    pub channel: String,
    /// Who said it, by a name that nobody else can take.
    pub sender: String,
    /// What was said to us, without our name; one line without control characters.
    pub text: String,
    /// What the service calls the message, to tell a repetition.
    pub event: String,
}
