//! From our tree of a query to a condition on blocks.
//!
//! What comes out finds every block that has an event which matches, and others; which events match
//! is asked of [`crate::query::Query::matches`].

use super::document::{Columns, Marks, value_prefix, value_term};
use super::identifiers::{indexed, may_have};
use super::words::{is_piece, pieces};
use crate::query::{Clause, FieldKind, Kind, Node, Occur, Schema};
use tantivy::Term;
use tantivy::query::{BooleanQuery, EmptyQuery, Query, RegexQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

/// The analysed field.
const MESSAGE: &str = "message";

/// Shorter parts of a word are in nearly every block.
const SHORTEST_PART: usize = 3;

/// A condition on blocks; `None` is every block.
pub(super) type Lowered = Option<Box<dyn Query>>;

/// Knows the index's fields and the kinds of ours.
pub(super) struct Lowering<'a> {
    pub(super) columns: &'a Columns,
    pub(super) schema: &'a Schema,
}

impl Lowering<'_> {
    /// Lowers a node with all below it.
    pub(super) fn lower(&self, node: &Node) -> Lowered {
        match &node.kind {
            Kind::All => None,
            Kind::Nothing => Some(Box::new(EmptyQuery)),
            Kind::Bool(clauses) => self.group(clauses),
            Kind::Boost(inner, _) => self.lower(inner),
            Kind::Term { field, value } => self.term(field, value),
            Kind::Phrase { field, words, .. } => self.phrase(field, words),
            Kind::Wildcard { field, pattern } => self.wildcard(field, pattern),
            Kind::Exists(field)
            | Kind::Regex { field, .. }
            | Kind::Fuzzy { field, .. }
            | Kind::Range { field, .. } => self.present(field),
        }
    }

    /// A condition on an exact value, beside the query.
    pub(super) fn equal(&self, field: &str, value: &str) -> Lowered {
        Marks::presence(field)?;
        let other = self.keyword(&Marks::other_value(field));
        match value_term(field, value) {
            Some(term) => one_of(vec![Some(self.keyword(&term)), Some(other)]),
            None => Some(other),
        }
    }

    fn group(&self, clauses: &[Clause]) -> Lowered {
        let with = |occur| {
            let some = clauses.iter().filter(move |c| c.occur == occur);
            some.map(|c| self.lower(&c.node))
        };
        // Which events must not match says nothing of the others in their block.
        if clauses.iter().any(|c| c.occur == Occur::Must) {
            return all_of(with(Occur::Must));
        }
        if clauses.iter().all(|c| c.occur == Occur::MustNot) {
            return None;
        }
        one_of(with(Occur::Should).collect())
    }

    fn term(&self, field: &str, value: &str) -> Lowered {
        match self.schema.kind(field) {
            FieldKind::Text if field == MESSAGE => self.word(value),
            FieldKind::Keyword if field != MESSAGE => self.equal(field, value),
            // The same number or moment can be written in several ways.
            _ => self.present(field),
        }
    }

    fn phrase(&self, field: &str, words: &[(u32, String)]) -> Lowered {
        if field != MESSAGE || self.schema.kind(field) != FieldKind::Text {
            return self.present(field);
        }
        all_of(words.iter().map(|(_, word)| self.word(word)))
    }

    fn wildcard(&self, field: &str, pattern: &str) -> Lowered {
        match self.schema.kind(field) {
            FieldKind::Text if field == MESSAGE => self.words_like(pattern),
            FieldKind::Keyword if field != MESSAGE => {
                let prefix = escaped(&value_prefix(field));
                let expression = format!("{prefix}{}", wildcard_expression(pattern));
                let Some(short) = matching(self.columns.keyword, &expression) else {
                    return self.present(field);
                };
                let other = self.keyword(&Marks::other_value(field));
                one_of(vec![Some(short), Some(other)])
            }
            _ => self.present(field),
        }
    }

    /// Blocks with all pieces that a word like the pattern has.
    fn words_like(&self, pattern: &str) -> Lowered {
        if !pattern.is_ascii() {
            // Words with letters beyond ASCII are in the index whole.
            return matching(self.columns.words, &wildcard_expression(pattern));
        }
        let parts = parts(pattern);
        all_of(parts.iter().map(|part| part.lower(self)))
    }

    /// All blocks with an event that has the field at all.
    fn present(&self, field: &str) -> Lowered {
        let mark = Marks::presence(field).filter(|_| field != MESSAGE)?;
        Some(self.keyword(&mark))
    }

    fn word(&self, word: &str) -> Lowered {
        all_of(
            pieces(word)
                .into_iter()
                .map(|piece| Some(self.piece(piece))),
        )
    }

    fn piece(&self, piece: &str) -> Box<dyn Query> {
        exactly(Term::from_field_text(self.columns.words, &indexed(piece)))
    }

    fn keyword(&self, term: &str) -> Box<dyn Query> {
        exactly(Term::from_field_text(self.columns.keyword, term))
    }
}

/// Blocks with a term.
pub(super) fn exactly(term: Term) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

/// All conditions hold.
pub(super) fn all_of(conditions: impl Iterator<Item = Lowered>) -> Lowered {
    let mut conditions: Vec<Box<dyn Query>> = conditions.flatten().collect();
    match conditions.len() {
        0 | 1 => conditions.pop(),
        _ => Some(Box::new(BooleanQuery::intersection(conditions))),
    }
}

/// One of the conditions holds.
pub(super) fn one_of(conditions: Vec<Lowered>) -> Lowered {
    let conditions: Option<Vec<Box<dyn Query>>> = conditions.into_iter().collect();
    Some(Box::new(BooleanQuery::union(conditions?)))
}

/// A part of a word that a pattern spells out.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    text: String,
    /// Nothing else of the piece stands before it.
    begins: bool,
    /// Nothing else of the piece stands behind it.
    ends: bool,
}

impl Part {
    fn lower(&self, lowering: &Lowering<'_>) -> Lowered {
        if self.begins && self.ends {
            return Some(lowering.piece(&self.text));
        }
        if self.text.len() < SHORTEST_PART || may_have(&self.text) {
            return None;
        }
        let any = |bound: bool| if bound { "" } else { "[a-z0-9_]*" };
        let expression = format!("{}{}{}", any(self.begins), self.text, any(self.ends));
        matching(lowering.columns.words, &expression)
    }
}

/// The parts between the wildcards and the characters that separate pieces.
fn parts(pattern: &str) -> Vec<Part> {
    let (mut all, mut text, mut begins) = (Vec::new(), String::new(), true);
    let mut chars = pattern.chars();
    loop {
        let (c, wild) = match chars.next() {
            Some('\\') => (chars.next(), false),
            Some(c @ ('*' | '?')) => (Some(c), true),
            other => (other, false),
        };
        if let Some(c) = c.filter(|c| !wild && u8::try_from(*c).is_ok_and(is_piece)) {
            text.push(c);
            continue;
        }
        if !text.is_empty() {
            let text = std::mem::take(&mut text);
            let ends = !wild;
            all.push(Part { text, begins, ends });
        }
        if c.is_none() {
            return all;
        }
        begins = !wild;
    }
}

/// What `*` is in an expression for the index.
const ANYTHING: &str = "(?s:.)*";

/// The regular expression of a wildcard pattern.
fn wildcard_expression(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' if out.ends_with(ANYTHING) => {}
            '*' => out.push_str(ANYTHING),
            '?' => out.push_str("(?s:.)"),
            '\\' => push_escaped(&mut out, chars.next().unwrap_or('\\')),
            other => push_escaped(&mut out, other),
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    text.chars().for_each(|c| push_escaped(&mut out, c));
    out
}

fn push_escaped(out: &mut String, c: char) {
    if r"\.+*?()|[]{}^$#&-~".contains(c) {
        out.push('\\');
    }
    out.push(c);
}

/// Longest expression that the index is asked for: a state of its automaton may take as much. All
/// blocks may have what matches a longer one.
const LONGEST: usize = 32 << 10;

fn matching(field: Field, expression: &str) -> Lowered {
    if expression.len() > LONGEST {
        return None;
    }
    let query = RegexQuery::from_pattern(expression, field).ok()?;
    Some(Box::new(query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_in_a_row_are_one_and_a_long_expression_is_not_asked_for() {
        assert_eq!(
            wildcard_expression("***a**?*"),
            "(?s:.)*a(?s:.)*(?s:.)(?s:.)*"
        );
        assert_eq!(wildcard_expression(r"a\**"), r"a\*(?s:.)*");
        let field = Field::from_field_id(0);
        assert!(matching(field, &wildcard_expression(&"?".repeat(10))).is_some());
        assert!(matching(field, &wildcard_expression(&"?".repeat(10_000))).is_none());
    }

    #[test]
    fn a_pattern_spells_out_parts_of_pieces() {
        let part = |text: &str, begins, ends| Part {
            text: text.into(),
            begins,
            ends,
        };
        for (pattern, expected) in [
            ("foo*", vec![part("foo", true, false)]),
            ("*foo", vec![part("foo", false, true)]),
            (
                "a.foo?b",
                vec![
                    part("a", true, true),
                    part("foo", true, false),
                    part("b", false, true),
                ],
            ),
            (
                r"x\*y*",
                vec![part("x", true, true), part("y", true, false)],
            ),
            ("*", vec![]),
        ] {
            assert_eq!(parts(pattern), expected, "{pattern}");
        }
    }
}
