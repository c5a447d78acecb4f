//! From exact counts to the report.

use super::{ClusterPart, wilson};
use crate::event::{BugFacts, BugRef, Verdict};
use crate::state::{
    BuildRow, Counting, FingerprintStats, Place, RecheckCount, State, StateError, Tally,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Unexplained builds that a report lists; their number is always exact.
const LISTED: u64 = 200;

/// What the report has to know of a fingerprint that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FingerprintInfo {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its bug.
    pub bug: BugRef,
    /// Not in the ranking, though its matches count as classified.
    pub suppress_graph: bool,
    /// Group in reports.
    pub category: Option<String>,
}

/// The state of things at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The time that it speaks of.
    pub now: Timestamp,
    /// The version of the fingerprints of the latest verdict.
    pub rules_version: Option<String>,
    /// All failed builds.
    pub all: Group,
    /// By project, most failures first.
    pub projects: Vec<Group>,
    /// By pipeline.
    pub pipelines: Vec<Group>,
    /// By job.
    pub jobs: Vec<Group>,
    /// By branch.
    pub branches: Vec<Group>,
    /// The ranking of known bugs, most failed builds in ten days first.
    pub fingerprints: Vec<FingerprintRow>,
    /// Fingerprints that are kept out of the ranking (`suppress-graph`), in the same order.
    pub suppressed: Vec<FingerprintRow>,
    /// Failed builds of the last ten days that nothing explains, newest first.
    pub unexplained: Vec<BuildRow>,
    /// How many these are, of which `unexplained` lists the newest.
    pub unexplained_total: u64,
    /// Rechecks of people, and those by rules of fingerprints.
    #[serde(default)]
    pub rechecks: Rechecks,
    /// What a cluster that somebody else fills adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterPart>,
}

/// Who asked for another run, with and without saying why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rechecks {
    /// The last 24 hours.
    #[serde(rename = "24h")]
    pub day: RecheckCount,
    /// The last ten days.
    #[serde(rename = "10d")]
    pub ten_days: RecheckCount,
    /// The last ten days by project, most rechecks first.
    pub projects: Vec<RecheckCount>,
}

/// Failed builds that have something in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What they have in common; absent for all, and for builds that do not say.
    pub name: Option<String>,
    /// The last 24 hours and the last ten days.
    #[serde(flatten)]
    pub windows: Windows,
}

/// Counts in both windows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Windows {
    /// The last 24 hours.
    #[serde(rename = "24h")]
    pub day: Counts,
    /// The last ten days.
    #[serde(rename = "10d")]
    pub ten_days: Counts,
}

/// Failed builds and what was found out about them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Failed builds.
    pub failed: u64,
    /// Those with verdict `matched`: the n of the rate.
    pub classified: u64,
    /// Those with verdict `matched` or `unmatched`: the m of the rate.
    pub of: u64,
    /// n over m; none when m is 0.
    pub rate: Option<Rate>,
    /// Failed builds by verdict, every verdict named.
    pub verdicts: BTreeMap<Verdict, u64>,
}

/// A rate with its 95 % interval, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The rate.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// A known bug in the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FingerprintRow {
    /// Its title, or its id where the fingerprint is gone.
    pub title: String,
    /// Its bug, where the fingerprint is still in force.
    pub bug: Option<BugRef>,
    /// Group in reports.
    pub category: Option<String>,
    /// What the bug's tracker says, where it has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<TrackerFacts>,
    /// True while the fingerprint is in force.
    pub in_force: bool,
    /// Share of the builds it matched in ten days that did not fail; none without any match.
    pub passing_share: Option<f64>,
    /// The counts.
    #[serde(flatten)]
    pub stats: FingerprintStats,
}

/// What a bug's tracker says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerFacts {
    /// What it says.
    #[serde(flatten)]
    pub facts: BugFacts,
    /// When it last said so.
    pub as_of: Timestamp,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            failed: 0,
            classified: 0,
            of: 0,
            rate: None,
            verdicts: Verdict::ALL.into_iter().map(|v| (v, 0)).collect(),
        }
    }
}

impl Counts {
    fn add(&mut self, verdict: Verdict, builds: u64) {
        self.failed += builds;
        *self.verdicts.entry(verdict).or_default() += builds;
        if verdict == Verdict::Matched {
            self.classified += builds;
        }
        if verdict.counts_in_rate() {
            self.of += builds;
        }
        self.rate = wilson(self.classified, self.of).map(|(low, high)| Rate {
            value: rounded(self.classified as f64 / self.of as f64),
            low: rounded(low),
            high: rounded(high),
        });
    }
}

/// Six decimals: more than anyone reads, and JSON gives them back exactly.
fn rounded(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

/// Makes the report of `now`.
pub fn build_report(
    state: &State,
    fingerprints: &[FingerprintInfo],
    now: Timestamp,
) -> Result<Report, StateError> {
    if let Err(error) = state.settle_counts() {
        // What was not added to the kept counts is added up for this report alone.
        tracing::warn!(%error, "news were not added to the counts");
    }
    report_of(state, fingerprints, now, Counting::Kept)
}

/// [`build_report`], counted as told. The same comes of both ways; counting every build takes longer.
pub fn report_of(
    state: &State,
    fingerprints: &[FingerprintInfo],
    now: Timestamp,
    counting: Counting,
) -> Result<Report, StateError> {
    let data = state.report_data_of(now, LISTED, counting)?;
    let known = tracked(state)?;
    let (suppressed, ranked) = rows(data.fingerprints, fingerprints, &known);
    let tallies = &data.tallies;
    Ok(Report {
        now,
        rules_version: data.rules_version,
        all: Group {
            name: None,
            windows: sum(tallies.iter().filter(|t| t.place == Place::All)),
        },
        projects: groups(tallies, |place| match place {
            Place::Project(name) => Some(name),
            _ => None,
        }),
        pipelines: groups(tallies, |place| match place {
            Place::Pipeline(name) => Some(name),
            _ => None,
        }),
        jobs: groups(tallies, |place| match place {
            Place::Job(name) => Some(name),
            _ => None,
        }),
        branches: groups(tallies, |place| match place {
            Place::Branch(name) => Some(name),
            _ => None,
        }),
        fingerprints: ranked,
        suppressed,
        unexplained: data.unexplained.items,
        unexplained_total: data.unexplained.total,
        rechecks: rechecks(state, now)?,
        cluster: None,
    })
}

fn rechecks(state: &State, now: Timestamp) -> Result<Rechecks, StateError> {
    let ago = |hours| {
        let span = SignedDuration::from_hours(hours);
        now.checked_sub(span).unwrap_or(Timestamp::MIN)
    };
    let day = state.recheck_counts(ago(24))?;
    let mut projects = state.recheck_counts(ago(240))?;
    // Stable: projects with equally many stay in the order of their names.
    projects.sort_by_key(|one| std::cmp::Reverse(one.asked()));
    Ok(Rechecks {
        day: added(&day),
        ten_days: added(&projects),
        projects,
    })
}

fn added(all: &[RecheckCount]) -> RecheckCount {
    let sum = |of: fn(&RecheckCount) -> u64| all.iter().map(of).sum();
    RecheckCount {
        project: String::new(),
        with_reason: sum(|one| one.with_reason),
        without_reason: sum(|one| one.without_reason),
        by_rule: sum(|one| one.by_rule),
        dry: sum(|one| one.dry),
    }
}

/// What trackers say, by the bug's name.
fn tracked(state: &State) -> Result<BTreeMap<String, TrackerFacts>, StateError> {
    let rows = state.bugs()?.into_iter();
    let known = rows.filter_map(|row| {
        let (facts, as_of) = (row.facts?, row.fetched_at?);
        Some((row.name, TrackerFacts { facts, as_of }))
    });
    Ok(known.collect())
}

fn sum<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Windows {
    let mut windows = Windows::default();
    for tally in tallies {
        windows.day.add(tally.verdict, tally.builds_24h);
        windows.ten_days.add(tally.verdict, tally.builds_10d);
    }
    windows
}

/// The groups of one kind of place.
fn groups(tallies: &[Tally], name: impl Fn(&Place) -> Option<&Option<String>>) -> Vec<Group> {
    let mut parts: BTreeMap<&Option<String>, Vec<&Tally>> = BTreeMap::new();
    for tally in tallies {
        if let Some(name) = name(&tally.place) {
            parts.entry(name).or_default().push(tally);
        }
    }
    let mut groups: Vec<Group> = parts
        .into_iter()
        .map(|(name, part)| Group {
            name: name.clone(),
            windows: sum(part),
        })
        .collect();
    // Stable: groups with equally many failures stay in the order of their names.
    groups.sort_by_key(|group| std::cmp::Reverse(group.windows.ten_days.failed));
    groups
}

/// The rows of all fingerprints that are in force or ever matched: suppressed ones, ranked ones.
fn rows(
    stats: Vec<FingerprintStats>,
    infos: &[FingerprintInfo],
    known: &BTreeMap<String, TrackerFacts>,
) -> (Vec<FingerprintRow>, Vec<FingerprintRow>) {
    let mut counted: BTreeMap<String, FingerprintStats> = stats
        .into_iter()
        .map(|one| (one.fingerprint.clone(), one))
        .collect();
    let mut rows = Vec::new();
    for info in infos {
        let stats = counted
            .remove(&info.id)
            .unwrap_or_else(|| silent(info.id.clone()));
        let mut row = row(stats, Some(info));
        row.tracker = known.get(&info.bug.name).cloned();
        rows.push((info.suppress_graph, row));
    }
    rows.extend(counted.into_values().map(|one| (false, row(one, None))));
    rows.sort_by(|(_, a), (_, b)| rank(a).cmp(&rank(b)));
    let (suppressed, ranked): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(hidden, _)| *hidden);
    let plain = |rows: Vec<(bool, FingerprintRow)>| rows.into_iter().map(|(_, row)| row).collect();
    (plain(suppressed), plain(ranked))
}

fn rank(row: &FingerprintRow) -> impl Ord + '_ {
    let stats = &row.stats;
    (
        std::cmp::Reverse((stats.builds_10d, stats.builds_24h, stats.hits_10d)),
        &stats.fingerprint,
    )
}

fn silent(fingerprint: String) -> FingerprintStats {
    FingerprintStats {
        fingerprint,
        hits_24h: 0,
        hits_10d: 0,
        builds_24h: 0,
        builds_10d: 0,
        passing_builds_10d: 0,
        first_seen: None,
        last_seen: None,
        histogram: Vec::new(),
    }
}

fn row(stats: FingerprintStats, info: Option<&FingerprintInfo>) -> FingerprintRow {
    let all = stats.builds_10d + stats.passing_builds_10d;
    FingerprintRow {
        title: info.map_or_else(|| stats.fingerprint.clone(), |info| info.title.clone()),
        bug: info.map(|info| info.bug.clone()),
        category: info.and_then(|info| info.category.clone()),
        tracker: None,
        in_force: info.is_some(),
        passing_share: (all > 0).then(|| rounded(stats.passing_builds_10d as f64 / all as f64)),
        stats,
    }
}
