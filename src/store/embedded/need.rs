//! What the text of an event must have, as bytes, for a query to match it.
//!
//! Looking for bytes is much cheaper than making the event and evaluating the query; what is left
//! over is evaluated exactly. Texts are compared in lower case (ASCII only): a block with characters
//! beyond ASCII that become ASCII in lower case is not asked (see `pack.rs`).

use super::neighbours::Neighbours;
use crate::query::pattern::{Step, steps};
use crate::query::{Clause, FieldKind, Kind, Node, Occur, Schema};
use memchr::memmem::Finder;

pub(super) const MESSAGE: &str = "message";

/// So many words one after the other are still found faster than events are made.
const MOST_WORDS: usize = 24;

/// A condition that holds for every text that matches, and for others.
pub(super) enum Need {
    /// Nothing is known.
    Any,
    /// The text has these bytes.
    Word(Box<Finder<'static>>),
    /// It may have these words one after the other.
    Neighbours(Box<Neighbours>),
    /// All hold.
    All(Vec<Need>),
    /// One holds.
    One(Vec<Need>),
}

impl Need {
    /// What a query needs.
    pub(super) fn of(node: &Node, schema: &Schema) -> Self {
        match &node.kind {
            Kind::Bool(clauses) => Self::group(clauses, schema),
            Kind::Boost(inner, _) => Self::of(inner, schema),
            Kind::Term { field, value } if is_text(field, schema) => {
                Self::words(&[(0, value.clone())], 0)
            }
            Kind::Phrase { field, words, slop } if is_text(field, schema) => {
                Self::words(words, *slop)
            }
            Kind::Wildcard { field, pattern } if is_text(field, schema) => Self::pattern(pattern),
            _ => Self::Any,
        }
    }

    /// The longest of the parts that a pattern spells out.
    fn pattern(pattern: &str) -> Self {
        let (mut part, mut longest) = (String::new(), String::new());
        for step in steps(pattern) {
            match step {
                Step::Char(c) => part.push(c),
                Step::Many | Step::One => part.clear(),
            }
            if part.len() > longest.len() {
                longest.clone_from(&part);
            }
        }
        Self::word(&longest)
    }

    fn group(clauses: &[Clause], schema: &Schema) -> Self {
        let with = |occur| {
            let some = clauses.iter().filter(move |c| c.occur == occur);
            some.map(|c| Self::of(&c.node, schema))
        };
        if clauses.iter().any(|c| c.occur == Occur::Must) {
            return Self::all(with(Occur::Must));
        }
        let one: Vec<Self> = with(Occur::Should).collect();
        if one.is_empty() || one.iter().any(|need| matches!(need, Self::Any)) {
            return Self::Any;
        }
        Self::One(one)
    }

    /// First each word as bytes, which is cheap, then all of them side by side.
    fn words(words: &[(u32, String)], slop: u32) -> Self {
        let each = words.iter().map(|(_, word)| Self::word(word));
        let close = Some(words).filter(|_| slop == 0).and_then(Neighbours::of);
        Self::all(each.chain(close.map(Box::new).map(Self::Neighbours)))
    }

    fn all(needs: impl Iterator<Item = Self>) -> Self {
        let mut needs: Vec<Self> = needs.filter(|need| !matches!(need, Self::Any)).collect();
        match needs.len() {
            0 => Self::Any,
            1 => needs.remove(0),
            _ => Self::All(needs),
        }
    }

    fn word(word: &str) -> Self {
        // Bytes beyond ASCII can be written in another case.
        let parts = word.split(|c: char| !c.is_ascii());
        match parts.max_by_key(|part| part.len()) {
            Some(part) if !part.is_empty() => {
                Self::Word(Box::new(Finder::new(part.as_bytes()).into_owned()))
            }
            _ => Self::Any,
        }
    }

    /// True when a text in lower case could match.
    pub(super) fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Word(word) => word.find(text).is_some(),
            Self::Neighbours(words) => words.places(text).next().is_some(),
            Self::All(needs) => needs.iter().all(|need| need.holds(text)),
            Self::One(needs) => needs.iter().any(|need| need.holds(text)),
        }
    }

    /// A few words of which every matching text has one: the longest, for these are rare. `None`
    /// when there are no such words.
    pub(super) fn anchors(&self) -> Option<Vec<&Finder<'static>>> {
        let found = match self {
            Self::Any | Self::Neighbours(_) => return None,
            Self::Word(word) => vec![&**word],
            Self::All(needs) => {
                let choices = needs.iter().filter_map(Self::anchors);
                choices.max_by_key(|words| {
                    let shortest = words.iter().map(|word| word.needle().len()).min();
                    (std::cmp::Reverse(words.len()), shortest)
                })?
            }
            Self::One(needs) => {
                let all: Option<Vec<_>> = needs.iter().map(Self::anchors).collect();
                all?.into_iter().flatten().collect()
            }
        };
        (found.len() <= MOST_WORDS).then_some(found)
    }
}

pub(super) fn is_text(field: &str, schema: &Schema) -> bool {
    field == MESSAGE && schema.kind(field) == FieldKind::Text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    fn need(text: &str) -> Need {
        let schema = Schema::default();
        let query = Query::parse(text, &schema).unwrap();
        Need::of(query.root(), &schema)
    }

    #[test]
    fn texts_are_told_by_their_bytes() {
        let held = |query: &str, text: &str| need(query).holds(text.as_bytes());
        assert!(held("\"lock wait\" AND tags:x", "a lock, wait"));
        assert!(!held("\"lock wait\" AND tags:x", "a lock"));
        assert!(!held("\"lock wait\"", "wait for the lock"));
        assert!(!held("\"lock wait\"", "a block wait"));
        assert!(held("\"lock wait\"", "lock \u{e9} wait"));
        assert!(held("\"lock wait\"~2", "wait for the lock"));
        assert!(!held("lock", "a block"));
        assert!(held("lock OR wait", "wait"));
        assert!(!held("lock OR wait", "neither"));
        assert!(held("lock OR tags:x", "neither"));
        assert!(held("NOT lock", "neither"));
        assert!(held("Ärger", "\u{c4}rger"));
        assert!(!held("wait*", "neither"));
        assert!(held("wait*", "it waited"));
        assert!(held("a*wai?", "it waited"));
        assert!(!held("*a?aiter", "it waited"));
        assert!(held("*", "neither"));
        assert!(held("\u{e4}*\u{f6}", "neither"));
        assert!(held("a\\*b*", "a*bc") && !held("a\\*b*", "abc"));
    }

    #[test]
    fn long_words_are_looked_for_first() {
        let need = need("\"in the neighbourhood\" AND (a OR b)");
        let anchors = need.anchors().unwrap();
        assert_eq!(anchors[0].needle(), b"neighbourhood");
    }
}
