//! Whether words stand one after the other in a text, without cutting all of it into words.
//!
//! The analyser begins anew behind a blank: no rule of Unicode Standard Annex 29 looks across one. So where the first
//! word is found as bytes, only what stands between the blanks round the place is cut into words. An answer of "no"
//! is certain; "yes" also means that it cannot be told from so little.

use crate::query::analyser::analyse;
use memchr::memmem::Finder;

/// How far blanks are looked for, in bytes.
const FAR: usize = 4096;
/// Words of so many bytes may be a piece of a longer one, which is cut wherever its length is reached.
const PIECE: usize = 255;
/// What may stand between two words, for the place to be judged at the first look.
const BETWEEN: usize = 16;

/// Words in ASCII and lower case, each of which begins where the one before has ended.
pub(super) struct Together {
    first: Finder<'static>,
    words: Vec<String>,
    enough: usize,
}

impl Together {
    /// The words of a phrase with their places, if they follow each other.
    pub(super) fn of(words: &[(u32, String)]) -> Option<Self> {
        let follow = words.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0);
        let plain = |word: &str| word.is_ascii() && !word.is_empty() && word.len() < PIECE;
        if !follow || !words.iter().all(|(_, word)| plain(word)) {
            return None;
        }
        let (_, first) = words.first()?;
        Some(Self {
            first: Finder::new(first.as_bytes()).into_owned(),
            words: words.iter().map(|(_, word)| word.clone()).collect(),
            enough: words.iter().map(|(_, word)| word.len() + BETWEEN).sum(),
        })
    }

    /// False when the words do not stand in a text in lower case.
    pub(super) fn holds(&self, text: &[u8]) -> bool {
        let mut places = self.first.find_iter(text);
        places.any(|at| self.may_begin(text, at))
    }

    /// False when the words do not begin here.
    fn may_begin(&self, text: &[u8], at: usize) -> bool {
        let Some((start, end)) = between_blanks(text, at, self.enough) else {
            return true;
        };
        let Ok(near) = std::str::from_utf8(&text[start..end]) else {
            return true;
        };
        let mut words = analyse(near).peekable();
        while let Some(word) = words.next_if(|word| start + word.start < at) {
            if word.text.len() >= PIECE {
                return true;
            }
        }
        if words.peek().is_some_and(|word| start + word.start > at) {
            return false;
        }
        for wanted in &self.words {
            match words.next() {
                None => return end < text.len(),
                Some(word) if word.text.len() >= PIECE => return true,
                Some(word) if word.text != *wanted => return false,
                Some(_) => {}
            }
        }
        true
    }
}

/// The part of a text round a place that is cut into words as it would be with the rest: between two blanks, or to
/// the ends of the text. It reaches so many bytes behind the place. `None` when there is no blank nearby.
fn between_blanks(text: &[u8], at: usize, enough: usize) -> Option<(usize, usize)> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n');
    let from = at.saturating_sub(FAR);
    let start = match text[from..at].iter().rposition(blank) {
        Some(place) => from + place,
        None if from == 0 => 0,
        None => return None,
    };
    let least = text.len().min(at + enough);
    let most = text.len().min(least + FAR);
    let end = match text[least..most].iter().position(blank) {
        Some(place) => least + place,
        None if most == text.len() => most,
        None => return None,
    };
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::query::{Document, Query, Schema};
    use proptest::prelude::*;

    fn together(words: &[&str]) -> Together {
        let words = words
            .iter()
            .zip(0..)
            .map(|(word, place)| (place, (*word).to_owned()));
        Together::of(&words.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn words_stand_one_after_the_other() {
        let held = |text: &str| together(&["lock", "wait", "now"]).holds(text.as_bytes());
        assert!(held("a lock wait now"));
        assert!(held("lock: (wait) -- now!"));
        assert!(held("lock\nwait\nnow"));
        assert!(held("a block, another lock, a lock/wait/now"));
        assert!(!held("a lock for the wait now"));
        assert!(!held("a block wait now"));
        assert!(!held("my.lock wait now"));
        assert!(!held("lock.wait now"));
        assert!(!held("lock wait"));
        assert!(!held("lock wait nowhere"));
        assert!(!held("lock wait now_here"));
    }

    #[test]
    fn what_cannot_be_told_nearby_is_not_denied() {
        let pair = together(&["lock", "wait"]);
        assert!(pair.holds(format!("lock{}wait", "-".repeat(FAR)).as_bytes()));
        assert!(pair.holds(format!("lock {} wait", "- ".repeat(FAR)).as_bytes()));
        assert!(pair.holds(format!("{}lock wait", ".".repeat(FAR)).as_bytes()));
        // The first 255 letters are a word, and the rest is another one.
        assert!(pair.holds(format!("{}lock wait", "a".repeat(PIECE)).as_bytes()));
    }

    #[test]
    fn only_neighbours_in_ascii_are_asked_for() {
        let place = |place, word: &str| (place, word.to_owned());
        assert!(Together::of(&[place(0, "a"), place(2, "b")]).is_none());
        assert!(Together::of(&[place(0, "a"), place(1, "bär")]).is_none());
        assert!(Together::of(&[place(0, &"a".repeat(PIECE))]).is_none());
        assert!(Together::of(&[]).is_none());
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => prop::sample::select(vec!["lock", "wait", "Lock", "WAIT", "a", "7", "1"]).prop_map(str::to_owned),
            4 => prop::sample::select(vec![" ", "\n", "\t", ".", ":", "'", ",", ";", "_", "-", "/", "\u{301}", "é",
                "\u{200d}", "日", "本", "ก", "א", "\"", "\u{1f600}", "\u{a0}", "\u{2028}"]).prop_map(str::to_owned),
            1 => (240_usize..270).prop_map(|count| "lock".repeat(count / 4) + &"w".repeat(count % 4)),
            1 => prop::sample::select(vec![200_usize, 4090, 4100]).prop_map(|count| "-".repeat(count)),
        ]
    }

    proptest! {
        #[test]
        fn no_place_is_denied(pieces in prop::collection::vec(piece(), 0..24), one in any::<bool>()) {
            let text = pieces.concat();
            let words: &[&str] = if one { &["lock"] } else { &["lock", "wait"] };
            let query = Query::parse(&format!("\"{}\"", words.join(" ")), &Schema::default()).unwrap();
            let event = Event::from_message(&text);
            let matches = query.matches(&Document::new(&event), jiff::Timestamp::UNIX_EPOCH);
            let held = together(words).holds(text.to_ascii_lowercase().as_bytes());
            prop_assert!(held || !matches, "{text:?}");
        }
    }
}
