//! The fingerprint language: what a real cluster takes a `query_string` to mean.
//!
//! In: the text of a query and the [`Schema`] (which field is analysed, a number, a date). Out: a
//! [`Query`] that can be explained, evaluated over one event, lowered to an index's own queries and
//! marked in a text. Invariants: no I/O; time comes in as a parameter; every node has a span.

mod ast;
mod schema;

pub use ast::{Clause, Kind, Node, Occur, Operator};
pub use schema::{FieldKind, Schema};

use crate::event::Event;
use jiff::Timestamp;

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// What is wrong and what to write instead.
    pub message: String,
    /// Byte offset in the query's text.
    pub offset: usize,
}

/// A query that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    source: String,
    root: Node,
}

impl Query {
    /// Reads a query.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, QueryError> {
        let _ = schema;
        Err(QueryError {
            message: format!("not built yet: {text}"),
            offset: 0,
        })
    }

    /// The text it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The tree in Lucene's `+ -` notation.
    pub fn explain(&self) -> String {
        String::new()
    }

    /// True when the event matches; `now` is what date maths calls now.
    pub fn matches(&self, document: &Document<'_>, now: Timestamp) -> bool {
        let _ = (document, now);
        false
    }

    /// Byte ranges of the event's message that the query's positive clauses cover, in order and
    /// without overlap.
    pub fn spans(&self, document: &Document<'_>) -> Vec<(usize, usize)> {
        let _ = document;
        Vec::new()
    }
}

/// An event prepared for many queries: its message is analysed once, when first needed.
#[derive(Debug)]
pub struct Document<'a> {
    event: &'a Event,
}

impl<'a> Document<'a> {
    /// Wraps an event.
    pub fn new(event: &'a Event) -> Self {
        Self { event }
    }

    /// The event.
    pub fn event(&self) -> &'a Event {
        self.event
    }
}
