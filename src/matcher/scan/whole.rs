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

/// Where the row begins that stands at `at` with its sub-token `token`, when it is certain that these are
/// whole words and neighbours.
pub(super) fn begins(
    text: &[u8],
    at: usize,
    row: &Row,
    token: usize,
    glue: &[u8],
) -> Option<usize> {
    let mut end = at + word(text, at, &row[token])?;
    for (next, joint) in row[token + 1..].iter().zip(&glue[token..]) {
        let from = end + between(text[end..].iter(), *joint)?;
        end = from + word(text, from, next)?;
    }
    if !parts(text[end..].iter()) {
        return None;
    }
    let mut start = at;
    for (before, joint) in row[..token].iter().zip(glue).rev() {
        let to = start - between(text[..start].iter().rev(), *joint)?;
        start = to.checked_sub(before.len())?;
        word(text, start, before)?;
        if start > 0 && fold(text[start - 1]) != 0 {
            return None;
        }
    }
    parts(text[..start].iter().rev()).then_some(start)
}

/// The length of a sub-token, when it stands here as a whole.
fn word(text: &[u8], at: usize, token: &[u8]) -> Option<usize> {
    let found = text.get(at..at + token.len())?;
    let ends = text.get(at + token.len()).is_none_or(|b| fold(*b) == 0);
    (ends && found.eq_ignore_ascii_case(token)).then_some(token.len())
}

/// The length of what stands between two sub-tokens, when that is certain to be this joint.
fn between<'t>(mut bytes: impl Iterator<Item = &'t u8> + Clone, joint: u8) -> Option<usize> {
    if joint != 0 {
        let one = *bytes.next()? == joint && fold(*bytes.next()?) != 0;
        return one.then_some(1);
    }
    let run = separators(bytes.clone())?;
    let joined = run == 1 && bytes.next().is_some_and(|byte| may_join(*byte));
    (run > 0 && !joined).then_some(run)
}

/// How many separators come first; `None` when they are not plain ones of one line.
fn separators<'t>(bytes: impl Iterator<Item = &'t u8>) -> Option<usize> {
    let mut run = 0;
    for byte in bytes {
        match byte {
            b'\n' | b'\r' | 0x80.. => return None,
            byte if fold(*byte) != 0 => break,
            _ => run += 1,
        }
    }
    Some(run)
}

/// True when a word ends for certain before these bytes.
fn parts<'t>(mut bytes: impl Iterator<Item = &'t u8>) -> bool {
    match bytes.next() {
        Some(0x80..) => false,
        Some(byte) if may_join(*byte) => bytes
            .next()
            .is_none_or(|next| next.is_ascii() && fold(*next) == 0),
        None | Some(_) => true,
    }
}

/// Bytes that join the letters or digits on both sides of them (UAX #29, `MidLetter`, `MidNum` and `MidNumLet`).
fn may_join(byte: u8) -> bool {
    matches!(byte, b'.' | b':' | b'\'' | b',' | b';')
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
        fn what_is_certain_is_so(
            text in "([aA]|b1|_| |, |[.:;'-]|\u{e9}|\t){0,12}",
            phrase in "[ab]1?([ .:][ab]1?){0,2}",
        ) {
            let query = Query::parse(&format!("\"{phrase}\""), &Schema::default()).unwrap();
            let Some(glue) = glue_of(&Wanted::Query(&query)) else { return Ok(()) };
            let row = tokens(phrase.as_bytes());
            let event = Event::from_message(text.clone());
            let holds = query.matches(&Document::new(&event), Timestamp::UNIX_EPOCH);
            let bytes = text.as_bytes();
            for token in 0..row.len() {
                for at in (0..bytes.len()).filter(|at| *at == 0 || fold(bytes[*at - 1]) == 0) {
                    prop_assert!(begins(bytes, at, &row, token, &glue).is_none() || holds);
                }
            }
        }
    }
}
