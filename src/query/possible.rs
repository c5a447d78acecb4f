//! What a query says of all events of a log, by what is known of the whole log.

use super::ast::{Clause, Kind, Node, Occur};
use super::eval::Evaluation;
use super::parser::DEFAULT_FIELD;
use super::{Document, Query};
use crate::event::{Event, Fields};
use jiff::Timestamp;
use std::sync::Arc;

/// What is left of a query when the fields of a log are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It holds for no event.
    Nothing,
    /// It holds for all events.
    All,
    /// It holds where its clauses about the message do, each of them.
    Message,
    /// Anything else.
    More,
}

impl Query {
    /// What is left of the query for events that have these fields. `own` says of a field that events may
    /// have one of their own.
    pub fn left(&self, shared: &Arc<Fields>, own: &dyn Fn(&str) -> bool, now: Timestamp) -> Left {
        // Clauses about the message may differ: only what holds for neither answer of any of them is sure.
        match self.given(shared, own, now, &[None, Some(false), Some(true)])[..] {
            [Some(false), ..] => Left::Nothing,
            [Some(true), ..] => Left::All,
            [_, Some(false), Some(true)] => Left::Message,
            _ => Left::More,
        }
    }

    /// What the query says when all of its clauses about the message say this.
    fn given(
        &self,
        shared: &Arc<Fields>,
        own: &dyn Fn(&str) -> bool,
        now: Timestamp,
        messages: &[Option<bool>],
    ) -> Vec<Option<bool>> {
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
        let known = |node: &Node, message: Option<bool>| {
            let field = node.kind.field()?;
            if field == DEFAULT_FIELD {
                return message;
            }
            (!own(field)).then(|| evaluation.holds(node))
        };
        let each = messages.iter();
        each.map(|message| holds(self.root(), &|node| known(node, *message)))
            .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FieldValue;
    use crate::query::Schema;

    #[test]
    fn what_is_left_when_the_fields_are_known() {
        let mut shared = Fields::default();
        shared.add("tags", FieldValue::text("console"));
        let shared = Arc::new(shared);
        for (text, wanted) in [
            ("x", Left::Message),
            ("x AND tags:console", Left::Message),
            ("x AND NOT tags:syslog", Left::Message),
            ("x OR tags:syslog", Left::Message),
            ("x OR tags:console", Left::All),
            ("x tags:console", Left::All),
            ("x AND tags:syslog", Left::Nothing),
            ("x AND NOT tags:console", Left::Nothing),
            ("x AND _exists_:build_name", Left::Nothing),
            ("x AND (tags:syslog OR tags:a)", Left::Nothing),
            ("x AND loglevel:ERROR", Left::More),
            ("loglevel:ERROR", Left::More),
            ("NOT x", Left::More),
            ("x AND NOT y", Left::More),
            ("x AND NOT y AND tags:syslog", Left::Nothing),
            ("x OR NOT y", Left::More),
            ("err* AND tags:console", Left::Message),
            ("NOT tags:console", Left::Nothing),
            ("NOT tags:syslog", Left::All),
            ("*:*", Left::All),
            ("*", Left::Message),
        ] {
            let query = Query::parse(text, &Schema::default()).unwrap();
            let own = |field: &str| field == "loglevel";
            let left = query.left(&shared, &own, Timestamp::UNIX_EPOCH);
            assert_eq!(left, wanted, "{text}");
        }
    }
}
