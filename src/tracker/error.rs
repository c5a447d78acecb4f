//! Why a tracker did not answer, and whose fault that is.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// The longest wait that a tracker can ask for.
const LONGEST_WISH: SignedDuration = SignedDuration::from_hours(24);

/// What a tracker asked to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So long.
    For(Duration),
    /// Until then.
    Until(Timestamp),
}

impl Wait {
    /// The moment when it may be asked again, at most a day away.
    pub fn end(self, now: Timestamp) -> Timestamp {
        let most = now.checked_add(LONGEST_WISH).unwrap_or(Timestamp::MAX);
        let end = match self {
            Self::Until(end) => end,
            Self::For(wait) => SignedDuration::try_from(wait)
                .ok()
                .and_then(|wait| now.checked_add(wait).ok())
                .unwrap_or(most),
        };
        end.clamp(now, most)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrackerError {
    /// There is no such bug, or our account may not know of it.
    #[error("no such bug, or the account may not see it (404)")]
    NotFound,
    /// The bug was deleted.
    #[error("the bug was deleted (410)")]
    Gone,
    /// Our account may not do that.
    #[error("the account may not see or do that (403)")]
    Denied,
    /// The tracker does not know our account.
    #[error("the tracker refuses the account: look at its token (401)")]
    Unauthorized,
    /// We asked too often.
    #[error("asked too often ({status})")]
    Limited {
        /// The status of the answer.
        status: u16,
        /// When to come back.
        wait: Wait,
    },
    /// The tracker has a fault.
    #[error("the tracker answered {status}")]
    Server {
        /// The status of the answer.
        status: u16,
        /// When to come back, where it says so.
        wait: Option<Wait>,
    },
    /// The answer has a status that we know nothing to do about.
    #[error("the tracker answered {0}")]
    Refused(u16),
    /// The bug was moved to where we may not follow.
    #[error("the tracker sends us elsewhere ({0})")]
    Elsewhere(String),
    /// Not in time.
    #[error("no answer in time")]
    Timeout,
    /// The tracker cannot be reached, or the connection was lost.
    #[error("cannot be reached: {0}")]
    Network(String),
    /// The answer is larger than any good one.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The answer is something else than JSON, such as a page for people.
    #[error("the answer is {0}, not JSON")]
    NotJson(String),
    /// The answer is not what the tracker's documentation says.
    #[error("the answer is not understood: {0}")]
    Malformed(String),
    /// There are more comments than we read: ours may be among the others, and one is enough.
    #[error("too many comments to find ours among")]
    TooMany,
    /// The tracker has no such function.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl TrackerError {
    /// True when every other bug would meet the same: the whole tracker is left alone for a while.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Unauthorized
            | Self::Limited { .. }
            | Self::Server { .. }
            | Self::Timeout
            | Self::Network(_)
            | Self::NotJson(_) => true,
            Self::NotFound
            | Self::Gone
            | Self::Denied
            | Self::Refused(_)
            | Self::Elsewhere(_)
            | Self::TooLarge(_)
            | Self::Malformed(_)
            | Self::TooMany
            | Self::Unsupported(_) => false,
        }
    }

    /// What the tracker asked to wait for.
    pub fn wish(&self) -> Option<Wait> {
        match self {
            Self::Limited { wait, .. } => Some(*wait),
            Self::Server { wait, .. } => *wait,
            _ => None,
        }
    }
}

/// What a bug can do without: refused or not understood it is taken as nothing, but a tracker that is
/// down is one.
pub(super) fn spare<T: Default>(found: Result<T, TrackerError>) -> Result<T, TrackerError> {
    match found {
        Err(error) if !error.concerns_all() => {
            tracing::debug!(%error, "a tracker does not tell the reviews of a bug");
            Ok(T::default())
        }
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_ends_neither_in_the_past_nor_beyond_a_day() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let minute = Wait::For(Duration::from_secs(60));
        assert_eq!(minute.end(now), at("2026-11-21T10:01:00Z"));
        assert_eq!(Wait::Until(at("2020-01-01T00:00:00Z")).end(now), now);
        let day = at("2026-11-22T10:00:00Z");
        assert_eq!(Wait::Until(at("2036-01-01T00:00:00Z")).end(now), day);
        assert_eq!(Wait::For(Duration::MAX).end(now), day);
    }
}
