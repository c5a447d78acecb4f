//! Fingerprints: the file format, the library that keeps them loaded, and lint.
//!
//! In: trees of YAML files. Out: [`FingerprintSet`]s whose version every verdict records, and
//! [`Diagnostic`]s that point at file, line and column. Invariants: a broken file never takes a good
//! one with it, and the last good form of a file stays in force until the file is repaired.

mod bug;
mod canonical;
mod codes;
mod diagnostic;
mod exact;
mod examples;
mod files;
mod library;
mod lint;
mod parse;
mod place;
mod rewrite;
mod scope;
mod set;
mod times;
mod warnings;
mod watch;
mod yaml;

pub use codes::summary;
pub use diagnostic::{Diagnostic, Severity};
pub use library::{Library, LibraryError, ReloadOutcome};
pub use lint::{LintReport, lint};
pub use parse::parse_file;
pub use scope::Scope;
pub use set::FingerprintSet;

use crate::event::{BugRef, Build};
use crate::query::{Kind, Node, Occur, Query};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::path::PathBuf;

/// How one known bug shows in the logs.
#[derive(Debug, Clone)]
pub struct Fingerprint {
    /// The file's name without its suffix; unique in a set.
    pub id: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// What people call it; the id where the file has no title.
    pub title: String,
    /// The bug it stands for.
    pub bug: BugRef,
    /// What must be seen in a build.
    pub condition: Condition,
    /// Queries that no event of the build may match.
    pub none: Vec<Query>,
    /// The builds that it is meant for.
    pub scope: Scope,
    /// First day on which it counts (UTC).
    pub valid_from: Option<Date>,
    /// Last day on which it counts (UTC).
    pub valid_until: Option<Date>,
    /// Group in reports.
    pub category: Option<String>,
    /// Who looks after it.
    pub owner: Option<String>,
    /// What to do when it shows.
    pub advice: Option<String>,
    /// Higher goes first in the headline.
    pub priority: i64,
    /// Events that it must and must not match.
    pub examples: Examples,
    /// How often another run of a change may be asked for because of it; never where absent.
    pub retry: Option<u32>,
    /// Not in the ranking; its matches still count as classified.
    pub suppress_graph: bool,
    /// Nobody is told; still in reports.
    pub suppress_notification: bool,
    /// Also matches builds that do not vote.
    pub allow_nonvoting: bool,
    /// When the bug counted as fixed.
    pub resolved_at: Option<Timestamp>,
    /// Only builds in which one of these tests failed, where that is known.
    pub test_ids: Vec<String>,
}

/// The main condition of a fingerprint.
#[derive(Debug, Clone)]
pub enum Condition {
    /// One event matches this query.
    Query(Query),
    /// The text of one event matches this regular expression.
    Pattern(Pattern),
    /// Every query of `all` matches some event, and, if there are any, one of `any` does.
    AllAny {
        /// Each must match an event of the build.
        all: Vec<Query>,
        /// At least one must match an event of the build.
        any: Vec<Query>,
    },
    /// Events of one file match the queries in this order.
    Sequence {
        /// The queries in order.
        queries: Vec<Query>,
        /// The largest distance in lines between the first and the last event.
        within: Option<u32>,
    },
}

/// A regular expression over the text of one event. In an event of several lines, such as a
/// traceback, `^` and `$` hold at the ends of each line and `.` stays on its line; `\A`, `\z` and
/// `(?s)` mean the whole event.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The expression, compiled in multi-line mode.
    pub regex: regex::Regex,
    /// The log files to look at; all when absent.
    pub files: Option<globset::GlobSet>,
}

impl Pattern {
    /// True when it is to be tried on a log file of this name.
    pub fn is_for(&self, file: &str) -> bool {
        let files = self.files.as_ref();
        files.is_none_or(|globs| globs.is_match(file))
    }
}

/// Events that say what a fingerprint is for; `whorl lint` runs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examples {
    /// Messages that must match.
    pub matches: Vec<String>,
    /// Messages that must not match.
    pub no_match: Vec<String>,
}

impl Fingerprint {
    /// True when the fingerprint is meant for this build: scope, days of validity, voting, and the
    /// failed tests where they are known. An unknown fact does not meet a scope.
    pub fn applies_to(&self, build: &Build, now: Timestamp) -> bool {
        self.scope.admits(build)
            && self.valid_for(build, now)
            && (self.allow_nonvoting || build.votes())
            && self.tests_failed(build)
    }

    /// True when the bug counted as fixed before this build ended.
    pub fn returned(&self, build: &Build) -> bool {
        let ended = build.finished.or(build.started);
        matches!((self.resolved_at, ended), (Some(fixed), Some(ended)) if fixed < ended)
    }

    /// The order of the headline, greatest first: priority, number of required clauses, narrowness
    /// of the scope.
    pub fn specificity(&self) -> (i64, usize, usize) {
        let clauses = match &self.condition {
            Condition::Query(query) => required(query.root()),
            Condition::Pattern(_) => 1,
            Condition::AllAny { all, any } => {
                let least = any.iter().map(|q| required(q.root())).min().unwrap_or(0);
                all.iter().map(|q| required(q.root())).sum::<usize>() + least
            }
            Condition::Sequence { queries, .. } => queries.iter().map(|q| required(q.root())).sum(),
        };
        (self.priority, clauses, self.scope.narrowness())
    }

    /// A text that is equal for fingerprints that find the same builds.
    pub fn meaning(&self) -> String {
        let days = (self.valid_from, self.valid_until);
        let limits = (days, self.allow_nonvoting, &self.test_ids);
        format!("{} {limits:?}", canonical::of(self))
    }

    /// All queries: those of the main condition in file order, then those of `none`.
    pub fn queries(&self) -> impl Iterator<Item = &Query> {
        self.condition.queries().chain(&self.none)
    }

    /// A build counts on the day on which it ended; one that is still running counts today.
    fn valid_for(&self, build: &Build, now: Timestamp) -> bool {
        let moment = build.finished.or(build.started).unwrap_or(now);
        let day = moment.to_zoned(TimeZone::UTC).date();
        self.valid_from.is_none_or(|first| first <= day)
            && self.valid_until.is_none_or(|last| day <= last)
    }

    fn tests_failed(&self, build: &Build) -> bool {
        let Some(failed) = &build.failed_tests else {
            return true;
        };
        self.test_ids.is_empty() || self.test_ids.iter().any(|id| failed.contains(id))
    }
}

impl Condition {
    /// The queries of the condition in file order; none for a pattern.
    pub fn queries(&self) -> impl Iterator<Item = &Query> {
        let (first, second): (&[Query], &[Query]) = match self {
            Self::Query(query) => (std::slice::from_ref(query), &[]),
            Self::Pattern(_) => (&[], &[]),
            Self::AllAny { all, any } => (all, any),
            Self::Sequence { queries, .. } => (queries, &[]),
        };
        first.iter().chain(second)
    }
}

/// The number of clauses that every matching event meets.
fn required(node: &Node) -> usize {
    match &node.kind {
        Kind::All | Kind::Nothing => 0,
        Kind::Boost(inner, _) => required(inner),
        Kind::Bool(clauses) => {
            let of = |occur| clauses.iter().filter(move |c| c.occur == occur);
            if of(Occur::Must).next().is_some() {
                return of(Occur::Must).map(|c| required(&c.node)).sum();
            }
            let alternatives = of(Occur::Should).map(|c| required(&c.node));
            alternatives.min().unwrap_or(0)
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
