//! What a cluster that somebody else fills adds to the report: all of its builds, whoever announced
//! them.

use super::FingerprintInfo;
use crate::event::BugRef;
use crate::state::{ClusterBuild, ClusterCounts, ClusterRow, State, StateError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Unexplained builds that are listed.
const LISTED: u64 = 100;

/// The builds of a cluster. All counts are of distinct builds and exact up to `upto`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterPart {
    /// The cluster was asked for events up to this moment.
    pub upto: Timestamp,
    /// The last 24 hours.
    #[serde(rename = "24h")]
    pub day: ClusterCounts,
    /// The last ten days.
    #[serde(rename = "10d")]
    pub ten_days: ClusterCounts,
    /// The fingerprints that find a build, most failed builds first.
    pub fingerprints: Vec<ClusterBug>,
    /// The newest failed builds that nothing explains.
    pub unexplained: Vec<ClusterBuild>,
    /// What the report has cost the cluster.
    pub cost: Cost,
    /// Fingerprints that are not counted here: patterns and conditions over several events.
    pub not_counted: Vec<String>,
    /// What is missing, one sentence each.
    pub problems: Vec<String>,
}

/// One known bug in a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterBug {
    /// Its title.
    pub title: String,
    /// Its bug.
    pub bug: Option<BugRef>,
    /// The counts.
    #[serde(flatten)]
    pub counts: ClusterRow,
}

/// What was asked of the cluster since the last report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Requests.
    pub requests: u64,
    /// The longest that one took, in milliseconds.
    pub slowest_ms: u64,
}

/// What is known of the cluster at `now`; none when it was never asked.
pub fn cluster_part(
    state: &State,
    fingerprints: &[FingerprintInfo],
    now: Timestamp,
) -> Result<Option<ClusterPart>, StateError> {
    let Some(known) = state.surveyed(now, LISTED)? else {
        return Ok(None);
    };
    let infos: BTreeMap<&str, &FingerprintInfo> =
        fingerprints.iter().map(|f| (f.id.as_str(), f)).collect();
    let bug = |counts: ClusterRow| {
        let info = infos.get(counts.fingerprint.as_str());
        ClusterBug {
            title: info.map_or_else(|| counts.fingerprint.clone(), |info| info.title.clone()),
            bug: info.map(|info| info.bug.clone()),
            counts,
        }
    };
    Ok(Some(ClusterPart {
        upto: known.upto,
        day: known.day,
        ten_days: known.ten_days,
        fingerprints: known.fingerprints.into_iter().map(bug).collect(),
        unexplained: known.unexplained,
        cost: Cost::default(),
        not_counted: Vec::new(),
        problems: Vec::new(),
    }))
}
