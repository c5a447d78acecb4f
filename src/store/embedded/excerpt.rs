//! The part of a message that decides about a query.
//!
//! The analyser begins anew behind a blank: no rule of Unicode Standard Annex 29 looks across one. So where a query
//! asks a message for nothing but words and phrases, the places where their bytes stand, each from blank to blank,
//! match it exactly as the whole message does, and the rest need not be cut into words.

use super::need::{MESSAGE, is_text};
use super::neighbours::Neighbours;
use crate::query::{Kind, Node, Schema};
use std::ops::Range;

/// How far a blank is looked for, in bytes: paths and lists are shorter.
const FAR: usize = 4096;

/// Stands between the parts: a word that is in no phrase (see [`Neighbours`]), so that none reaches from one part
/// into another.
const APART: &str = " _x ";

/// Each phrase is looked for by itself; more of them take longer than cutting the message once.
const MOST: usize = 24;

/// All that a query asks of a message.
pub(super) struct Excerpt {
    phrases: Vec<Neighbours>,
}

impl Excerpt {
    /// `None` when a part of a message does not say what the whole says.
    pub(super) fn of(node: &Node, schema: &Schema) -> Option<Self> {
        let mut phrases = Vec::new();
        collect(node, schema, &mut phrases)?;
        (phrases.len() <= MOST).then_some(Self { phrases })
    }

    /// What is asked in place of a message; `None` where that would not be shorter, or not sure. `folded` is the
    /// message in lower case (ASCII only).
    pub(super) fn take(&self, folded: &[u8], message: &str) -> Option<String> {
        let parts = self.parts(folded)?;
        let length: usize = parts.iter().map(|part| part.len() + APART.len()).sum();
        if length * 2 > message.len() {
            return None;
        }
        let mut taken = String::with_capacity(length);
        for part in parts {
            taken.push_str(message.get(part)?);
            taken.push_str(APART);
        }
        Some(taken)
    }

    /// The places of all phrases, each from blank to blank, in order and apart from each other.
    fn parts(&self, folded: &[u8]) -> Option<Vec<Range<usize>>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        for phrase in &self.phrases {
            for place in phrase.places(folded) {
                let place = place.ok()?;
                let last = parts.last();
                if !last.is_some_and(|last| last.start <= place.start && place.end <= last.end) {
                    parts.push(between_blanks(folded, place)?);
                }
            }
        }
        parts.sort_unstable_by_key(|part| part.start);
        parts.dedup_by(|next, part| {
            let touches = next.start <= part.end;
            if touches {
                part.end = part.end.max(next.end);
            }
            touches
        });
        Some(parts)
    }
}

/// Adds what a query asks of the message; `None` when it asks for anything but words one after the other.
fn collect(node: &Node, schema: &Schema, phrases: &mut Vec<Neighbours>) -> Option<()> {
    let (field, words) = match &node.kind {
        Kind::All | Kind::Nothing => return Some(()),
        Kind::Boost(inner, _) => return collect(inner, schema, phrases),
        Kind::Bool(clauses) => {
            let mut nodes = clauses.iter().map(|clause| &clause.node);
            return nodes.try_for_each(|node| collect(node, schema, phrases));
        }
        Kind::Term { field, value } => (field, Neighbours::of(&[(0, value.clone())])),
        Kind::Phrase { field, words, slop } => (
            field,
            Some(words)
                .filter(|_| *slop == 0)
                .and_then(|words| Neighbours::of(words)),
        ),
        Kind::Exists(field)
        | Kind::Wildcard { field, .. }
        | Kind::Regex { field, .. }
        | Kind::Fuzzy { field, .. }
        | Kind::Range { field, .. } => (field, None),
    };
    if field == MESSAGE {
        phrases.push(words.filter(|_| is_text(field, schema))?);
    }
    Some(())
}

/// The place with all that stands between the blanks before and behind it, or the ends of the text.
fn between_blanks(text: &[u8], place: Range<usize>) -> Option<Range<usize>> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n');
    let from = place.start.saturating_sub(FAR);
    let start = match text[from..place.start].iter().rposition(blank) {
        Some(found) => from + found + 1,
        None if from == 0 => 0,
        None => return None,
    };
    let to = text.len().min(place.end + FAR);
    let end = match text[place.end..to].iter().position(blank) {
        Some(found) => place.end + found,
        None if to == text.len() => to,
        None => return None,
    };
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::query::{Document, Query};
    use proptest::prelude::*;

    fn query(text: &str) -> Query {
        Query::parse(text, &Schema::default()).unwrap()
    }

    fn excerpt(text: &str) -> Option<Excerpt> {
        Excerpt::of(query(text).root(), &Schema::default())
    }

    fn taken(query: &str, message: &str) -> Option<String> {
        let folded = message.to_ascii_lowercase();
        excerpt(query).unwrap().take(folded.as_bytes(), message)
    }

    #[test]
    fn parts_reach_from_blank_to_blank() {
        let message =
            "much before it, my.Lock wait/now\tand (lock)\nwait, and a block wait too behind it";
        assert_eq!(
            taken("\"lock wait\"", message).unwrap(),
            "my.Lock wait/now _x (lock)\nwait, _x "
        );
        assert_eq!(
            taken("lock AND tags:x", "a long message, but none").unwrap(),
            ""
        );
    }

    #[test]
    fn parts_that_touch_are_one() {
        let message = "a/b/c and a good deal of other words that nobody asks for";
        assert_eq!(
            taken("\"a b\" OR \"b c and\" OR c", message).unwrap(),
            "a/b/c and _x "
        );
    }

    #[test]
    fn the_whole_is_taken_where_it_is_no_longer_or_surer() {
        assert!(taken("wait", "a wait").is_none());
        let long = "-".repeat(FAR + 1);
        assert!(taken("lock", &format!("{long}lock {long} {long}")).is_none());
        assert!(taken("lock", &format!("{long} lock{long} {long}")).is_none());
        assert!(taken("\"lock wait\"", &format!("{long} lock \u{e9} wait {long}")).is_none());
    }

    #[test]
    fn other_questions_need_the_whole() {
        for text in [
            "lock*",
            "message:/lo.k/",
            "lock~1",
            "_exists_:message",
            "message:[a TO b]",
            "\"lock wait\"~1",
            "lock AND NOT wait*",
            "b\u{e4}r",
            "_x",
        ] {
            assert!(excerpt(text).is_none(), "{text}");
        }
        assert!(excerpt("lock AND tags:a* AND _exists_:filename").is_some());
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => prop::sample::select(vec!["lock", "wait", "Lock", "WAIT", "a", "7", "1", "x", "lock.wait"])
                .prop_map(str::to_owned),
            4 => prop::sample::select(vec![" ", "\n", "\t", ".", ":", "'", ",", ";", "_", "-", "/", "\u{301}", "é",
                "\u{200d}", "日", "本", "ก", "א", "\"", "\u{1f600}", "\u{a0}", "\u{2028}", "\u{fe0f}\u{20e3}"])
                .prop_map(str::to_owned),
            2 => (8_usize..80).prop_map(|count| " other".repeat(count) + " "),
            1 => (240_usize..270).prop_map(|count| "lock".repeat(count / 4) + &"w".repeat(count % 4)),
            1 => prop::sample::select(vec![200_usize, 4090, 4100]).prop_map(|count| "-".repeat(count)),
        ]
    }

    proptest! {
        #[test]
        fn a_part_says_what_the_whole_says(
            pieces in prop::collection::vec(piece(), 0..24),
            text in prop::sample::select(vec![
                "lock", "\"lock wait\"", "\"a lock\" OR 7", "\"wait 1\" AND NOT \"lock a\"", "lock AND NOT x",
                "NOT \"wait wait\"", "\"wait x\"", "\"a a\" OR (lock AND wait AND NOT 1)", "\"lock.wait a\"", "\"1 7 1\"",
            ]),
        ) {
            let message = pieces.concat();
            if let Some(taken) = taken(text, &message) {
                let matches = |message: &str| {
                    let event = Event::from_message(message);
                    query(text).matches(&Document::new(&event), jiff::Timestamp::UNIX_EPOCH)
                };
                prop_assert_eq!(matches(&taken), matches(&message), "{:?}", message);
            }
        }
    }
}
