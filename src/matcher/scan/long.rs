//! Words so long that the analyser cuts them. A row that stands at a cut is not found by the bytes round it,
//! which do not show that a word ends there.

use super::kernel::fold;
use super::whole::parts;
use crate::query::analyser::analyse;
use std::collections::HashSet;

/// Words of more letters are cut by the analyser.
const MAX_WORD: usize = 255;

/// True when the run of bytes without blanks round a place has a word that the analyser may cut so that one
/// of these sub-tokens is at the cut.
pub(super) fn hides_word(text: &[u8], at: usize, tokens: &HashSet<Box<[u8]>>) -> bool {
    let blank = |byte: &u8| *byte <= b' ';
    let at = at.min(text.len());
    let mut from = text[..at].iter().rposition(blank).map_or(0, |end| end + 1);
    let end = text[at..].iter().position(blank);
    let run = &text[..end.map_or(text.len(), |end| at + end)];
    let parts = |at: &usize| parts(run, *at);
    // Most runs are addresses, paths and lists: where words part is looked for from behind, so that few
    // bytes of them are looked at.
    while run.len() > from + MAX_WORD {
        let behind = from + MAX_WORD;
        if let Some(end) = (from..=behind).rev().find(parts) {
            from = end + 1;
            continue;
        }
        let end = (behind + 1..run.len()).find(parts).unwrap_or(run.len());
        if is_cut_at(&run[from..end], tokens) {
            return true;
        }
        from = end + 1;
    }
    false
}

/// True when one of the sub-tokens may be where the analyser cuts this text, which has no certain end of a
/// word inside.
fn is_cut_at(text: &[u8], tokens: &HashSet<Box<[u8]>>) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return true;
    };
    analyse(text).any(|word| {
        let shown = &text[word.start..word.end];
        (word.start > 0 && is_known(first_of(shown), tokens))
            || (word.end < text.len() && is_known(last_of(shown), tokens))
    })
}

/// True for one of the sub-tokens, and for what is none: a run of `_`, or nothing beside another letter.
fn is_known(token: &[u8], tokens: &HashSet<Box<[u8]>>) -> bool {
    token.iter().all(|byte| *byte == b'_') || tokens.contains(&token.to_ascii_lowercase()[..])
}

fn first_of(word: &str) -> &[u8] {
    let bytes = word.as_bytes();
    let end = bytes.iter().position(|byte| fold(*byte) == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

fn last_of(word: &str) -> &[u8] {
    let bytes = word.as_bytes();
    let before = bytes.iter().rposition(|byte| fold(*byte) == 0);
    &bytes[before.map_or(0, |before| before + 1)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(text: &str, tokens: &[&str]) -> bool {
        let boxed = tokens.iter().map(|token| token.as_bytes().into());
        hides_word(text.as_bytes(), text.len() / 2, &boxed.collect())
    }

    #[test]
    fn words_at_cuts_are_hidden() {
        let long = "x".repeat(255);
        assert!(hides(&format!("a {long}beta b"), &["beta"]));
        assert!(!hides(
            &format!("a {}beta{} b", &long[2..], &long[2..]),
            &["beta"]
        ));
        assert!(hides(&format!("{long}Beta.x.y"), &["beta"]));
        assert!(!hides(&format!("{long}beta.x.y"), &["x", "y", "bet"]));
        assert!(
            hides(&format!("{long}\u{e9}beta"), &["gamma"]),
            "a letter beyond ASCII"
        );
    }

    #[test]
    fn a_word_as_long_as_a_cut_is_hidden() {
        let long = "x".repeat(255);
        assert!(hides(&format!("{long}__"), &[&long]));
        assert!(!hides(&format!("{long}__"), &["x"]));
    }

    #[test]
    fn words_that_are_not_cut_hide_nothing() {
        let path = "/usr/lib".repeat(60);
        assert!(!hides(&path, &["usr", "lib"]));
        assert!(!hides(&"x".repeat(255), &["x"]));
    }
}
