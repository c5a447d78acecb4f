//! What can go wrong with a download, in words for people.

use super::hosts::Refusal;
use reqwest::StatusCode;
use std::path::PathBuf;
use std::time::Duration;

/// Why nothing was downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The address must not be asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// From one address to another without end.
    #[error("{url}: more than {limit} redirects")]
    Redirects {
        /// The first address.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// A redirect that names no address.
    #[error("{url}: a redirect to no address ({reason})")]
    BadRedirect {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server answers something else than the log.
    #[error("{url}: {status}")]
    Status {
        /// What was asked.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The server wants to be left alone for longer than anybody waits here.
    #[error("{url}: the server asks to come back after {} s, which is too long to wait", after.as_secs())]
    Later {
        /// What was asked.
        url: String,
        /// How long.
        after: Duration,
    },
    /// No connection.
    #[error("{url}: no connection: {reason}")]
    Connect {
        /// What was asked.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// The answer broke off.
    #[error("{url}: broke off: {reason}")]
    Broken {
        /// What was asked.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// Nothing came for a while.
    #[error("{url}: nothing came for {} s", after.as_secs_f32())]
    Idle {
        /// What was asked.
        url: String,
        /// The limit.
        after: Duration,
    },
    /// The file as a whole took too long.
    #[error("{url}: not done after {} s", limit.as_secs_f32())]
    TooSlow {
        /// What was asked.
        url: String,
        /// The limit.
        limit: Duration,
    },
    /// Compressed for the way in a manner that was not asked for.
    #[error(
        "{url}: sent with content-encoding {encoding:?}, which was not asked for and is not known"
    )]
    Encoding {
        /// What was asked.
        url: String,
        /// The encoding.
        encoding: String,
    },
    /// An answer that makes no sense for what was asked.
    #[error("{url}: {what}")]
    Nonsense {
        /// What was asked.
        url: String,
        /// What was wrong.
        what: String,
    },
    /// Too many wait for this host already.
    #[error("too many downloads wait for {host} already; try again later")]
    Busy {
        /// The host.
        host: String,
    },
    /// The host has not answered lately.
    #[error("{host} has not answered lately and is left alone for a while; try again later")]
    Down {
        /// The host.
        host: String,
    },
    /// The file cannot be written.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The client could not be made.
    #[error("the HTTP client could not be made: {0}")]
    Client(String),
    /// The program stops.
    #[error("stopped")]
    Stopped,
}

impl DownloadError {
    /// True when the server says that there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: StatusCode::NOT_FOUND | StatusCode::GONE,
                ..
            }
        )
    }

    /// True when the same may go well later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Status { status, .. } => may_pass(*status),
            Self::Later { .. }
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Idle { .. }
            | Self::TooSlow { .. }
            | Self::Nonsense { .. }
            | Self::Busy { .. }
            | Self::Down { .. } => true,
            Self::Refused(_)
            | Self::Redirects { .. }
            | Self::BadRedirect { .. }
            | Self::Encoding { .. }
            | Self::Disk { .. }
            | Self::Client(_)
            | Self::Stopped => false,
        }
    }
}

/// Answers of servers that are busy or broken for the moment.
pub(super) fn may_pass(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        408 | 425 | 429 | 500 | 502..=504 | 507 | 509
    )
}

/// An error with all its causes, each said once. The address stands in the message anyway, and may
/// hold secrets where it stands in the error.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        next = error.source();
    }
    text
}

/// The refusal that an error of the client stands for.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(refusal.clone());
        }
        next = error.source();
    }
    None
}
