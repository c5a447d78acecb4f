//! The log index.

use super::{Cluster, Wrong};
use serde::Deserialize;

/// Where log events are kept for searching.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Store {
    /// Which store.
    pub kind: StoreKind,
    /// Events older than this are dropped.
    pub retention_days: u32,
    /// The cluster, for `kind: elasticsearch`.
    pub elasticsearch: Option<Cluster>,
}

/// The stores there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// The index in the data folder; no server to run.
    Embedded,
    /// A cluster of Elasticsearch 7.17 or 8, or of OpenSearch 2 or 3.
    Elasticsearch,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreKind::Embedded,
            retention_days: 10,
            elasticsearch: None,
        }
    }
}

impl Store {
    /// The cluster whose indexes somebody else fills, when the logs are there.
    pub fn elsewhere(&self) -> Option<&Cluster> {
        let cluster = self.elasticsearch.as_ref();
        cluster.filter(|c| self.kind == StoreKind::Elasticsearch && c.layout.is_some())
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        if !(1..=3650).contains(&self.retention_days) {
            return Err(Wrong::new("store.retention-days", "give 1 to 3650 days"));
        }
        match (self.kind, &self.elasticsearch) {
            (StoreKind::Elasticsearch, None) => Err(Wrong::new(
                "store.kind",
                "`elasticsearch` needs the section `store.elasticsearch`",
            )),
            (_, Some(cluster)) => cluster.check(),
            (StoreKind::Embedded, None) => Ok(()),
        }
    }
}
