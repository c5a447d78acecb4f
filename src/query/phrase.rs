//! Where a phrase stands in a list of words.

use super::analyser::Word;

/// Finds the words of a phrase (with their positions in it) among the words of a text, at most
/// `slop` moves away in all, and gives the indexes of the words of the first place.
///
/// As in Lucene, the moves are the spread of each word's position minus its place in the phrase,
/// so that two neighbours in the wrong order need a slop of 2; a repeated word needs that many
/// different places.
pub(super) fn find(
    words: &[Word<'_>],
    phrase: &[(u32, String)],
    slop: u32,
    from: usize,
) -> Option<Vec<usize>> {
    if slop == 0 {
        exact(words, phrase, from)
    } else {
        sloppy(words, phrase, slop, from)
    }
}

fn exact(words: &[Word<'_>], phrase: &[(u32, String)], from: usize) -> Option<Vec<usize>> {
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

fn sloppy(
    words: &[Word<'_>],
    phrase: &[(u32, String)],
    slop: u32,
    from: usize,
) -> Option<Vec<usize>> {
    // For every word of the phrase: (position minus place, index) of each of its places.
    let lists: Vec<Vec<(i64, usize)>> = phrase
        .iter()
        .map(|(place, wanted)| {
            let places = (from..words.len()).filter(|&at| words[at].text == *wanted);
            places
                .map(|at| (i64::from(words[at].position) - i64::from(*place), at))
                .collect()
        })
        .collect();
    let mut starts: Vec<i64> = lists.iter().flatten().map(|(shift, _)| *shift).collect();
    starts.sort_unstable();
    starts.dedup();
    starts
        .into_iter()
        .find_map(|low| assign(&lists, low, low + i64::from(slop)))
}

/// One different place for each word with a shift inside `low..=high`, by augmenting paths.
fn assign(lists: &[Vec<(i64, usize)>], low: i64, high: i64) -> Option<Vec<usize>> {
    let allowed: Vec<Vec<usize>> = lists
        .iter()
        .map(|list| {
            let inside = list
                .iter()
                .filter(|(shift, _)| (low..=high).contains(shift));
            inside.map(|(_, at)| *at).collect()
        })
        .collect();
    let mut taken: Vec<(usize, usize)> = Vec::new();
    for word in 0..allowed.len() {
        if !place(word, &allowed, &mut taken, &mut Vec::new()) {
            return None;
        }
    }
    let mut found: Vec<usize> = taken.into_iter().map(|(at, _)| at).collect();
    found.sort_unstable();
    Some(found)
}

fn place(
    word: usize,
    allowed: &[Vec<usize>],
    taken: &mut Vec<(usize, usize)>,
    tried: &mut Vec<usize>,
) -> bool {
    for &at in &allowed[word] {
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

#[cfg(test)]
mod tests {
    use super::super::analyser::analyse;
    use super::*;

    fn found(text: &str, phrase: &str, slop: u32) -> bool {
        let words: Vec<_> = analyse(text).collect();
        let phrase: Vec<_> = analyse(phrase)
            .map(|w| (w.position, w.text.into_owned()))
            .collect();
        find(&words, &phrase, slop, 0).is_some()
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
