//! What is indexed of an event, and the way back from the index to the event.

use crate::event::{Event, FieldValue, Fields, Location};
use crate::query::analyser;
use crate::store::fields::{keyword_of, time_of, votes};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tantivy::schema::{
    BytesOptions, FAST, Field, IndexRecordOption, NumericOptions, STRING, Schema,
    TextFieldIndexing, TextOptions, Value,
};
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};
use tantivy::{Index, TantivyDocument, Term};

/// Name under which our analyser is known to the index.
const ANALYSER: &str = "whorl-standard";

/// Longer values are not indexed as terms; their documents carry a mark and are read instead.
const MAX_VALUE: usize = 4_000;

/// Longer field names are not indexed at all.
const MAX_NAME: usize = 1_000;

/// Mark of the events whose build does not vote.
const NOT_VOTING: &str = "!not-voting";

/// The columns of the index.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) schema: Schema,
    /// The build that the event was appended for.
    pub(super) build: Field,
    /// Place of the event among its build's events.
    pub(super) seq: Field,
    /// The event's moment in microseconds since 1970.
    pub(super) time: Field,
    /// The analysed message.
    pub(super) message: Field,
    /// Every other field: one term for each value, and marks.
    pub(super) keyword: Field,
    /// The whole event.
    pub(super) source: Field,
}

impl Columns {
    pub(super) fn new() -> Self {
        let mut schema = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer(ANALYSER)
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let numbers = NumericOptions::default().set_fast();
        Self {
            build: schema.add_text_field("build", STRING | FAST),
            seq: schema.add_u64_field("seq", numbers.clone()),
            time: schema.add_i64_field("time", numbers),
            message: schema.add_text_field(
                "message",
                TextOptions::default().set_indexing_options(words),
            ),
            keyword: schema.add_text_field("keyword", STRING),
            source: schema.add_bytes_field("source", BytesOptions::default().set_stored()),
            schema: schema.build(),
        }
    }

    /// Makes our analyser known to an index that was just opened.
    pub(super) fn prepare(index: &Index) {
        let analyser = TextAnalyzer::builder(StandardTokenizer::default()).build();
        index.tokenizers().register(ANALYSER, analyser);
    }

    /// The document for one event.
    pub(super) fn document(
        &self,
        build: &str,
        seq: u64,
        event: &Event,
        otherwise: Timestamp,
    ) -> Result<TantivyDocument, serde_json::Error> {
        let mut document = TantivyDocument::default();
        document.add_text(self.build, build);
        document.add_u64(self.seq, seq);
        document.add_i64(
            self.time,
            time_of(event).unwrap_or(otherwise).as_microsecond(),
        );
        document.add_text(self.message, &event.message);
        for (name, value) in event.fields() {
            for term in keyword_terms(name, value) {
                document.add_text(self.keyword, term);
            }
        }
        if !votes(event) {
            document.add_text(self.keyword, NOT_VOTING);
        }
        document.add_bytes(self.source, &serde_json::to_vec(&Source::from(event))?);
        Ok(document)
    }

    /// The event of a stored document; `None` when the document is not one of ours.
    pub(super) fn event(&self, document: &TantivyDocument) -> Option<Event> {
        let bytes = document.get_first(self.source)?.as_bytes()?;
        let source: Source = serde_json::from_slice(bytes).ok()?;
        Some(source.into())
    }

    pub(super) fn build_term(&self, uuid: &str) -> Term {
        Term::from_field_text(self.build, uuid)
    }

    pub(super) fn not_voting_term(&self) -> Term {
        Term::from_field_text(self.keyword, NOT_VOTING)
    }
}

/// The indexed form of one value, which no other field and value share; `None` when only the mark
/// of long values stands for it.
pub(super) fn value_term(name: &str, value: &str) -> Option<String> {
    (value.len() <= MAX_VALUE).then(|| format!("{}{value}", value_prefix(name)))
}

/// What all values of a field begin with in the index.
pub(super) fn value_prefix(name: &str) -> String {
    format!("{}:{name}=", name.len())
}

/// Mark of the events that have a field.
pub(super) fn presence_term(name: &str) -> Option<String> {
    (name.len() <= MAX_NAME).then(|| format!("?{name}"))
}

/// Mark of the events that have a value of the field which is too long for a term.
pub(super) fn long_value_term(name: &str) -> String {
    format!("+{name}")
}

fn keyword_terms(name: &str, value: &FieldValue) -> Vec<String> {
    let Some(presence) = presence_term(name) else {
        return Vec::new();
    };
    let mut terms = vec![presence];
    for value in value.values().into_iter().filter_map(keyword_of) {
        terms.push(value_term(name, &value).unwrap_or_else(|| long_value_term(name)));
    }
    // A value that stands twice in a list must be counted once.
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// The stored form of an event.
#[derive(Serialize, Deserialize)]
struct Source {
    #[serde(rename = "m")]
    message: String,
    #[serde(rename = "o", default, skip_serializing_if = "Fields::is_empty")]
    own: Fields,
    #[serde(rename = "s", default, skip_serializing_if = "Fields::is_empty")]
    shared: Fields,
    #[serde(rename = "f")]
    file: Arc<str>,
    /// Line, number of lines, offset, length.
    #[serde(rename = "at")]
    at: (u64, u32, u64, u64),
}

impl From<&Event> for Source {
    fn from(event: &Event) -> Self {
        let at = &event.at;
        Self {
            message: event.message.clone(),
            own: event.own.clone(),
            shared: (*event.shared).clone(),
            file: Arc::clone(&at.file),
            at: (at.line, at.lines, at.offset, at.length),
        }
    }
}

impl From<Source> for Event {
    fn from(source: Source) -> Self {
        let (line, lines, offset, length) = source.at;
        Self {
            message: source.message,
            own: source.own,
            shared: Arc::new(source.shared),
            at: Location {
                file: source.file,
                line,
                lines,
                offset,
                length,
            },
        }
    }
}

/// The query room's analyser in the shape that the index wants.
#[derive(Clone, Default)]
struct StandardTokenizer {
    words: Words,
}

/// The words of one text; kept so that the next text uses the same memory.
#[derive(Clone, Default)]
struct Words {
    all: Vec<Token>,
    next: usize,
    current: Token,
}

impl Tokenizer for StandardTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.words.next = 0;
        self.words.all.clear();
        self.words
            .all
            .extend(analyser::analyse(text).map(|word| Token {
                offset_from: word.start,
                offset_to: word.end,
                position: word.position as usize,
                text: word.text.into_owned(),
                position_length: 1,
            }));
        WordStream(&mut self.words)
    }
}

struct WordStream<'a>(&'a mut Words);

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let words = &mut *self.0;
        let Some(token) = words.all.get_mut(words.next) else {
            return false;
        };
        std::mem::swap(token, &mut words.current);
        words.next += 1;
        true
    }

    fn token(&self) -> &Token {
        &self.0.current
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.0.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let mut event = Event::from_message("two\nlines");
        event.own.set("pid", FieldValue::Integer(7));
        event.own.set("took", FieldValue::Float(1.0));
        event.own.set("ok", FieldValue::Bool(true));
        let tags = FieldValue::Many(vec![FieldValue::text("console"), FieldValue::text("b")]);
        event.shared = Arc::new([("tags", tags)].into_iter().collect());
        event.at = Location {
            file: "a/b.log".into(),
            line: 3,
            lines: 2,
            offset: 10,
            length: 10,
        };
        let columns = Columns::new();
        let document = columns
            .document("b", 0, &event, Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(columns.event(&document), Some(event));
    }

    #[test]
    fn no_two_fields_share_a_term() {
        assert_ne!(value_term("a", "b=c"), value_term("a=b", "c"));
        assert_eq!(value_term("a", &"x".repeat(MAX_VALUE + 1)), None);
    }
}
