//! From our tree of a query to the index's own queries.
//!
//! What comes out finds every event that matches, and perhaps more; when it can find more, it says
//! so, and the caller asks [`crate::query::Query::matches`] about each event found.

use super::document::{Columns, long_value_term, presence_term, value_prefix, value_term};
use crate::query::{Clause, FieldKind, Kind, Node, Occur, Schema};
use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, EmptyQuery, Occur as IndexOccur, PhraseQuery, Query, RegexQuery,
    TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};

/// The analysed field.
const MESSAGE: &str = "message";

/// A query of the index, and whether it finds exactly what is meant.
pub(super) struct Lowered {
    pub(super) query: Box<dyn Query>,
    pub(super) exact: bool,
}

impl Lowered {
    fn exact(query: impl Query) -> Self {
        Self {
            query: Box::new(query),
            exact: true,
        }
    }

    fn wider(query: impl Query) -> Self {
        Self {
            query: Box::new(query),
            exact: false,
        }
    }
}

/// Knows the index's columns and the kinds of the fields.
pub(super) struct Lowering<'a> {
    pub(super) columns: &'a Columns,
    pub(super) schema: &'a Schema,
}

impl Lowering<'_> {
    /// Lowers a node with all below it.
    pub(super) fn lower(&self, node: &Node) -> Lowered {
        match &node.kind {
            Kind::All => Lowered::exact(AllQuery),
            Kind::Nothing => Lowered::exact(EmptyQuery),
            Kind::Bool(clauses) => self.group(clauses),
            Kind::Boost(inner, _) => self.lower(inner),
            Kind::Term { field, value } => self.term(field, value),
            Kind::Phrase { field, words, slop } => self.phrase(field, words, *slop),
            Kind::Wildcard { field, pattern } => self.wildcard(field, pattern),
            Kind::Exists(field)
            | Kind::Regex { field, .. }
            | Kind::Fuzzy { field, .. }
            | Kind::Range { field, .. } => self.present(field),
        }
    }

    /// A condition on an exact value, beside the query.
    pub(super) fn equal(&self, field: &str, value: &str) -> Lowered {
        if presence_term(field).is_none() {
            return Lowered::wider(AllQuery);
        }
        match value_term(field, value) {
            Some(term) => Lowered::exact(self.keyword(&term)),
            None => Lowered::wider(self.keyword(&long_value_term(field))),
        }
    }

    fn group(&self, clauses: &[Clause]) -> Lowered {
        let with = |occur| {
            clauses
                .iter()
                .filter(move |c| c.occur == occur)
                .map(|c| &c.node)
        };
        let mut parts: Vec<(IndexOccur, Box<dyn Query>)> = Vec::new();
        let mut exact = true;
        for node in with(Occur::Must) {
            let lowered = self.lower(node);
            exact &= lowered.exact;
            parts.push((IndexOccur::Must, lowered.query));
        }
        // Beside a clause that must hold, those that may hold decide nothing.
        if parts.is_empty() {
            let some = self.one_of(with(Occur::Should));
            exact &= some.exact;
            parts.push((IndexOccur::Must, some.query));
        }
        for node in with(Occur::MustNot) {
            let lowered = self.lower(node);
            // To take away more than is meant would lose events; and the index's exclusion calls
            // phrases out of order (it asserts so), so only single terms are left to it.
            let sure = lowered.exact && matches!(node.kind, Kind::Term { .. });
            exact &= sure;
            if sure {
                parts.push((IndexOccur::MustNot, lowered.query));
            }
        }
        let query = match <[_; 1]>::try_from(parts) {
            Ok([(_, only)]) => only,
            Err(parts) => Box::new(BooleanQuery::new(parts)),
        };
        Lowered { query, exact }
    }

    /// One of the nodes holds; without any, every event does.
    fn one_of<'n>(&self, nodes: impl Iterator<Item = &'n Node>) -> Lowered {
        let (mut queries, mut exact) = (Vec::new(), true);
        for node in nodes {
            let lowered = self.lower(node);
            exact &= lowered.exact;
            queries.push(lowered.query);
        }
        if queries.is_empty() {
            return Lowered::exact(AllQuery);
        }
        let query = Box::new(BooleanQuery::union(queries));
        Lowered { query, exact }
    }

    fn term(&self, field: &str, value: &str) -> Lowered {
        match self.schema.kind(field) {
            FieldKind::Text if field == MESSAGE => Lowered::exact(self.word(value)),
            FieldKind::Keyword => self.equal(field, value),
            // The same number or moment can be written in several ways.
            _ => self.present(field),
        }
    }

    fn phrase(&self, field: &str, words: &[(u32, String)], slop: u32) -> Lowered {
        if field != MESSAGE || self.schema.kind(field) != FieldKind::Text {
            return self.present(field);
        }
        let term = |word: &String| Term::from_field_text(self.columns.message, word);
        match words {
            [] => Lowered::wider(AllQuery),
            [(_, word)] => Lowered::exact(self.word(word)),
            _ if slop == 0 => Lowered::exact(PhraseQuery::new_with_offset(
                words
                    .iter()
                    .map(|(at, word)| (*at as usize, term(word)))
                    .collect(),
            )),
            _ => {
                let all = words.iter().map(|(_, word)| self.word(word));
                let boxed = all.map(|query| Box::new(query) as Box<dyn Query>).collect();
                Lowered::wider(BooleanQuery::intersection(boxed))
            }
        }
    }

    fn wildcard(&self, field: &str, pattern: &str) -> Lowered {
        let expression = wildcard_expression(pattern);
        match self.schema.kind(field) {
            FieldKind::Text if field == MESSAGE => matching(self.columns.message, &expression)
                .map_or_else(|| self.present(field), Lowered::wider),
            FieldKind::Keyword => {
                let expression = format!("{}{expression}", escaped(&value_prefix(field)));
                let Some(short) = matching(self.columns.keyword, &expression) else {
                    return self.present(field);
                };
                let long = self.keyword(&long_value_term(field));
                Lowered::wider(BooleanQuery::union(vec![Box::new(short), Box::new(long)]))
            }
            _ => self.present(field),
        }
    }

    /// All events that have the field at all.
    fn present(&self, field: &str) -> Lowered {
        match presence_term(field) {
            Some(term) if field != MESSAGE => Lowered::wider(self.keyword(&term)),
            _ => Lowered::wider(AllQuery),
        }
    }

    fn word(&self, word: &str) -> TermQuery {
        let term = Term::from_field_text(self.columns.message, word);
        TermQuery::new(term, IndexRecordOption::Basic)
    }

    fn keyword(&self, term: &str) -> TermQuery {
        let term = Term::from_field_text(self.columns.keyword, term);
        TermQuery::new(term, IndexRecordOption::Basic)
    }
}

/// The regular expression of a wildcard pattern.
fn wildcard_expression(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str("(?s:.)*"),
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

fn matching(field: Field, expression: &str) -> Option<RegexQuery> {
    RegexQuery::from_pattern(expression, field).ok()
}
