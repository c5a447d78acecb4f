//! What a query says of all events of a log, by what is known of the whole log.

use super::ast::{Clause, Kind, Node, Occur};
use super::eval::Evaluation;
use super::parser::DEFAULT_FIELD;
use super::{Document, Query};
use crate::event::{Event, Fields};
use jiff::Timestamp;
use std::sync::Arc;

impl Query {
    /// What the query says of every event that has these fields, whatever its message; `None` when that
    /// depends on the event. `own` says of a field that events may have one of their own.
    pub fn of_fields(
        &self,
        shared: &Arc<Fields>,
        own: &dyn Fn(&str) -> bool,
        now: Timestamp,
    ) -> Option<bool> {
        let event = Event {
            shared: Arc::clone(shared),
            ..Event::from_message("")
        };
        let document = Document::new(&event);
        let evaluation = Evaluation {
            query: self,
            document: &document,
            now,
        };
        let known = |node: &Node| {
            let field = field_of(&node.kind)?;
            let open = field == DEFAULT_FIELD || own(field);
            (!open).then(|| evaluation.holds(node))
        };
        holds(self.root(), &known)
    }
}

/// What a tree says when some of its leaves are not known.
fn holds(node: &Node, known: &dyn Fn(&Node) -> Option<bool>) -> Option<bool> {
    match &node.kind {
        Kind::All => Some(true),
        Kind::Nothing => Some(false),
        Kind::Boost(inner, _) => holds(inner, known),
        Kind::Bool(clauses) => of_group(clauses, known),
        _ => known(node),
    }
}

fn of_group(clauses: &[Clause], known: &dyn Fn(&Node) -> Option<bool>) -> Option<bool> {
    let of = |wanted: Occur| {
        let wanted = clauses.iter().filter(move |c| c.occur == wanted);
        wanted.map(|c| holds(&c.node, known)).collect::<Vec<_>>()
    };
    let (must, should, must_not) = (of(Occur::Must), of(Occur::Should), of(Occur::MustNot));
    let inner = if !must.is_empty() {
        all(&must)
    } else if should.is_empty() {
        Some(true)
    } else {
        let not: Vec<Option<bool>> = should.iter().map(|one| one.map(|v| !v)).collect();
        all(&not).map(|none| !none)
    };
    let none: Vec<Option<bool>> = must_not.iter().map(|one| one.map(|v| !v)).collect();
    all(&[inner, all(&none)])
}

fn all(values: &[Option<bool>]) -> Option<bool> {
    if values.contains(&Some(false)) {
        return Some(false);
    }
    (!values.contains(&None)).then_some(true)
}

/// The field that a leaf is about.
fn field_of(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::Exists(field)
        | Kind::Term { field, .. }
        | Kind::Phrase { field, .. }
        | Kind::Wildcard { field, .. }
        | Kind::Regex { field, .. }
        | Kind::Fuzzy { field, .. }
        | Kind::Range { field, .. } => Some(field),
        Kind::All | Kind::Nothing | Kind::Bool(_) | Kind::Boost(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FieldValue;
    use crate::query::Schema;

    #[test]
    fn what_the_fields_rule_out() {
        let mut shared = Fields::default();
        shared.add("tags", FieldValue::text("console"));
        let shared = Arc::new(shared);
        for (text, wanted) in [
            ("tags:console AND err*", None),
            ("tags:syslog AND err*", Some(false)),
            ("tags:syslog OR err*", None),
            ("tags:console OR err*", Some(true)),
            ("err* tags:console", Some(true)),
            ("NOT tags:console", Some(false)),
            ("NOT tags:syslog", Some(true)),
            ("err* AND NOT tags:console", Some(false)),
            ("loglevel:ERROR", None),
            ("_exists_:build_name AND x", Some(false)),
            ("NOT err*", None),
            ("*:*", Some(true)),
            ("*", None),
            ("(tags:syslog OR tags:a) AND x", Some(false)),
        ] {
            let query = Query::parse(text, &Schema::default()).unwrap();
            let own = |field: &str| field == "loglevel";
            let now = Timestamp::UNIX_EPOCH;
            assert_eq!(query.of_fields(&shared, &own, now), wanted, "{text}");
        }
    }
}
