//! The channels: joined, refused, thrown out of, joined again.

use super::folding::Folding;
use super::pace::back_off;
use super::settings::Settings;
use super::status::ChannelStatus;
use super::wire::Message;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How much longer than the first the longest wait before another try is.
const LONGEST: u32 = 32;

/// All configured channels, by folded name.
#[derive(Debug)]
pub(super) struct Channels {
    all: BTreeMap<String, Channel>,
    rejoin: Duration,
    timeout: Duration,
}

#[derive(Debug)]
struct Channel {
    name: String,
    key: Option<String>,
    state: State,
    error: Option<String>,
    refusals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be joined at this time.
    Out(Instant),
    /// Asked; to be asked again at this time.
    Asked(Instant),
    In,
}

impl Channels {
    pub(super) fn new(settings: &Settings, folding: Folding, now: Instant) -> Self {
        let one = |c: &super::settings::Channel| Channel {
            name: c.name.clone(),
            key: c.key.clone(),
            state: State::Out(now),
            error: None,
            refusals: 0,
        };
        let all = settings.channels.iter();
        Self {
            all: all.map(|c| (folding.fold(&c.name), one(c))).collect(),
            rejoin: settings.rejoin,
            timeout: settings.timeout,
        }
    }

    /// The channel's name as configured.
    pub(super) fn name(&self, folded: &str) -> Option<&str> {
        self.all.get(folded).map(|c| c.name.as_str())
    }

    pub(super) fn joined(&self, folded: &str) -> bool {
        self.all.get(folded).is_some_and(|c| c.state == State::In)
    }

    /// True while the server owes us an answer to a JOIN of this channel.
    pub(super) fn asked(&self, folded: &str) -> bool {
        let found = self.all.get(folded);
        found.is_some_and(|c| matches!(c.state, State::Asked(_)))
    }

    /// Why a channel is not joined.
    pub(super) fn why(&self, folded: &str) -> String {
        let error = self.all.get(folded).and_then(|c| c.error.clone());
        error.unwrap_or_else(|| "not joined yet".to_owned())
    }

    /// We are in it.
    pub(super) fn enter(&mut self, folded: &str) {
        if let Some(channel) = self.all.get_mut(folded) {
            (channel.state, channel.error, channel.refusals) = (State::In, None, 0);
        }
    }

    /// We are out of it, or did not get in: try again after a while.
    pub(super) fn leave(&mut self, folded: &str, why: String, now: Instant) {
        let longest = self.rejoin.saturating_mul(LONGEST);
        if let Some(channel) = self.all.get_mut(folded) {
            let wait = back_off(channel.refusals, self.rejoin, longest);
            channel.refusals += 1;
            channel.state = State::Out(now + wait);
            tracing::warn!(
                channel = channel.name,
                why,
                ?wait,
                "irc channel is not joined"
            );
            channel.error = Some(why);
        }
    }

    /// The JOIN of one channel that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Message> {
        let timeout = self.timeout;
        let due = |c: &&mut Channel| match c.state {
            State::Out(at) | State::Asked(at) => at <= now,
            State::In => false,
        };
        let channel = self.all.values_mut().find(due)?;
        channel.state = State::Asked(now + timeout);
        let name = channel.name.as_str();
        // One channel a line: keys and refusals then belong to one.
        Some(match &channel.key {
            Some(key) => Message::new("JOIN", &[name, key]),
            None => Message::new("JOIN", &[name]),
        })
    }

    /// When the next JOIN is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let times = self.all.values().filter_map(|c| match c.state {
            State::Out(at) | State::Asked(at) => Some(at),
            State::In => None,
        });
        times.min()
    }

    pub(super) fn status(&self) -> BTreeMap<String, ChannelStatus> {
        let one = |c: &Channel| ChannelStatus {
            joined: c.state == State::In,
            error: c.error.clone(),
        };
        self.all
            .values()
            .map(|c| (c.name.clone(), one(c)))
            .collect()
    }
}
