//! What comes in.

use super::{Period, Secret, Size, Wrong};
use serde::Deserialize;

/// Limits and access of the intake API.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Intake {
    /// Largest log file as sent.
    pub max_body: Size,
    /// Largest log file once decompressed; the rest of it is not read.
    pub max_log: Size,
    /// How long a sender may be silent in the middle of a request.
    pub patience: Period,
    /// Complete builds that may wait for classification before senders are told to wait.
    pub queue: usize,
    /// Builds classified at the same time. Each waits for the disk part of that time, so there are more of them than
    /// processors: else a machine that is a little slower for a while falls behind with processors to spare.
    pub workers: usize,
    /// When set, writing needs `Authorization: Bearer …`.
    pub token: Option<Secret>,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            max_body: Size::mebibytes(512),
            max_log: Size::mebibytes(4096),
            patience: Period::seconds(30),
            queue: 256,
            workers: 8,
            token: None,
        }
    }
}

impl Intake {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        for (name, count) in [("queue", self.queue), ("workers", self.workers)] {
            if count == 0 {
                return Err(Wrong::new(format!("intake.{name}"), "give at least 1"));
            }
        }
        for (name, size) in [("max-body", self.max_body), ("max-log", self.max_log)] {
            if size.0 == 0 {
                return Err(Wrong::new(format!("intake.{name}"), "give at least 1 byte"));
            }
        }
        if self.patience.0.is_zero() {
            return Err(Wrong::new("intake.patience", "give more than nothing"));
        }
        if self.token.as_ref().is_some_and(|t| t.expose().is_empty()) {
            let message = "must not be empty; leave it out to need none";
            return Err(Wrong::new("intake.token", message));
        }
        Ok(())
    }
}
