//! What stands next to a place, so that most rows with a common sub-token are known not to stand there by
//! one comparison each.

use super::kernel::{fold, key_of};
use super::rows::Row;
use super::walk::{backwards, forwards};
use std::cell::OnceCell;

/// A neighbour that a row asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// None: the row is one sub-token, or its bytes tell sooner.
    None,
    /// The sub-token before, by its key.
    Before(u64),
    /// The sub-token behind, by its key.
    Behind(u64),
}

impl Neighbour {
    /// The neighbour of a row's sub-token.
    pub(super) fn of(row: &Row, token: usize) -> Self {
        let before = token.checked_sub(1).map(|token| &row[token]);
        match (row.get(token + 1), before) {
            (Some(behind), _) => Self::Behind(key_of(behind)),
            (None, Some(before)) => Self::Before(key_of(before)),
            (None, None) => Self::None,
        }
    }
}

/// The neighbours of a sub-token of a text, looked at when they are asked for.
pub(super) struct Near<'t> {
    text: &'t [u8],
    at: usize,
    /// The keys; `None` where a line ends first, behind which anything may stand.
    before: OnceCell<Option<u64>>,
    behind: OnceCell<Option<u64>>,
}

impl<'t> Near<'t> {
    /// Of the sub-token that begins at a place.
    pub(super) fn new(text: &'t [u8], at: usize) -> Self {
        Self {
            text,
            at,
            before: OnceCell::new(),
            behind: OnceCell::new(),
        }
    }

    /// False when a row that asks for this neighbour does not stand here.
    pub(super) fn may_have(&self, neighbour: Neighbour) -> bool {
        let (found, wanted) = match neighbour {
            Neighbour::None => return true,
            Neighbour::Before(key) => (self.before.get_or_init(|| before(self.text, self.at)), key),
            Neighbour::Behind(key) => (self.behind.get_or_init(|| behind(self.text, self.at)), key),
        };
        found.is_none_or(|found| found == wanted)
    }
}

/// The key of the sub-token behind the one that begins at a place.
fn behind(text: &[u8], mut at: usize) -> Option<u64> {
    forwards(text, &mut at).ok()?;
    Some(key_in(forwards(text, &mut at).ok()?))
}

/// The key of the sub-token before the one that begins at a place.
fn before(text: &[u8], mut at: usize) -> Option<u64> {
    Some(key_in(backwards(text, &mut at).ok()?))
}

/// The key of a sub-token as it stands in a text.
fn key_in(token: &[u8]) -> u64 {
    let mut folded = [0; 8];
    for (to, byte) in folded.iter_mut().zip(token) {
        *to = fold(*byte);
    }
    key_of(&folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::scan::rows::tokens;
    use crate::matcher::scan::walk::stands;
    use proptest::prelude::*;

    #[test]
    fn neighbours_are_known_by_their_first_bytes() {
        let text = b"one: ALPHABETICAL, __ two\nthree";
        let near = Near::new(text, 5);
        assert!(near.may_have(Neighbour::Before(key_of(b"one"))));
        assert!(!near.may_have(Neighbour::Before(key_of(b"on"))));
        assert!(near.may_have(Neighbour::Behind(key_of(b"two"))));
        assert!(!near.may_have(Neighbour::Behind(key_of(b"twofold"))));
        let at_end = Near::new(text, 22);
        assert!(at_end.may_have(Neighbour::Behind(key_of(b"anything"))));
        assert!(at_end.may_have(Neighbour::Before(key_of(b"alphabetisch"))));
        assert!(at_end.may_have(Neighbour::None));
    }

    proptest! {
        #[test]
        fn no_row_is_lost(
            text in "([aA]|b|1|_| |, |[.:'\n\r]|\u{e9}|\u{212a}){0,16}",
            phrase in "[ab1_]{1,2}([ .:][ab1]1?){0,2}",
        ) {
            let (bytes, row) = (text.as_bytes(), tokens(phrase.as_bytes()));
            let begins = |at: &usize| {
                fold(bytes[*at]) != 0 && (*at == 0 || fold(bytes[*at - 1]) == 0)
            };
            for at in (0..bytes.len()).filter(begins) {
                // Only there a row's sub-token is looked for.
                let end = (at..bytes.len()).find(|at| fold(bytes[*at]) == 0);
                let found = key_in(&bytes[at..end.unwrap_or(bytes.len())]);
                let same = |token: &usize| found == key_of(&row[*token]);
                for token in (0..row.len()).filter(same) {
                    let may = Near::new(bytes, at).may_have(Neighbour::of(&row, token));
                    prop_assert!(may || stands(bytes, at, &row, token).is_none(), "{text:?} {phrase:?}");
                }
            }
        }
    }
}
