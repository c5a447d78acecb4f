//! Where a phrase stands in a list of words.

use super::analyser::Word;
use std::collections::BTreeMap;

/// Looks for the words of a phrase (with their positions in it) among the words of a text, at most `slop` moves away in
/// all.
///
/// As in Lucene, the moves are the spread of each word's position minus its place in the phrase,
/// so that two neighbours in the wrong order need a slop of 2; a repeated word needs that many
/// different places.
pub(super) struct Search<'a> {
    words: &'a [Word<'a>],
    phrase: &'a [(u32, String)],
    slop: u32,
    /// With a slop, for every word of the phrase the shifts (position minus place) of its places, with their
    /// indexes; both ascend.
    lists: Vec<Vec<(i64, usize)>>,
    /// All of them, by their shifts.
    starts: Vec<(i64, usize)>,
    /// The words of the phrase that are the same.
    alike: Vec<Vec<usize>>,
}

impl<'a> Search<'a> {
    /// Looks through the words once, however often it is asked then.
    pub(super) fn new(words: &'a [Word<'a>], phrase: &'a [(u32, String)], slop: u32) -> Self {
        let (mut lists, mut starts, mut same) = (Vec::new(), Vec::new(), Vec::new());
        if slop > 0 {
            same = alike(phrase);
            lists.extend(phrase.iter().map(|(place, wanted)| {
                let places = (0..words.len()).filter(|&at| words[at].text == *wanted);
                let shift = |at: usize| i64::from(words[at].position) - i64::from(*place);
                places.map(|at| (shift(at), at)).collect::<Vec<_>>()
            }));
            starts.extend(lists.iter().flatten().copied());
            starts.sort_unstable();
        }
        Self {
            words,
            phrase,
            slop,
            lists,
            starts,
            alike: same,
        }
    }

    /// The indexes of the words of the first place behind `from` words.
    pub(super) fn first(&self, from: usize) -> Option<Vec<usize>> {
        if self.slop == 0 {
            self.exact(from)
        } else {
            self.sloppy(from)
        }
    }

    fn exact(&self, from: usize) -> Option<Vec<usize>> {
        let Self { words, phrase, .. } = self;
        let (offset, first) = phrase.first()?;
        (from..words.len())
            .filter(|&at| words[at].text == *first)
            .find_map(|at| {
                phrase
                    .iter()
                    .map(|(place, word)| {
                        let index = at + (place - offset) as usize;
                        (words.get(index)?.text == *word).then_some(index)
                    })
                    .collect()
            })
    }

    fn sloppy(&self, from: usize) -> Option<Vec<usize>> {
        let begin = i64::from(self.words.get(from)?.position);
        let farthest = self.phrase.iter().map(|(place, _)| *place).max()?;
        let least = begin - i64::from(farthest);
        let skipped = self.starts.partition_point(|(shift, _)| *shift < least);
        let starts = &self.starts[skipped..];
        let mut last = None;
        starts
            .iter()
            .filter(|(_, at)| *at >= from)
            .filter(|(shift, _)| last.replace(*shift) != Some(*shift))
            .find_map(|(low, _)| self.assign(*low, from))
    }

    /// One different place for each word with a shift of `low` or at most `slop` more.
    ///
    /// Only words that are the same want the same places. Of these the stretch that each may have begins
    /// and ends no earlier than that of the one before it in the phrase, so that the first place which is
    /// left is always the best one to take.
    fn assign(&self, low: i64, from: usize) -> Option<Vec<usize>> {
        let high = low + i64::from(self.slop);
        let mut found = Vec::with_capacity(self.lists.len());
        for alike in &self.alike {
            let mut left = 0;
            for word in alike {
                let list = &self.lists[*word];
                let first = list.partition_point(|(shift, at)| *shift < low || *at < from);
                let taken = first.max(left);
                let (shift, at) = list.get(taken)?;
                if *shift > high {
                    return None;
                }
                found.push(*at);
                left = taken + 1;
            }
        }
        found.sort_unstable();
        Some(found)
    }
}

/// The words of a phrase that are the same, by their numbers in its order.
fn alike(phrase: &[(u32, String)]) -> Vec<Vec<usize>> {
    let mut all: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, (_, word)) in phrase.iter().enumerate() {
        all.entry(word).or_default().push(number);
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::analyser::analyse;
    use super::*;

    fn found(text: &str, phrase: &str, slop: u32) -> bool {
        let words: Vec<_> = analyse(text).collect();
        let phrase: Vec<_> = analyse(phrase)
            .map(|w| (w.position, w.text.into_owned()))
            .collect();
        Search::new(&words, &phrase, slop).first(0).is_some()
    }

    /// One different place for each word by augmenting paths, which need no order.
    fn place(
        word: usize,
        allowed: &[&[(i64, usize)]],
        taken: &mut Vec<(usize, usize)>,
        tried: &mut Vec<usize>,
    ) -> bool {
        for &(_, at) in allowed[word] {
            if tried.contains(&at) {
                continue;
            }
            tried.push(at);
            let holder = taken.iter().position(|(place, _)| *place == at);
            match holder {
                None => {
                    taken.push((at, word));
                    return true;
                }
                Some(index) => {
                    let other = taken[index].1;
                    if place(other, allowed, taken, tried) {
                        taken.retain(|(place, owner)| !(*place == at && *owner == other));
                        taken.push((at, word));
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Everything looked at for every start.
    fn slowly(search: &Search<'_>, from: usize) -> Option<Vec<usize>> {
        let behind = |list: &Vec<(i64, usize)>| -> Vec<(i64, usize)> {
            list.iter().copied().filter(|(_, at)| *at >= from).collect()
        };
        let lists: Vec<_> = search.lists.iter().map(behind).collect();
        let mut starts: Vec<i64> = lists.iter().flatten().map(|(shift, _)| *shift).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.into_iter().find_map(|low| {
            let near = |list: &Vec<(i64, usize)>| -> Vec<(i64, usize)> {
                let high = low + i64::from(search.slop);
                let near = list
                    .iter()
                    .filter(|(shift, _)| (low..=high).contains(shift));
                near.copied().collect()
            };
            let near: Vec<_> = lists.iter().map(near).collect();
            let near: Vec<&[_]> = near.iter().map(Vec::as_slice).collect();
            let mut taken = Vec::new();
            let all = (0..near.len()).all(|word| place(word, &near, &mut taken, &mut Vec::new()));
            let mut found: Vec<usize> = taken.into_iter().map(|(at, _)| at).collect();
            found.sort_unstable();
            all.then_some(found)
        })
    }

    proptest::proptest! {
        #[test]
        fn each_place_is_found_as_slowly(text in "[abc]( [abcd]){0,30}", phrase in "[abc]( [abc]){0,6}", slop in 1_u32..12) {
            let words: Vec<_> = analyse(&text).collect();
            let phrase: Vec<_> = analyse(&phrase).map(|w| (w.position, w.text.into_owned())).collect();
            let search = Search::new(&words, &phrase, slop);
            for from in 0..=words.len() {
                proptest::prop_assert_eq!(search.first(from), slowly(&search, from), "from {}", from);
            }
        }
    }

    #[test]
    fn a_long_text_is_looked_through_once() {
        let text = "lock wait x x ".repeat(100_000);
        let words: Vec<_> = analyse(&text).collect();
        let phrase = [(0, "lock".to_owned()), (1, "wait".to_owned())];
        let search = Search::new(&words, &phrase, 2);
        let (mut from, mut count) = (0, 0);
        while let Some(found) = search.first(from) {
            (from, count) = (found[0] + 1, count + 1);
        }
        assert!(count >= 100_000, "{count}");
    }

    #[test]
    fn a_phrase_of_one_word_many_times_ends() {
        let phrase: Vec<_> = (0..1000).map(|place| (place, "a".to_owned())).collect();
        for (count, is_there) in [(999, false), (1000, true), (5000, true)] {
            let text = "a ".repeat(count);
            let words: Vec<_> = analyse(&text).collect();
            let search = Search::new(&words, &phrase, 1_000_000);
            assert_eq!(search.first(0).is_some(), is_there, "{count}");
        }
    }

    #[test]
    fn order_costs_two_moves() {
        assert!(found("a b c", "b c", 0));
        assert!(!found("a b c", "a c", 0));
        assert!(found("a b c", "a c", 1));
        assert!(!found("a b", "b a", 1));
        assert!(found("a b", "b a", 2));
    }

    #[test]
    fn a_repeated_word_needs_two_places() {
        assert!(!found("a b", "a a", 5));
        assert!(found("a b a", "a a", 1));
    }
}
