//! The log index.

use serde::Deserialize;

/// Where log events are kept for searching.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Store {
    /// Which store.
    pub kind: StoreKind,
    /// Events older than this are dropped.
    pub retention_days: u32,
}

/// The stores there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// The index in the data folder; no server to run.
    Embedded,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreKind::Embedded,
            retention_days: 10,
        }
    }
}

impl Store {
    pub(super) fn check(&self) -> Result<(), super::Wrong> {
        if (1..=3650).contains(&self.retention_days) {
            return Ok(());
        }
        Err(super::Wrong::new(
            "store.retention-days",
            "give 1 to 3650 days",
        ))
    }
}
