//! What others see of the client: what it hears, how it is, why something was not said.

use std::collections::BTreeMap;

/// A line that somebody addressed to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The channel; `None` when it was said to us alone.
    pub channel: Option<String>,
    /// Who said it.
    pub nick: String,
    /// Their account, where the server tells (`account-tag`); a nick alone proves nothing.
    pub account: Option<String>,
    /// What they said, without our name in front and without codes.
    pub text: String,
}

/// Why a text was not said, or is not known to have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SayError {
    /// There is no connection now.
    #[error("not connected: {0}")]
    NotConnected(String),
    /// We are not in the channel now.
    #[error("not in {channel}: {why}")]
    NotJoined {
        /// The channel.
        channel: String,
        /// Why, as far as is known.
        why: String,
    },
    /// The channel does not let us speak now (404).
    #[error("{channel} does not let us speak: {why}")]
    Muted {
        /// The channel.
        channel: String,
        /// What the server said.
        why: String,
    },
    /// The server refused the text.
    #[error("{channel} refused: {why}")]
    Refused {
        /// The channel.
        channel: String,
        /// What the server said.
        why: String,
    },
    /// The text was handed over, but not taken before the connection ended or patience did.
    #[error("handed over but not confirmed: {0}")]
    Unconfirmed(String),
    /// Too many texts wait already.
    #[error("too many texts wait to be said")]
    Busy,
    /// The channel is none of those that were configured.
    #[error("{0} is not a configured channel")]
    UnknownChannel(String),
    /// There is nothing in the text that can be said.
    #[error("there is nothing to say in the text")]
    Empty,
    /// The client has stopped; the one of the next start may say it.
    #[error("the client has stopped: {0}")]
    Stopped(String),
}

impl SayError {
    /// True when the same text may be said later.
    pub fn may_try_again(&self) -> bool {
        match self {
            Self::NotConnected(_)
            | Self::NotJoined { .. }
            | Self::Muted { .. }
            | Self::Unconfirmed(_)
            | Self::Busy
            | Self::Stopped(_) => true,
            Self::Refused { .. } | Self::UnknownChannel(_) | Self::Empty => false,
        }
    }

    /// True when people may have read all of it all the same. (Of a text of several lines the first
    /// ones may have been said whatever the error is.)
    pub fn may_have_been_said(&self) -> bool {
        matches!(self, Self::Unconfirmed(_))
    }
}

/// How the client is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Registered at the server now.
    pub connected: bool,
    /// The nick we have, while connected.
    pub nick: Option<String>,
    /// The account that was proven, while connected.
    pub account: Option<String>,
    /// The channels, by their configured names.
    pub channels: BTreeMap<String, ChannelStatus>,
    /// The last error of a connection, also when it is over.
    pub last_error: Option<String>,
    /// Why the client has stopped for good, if it has.
    pub stopped: Option<String>,
    /// Lines to us that nobody took in time.
    pub dropped: u64,
    /// How often a connection was made or tried.
    pub tries: u64,
}

/// How one channel is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelStatus {
    /// We are in it.
    pub joined: bool,
    /// Why we are not, or were not.
    pub error: Option<String>,
}

impl Status {
    /// The channels that we are in.
    pub fn joined(&self) -> Vec<&str> {
        let all = self.channels.iter().filter(|(_, channel)| channel.joined);
        all.map(|(name, _)| name.as_str()).collect()
    }
}
