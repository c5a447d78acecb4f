//! Which events can matter to which fingerprints.

use crate::fingerprint::{Condition, Fingerprint};
use crate::matcher::{Needed, words_of};
use crate::store::elastic::Named;
use std::collections::BTreeSet;

/// How the fingerprints that apply to a build can be looked for.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// Each event that matters to a held fingerprint bears at least one of these words or pairs.
    pub(super) words: Vec<Needed>,
    /// The fingerprints that events with the words decide.
    pub(super) held: BTreeSet<&'a str>,
    /// The others that a cluster can count.
    pub(super) open: Vec<Named<'a>>,
    /// The others that a cluster cannot count: every event may matter to them.
    pub(super) rest: Vec<&'a str>,
    /// All that a cluster cannot count, held or not.
    pub(super) complex: Vec<&'a str>,
}

impl<'a> Plan<'a> {
    /// Without `words` in the index (its messages are not analysed as ours) none is held.
    pub(super) fn new(applying: Vec<&'a Fingerprint>, words: bool) -> Self {
        let mut plan = Self::default();
        let mut all = BTreeSet::new();
        for fingerprint in applying {
            let query = one_query(fingerprint);
            if query.is_none() {
                plan.complex.push(&fingerprint.id);
            }
            match (words.then(|| words_of(fingerprint)).flatten(), query) {
                (Some(words), _) => {
                    plan.held.insert(&fingerprint.id);
                    all.extend(words);
                }
                (None, Some(query)) => plan.open.push(query),
                (None, None) => plan.rest.push(&fingerprint.id),
            }
        }
        plan.words = all.into_iter().collect();
        plan
    }

    /// True when events with the words decide everything.
    pub(super) fn is_whole(&self) -> bool {
        self.open.is_empty() && self.rest.is_empty()
    }
}

/// The query that alone decides, so that a cluster can count.
pub(in crate::classify) fn one_query(fingerprint: &Fingerprint) -> Option<Named<'_>> {
    match &fingerprint.condition {
        Condition::Query(query) if fingerprint.none.is_empty() => Some((&fingerprint.id, query)),
        _ => None,
    }
}
