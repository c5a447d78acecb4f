//! How much of the failure is explained: rates, ranking of known bugs, unexplained builds.
//!
//! In: exact counts from the `state` room. Out: a [`Report`], as JSON and as one HTML page that
//! needs nothing else. Invariants: a rate is never without its "n of m"; verdicts are never merged;
//! a report is a pure function of the state and the time.

mod build;
mod chart;
mod cluster;
mod page;
pub mod schedule;
mod wilson;

pub use build::{
    Counts, FingerprintInfo, FingerprintRow, Group, Rate, Rechecks, Report, TrackerFacts, Windows,
    build_report, report_of,
};
pub use chart::Chart;
pub use cluster::{ClusterBug, ClusterPart, Cost, cluster_part};
pub use page::{Paths, ReportError, render_html, write};
pub use schedule::{Schedule, ScheduleError};
pub use wilson::wilson;
