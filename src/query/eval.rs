//! Whether one event matches a tree, and which parts of its message show it.

use super::analyser::{Word, analyse};
use super::ast::{Clause, Kind, Node, Occur};
use super::date::{self, Fill};
use super::number::Number;
use super::parser::DEFAULT_FIELD;
use super::pattern::{wildcard_matches, within_distance};
use super::{Document, FieldKind, Query, phrase};
use crate::event::FieldValue;
use jiff::Timestamp;
use std::borrow::Cow;
use std::cmp::Ordering;

/// One evaluation: the query (for its schema and programs), the event and the time.
pub(super) struct Evaluation<'q, 'd, 'e> {
    pub(super) query: &'q Query,
    pub(super) document: &'d Document<'e>,
    pub(super) now: Timestamp,
}

impl Evaluation<'_, '_, '_> {
    /// True when the event matches the node.
    pub(super) fn holds(&self, node: &Node) -> bool {
        match &node.kind {
            Kind::All => true,
            Kind::Nothing => false,
            Kind::Boost(inner, _) => self.holds(inner),
            Kind::Bool(clauses) => self.group(clauses),
            Kind::Exists(field) => self.exists(field),
            Kind::Term { field, value } => {
                self.any_value(field, |v| self.equals(field, v, value), |w| w == value)
            }
            Kind::Phrase { field, words, slop } => self.phrase(field, words, *slop),
            Kind::Wildcard { field, pattern } => {
                self.any_word(field, |w| wildcard_matches(pattern, w))
            }
            Kind::Regex { pattern, field } => {
                let Some(program) = self.query.program(pattern) else {
                    return false;
                };
                self.any_word(field, |w| program.matches(w))
            }
            Kind::Fuzzy {
                field,
                value,
                distance,
            } => self.any_word(field, |w| within_distance(value, w, *distance)),
            Kind::Range {
                field,
                lower,
                upper,
            } => self.range(field, lower.as_ref(), upper.as_ref()),
        }
    }

    /// All required clauses hold, no prohibited one does, and where none is required one of the
    /// optional ones does. A group of prohibited clauses alone starts from all events.
    fn group(&self, clauses: &[Clause]) -> bool {
        let of = |occur: Occur| clauses.iter().filter(move |c| c.occur == occur);
        if of(Occur::MustNot).any(|c| self.holds(&c.node)) {
            return false;
        }
        if of(Occur::Must).next().is_some() {
            return of(Occur::Must).all(|c| self.holds(&c.node));
        }
        of(Occur::Should).next().is_none() || of(Occur::Should).any(|c| self.holds(&c.node))
    }

    fn kind(&self, field: &str) -> FieldKind {
        self.query.schema.kind(field)
    }

    fn exists(&self, field: &str) -> bool {
        if field == DEFAULT_FIELD {
            return self.document.has_message();
        }
        self.document
            .event()
            .field(field)
            .is_some_and(|value| !value.values().is_empty())
    }

    /// Any word of a text field, or any value of another, as text.
    fn any_word(&self, field: &str, test: impl Fn(&str) -> bool) -> bool {
        self.any_value(field, |value| test(&as_text(value)), &test)
    }

    fn any_value(
        &self,
        field: &str,
        value: impl Fn(&FieldValue) -> bool,
        word: impl Fn(&str) -> bool,
    ) -> bool {
        if field == DEFAULT_FIELD {
            return self.document.words().iter().any(|w| word(&w.text));
        }
        let Some(found) = self.document.event().field(field) else {
            return false;
        };
        if self.kind(field) == FieldKind::Text {
            return found
                .values()
                .into_iter()
                .any(|v| analyse(&as_text(v)).any(|w| word(&w.text)));
        }
        found.values().into_iter().any(value)
    }

    fn equals(&self, field: &str, found: &FieldValue, wanted: &str) -> bool {
        match self.kind(field) {
            kind @ (FieldKind::Integer | FieldKind::Long | FieldKind::Float) => {
                match (stored(found, kind), bound(wanted, kind)) {
                    (Some(found), Some(wanted)) => found.compare(wanted) == Ordering::Equal,
                    _ => false,
                }
            }
            _ => as_text(found) == wanted,
        }
    }

    fn phrase(&self, field: &str, phrase: &[(u32, String)], slop: u32) -> bool {
        if field == DEFAULT_FIELD {
            let search = phrase::Search::new(self.document.words(), phrase, slop);
            return search.first(0).is_some();
        }
        let Some(found) = self.document.event().field(field) else {
            return false;
        };
        found.values().into_iter().any(|value| {
            let text = as_text(value);
            let words: Vec<Word<'_>> = analyse(&text).collect();
            let search = phrase::Search::new(&words, phrase, slop);
            search.first(0).is_some()
        })
    }

    fn range(
        &self,
        field: &str,
        lower: Option<&(String, bool)>,
        upper: Option<&(String, bool)>,
    ) -> bool {
        match self.kind(field) {
            FieldKind::Date => self.dates(field, lower, upper),
            kind @ (FieldKind::Integer | FieldKind::Long | FieldKind::Float) => {
                self.numbers(field, kind, lower, upper)
            }
            _ => self.any_word(field, |word| {
                lower.is_none_or(|(from, included)| {
                    word > from.as_str() || (*included && word == from)
                }) && upper
                    .is_none_or(|(to, included)| word < to.as_str() || (*included && word == to))
            }),
        }
    }

    fn numbers(
        &self,
        field: &str,
        kind: FieldKind,
        lower: Option<&(String, bool)>,
        upper: Option<&(String, bool)>,
    ) -> bool {
        let meets = |found: Number, side: Option<&(String, bool)>, outside: Ordering| {
            side.is_none_or(|(text, included)| {
                bound(text, kind).is_some_and(|limit| match found.compare(limit) {
                    Ordering::Equal => *included,
                    order => order != outside,
                })
            })
        };
        self.any_value(
            field,
            |value| {
                stored(value, kind).is_some_and(|found| {
                    meets(found, lower, Ordering::Less) && meets(found, upper, Ordering::Greater)
                })
            },
            |_| false,
        )
    }

    /// An included bound reaches to the edge of what it names (a day, an hour), an excluded one
    /// begins behind that edge.
    fn dates(
        &self,
        field: &str,
        lower: Option<&(String, bool)>,
        upper: Option<&(String, bool)>,
    ) -> bool {
        let resolve = |text: &str, fill| date::resolve(text, self.now, fill).ok();
        let from = lower.map(|(text, included)| match included {
            true => resolve(text, Fill::Down),
            false => resolve(text, Fill::Up).map(|m| m + 1),
        });
        let to = upper.map(|(text, included)| match included {
            true => resolve(text, Fill::Up),
            false => resolve(text, Fill::Down).map(|m| m - 1),
        });
        if matches!(from, Some(None)) || matches!(to, Some(None)) {
            return false;
        }
        let (from, to) = (from.flatten(), to.flatten());
        self.any_value(
            field,
            |value| {
                let Some(moment) = moment(value) else {
                    return false;
                };
                from.is_none_or(|from| moment >= from) && to.is_none_or(|to| moment <= to)
            },
            |_| false,
        )
    }

    /// Adds the ranges of the message that the node's positive clauses cover.
    pub(super) fn mark(&self, node: &Node, spans: &mut Vec<(usize, usize)>) {
        match &node.kind {
            Kind::Bool(clauses) => clauses
                .iter()
                .filter(|c| c.occur != Occur::MustNot && self.holds(&c.node))
                .for_each(|c| self.mark(&c.node, spans)),
            Kind::Boost(inner, _) => self.mark(inner, spans),
            Kind::Phrase { field, words, slop } if field == DEFAULT_FIELD => {
                self.mark_phrases(words, *slop, spans);
            }
            Kind::Term { field, value } if field == DEFAULT_FIELD => {
                self.mark_words(spans, |w| w == value);
            }
            Kind::Wildcard { field, pattern } if field == DEFAULT_FIELD => {
                self.mark_words(spans, |w| wildcard_matches(pattern, w));
            }
            Kind::Fuzzy {
                field,
                value,
                distance,
            } if field == DEFAULT_FIELD => {
                self.mark_words(spans, |w| within_distance(value, w, *distance));
            }
            Kind::Regex { field, pattern } if field == DEFAULT_FIELD => {
                if let Some(program) = self.query.program(pattern) {
                    self.mark_words(spans, |w| program.matches(w));
                }
            }
            _ => {}
        }
    }

    fn mark_words(&self, spans: &mut Vec<(usize, usize)>, test: impl Fn(&str) -> bool) {
        let words = self.document.words().iter().filter(|w| test(&w.text));
        spans.extend(words.map(|w| (w.start, w.end)));
    }

    fn mark_phrases(&self, phrase: &[(u32, String)], slop: u32, spans: &mut Vec<(usize, usize)>) {
        let words = self.document.words();
        let search = phrase::Search::new(words, phrase, slop);
        let mut from = 0;
        while let Some(found) = search.first(from) {
            let (Some(&first), Some(&last)) = (found.first(), found.last()) else {
                return;
            };
            if slop == 0 {
                spans.push((words[first].start, words[last].end));
            } else {
                spans.extend(found.iter().map(|&at| (words[at].start, words[at].end)));
            }
            from = first + 1;
        }
    }
}

/// A value as a keyword field indexes it.
fn as_text(value: &FieldValue) -> Cow<'_, str> {
    match value {
        FieldValue::Text(text) => Cow::Borrowed(text),
        FieldValue::Integer(n) => Cow::Owned(n.to_string()),
        FieldValue::Float(x) => Cow::Owned(format!("{x:?}")),
        FieldValue::Bool(b) => Cow::Borrowed(if *b { "true" } else { "false" }),
        FieldValue::Many(_) => Cow::Borrowed(""),
    }
}

/// The number that a field of this kind stores for a value.
fn stored(value: &FieldValue, kind: FieldKind) -> Option<Number> {
    let number = match value {
        FieldValue::Integer(n) => Number::Whole(i128::from(*n)),
        FieldValue::Float(x) => Number::Real(*x),
        FieldValue::Text(text) => Number::parse(text)?,
        FieldValue::Bool(_) | FieldValue::Many(_) => return None,
    };
    Some(match kind {
        FieldKind::Float => number.single(),
        _ => number.cut(),
    })
}

/// The number that a query names, as a field of this kind compares it.
fn bound(text: &str, kind: FieldKind) -> Option<Number> {
    let number = Number::parse(text)?;
    Some(if kind == FieldKind::Float {
        number.single()
    } else {
        number
    })
}

fn moment(value: &FieldValue) -> Option<i64> {
    match value {
        FieldValue::Text(text) => date::of_value(text),
        FieldValue::Integer(n) => Some(*n),
        FieldValue::Float(_) | FieldValue::Bool(_) | FieldValue::Many(_) => None,
    }
}
