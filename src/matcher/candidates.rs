//! From an event to the conditions that are worth an exact look.

use super::Slot;
use super::anchor::{Needed, anchor, needed};
use super::literal::words_of_pattern;
use super::progress::{Wanted, condition, roles};
use crate::fingerprint::Fingerprint;
use crate::query::Document;
use regex::{RegexSet, RegexSetBuilder};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Memory that all `pattern:` expressions together may take when compiled.
const PATTERN_LIMIT: usize = 256 << 20;

/// Conditions by the words that lead to them.
#[derive(Debug)]
pub(super) struct Candidates {
    slots: Vec<Slot>,
    by_word: HashMap<Box<str>, Vec<u32>>,
    always: Vec<u32>,
    patterns: Patterns,
}

/// All `pattern:` conditions.
#[derive(Debug)]
struct Patterns {
    slots: Vec<u32>,
    /// One automaton for all; absent when they are too large together, then each is tried.
    set: Option<RegexSet>,
}

/// Words of which each event that can matter to a fingerprint has at least one, or both of two, in its
/// message, as the standard analyser cuts it; `None` when events without any can matter.
pub fn words_of(fingerprint: &Fingerprint) -> Option<BTreeSet<Needed>> {
    let mut all = BTreeSet::new();
    for role in roles(fingerprint) {
        all.extend(match condition(fingerprint, role)? {
            Wanted::Query(query) => needed(query.root())?,
            Wanted::Pattern(pattern) => words_of_pattern(pattern.regex.as_str())?,
        });
    }
    Some(all)
}

impl Candidates {
    /// Every condition with its number.
    pub(super) fn wanted<'f>(
        &'f self,
        fingerprints: &'f [Arc<Fingerprint>],
    ) -> impl Iterator<Item = (u32, Wanted<'f>)> {
        (0..).zip(&self.slots).filter_map(|(number, slot)| {
            let found = fingerprints.get(slot.fingerprint)?;
            Some((number, condition(found, slot.role)?))
        })
    }

    /// The condition with a number.
    pub(super) fn slot(&self, number: u32) -> Slot {
        self.slots[number as usize]
    }

    pub(super) fn new(fingerprints: &[Arc<Fingerprint>]) -> Self {
        let mut slots = Vec::new();
        let mut by_word: HashMap<Box<str>, Vec<u32>> = HashMap::new();
        let mut always = Vec::new();
        let (mut pattern_slots, mut sources) = (Vec::new(), Vec::new());
        for (fingerprint, found) in fingerprints.iter().enumerate() {
            for role in roles(found) {
                let Some(wanted) = condition(found, role) else {
                    continue;
                };
                let number = u32::try_from(slots.len()).unwrap_or(u32::MAX);
                slots.push(Slot { fingerprint, role });
                match wanted {
                    Wanted::Pattern(pattern) => {
                        pattern_slots.push(number);
                        sources.push(pattern.regex.as_str().to_owned());
                    }
                    Wanted::Query(query) => match anchor(query.root()) {
                        None => always.push(number),
                        Some(words) => words.into_iter().for_each(|word| {
                            by_word.entry(word.into()).or_default().push(number);
                        }),
                    },
                }
            }
        }
        // As each is compiled for itself: see `Pattern`.
        let set = RegexSetBuilder::new(&sources)
            .multi_line(true)
            .size_limit(PATTERN_LIMIT)
            .dfa_size_limit(PATTERN_LIMIT)
            .build()
            .ok();
        Self {
            slots,
            by_word,
            always,
            patterns: Patterns {
                slots: pattern_slots,
                set,
            },
        }
    }

    /// The conditions that may hold for an event, each once, in the order of the set.
    pub(super) fn of(&self, document: &Document<'_>) -> Vec<Slot> {
        let mut numbers = self.always.clone();
        if !self.by_word.is_empty() {
            for word in document.words() {
                if let Some(found) = self.by_word.get(&*word.text) {
                    numbers.extend_from_slice(found);
                }
            }
        }
        self.patterns
            .extend(&document.event().message, &mut numbers);
        numbers.sort_unstable();
        numbers.dedup();
        numbers
            .into_iter()
            .map(|n| self.slots[n as usize])
            .collect()
    }
}

impl Patterns {
    fn extend(&self, message: &str, numbers: &mut Vec<u32>) {
        if self.slots.is_empty() {
            return;
        }
        match &self.set {
            Some(set) => numbers.extend(set.matches(message).into_iter().map(|n| self.slots[n])),
            None => numbers.extend_from_slice(&self.slots),
        }
    }
}
