//! The report.

use serde::Deserialize;
use std::path::PathBuf;

/// When reports are made and how many are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Report {
    /// Five fields as in crontab, UTC.
    pub schedule: String,
    /// How many reports are kept.
    pub keep: usize,
    /// How long builds, verdicts and matches are kept, their logs long gone.
    pub history_days: u32,
    /// What `whorl chaos measure` or `import` has found out about the fingerprints (report.json).
    pub measured: Option<PathBuf>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            schedule: "*/30 * * * *".into(),
            keep: 500,
            history_days: 400,
            measured: None,
        }
    }
}

impl Report {
    pub(super) fn check(&self) -> Result<(), super::Wrong> {
        if self.keep == 0 {
            return Err(super::Wrong::new("report.keep", "keep at least 1"));
        }
        if !(1..=3650).contains(&self.history_days) {
            return Err(super::Wrong::new("report.history-days", "1 to 3650"));
        }
        Ok(())
    }
}
