//! Many fingerprints against one log in one pass.
//!
//! In: a fingerprint set and the events of one build in log order. Out: the build's matches with
//! their hits and evidence. The way: `anchor` names for each query the words of which one must be in
//! a message for the query to match; `candidates` finds the queries whose anchor an event has;
//! only these are evaluated exactly, by the query room's own evaluator; `progress` keeps what a
//! fingerprint has seen of the build so far.
//!
//! A `pattern:` is tried on the text of one event like a query, and an event may be several lines
//! (a traceback). Patterns are written for lines, so `^` and `$` hold at the ends of each line of the
//! event and `.` does not go over a line end; `\A`, `\z` and `(?s)` mean the whole event. A hit is an
//! event, and its evidence names the event's first line, as for queries: the spans show which of its
//! lines match.
//!
//! Evidence of a query or pattern is its first hits and always the last one, in log order.
//!
//! Invariants: a query without an anchor is a candidate for every event, so nothing is ever missed;
//! the work per event does not grow with the number of fingerprints that have an anchor; the state
//! of a run is bounded by the number of fingerprints, not by the size of the log.

mod anchor;
mod candidates;
mod evidence;
mod literal;
mod progress;
mod scan;
mod sweep;

use crate::event::{Build, Event, Match};
use crate::fingerprint::{Fingerprint, FingerprintSet};
use crate::query::Document;
pub use anchor::Needed;
use candidates::Candidates;
pub use candidates::words_of;
pub use evidence::evidence;
use jiff::Timestamp;
use progress::{Progress, Role};
use scan::Filter;
use std::sync::{Arc, OnceLock};

pub use progress::MAX_EVIDENCE;

/// Most places in one event that are marked for a pattern: looking for all could take long.
const MAX_SPANS: usize = 32;

/// A fingerprint set made ready for matching; built once per set and shared by all builds.
#[derive(Debug)]
pub struct Matcher {
    set: Arc<FingerprintSet>,
    candidates: Candidates,
    /// Made when the first log is swept: who looks at a cluster needs none.
    filter: OnceLock<Filter>,
}

/// One condition of one fingerprint.
#[derive(Debug, Clone, Copy)]
struct Slot {
    fingerprint: usize,
    role: Role,
}

impl Matcher {
    /// Makes a set ready.
    pub fn new(set: Arc<FingerprintSet>) -> Self {
        let candidates = Candidates::new(&set.fingerprints);
        Self {
            set,
            candidates,
            filter: OnceLock::new(),
        }
    }

    /// Does now what the first log would wait for.
    pub fn make_ready(&self) {
        self.filter();
    }

    fn filter(&self) -> &Filter {
        self.filter.get_or_init(|| {
            let wanted = self.candidates.wanted(&self.set.fingerprints);
            Filter::new(wanted)
        })
    }

    /// The set it was made from.
    pub fn set(&self) -> &Arc<FingerprintSet> {
        &self.set
    }

    /// Begins with a build. Which fingerprints apply to it is decided here, once.
    pub fn start(&self, build: &Build, now: Timestamp) -> Run<'_> {
        let applies: Vec<bool> = self
            .set
            .fingerprints
            .iter()
            .map(|f| f.applies_to(build, now))
            .collect();
        let progress = self
            .set
            .fingerprints
            .iter()
            .map(|f| Progress::new(f))
            .collect();
        Run {
            matcher: self,
            build: build.clone(),
            now,
            applies,
            progress,
            events: 0,
        }
    }
}

/// The matching of one build under way.
#[derive(Debug)]
pub struct Run<'m> {
    matcher: &'m Matcher,
    build: Build,
    now: Timestamp,
    applies: Vec<bool>,
    progress: Vec<Progress>,
    events: u64,
}

impl Run<'_> {
    /// Takes the next event. Events of one file must come in the file's order, files one after the
    /// other.
    pub fn event(&mut self, event: &Event) {
        let document = Document::new(event);
        let found = self.matcher.candidates.of(&document);
        self.look(&document, found);
    }

    /// Takes the next event of those that are worth an exact look, with the numbers of the conditions
    /// that may hold.
    fn candidate(&mut self, event: &Event, mut numbers: Vec<u32>) {
        numbers.sort_unstable();
        numbers.dedup();
        let slots = numbers.into_iter();
        let slots = slots.map(|number| self.matcher.candidates.slot(number));
        let slots = slots.collect();
        self.look(&Document::new(event), slots);
    }

    fn look(&mut self, document: &Document<'_>, slots: Vec<Slot>) {
        self.events += 1;
        // Later conditions first, so that one event is not two steps of a sequence.
        for slot in slots.into_iter().rev() {
            if !self.applies[slot.fingerprint] {
                continue;
            }
            let fingerprint = &self.matcher.set.fingerprints[slot.fingerprint];
            let Some(spans) = exact(fingerprint, slot.role, document, self.now) else {
                continue;
            };
            let event = document.event();
            self.progress[slot.fingerprint].hit(slot.role, self.events, event, &spans);
        }
    }

    /// Number of fingerprints that apply to this build.
    pub fn applicable(&self) -> usize {
        self.applies.iter().filter(|applies| **applies).count()
    }

    /// Number of events taken so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The matches, the headline first: by priority, then by how specific the fingerprint is.
    pub fn finish(self) -> Vec<Match> {
        let mut found: Vec<(&Arc<Fingerprint>, Match)> = self
            .matcher
            .set
            .fingerprints
            .iter()
            .zip(self.progress)
            .zip(&self.applies)
            .filter(|(_, applies)| **applies)
            .filter_map(|((fingerprint, progress), _)| {
                let (hits, evidence) = progress.finish()?;
                warn_of_tests(fingerprint, &self.build);
                Some((
                    fingerprint,
                    describe(fingerprint, &self.build, hits, evidence),
                ))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| {
            b.specificity()
                .cmp(&a.specificity())
                .then_with(|| a.id.cmp(&b.id))
        });
        found.into_iter().map(|(_, m)| m).collect()
    }
}

/// Says that a match may be one of another test's failure.
fn warn_of_tests(fingerprint: &Fingerprint, build: &Build) {
    if fingerprint.test_ids.is_empty() || build.failed_tests.is_some() {
        return;
    }
    tracing::warn!(
        fingerprint = fingerprint.id,
        build = build.uuid,
        "test_ids is ignored: which tests failed in this build is not known"
    );
}

/// Evaluates one condition exactly; the spans of the message that show it when it holds.
fn exact(
    fingerprint: &Fingerprint,
    role: Role,
    document: &Document<'_>,
    now: Timestamp,
) -> Option<Vec<(usize, usize)>> {
    match progress::condition(fingerprint, role)? {
        progress::Wanted::Query(query) => {
            query.matches(document, now).then(|| query.spans(document))
        }
        progress::Wanted::Pattern(pattern) => {
            let event = document.event();
            if !pattern.is_for(&event.at.file) {
                return None;
            }
            let found = pattern.regex.find_iter(&event.message);
            let spans: Vec<_> = found
                .take(MAX_SPANS)
                .map(|found| (found.start(), found.end()))
                .collect();
            (!spans.is_empty()).then_some(spans)
        }
    }
}

fn describe(
    fingerprint: &Fingerprint,
    build: &Build,
    hits: u64,
    evidence: Vec<crate::event::Evidence>,
) -> Match {
    Match {
        fingerprint: fingerprint.id.clone(),
        title: fingerprint.title.clone(),
        bug: fingerprint.bug.clone(),
        hits,
        evidence,
        advice: fingerprint.advice.clone(),
        category: fingerprint.category.clone(),
        returned: fingerprint.returned(build),
        quiet: fingerprint.suppress_notification,
    }
}
