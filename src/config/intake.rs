//! What comes in.

use super::{Secret, Size};
use serde::Deserialize;

/// Limits and access of the intake API.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Intake {
    /// Largest log file as sent.
    pub max_body: Size,
    /// Largest log file once decompressed; the rest of it is not read.
    pub max_log: Size,
    /// Complete builds that may wait for classification before senders are told to wait.
    pub queue: usize,
    /// Builds classified at the same time.
    pub workers: usize,
    /// When set, writing needs `Authorization: Bearer …`.
    pub token: Option<Secret>,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            max_body: Size::mebibytes(512),
            max_log: Size::mebibytes(4096),
            queue: 256,
            workers: 2,
            token: None,
        }
    }
}

impl Intake {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.queue == 0 || self.workers == 0 {
            return Err("intake.queue and intake.workers: at least 1".into());
        }
        if self.token.as_ref().is_some_and(|t| t.expose().is_empty()) {
            return Err("intake.token: must not be empty; leave it out to need none".into());
        }
        Ok(())
    }
}
