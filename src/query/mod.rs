//! The fingerprint language: what a real cluster takes a `query_string` to mean.
//!
//! In: the text of a query and the [`Schema`] (which field is analysed, a number, a date). Out: a
//! [`Query`] that can be explained, evaluated over one event, lowered to an index's own queries and
//! marked in a text. Invariants: no I/O; time comes in as a parameter; every node has a span.
//!
//! The way of a query: `lexer` (tokens) → `parser` (clauses) → `leaf` (what each condition means for
//! its field; words by `analyser`) → `eval`.

pub mod analyser;
mod ast;
mod date;
mod eval;
mod explain;
mod leaf;
mod lexer;
mod number;
mod parser;
pub(crate) mod pattern;
mod phrase;
mod portable;
mod possible;
mod regexp;
mod rename;
mod schema;
mod tables;

pub use ast::{Clause, Kind, Node, Occur, Operator};
pub use possible::Left;
pub use rename::rename_fields;
pub use schema::{FieldKind, Schema};

use crate::event::Event;
use analyser::{Word, analyse};
use eval::Evaluation;
use jiff::Timestamp;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

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
#[derive(Debug, Clone)]
pub struct Query {
    source: Arc<str>,
    root: Node,
    schema: Arc<Schema>,
    dropped: Vec<Range<usize>>,
    programs: Arc<BTreeMap<String, regexp::Program>>,
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root && self.source == other.source
    }
}

impl Query {
    /// Reads a query. The schema decides what each condition means for its field.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, QueryError> {
        let parsed = parser::parse(text, schema)?;
        let programs = compile(&parsed.root);
        Ok(Self {
            source: Arc::from(text),
            root: parsed.root,
            schema: Arc::new(schema.clone()),
            dropped: parsed.dropped,
            programs: Arc::new(programs),
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

    /// The parts of the text that the analyser reduced to nothing, and that therefore say nothing.
    pub fn dropped(&self) -> &[Range<usize>] {
        &self.dropped
    }

    /// The tree in Lucene's `+ -` notation.
    pub fn explain(&self) -> String {
        explain::explain(&self.root)
    }

    /// True when the event matches; `now` is what date maths calls now.
    pub fn matches(&self, document: &Document<'_>, now: Timestamp) -> bool {
        Evaluation {
            query: self,
            document,
            now,
        }
        .holds(&self.root)
    }

    /// Byte ranges of the event's message that the query's positive clauses cover, in order and
    /// without overlap.
    pub fn spans(&self, document: &Document<'_>) -> Vec<(usize, usize)> {
        let mut spans = Vec::new();
        let now = Timestamp::UNIX_EPOCH;
        Evaluation {
            query: self,
            document,
            now,
        }
        .mark(&self.root, &mut spans);
        merge(spans)
    }

    fn program(&self, pattern: &str) -> Option<&regexp::Program> {
        self.programs.get(pattern)
    }
}

/// The expressions of a query, made ready in their order as far as there is room.
fn compile(root: &Node) -> BTreeMap<String, regexp::Program> {
    let mut programs = BTreeMap::new();
    collect(root, &mut programs);
    let mut taken = 0;
    for program in programs.values_mut() {
        program.make_ready(&mut taken);
    }
    programs
}

fn collect(node: &Node, programs: &mut BTreeMap<String, regexp::Program>) {
    match &node.kind {
        Kind::Regex { pattern, .. } => {
            // The parser has refused what cannot be read.
            if let Ok(program) = regexp::Program::new(pattern) {
                programs.insert(pattern.clone(), program);
            }
        }
        Kind::Bool(clauses) => clauses.iter().for_each(|c| collect(&c.node, programs)),
        Kind::Boost(inner, _) => collect(inner, programs),
        _ => {}
    }
}

/// Sorts ranges and joins those that overlap or touch.
pub(crate) fn merge(mut spans: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    spans.sort_unstable();
    let mut out: Vec<(usize, usize)> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match out.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

/// An event prepared for many queries: its message is analysed once, when first needed.
#[derive(Debug)]
pub struct Document<'a> {
    event: &'a Event,
    words: OnceCell<Vec<Word<'a>>>,
}

impl<'a> Document<'a> {
    /// Wraps an event.
    pub fn new(event: &'a Event) -> Self {
        Self {
            event,
            words: OnceCell::new(),
        }
    }

    /// The event.
    pub fn event(&self) -> &'a Event {
        self.event
    }

    /// The words of its message.
    pub fn words(&self) -> &[Word<'a>] {
        self.words
            .get_or_init(|| analyse(&self.event.message).collect())
    }

    /// Whether the event has a message at all.
    fn has_message(&self) -> bool {
        !self.event.message.is_empty() || self.event.field("message").is_some()
    }
}
