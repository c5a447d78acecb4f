//! Which rows show by themselves that a condition holds: those of one word or phrase, found between
//! separators at which the analyser parts words for certain.

use super::kernel::fold;
use super::rows::Row;
use crate::matcher::progress::Wanted;
use crate::query::analyser::analyse;
use crate::query::{Kind, Node};

/// What stands behind each sub-token of a row but the last: the byte that joins it to the next one in a
/// word, or 0 where the next word begins.
pub(super) type Glue = Box<[u8]>;

/// The glue of a condition's row, when the condition asks for one word or phrase of the message.
pub(super) fn glue_of(wanted: &Wanted<'_>) -> Option<Glue> {
    let Wanted::Query(query) = wanted else {
        return None;
    };
    let mut leaves = Vec::new();
    messages(query.root(), &mut leaves);
    let [leaf] = leaves[..] else { return None };
    match &leaf.kind {
        Kind::Term { value, .. } => of_words([value.as_str()].into_iter()),
        Kind::Phrase { words, slop: 0, .. } => {
            let neighbours = words.windows(2).all(|two| two[0].0 + 1 == two[1].0);
            let words = words.iter().map(|(_, word)| word.as_str());
            neighbours.then(|| of_words(words))?
        }
        _ => None,
    }
}

/// All leaves about the message.
fn messages<'n>(node: &'n Node, found: &mut Vec<&'n Node>) {
    match &node.kind {
        Kind::Boost(inner, _) => messages(inner, found),
        Kind::Bool(clauses) => clauses.iter().for_each(|c| messages(&c.node, found)),
        kind if kind.field() == Some("message") => found.push(node),
        _ => {}
    }
}

fn of_words<'w>(words: impl Iterator<Item = &'w str>) -> Option<Glue> {
    let mut glue = Vec::new();
    for word in words {
        let mut alone = analyse(word);
        let same = alone.next().is_some_and(|found| found.text == word);
        if !same || alone.next().is_some() || !word.is_ascii() {
            return None;
        }
        // A run of `_` is skipped where rows are compared.
        let mut pieces = word.as_bytes().split(|byte| fold(*byte) == 0);
        if pieces.any(|piece| piece.iter().all(|byte| *byte == b'_')) {
            return None;
        }
        glue.extend(word.bytes().filter(|byte| fold(*byte) == 0));
        glue.push(0);
    }
    glue.pop()?;
    Some(glue.into())
}

/// What is certain of a row at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// It begins here, whole words side by side in one line.
    Whole(usize),
    /// It does not stand here.
    Not,
    /// That is not certain: it goes over a line's end, or letters beyond ASCII are in its way.
    Perhaps,
}

/// What is certain of the row whose sub-token `token` may begin at `at`.
pub(super) fn stand(text: &[u8], at: usize, row: &Row, token: usize, glue: &[u8]) -> Stand {
    match begins(text, at, row, token, glue) {
        Ok(start) => Stand::Whole(start),
        Err(stand) => stand,
    }
}

fn begins(text: &[u8], at: usize, row: &Row, token: usize, glue: &[u8]) -> Result<usize, Stand> {
    let mut end = at + word(text, at, &row[token])?;
    for (next, joint) in row[token + 1..].iter().zip(&glue[token..]) {
        let from = end + between(text[end - 1], text[end..].iter(), *joint)?;
        end = from + word(text, from, next)?;
    }
    ends(text[end - 1], text[end..].iter())?;
    let mut start = at;
    for (before, joint) in row[..token].iter().zip(glue).rev() {
        let to = start - between(text[start], text[..start].iter().rev(), *joint)?;
        let whole = text[..to].iter().rev().take_while(|b| fold(**b) != 0);
        start = to - whole.count();
        word(text, start, before)?;
    }
    ends(text[start], text[..start].iter().rev())?;
    Ok(start)
}

/// The length of a sub-token that begins here, if it is this one.
fn word(text: &[u8], at: usize, token: &[u8]) -> Result<usize, Stand> {
    let rest = &text[at..];
    let is_same = |found: &[u8]| found.iter().zip(token).all(|(a, b)| fold(*a) == *b);
    let same = rest.get(..token.len()).is_some_and(is_same);
    if same && rest.get(token.len()).is_none_or(|b| fold(*b) == 0) {
        return Ok(token.len());
    }
    // A run of `_` is no word.
    Err(if rest.first() == Some(&b'_') {
        Stand::Perhaps
    } else {
        Stand::Not
    })
}

/// The length of what stands behind a byte and before the next sub-token, when that is this joint.
fn between<'t>(
    before: u8,
    mut bytes: impl Iterator<Item = &'t u8>,
    joint: u8,
) -> Result<usize, Stand> {
    let first = plain(bytes.next())?;
    let (mut run, mut last) = (1, plain(bytes.next())?);
    if joint != 0 {
        let same = first == joint && fold(last) != 0;
        return if same { Ok(1) } else { Err(Stand::Not) };
    }
    if joins(before, first, last) {
        return Err(Stand::Not);
    }
    while fold(last) == 0 {
        run += 1;
        last = plain(bytes.next())?;
    }
    Ok(run)
}

/// A byte of which all is known.
fn plain(byte: Option<&u8>) -> Result<u8, Stand> {
    match byte {
        None | Some(b'\n' | b'\r' | 0x80..) => Err(Stand::Perhaps),
        Some(byte) => Ok(*byte),
    }
}

/// Whether a word ends between a byte and these.
fn ends<'t>(before: u8, mut bytes: impl Iterator<Item = &'t u8>) -> Result<(), Stand> {
    match bytes.next() {
        Some(0x80..) => Err(Stand::Perhaps),
        Some(joint) if may_join(*joint) => match bytes.next() {
            Some(0x80..) => Err(Stand::Perhaps),
            Some(after) if joins(before, *joint, *after) => Err(Stand::Not),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// True when no word goes over the byte at a place, for certain.
pub(super) fn parts(text: &[u8], at: usize) -> bool {
    let byte = text[at];
    if !byte.is_ascii() || fold(byte) != 0 {
        return false;
    }
    let beside = |at: Option<usize>| at.and_then(|at| text.get(at)).copied().unwrap_or(b' ');
    let (before, after) = (beside(at.checked_sub(1)), beside(at.checked_add(1)));
    before.is_ascii() && after.is_ascii() && !joins(before, byte, after)
}

/// Bytes that may join what stands on both sides of them.
fn may_join(byte: u8) -> bool {
    matches!(byte, b'.' | b':' | b'\'' | b',' | b';')
}

/// True when the analyser keeps together what stands on both sides of a byte (UAX #29, rules WB6, WB7,
/// WB11 and WB12).
fn joins(before: u8, joint: u8, after: u8) -> bool {
    let letters = before.is_ascii_alphabetic() && after.is_ascii_alphabetic();
    let digits = before.is_ascii_digit() && after.is_ascii_digit();
    match joint {
        b'.' | b'\'' => letters || digits,
        b':' => letters,
        b',' | b';' => digits,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::matcher::scan::rows::tokens;
    use crate::query::{Document, Query, Schema};
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn glue(query: &str) -> Option<Vec<u8>> {
        let query = Query::parse(query, &Schema::default()).unwrap();
        glue_of(&Wanted::Query(&query)).map(Vec::from)
    }

    #[test]
    fn of_one_word_or_phrase() {
        assert_eq!(glue("alpha"), Some(vec![]));
        assert_eq!(glue("\"in nova.compute now\""), Some(vec![0, b'.', 0]));
        assert_eq!(glue("alpha AND tags:x"), Some(vec![]));
        assert_eq!(glue("alpha AND beta"), None);
        assert_eq!(glue("\"alpha beta\"~2"), None);
        assert_eq!(glue("alph*"), None);
        assert_eq!(glue("caf\u{e9}"), None);
        assert_eq!(glue("\"a _ b\""), Some(vec![0]));
        assert_eq!(glue("tags:x"), None);
    }

    proptest! {
        #[test]
        fn no_word_goes_over_what_parts(text in "([aA]|b|1|_| |, |[-/.:;,'\"]|\u{e9}|\u{5d0}|\t){0,12}") {
            for (at, _) in text.char_indices().filter(|(at, _)| parts(text.as_bytes(), *at)) {
                for word in analyse(&text) {
                    prop_assert!(word.end <= at || word.start > at, "{text:?} at {at}");
                }
            }
        }

        #[test]
        fn what_is_certain_is_so(
            text in "([aA]|b|1|_| |, |[.:;,'-]|\u{e9}|\t){0,12}",
            phrase in "[ab1]1?([ .:][ab1]1?){0,2}",
        ) {
            let query = Query::parse(&format!("\"{phrase}\""), &Schema::default()).unwrap();
            let Some(glue) = glue_of(&Wanted::Query(&query)) else { return Ok(()) };
            let row = tokens(phrase.as_bytes());
            let event = Event::from_message(text.clone());
            let holds = query.matches(&Document::new(&event), Timestamp::UNIX_EPOCH);
            let bytes = text.as_bytes();
            for token in 0..row.len() {
                let begins = |at: &usize| *at == 0 || fold(bytes[*at - 1]) == 0;
                let all = (0..bytes.len()).filter(begins);
                let all: Vec<Stand> = all.map(|at| stand(bytes, at, &row, token, &glue)).collect();
                let whole = all.iter().any(|one| matches!(one, Stand::Whole(_)));
                prop_assert!(!whole || holds, "{text:?} has no {phrase:?}");
                prop_assert!(!holds || all.iter().any(|one| *one != Stand::Not), "{text:?} has {phrase:?}");
            }
        }
    }
}
