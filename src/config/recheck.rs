//! When the CI is asked for another run.

use super::{Period, Wrong};
use serde::Deserialize;

/// Rechecks by the `retry` rules of fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recheck {
    /// Decisions are only written down.
    pub dry_run: bool,
    /// Rechecks of one change, over all of its patchsets.
    pub per_change: u32,
    /// A patchset with more failed voting jobs is left alone.
    pub max_failed: u32,
    /// Rechecks in 24 hours.
    pub per_day: u32,
    /// How long nothing new must have come of the patchset.
    pub quiet: Period,
}

impl Default for Recheck {
    fn default() -> Self {
        Self {
            dry_run: true,
            per_change: 2,
            max_failed: 3,
            per_day: 20,
            quiet: Period::seconds(120),
        }
    }
}

impl Recheck {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let numbers = [
            ("per-change", self.per_change),
            ("max-failed", self.max_failed),
            ("per-day", self.per_day),
        ];
        let zero = numbers.into_iter().find(|(_, number)| *number == 0);
        zero.map_or(Ok(()), |(key, _)| {
            let message = "give at least 1; `dry-run: true` asks for none";
            Err(Wrong::new(format!("recheck.{key}"), message))
        })
    }
}
