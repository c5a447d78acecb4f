//! Words so long that the analyser cuts them. A row that stands at a cut is not found by the bytes round it,
//! which do not show that a word ends there.

use super::kernel::fold;
use super::whole::parts;
use crate::query::analyser::analyse;
use std::collections::HashSet;

/// Words of more letters are cut by the analyser.
const MAX_WORD: usize = 255;

/// True when the run of bytes without blanks round a place has a word that the analyser may cut so that a
/// piece of it may be a word of a row with these sub-tokens.
pub(super) fn hides_word(text: &[u8], at: usize, tokens: &HashSet<Box<[u8]>>) -> bool {
    let at = at.min(text.len());
    let mut from = run_start(text, at);
    let run = &text[..run_end(text, at)];
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

/// Bytes that are looked at together, without a branch for each.
const TOGETHER: usize = 64;

/// True for what parts runs, as the kernel has it: were a run longer here, each of the kernel's in it would
/// look at all of it.
fn parts_runs(byte: u8) -> bool {
    byte <= b' '
}

fn has_parting(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(false, |any, byte| any | parts_runs(*byte))
}

/// Where the run that goes on at a place begins.
fn run_start(text: &[u8], at: usize) -> usize {
    let whole = text[..at].rchunks(TOGETHER);
    let skipped: usize = whole
        .take_while(|part| !has_parting(part))
        .map(<[u8]>::len)
        .sum();
    let rest = &text[..at - skipped];
    let last = rest.iter().rposition(|byte| parts_runs(*byte));
    last.map_or(0, |last| last + 1)
}

/// Where the run that goes on at a place ends.
fn run_end(text: &[u8], at: usize) -> usize {
    let whole = text[at..].chunks(TOGETHER);
    let skipped: usize = whole
        .take_while(|part| !has_parting(part))
        .map(<[u8]>::len)
        .sum();
    let rest = &text[at + skipped..];
    let first = rest.iter().position(|byte| parts_runs(*byte));
    first.map_or(text.len(), |first| at + skipped + first)
}

/// True when the analyser cuts this text, which has no certain end of a word inside, so that a row may have
/// one of the pieces as a word.
fn is_cut_at(text: &[u8], tokens: &HashSet<Box<[u8]>>) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return true;
    };
    analyse(text).any(|word| {
        let is_piece = word.start > 0 || word.end < text.len();
        is_piece && is_of(&text.as_bytes()[word.start..word.end], tokens)
    })
}

/// True for a word all of whose sub-tokens are among these. A run of `_` is none.
fn is_of(word: &[u8], tokens: &HashSet<Box<[u8]>>) -> bool {
    word.split(|byte| fold(*byte) == 0).all(|token| {
        let is_none = token.iter().all(|byte| *byte == b'_');
        is_none || tokens.contains(&token.to_ascii_lowercase()[..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(text: &str, tokens: &[&str]) -> bool {
        let boxed = tokens.iter().map(|token| token.as_bytes().into());
        hides_word(text.as_bytes(), text.len() / 2, &boxed.collect())
    }

    #[test]
    fn pieces_are_hidden_words() {
        let long = "x".repeat(255);
        assert!(hides(&format!("a {long}beta b"), &["beta"]));
        assert!(!hides(&format!("a {long}beta b"), &["bet"]));
        let middle = format!("a {}beta{} b", &long[2..], &long[2..]);
        assert!(!hides(&middle, &["beta"]));
        assert!(hides(&format!("{long}Beta.x"), &["beta", "x"]));
        assert!(!hides(&format!("{long}Beta.x"), &["beta"]));
        let beyond = format!("{long}\u{e9}beta");
        assert!(hides(&beyond, &["beta"]), "a letter beyond ASCII");
    }

    #[test]
    fn a_run_is_what_stands_between_blanks() {
        for before in [0, 1, 63, 64, 65, 200] {
            for behind in [0, 1, 63, 64, 65, 200] {
                let text = format!("a {}{}\tb", "x".repeat(before), "y".repeat(behind));
                let run = |at| (run_start(text.as_bytes(), at), run_end(text.as_bytes(), at));
                assert_eq!(run(2 + before), (2, 2 + before + behind));
                assert_eq!(run(text.len()), (text.len() - 1, text.len()));
            }
        }
        assert_eq!((run_start(b"", 0), run_end(b"", 0)), (0, 0));
    }

    #[test]
    fn a_word_as_long_as_a_cut_is_hidden() {
        let long = "x".repeat(255);
        assert!(hides(&format!("{long}__"), &[&long]));
        assert!(!hides(&format!("{long}__"), &["x"]));
    }

    #[test]
    fn a_run_ends_at_whatever_is_no_letter() {
        let long = "x".repeat(255);
        let text = format!("{long}beta\u{1}{}", "a".repeat(9000));
        assert!(!hides(&text, &["beta"]));
    }

    #[test]
    fn words_that_are_not_cut_hide_nothing() {
        let path = "/usr/lib".repeat(60);
        assert!(!hides(&path, &["usr", "lib"]));
        assert!(!hides(&"x".repeat(255), &["x"]));
    }
}
