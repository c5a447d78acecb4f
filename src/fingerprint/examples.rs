//! Runs the examples of a fingerprint.
//!
//! An example is the message of one event and has no other field. So every clause about another
//! field counts as met (a `NOT` on another field too), and only what is asked of `message` decides.

use super::{Condition, Fingerprint};
use crate::event::Event;
use crate::query::{Clause, Document, Kind, Node, Occur, Query, Schema};
use jiff::Timestamp;

/// True when a build with this one event could match: the condition sees it, `none` does not.
/// Of several queries (`all`, `any`, `sequence`) one must see it.
pub(super) fn sees(fingerprint: &Fingerprint, message: &str) -> bool {
    let event = Event::from_message(message);
    let document = Document::new(&event);
    let ask = |query: &Query| {
        Asked {
            query,
            document: &document,
        }
        .holds(query.root(), true)
    };
    let seen = match &fingerprint.condition {
        Condition::Pattern(pattern) => pattern.regex.is_match(message),
        condition => condition.queries().any(ask),
    };
    seen && !fingerprint.none.iter().any(ask)
}

struct Asked<'q, 'd> {
    query: &'q Query,
    document: &'d Document<'d>,
}

impl Asked<'_, '_> {
    /// Whether the node holds; `wanted` is what counts as met for a clause about another field.
    fn holds(&self, node: &Node, wanted: bool) -> bool {
        match &node.kind {
            Kind::All => true,
            Kind::Nothing => false,
            Kind::Boost(inner, _) => self.holds(inner, wanted),
            Kind::Bool(clauses) => self.group(clauses, wanted),
            Kind::Exists(field) if field == "message" => true,
            leaf => match field_of(leaf) {
                Some("message") => self.leaf(node),
                _ => wanted,
            },
        }
    }

    fn group(&self, clauses: &[Clause], wanted: bool) -> bool {
        let of = |occur| clauses.iter().filter(move |c| c.occur == occur);
        if of(Occur::MustNot).any(|c| self.holds(&c.node, !wanted)) {
            return false;
        }
        if of(Occur::Must).next().is_some() {
            return of(Occur::Must).all(|c| self.holds(&c.node, wanted));
        }
        let mut alternatives = of(Occur::Should).peekable();
        alternatives.peek().is_none() || alternatives.any(|c| self.holds(&c.node, wanted))
    }

    /// Asks one clause on its own; a clause of a field group reads as one on the default field.
    fn leaf(&self, node: &Node) -> bool {
        let text = self.query.source().get(node.span.clone());
        let query = text.and_then(|text| Query::parse(text, &Schema::default()).ok());
        query.is_some_and(|query| query.matches(self.document, Timestamp::UNIX_EPOCH))
    }
}

/// The field that a leaf asks about.
pub(super) fn field_of(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::All | Kind::Nothing | Kind::Bool(_) | Kind::Boost(..) => None,
        Kind::Exists(field)
        | Kind::Term { field, .. }
        | Kind::Phrase { field, .. }
        | Kind::Wildcard { field, .. }
        | Kind::Regex { field, .. }
        | Kind::Fuzzy { field, .. }
        | Kind::Range { field, .. } => Some(field),
    }
}
