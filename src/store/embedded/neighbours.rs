//! Words that stand one after the other, as far as their bytes tell.
//!
//! Between two words in ASCII nothing of a word stands, and no letter or digit touches them from outside, but where a
//! word was cut for its length. Bytes say that much without cutting the text into words; that they are words they do
//! not say.

use super::words::{LONG as PIECE, may_join};
use memchr::memmem::Finder;
use std::ops::Range;

/// More than this between two words is not looked through, for it would be for each place again.
const GAP: usize = 64;

/// Words in ASCII and lower case that begin and end with a letter or digit, each behind the one before.
pub(super) struct Neighbours {
    words: Vec<String>,
    /// The word that is looked for: the longest, for long ones are rare.
    longest: usize,
    finder: Finder<'static>,
}

/// Characters beyond ASCII stand between the words, which may join them, or very many.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclear;

impl Neighbours {
    /// The words of a phrase with their places, if they follow each other and bytes can tell them.
    pub(super) fn of(words: &[(u32, String)]) -> Option<Self> {
        let follow = words.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0);
        if !follow || !words.iter().all(|(_, word)| is_plain(word)) {
            return None;
        }
        let words: Vec<String> = words.iter().map(|(_, word)| word.clone()).collect();
        let longest = (0..words.len()).max_by_key(|at| words[*at].len())?;
        Some(Self {
            finder: Finder::new(words[longest].as_bytes()).into_owned(),
            longest,
            words,
        })
    }

    /// Where the words may stand in a text in lower case. They stand nowhere else.
    pub(super) fn places<'t>(
        &'t self,
        text: &'t [u8],
    ) -> impl Iterator<Item = Result<Range<usize>, Unclear>> + 't {
        let mut from = 0;
        let found = std::iter::from_fn(move || {
            let at = from + self.finder.find(text.get(from..)?)?;
            from = at + 1;
            Some(at)
        });
        found.filter_map(|at| self.place(text, at).transpose())
    }

    /// The place of all words where the longest one is found, if there is one.
    fn place(&self, text: &[u8], at: usize) -> Result<Option<Range<usize>>, Unclear> {
        let (before, rest) = self.words.split_at(self.longest);
        let (mut start, mut end) = (at, at + rest[0].len());
        for word in before.iter().rev() {
            let gap = gap(text[..start].iter().rev())?;
            let Some(left) = text[..start - gap].strip_suffix(word.as_bytes()) else {
                return Ok(None);
            };
            if gap == 0 {
                return Ok(None);
            }
            start = left.len();
        }
        for word in &rest[1..] {
            let gap = gap(text[end..].iter())?;
            if gap == 0 || !text[end + gap..].starts_with(word.as_bytes()) {
                return Ok(None);
            }
            end += gap + word.len();
        }
        let alone = !text.get(end).is_some_and(u8::is_ascii_alphanumeric) && may_begin(text, start);
        Ok(alone.then_some(start..end))
    }
}

/// Begins and ends with a letter or digit of ASCII, and is never cut.
fn is_plain(word: &str) -> bool {
    let outside = [word.as_bytes().first(), word.as_bytes().last()];
    let outside = outside.map(|byte| byte.is_some_and(u8::is_ascii_alphanumeric));
    word.is_ascii() && word.len() < PIECE && outside == [true, true]
}

/// How many bytes stand before the next letter or digit.
fn gap<'t>(bytes: impl Iterator<Item = &'t u8>) -> Result<usize, Unclear> {
    let mut gap = 0;
    for byte in bytes {
        if !byte.is_ascii() || gap == GAP {
            return Err(Unclear);
        }
        if byte.is_ascii_alphanumeric() {
            break;
        }
        gap += 1;
    }
    Ok(gap)
}

/// False when what stands here goes on with the word before it.
fn may_begin(text: &[u8], start: usize) -> bool {
    let Some(last) = text[..start].last() else {
        return true;
    };
    if !last.is_ascii_alphanumeric() {
        return true;
    }
    let piece = start.checked_sub(PIECE).map(|from| &text[from..start]);
    piece.is_some_and(|piece| piece.iter().all(|byte| !byte.is_ascii() || may_join(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbours(words: &[&str]) -> Neighbours {
        let words = words
            .iter()
            .zip(0..)
            .map(|(word, place)| (place, (*word).to_owned()));
        Neighbours::of(&words.collect::<Vec<_>>()).unwrap()
    }

    fn places(words: &[&str], text: &str) -> Vec<Result<Range<usize>, Unclear>> {
        neighbours(words).places(text.as_bytes()).collect()
    }

    #[test]
    fn words_stand_one_after_the_other() {
        let found = |text: &str| places(&["a", "lock", "wait", "now"], text).len();
        assert_eq!(found("a lock wait now"), 1);
        assert_eq!(found("not a lock: (wait) -- now!"), 1);
        assert_eq!(found("a\nlock\nwait\nnow, a lock wait now"), 2);
        assert_eq!(found("a lock for the wait now"), 0);
        assert_eq!(found("a block wait now"), 0);
        assert_eq!(found("alock wait now"), 0);
        assert_eq!(found("a lockwait now"), 0);
        assert_eq!(found("a lock wait nowhere"), 0);
        assert_eq!(found("data lock wait now"), 0);
        assert_eq!(found("a lock wait"), 0);
        assert_eq!(found("lock wait now"), 0);
    }

    #[test]
    fn a_place_reaches_from_the_first_word_to_the_last() {
        assert_eq!(places(&["b", "lock"], "a (b - lock)"), [Ok(3..11)]);
        assert_eq!(places(&["1.1"], "1.1"), [Ok(0..3)]);
        assert_eq!(places(&["1.1"], "1.1.1"), [Ok(0..3), Ok(2..5)]);
    }

    #[test]
    fn what_is_far_or_beyond_ascii_is_not_judged() {
        assert_eq!(places(&["lock", "wait"], "lock é wait"), [Err(Unclear)]);
        assert_eq!(places(&["a", "wait"], "a\u{a0}wait"), [Err(Unclear)]);
        assert_eq!(places(&["lock", "wait"], "élock waité"), [Ok(2..11)]);
        let far = format!("lock{}wait", "-".repeat(GAP));
        assert_eq!(places(&["lock", "wait"], &far), [Err(Unclear)]);
    }

    #[test]
    fn a_word_may_begin_where_a_long_one_is_cut() {
        let cut = format!("{}lock", "a".repeat(PIECE));
        assert_eq!(places(&["lock"], &cut), [Ok(PIECE..PIECE + 4)]);
        let short = format!(" {}lock", "a".repeat(PIECE - 1));
        assert_eq!(places(&["lock"], &short), []);
    }

    #[test]
    fn only_what_bytes_can_tell_is_asked_for() {
        let place = |place, word: &str| (place, word.to_owned());
        assert!(Neighbours::of(&[place(0, "a"), place(2, "b")]).is_none());
        assert!(Neighbours::of(&[place(0, "a"), place(1, "bär")]).is_none());
        assert!(Neighbours::of(&[place(0, "_a")]).is_none());
        assert!(Neighbours::of(&[place(0, &"a".repeat(PIECE))]).is_none());
        assert!(Neighbours::of(&[]).is_none());
    }
}
