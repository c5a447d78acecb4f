//! The log index.

use super::{Cluster, Period, Wrong};
use serde::Deserialize;
use std::time::Duration;

/// Nobody waits longer for a page.
const LONGEST_SEARCH: Duration = Duration::from_secs(600);

/// Where log events are kept for searching.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Store {
    /// Which store.
    pub kind: StoreKind,
    /// Events older than this are dropped.
    pub retention_days: u32,
    /// How long anybody waits for a search of the embedded index, which is then ended.
    pub search_timeout: Period,
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
            search_timeout: Period::seconds(20),
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
        let search = self.search_timeout.0;
        if search.is_zero() || search > LONGEST_SEARCH {
            return Err(Wrong::new(
                "store.search-timeout",
                "more than 0, at most 10m",
            ));
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
