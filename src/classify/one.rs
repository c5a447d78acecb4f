//! One build: from its logs to its verdict.

use crate::event::{Build, Event, Match, Verdict};
use crate::intake::{BuildSummary, Limits, LogInput, take_all};
use crate::matcher::{Matcher, Run};
use jiff::Timestamp;

/// What was found in one build.
#[derive(Debug)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The matches, the headline first.
    pub matches: Vec<Match>,
    /// Number of fingerprints that were looked for: those that apply to the build.
    pub looked_for: usize,
    /// What was read.
    pub summary: BuildSummary,
}

/// Classifies a build whose events `read` hands to the sink it is given.
pub fn classify(
    matcher: &Matcher,
    build: &Build,
    now: Timestamp,
    read: impl FnOnce(&mut dyn FnMut(Event)) -> BuildSummary,
) -> Outcome {
    let mut run = matcher.start(build, now);
    let looked_for = run.applicable();
    let summary = read(&mut |event| run.event(&event));
    finish(run, looked_for, summary)
}

/// Classifies a build by its logs: only what may matter of them is made to events. Large logs
/// are taken by two threads when `beside` says so.
pub fn sweep(
    matcher: &Matcher,
    build: &Build,
    now: Timestamp,
    logs: &[LogInput],
    limits: &Limits,
    beside: bool,
) -> Outcome {
    let mut run = matcher.start(build, now);
    let looked_for = run.applicable();
    let summary = take_all(logs, &build.fields(), limits, &mut run.sweep(beside));
    finish(run, looked_for, summary)
}

fn finish(run: Run<'_>, looked_for: usize, summary: BuildSummary) -> Outcome {
    let matches = run.finish();
    let verdict = verdict(&summary, !matches.is_empty());
    Outcome {
        verdict,
        matches,
        looked_for,
        summary,
    }
}

/// The verdict that follows from what was read and found. While a part of the log is missing the
/// build is `partial-log`, whatever was found in the rest: the headline could be another one.
pub fn verdict(summary: &BuildSummary, matched: bool) -> Verdict {
    match (summary.complete(), summary.is_empty(), matched) {
        (false, _, _) => Verdict::PartialLog,
        (true, true, _) => Verdict::NoLog,
        (true, false, true) => Verdict::Matched,
        (true, false, false) => Verdict::Unmatched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_log_is_not_nothing_found() {
        let nothing = BuildSummary::default();
        assert_eq!(verdict(&nothing, false), Verdict::NoLog);
    }
}
