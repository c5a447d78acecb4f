//! From one sub-token of a line to the next, either way. Runs of `_` are no words and are gone over; where a
//! line ends the walk does, since what stands beyond may be another event's.

use super::kernel::fold;
use super::{Row, Sure};

/// The sub-token that begins at a place or is the first behind it; the place is then the one behind its end.
/// Fails with what ends the line.
pub(super) fn forwards<'t>(text: &'t [u8], at: &mut usize) -> Result<&'t [u8], Sure> {
    loop {
        let rest = &text[*at..];
        let begins = |byte: &u8| fold(*byte) != 0 || is_end(*byte);
        let rest = &rest[rest.iter().position(begins).ok_or(Sure::Beyond)?..];
        if is_end(rest[0]) {
            return Err(end_of(rest));
        }
        let length = rest.iter().take_while(|byte| fold(**byte) != 0).count();
        *at = text.len() - rest.len() + length;
        if is_word(&rest[..length]) {
            return Ok(&rest[..length]);
        }
    }
}

/// The sub-token that ends before a place, which is then the one of its first byte. Fails with what ends the
/// line before.
pub(super) fn backwards<'t>(text: &'t [u8], at: &mut usize) -> Result<&'t [u8], Sure> {
    loop {
        let rest = &text[..*at];
        let ends = |byte: &u8| fold(*byte) != 0 || is_end(*byte);
        let rest = &rest[..=rest.iter().rposition(ends).ok_or(Sure::Beyond)?];
        match rest.last() {
            Some(b'\n') => return Err(Sure::Beyond),
            Some(b'\r') => return Err(Sure::Nothing),
            _ => {}
        }
        let own = rest.iter().rev().take_while(|byte| fold(**byte) != 0);
        *at = rest.len() - own.count();
        if is_word(&rest[*at..]) {
            return Ok(&rest[*at..]);
        }
    }
}

/// What is certain of the row round the place `at`, where its sub-token `token` may begin, if it can stand
/// there. Over a line's end nothing is compared: what stands there may go on in another line of the event.
pub(super) fn stands(text: &[u8], at: usize, row: &Row, token: usize) -> Option<Sure> {
    let (mut end, mut start) = (at, at);
    let ahead = same(row[token..].iter(), || forwards(text, &mut end))?;
    let behind = same(row[..token].iter().rev(), || backwards(text, &mut start))?;
    Some(if ahead == Sure::Beyond { ahead } else { behind })
}

fn same<'r, 't>(
    row: impl Iterator<Item = &'r Box<[u8]>>,
    mut next: impl FnMut() -> Result<&'t [u8], Sure>,
) -> Option<Sure> {
    for token in row {
        match next() {
            Ok(word) if word.eq_ignore_ascii_case(token) => {}
            Ok(_) => return None,
            Err(end) => return Some(end),
        }
    }
    Some(Sure::Nothing)
}

fn is_word(token: &[u8]) -> bool {
    token.iter().any(|byte| *byte != b'_')
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// What ends a line here: its end, or a carriage return that begins the screen line anew, which is a line
/// end inside of one line's text.
fn end_of(rest: &[u8]) -> Sure {
    let next = rest.iter().find(|byte| **byte != b'\r');
    if next.is_none_or(|byte| *byte == b'\n') {
        Sure::Beyond
    } else {
        Sure::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_walk_ends_with_the_line() {
        let text = b"before\none, __ TWO\r\nnext\rline";
        let mut at = 7;
        assert_eq!(forwards(text, &mut at), Ok(&b"one"[..]));
        assert_eq!(forwards(text, &mut at), Ok(&b"TWO"[..]));
        assert_eq!((forwards(text, &mut at), at), (Err(Sure::Beyond), 18));
        assert_eq!(backwards(text, &mut at), Ok(&b"TWO"[..]));
        assert_eq!(backwards(text, &mut at), Ok(&b"one"[..]));
        assert_eq!((backwards(text, &mut at), at), (Err(Sure::Beyond), 7));
        let mut at = 20;
        assert_eq!(forwards(text, &mut at), Ok(&b"next"[..]));
        assert_eq!(forwards(text, &mut at), Err(Sure::Nothing));
        at = text.len();
        assert_eq!(backwards(text, &mut at), Ok(&b"line"[..]));
        assert_eq!(backwards(text, &mut at), Err(Sure::Nothing));
    }

    proptest! {
        #[test]
        fn both_ways_meet_the_same_words(line in "([aA]|b|1|_| |, |[.:']|\u{e9}){0,24}") {
            let text = line.as_bytes();
            let (mut at, mut back) = (0, text.len());
            let there: Vec<_> = std::iter::from_fn(|| forwards(text, &mut at).ok()).collect();
            let mut again: Vec<_> = std::iter::from_fn(|| backwards(text, &mut back).ok()).collect();
            again.reverse();
            prop_assert_eq!(there, again);
        }
    }
}
