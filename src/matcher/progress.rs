//! What one fingerprint has seen of one build so far.

use super::evidence::evidence;
use crate::event::{Event, Evidence};
use crate::fingerprint::{Condition, Fingerprint, Pattern};
use crate::query::Query;
use std::sync::Arc;

/// Most places that are kept as evidence of one match, the last of them always the last hit; hits
/// are counted exactly all the same.
pub const MAX_EVIDENCE: usize = 5;

/// Which condition of a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The query or pattern that one event must meet.
    Single,
    /// The n-th of `all`.
    All(usize),
    /// The n-th of `any`.
    Any(usize),
    /// The n-th of `sequence`.
    Step(usize),
    /// The n-th of `none`.
    None(usize),
}

/// What an event must meet for a role.
pub(super) enum Wanted<'a> {
    Query(&'a Query),
    Pattern(&'a Pattern),
}

/// All roles of a fingerprint.
pub(super) fn roles(fingerprint: &Fingerprint) -> Vec<Role> {
    let mut roles: Vec<Role> = match &fingerprint.condition {
        Condition::Query(_) | Condition::Pattern(_) => vec![Role::Single],
        Condition::AllAny { all, any } => {
            let all = (0..all.len()).map(Role::All);
            all.chain((0..any.len()).map(Role::Any)).collect()
        }
        Condition::Sequence { queries, .. } => (0..queries.len()).map(Role::Step).collect(),
    };
    roles.extend((0..fingerprint.none.len()).map(Role::None));
    roles
}

/// The query or pattern of a role.
pub(super) fn condition(fingerprint: &Fingerprint, role: Role) -> Option<Wanted<'_>> {
    let query = match (role, &fingerprint.condition) {
        (Role::None(n), _) => fingerprint.none.get(n),
        (Role::Single, Condition::Query(query)) => Some(query),
        (Role::Single, Condition::Pattern(pattern)) => return Some(Wanted::Pattern(pattern)),
        (Role::All(n), Condition::AllAny { all, .. }) => all.get(n),
        (Role::Any(n), Condition::AllAny { any, .. }) => any.get(n),
        (Role::Step(n), Condition::Sequence { queries, .. }) => queries.get(n),
        _ => None,
    };
    query.map(Wanted::Query)
}

/// What has been seen.
#[derive(Debug)]
pub(super) struct Progress {
    hits: u64,
    evidence: Vec<Evidence>,
    /// Number of the event that was counted last.
    counted: Option<u64>,
    spoiled: bool,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Single,
    AllAny { all: Vec<bool>, any: Option<bool> },
    Sequence(Chains),
}

impl Progress {
    pub(super) fn new(fingerprint: &Fingerprint) -> Self {
        let shape = match &fingerprint.condition {
            Condition::Query(_) | Condition::Pattern(_) => Shape::Single,
            Condition::AllAny { all, any } => Shape::AllAny {
                all: vec![false; all.len()],
                any: (!any.is_empty()).then_some(false),
            },
            Condition::Sequence { queries, within } => {
                Shape::Sequence(Chains::new(queries.len(), *within))
            }
        };
        Self {
            hits: 0,
            evidence: Vec::new(),
            counted: None,
            spoiled: false,
            shape,
        }
    }

    /// Takes an event that meets a condition; `number` is the event's own in this run.
    pub(super) fn hit(&mut self, role: Role, number: u64, event: &Event, spans: &[(usize, usize)]) {
        match (&mut self.shape, role) {
            (_, Role::None(_)) => self.spoiled = true,
            (Shape::Single, _) => self.count(event, spans),
            (Shape::AllAny { all, .. }, Role::All(n)) => {
                let first = !std::mem::replace(&mut all[n], true);
                self.count_part(number, event, spans, first);
            }
            (Shape::AllAny { any, .. }, Role::Any(_)) => {
                let first = any.replace(true) != Some(true);
                self.count_part(number, event, spans, first);
            }
            (Shape::Sequence(chains), Role::Step(n)) => {
                let Some(chain) = chains.step(n, event, spans) else {
                    return;
                };
                self.hits += 1;
                if self.hits == 1 {
                    self.evidence = chain;
                }
            }
            _ => {}
        }
    }

    /// Counts hits without looking at them.
    pub(super) fn count_more(&mut self, hits: u64) {
        self.hits += hits;
    }

    /// True when as many hits are shown as are at all.
    pub(super) fn has_shown(&self) -> bool {
        self.evidence.len() == MAX_EVIDENCE
    }

    /// True when an event stands behind all that is shown.
    pub(super) fn is_before(&self, event: &Event) -> bool {
        let last = self.evidence.last();
        last.is_some_and(|shown| *shown.file != *event.at.file || shown.offset < event.at.offset)
    }

    /// Shows the last hit, which is counted.
    pub(super) fn show_last(&mut self, event: &Event, spans: &[(usize, usize)]) {
        self.evidence.pop();
        self.evidence.push(evidence(event, spans));
    }

    /// The first hits are shown, and the last one: what ended a build stands at the end of its log.
    fn count(&mut self, event: &Event, spans: &[(usize, usize)]) {
        self.hits += 1;
        if self.evidence.len() == MAX_EVIDENCE {
            self.evidence.pop();
        }
        self.evidence.push(evidence(event, spans));
    }

    /// Of conditions over the whole build the first event of each is shown, however many there are.
    fn count_part(&mut self, number: u64, event: &Event, spans: &[(usize, usize)], first: bool) {
        // An event that meets several conditions is one hit and shown once.
        let known = self.counted.replace(number) == Some(number);
        if !known {
            self.hits += 1;
        }
        if !first {
            return;
        }
        let shown = evidence(event, spans);
        let same = |e: &Evidence| known && e.line == shown.line && e.file == shown.file;
        if !self.evidence.last().is_some_and(same) {
            self.evidence.push(shown);
        }
    }

    /// The hits and their evidence, when the fingerprint matches the build.
    pub(super) fn finish(self) -> Option<(u64, Vec<Evidence>)> {
        let met = match &self.shape {
            Shape::Single | Shape::Sequence(_) => self.hits > 0,
            Shape::AllAny { all, any } => all.iter().all(|seen| *seen) && *any != Some(false),
        };
        (met && !self.spoiled).then_some((self.hits, self.evidence))
    }
}

/// The events of a sequence found so far: for each number of steps, the chain that began last, which
/// is the one that can still be short enough.
#[derive(Debug)]
struct Chains {
    file: Arc<str>,
    within: Option<u32>,
    best: Vec<Option<Chain>>,
}

#[derive(Debug, Clone)]
struct Chain {
    start: u64,
    evidence: Vec<Evidence>,
}

impl Chains {
    fn new(steps: usize, within: Option<u32>) -> Self {
        Self {
            file: Arc::from(""),
            within,
            best: vec![None; steps],
        }
    }

    /// Takes an event that meets step `n`; the evidence of the whole chain when it is complete.
    fn step(&mut self, n: usize, event: &Event, spans: &[(usize, usize)]) -> Option<Vec<Evidence>> {
        if self.file != event.at.file {
            self.file = Arc::clone(&event.at.file);
            self.best.fill(None);
        }
        let mut chain = match n.checked_sub(1) {
            None => Chain {
                start: event.at.line,
                evidence: Vec::new(),
            },
            Some(before) => self.best[before].clone()?,
        };
        let span = event.at.line.saturating_sub(chain.start);
        if self.within.is_some_and(|limit| span > u64::from(limit)) {
            return None;
        }
        chain.evidence.push(evidence(event, spans));
        if n + 1 == self.best.len() {
            return Some(chain.evidence);
        }
        self.best[n] = Some(chain);
        None
    }
}
