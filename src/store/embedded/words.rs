//! The words by which a block is found.
//!
//! A message is cut at everything but `[a-z0-9_]`, which is finer than the analyser cuts: each of
//! the analyser's words is made of such pieces, so a block that lacks one of them lacks the word.
//! Where that is not so (letters beyond ASCII, words that the analyser cuts for their length) the
//! analyser's own words are taken too. Numbers and identifiers are found by a few bits
//! (`identifiers.rs`).

use super::identifiers::bucket;
use crate::query::analyser::analyse;

/// The analyser cuts words longer than this many UTF-16 units, which are never more than bytes; another one begins
/// where it cuts.
pub(super) const LONG: usize = 255;

/// What stands between two words of a [`Vocabulary`].
pub(super) const BETWEEN: char = '\n';
const BETWEEN_BYTE: u8 = b'\n';

/// Slots of a fresh table.
const SLOTS: usize = 1 << 12;

/// Each word of some messages once.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// The words, each followed by [`BETWEEN`].
    words: Vec<u8>,
    slots: Vec<Slot>,
    used: usize,
    folded: Vec<u8>,
}

/// Where a word is in the list; the length is 0 where there is none.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    hash: u32,
    start: u32,
    length: u32,
}

impl Default for Vocabulary {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            slots: vec![Slot::default(); SLOTS],
            used: 0,
            folded: Vec::new(),
        }
    }
}

impl Vocabulary {
    /// Adds the words of a message.
    pub(super) fn add(&mut self, message: &str) {
        if !message.is_ascii() || has_long_word(message) {
            self.add_analysed(message);
        }
        let mut folded = std::mem::take(&mut self.folded);
        folded.clear();
        folded.extend_from_slice(message.as_bytes());
        folded.make_ascii_lowercase();
        self.add_pieces(&folded);
        self.folded = folded;
    }

    fn add_analysed(&mut self, message: &str) {
        for word in analyse(message) {
            if !word.text.is_ascii() {
                self.insert(word.text.as_bytes());
            }
            self.add_pieces(word.text.as_bytes());
        }
    }

    fn add_pieces(&mut self, folded: &[u8]) {
        let mut start = 0;
        for (at, byte) in folded.iter().enumerate() {
            if !is_piece(*byte) {
                if start < at {
                    self.insert(&folded[start..at]);
                }
                start = at + 1;
            }
        }
        if start < folded.len() {
            self.insert(&folded[start..]);
        }
    }

    fn insert(&mut self, word: &[u8]) {
        // Longer ones are pieces of a word that the analyser cuts.
        if word.len() > LONG && word.is_ascii() {
            return;
        }
        match bucket(word) {
            Some(bucket) => self.insert_whole(&bucket),
            None => self.insert_whole(word),
        }
    }

    fn insert_whole(&mut self, word: &[u8]) {
        let hash = hash(word);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.length == 0 {
                break;
            }
            let start = slot.start as usize;
            if slot.hash == hash && &self.words[start..start + slot.length as usize] == word {
                return;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = Slot {
            hash,
            start: as_u32(self.words.len()),
            length: as_u32(word.len()),
        };
        self.words.extend_from_slice(word);
        self.words.push(BETWEEN_BYTE);
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let larger = vec![Slot::default(); self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, larger);
        let mask = self.slots.len() - 1;
        for slot in old.into_iter().filter(|slot| slot.length > 0) {
            let mut at = slot.hash as usize & mask;
            while self.slots[at].length > 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }

    /// All words, each followed by [`BETWEEN`]; the next ones begin afresh.
    pub(super) fn take(&mut self) -> String {
        self.used = 0;
        self.slots.fill(Slot::default());
        let words = std::mem::take(&mut self.words);
        self.words.reserve(words.len());
        String::from_utf8(words).unwrap_or_default()
    }
}

/// The pieces of an analysed word that a block has when one of its messages has the word.
pub(super) fn pieces(word: &str) -> Vec<&str> {
    if !word.is_ascii() {
        return vec![word];
    }
    let pieces = word.split(|c: char| !u8::try_from(c).is_ok_and(is_piece));
    pieces.filter(|piece| !piece.is_empty()).collect()
}

/// True for the bytes that pieces are made of, once in lower case.
pub(super) fn is_piece(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')
}

/// True for the bytes in ASCII that a long word may have.
pub(super) fn may_join(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.,;':\"".contains(&byte)
}

/// True when the analyser might cut a word for its length.
fn has_long_word(message: &str) -> bool {
    message.len() > LONG
        && message
            .as_bytes()
            .split(|byte| !may_join(*byte))
            .any(|run| run.len() > LONG)
}

/// Of pieces of words. Stored blocks are found by it: another one needs another form of slices.
pub(super) fn hash(word: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = word.len() as u64;
    let mut chunks = word.chunks_exact(8);
    for chunk in &mut chunks {
        let number = chunk.try_into().map_or(0, u64::from_le_bytes);
        hash = (hash ^ number).wrapping_mul(FACTOR).rotate_left(29);
    }
    let mut last = [0; 8];
    let rest = chunks.remainder();
    last[..rest.len()].copy_from_slice(rest);
    hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR);
    (hash >> 32) as u32
}

/// Words of one block fit into 32 bits: its text does.
fn as_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::identifiers::indexed;
    use std::collections::BTreeSet;

    fn words(messages: &[&str]) -> Vec<String> {
        let mut all = Vocabulary::default();
        for message in messages {
            all.add(message);
        }
        all.take()
            .split_terminator(BETWEEN)
            .map(str::to_owned)
            .collect()
    }

    fn covers(messages: &[&str]) {
        let words = words(messages);
        let set: BTreeSet<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(set.len(), words.len(), "a word stands twice");
        for message in messages {
            for word in analyse(message) {
                for piece in pieces(&word.text) {
                    assert!(set.contains(&*indexed(piece)), "{piece:?} of {message:?}");
                }
            }
        }
    }

    #[test]
    fn each_word_stands_once() {
        assert_eq!(words(&["Foo.bar foo", "BAR -- x_1"]), ["foo", "bar", "x_1"]);
    }

    #[test]
    fn no_word_of_the_analyser_is_missing() {
        let long = "a".repeat(600);
        let chained = "abc.def".repeat(80);
        covers(&[
            &long,
            &chained,
            "\u{212a}8s \u{130}x",
            "Ärger 日本語x カタa",
            "'a'b\"c",
        ]);
        proptest::proptest!(|(text in "\\PC{0,60}", ascii in "[ -~\\n\\t]{0,80}", n in 0_usize..9)| {
            covers(&[&text, &ascii, &ascii.repeat(n), &text.replace(' ', "").repeat(n)]);
        });
    }

    #[test]
    fn identifiers_are_found_by_a_few_bits() {
        let found = words(&["took 1234567 of 7654321", "7654321 took 1234567"]);
        assert_eq!(
            found,
            ["took", &indexed("1234567"), "of", &indexed("7654321")]
        );
    }

    #[test]
    fn many_words_are_kept_apart() {
        let all: Vec<String> = (0..20_000).map(|n| format!("w{n}")).collect();
        assert_eq!(words(&[&all.join(" ")]).len(), 20_000);
    }
}
