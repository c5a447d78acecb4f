//! What the index keeps of a block: the words and values by which it is found, and columns.

use super::gate::Gate;
use super::pack::Packed;
use super::words::BETWEEN;
use crate::event::FieldValue;
use crate::store::fields::keyword_of;
use std::sync::Arc;
use tantivy::schema::{
    BytesOptions, FAST, Field, IndexRecordOption, NumericOptions, STRING, Schema,
    TextFieldIndexing, TextOptions, Value,
};
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};
use tantivy::{Index, TantivyDocument, Term};

/// Name under which the cutting of word lists is known to the index.
const LIST: &str = "whorl-list";

/// Longer values are not indexed as terms; their blocks carry a mark instead.
const MAX_VALUE: usize = 4_000;

/// Longer field names are not indexed at all.
const MAX_NAME: usize = 1_000;

/// The fields of the index.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) schema: Schema,
    /// The build that the block's events were appended for.
    pub(super) build: Field,
    /// Place of the first event among its build's events.
    first: Field,
    /// Number of events.
    count: Field,
    /// The earliest and the latest moment in microseconds since 1970.
    from: Field,
    to: Field,
    /// What the build was marked with when it was appended.
    mark: Field,
    /// The words of all messages.
    pub(super) words: Field,
    /// Every other field: one term for each value, and marks.
    pub(super) keyword: Field,
    /// The block itself.
    payload: Field,
}

impl Columns {
    pub(super) fn new() -> Self {
        let mut schema = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer(LIST)
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::Basic);
        let numbers = NumericOptions::default().set_fast();
        Self {
            build: schema.add_text_field("build", STRING | FAST),
            first: schema.add_u64_field("first", numbers.clone()),
            count: schema.add_u64_field("count", numbers.clone()),
            from: schema.add_i64_field("from", numbers.clone()),
            to: schema.add_i64_field("to", numbers.clone()),
            mark: schema.add_u64_field("mark", numbers),
            words: schema
                .add_text_field("words", TextOptions::default().set_indexing_options(words)),
            keyword: schema.add_text_field("keyword", STRING),
            payload: schema.add_bytes_field("payload", BytesOptions::default().set_stored()),
            schema: schema.build(),
        }
    }

    /// Makes the cutting of word lists known to an index that was just opened.
    pub(super) fn prepare(index: &Index, gate: &Arc<Gate>) {
        let list = List {
            gate: Arc::clone(gate),
            current: nowhere(),
        };
        let analyser = TextAnalyzer::builder(list).build();
        index.tokenizers().register(LIST, analyser);
    }

    /// The document for one block.
    pub(super) fn document(&self, build: &str, mark: u64, block: Packed) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        document.add_text(self.build, build);
        document.add_u64(self.first, block.first);
        document.add_u64(self.count, block.count);
        document.add_i64(self.from, block.time.0);
        document.add_i64(self.to, block.time.1);
        document.add_u64(self.mark, mark);
        document.add_text(self.words, block.words);
        for term in block.keywords {
            document.add_text(self.keyword, term);
        }
        document.add_bytes(self.payload, &block.payload);
        document
    }

    /// The block of a stored document; `None` when the document is not one of ours.
    pub(super) fn payload<'d>(&self, document: &'d TantivyDocument) -> Option<&'d [u8]> {
        document.get_first(self.payload)?.as_bytes()
    }

    pub(super) fn build_term(&self, uuid: &str) -> Term {
        Term::from_field_text(self.build, uuid)
    }

    pub(super) fn voting_term(&self, voting: bool) -> Term {
        Term::from_field_text(self.keyword, &Marks::voting(voting))
    }
}

/// Terms that say something other than a value of their blocks.
pub(super) struct Marks;

impl Marks {
    /// Some events are of a build that votes, or that does not.
    pub(super) fn voting(voting: bool) -> String {
        if voting { "!voting" } else { "!not-voting" }.to_owned()
    }

    /// Some events have a field.
    pub(super) fn presence(name: &str) -> Option<String> {
        (name.len() <= MAX_NAME).then(|| format!("?{name}"))
    }

    /// Some events have a value of the field that is no term: too long, or one of too many.
    pub(super) fn other_value(name: &str) -> String {
        let name = if name.len() > MAX_NAME { "" } else { name };
        format!("+{name}")
    }
}

/// The indexed form of one value, which no other field and value share; `None` when only the mark
/// of other values stands for it.
pub(super) fn value_term(name: &str, value: &str) -> Option<String> {
    (value.len() <= MAX_VALUE).then(|| format!("{}{value}", value_prefix(name)))
}

/// What all values of a field begin with in the index.
pub(super) fn value_prefix(name: &str) -> String {
    format!("{}:{name}=", name.len())
}

/// The terms of one field's value.
pub(super) fn keyword_terms(name: &str, value: &FieldValue) -> Vec<String> {
    let Some(presence) = Marks::presence(name) else {
        return Vec::new();
    };
    let mut terms = vec![presence];
    for value in value.values().into_iter().filter_map(keyword_of) {
        terms.push(value_term(name, &value).unwrap_or_else(|| Marks::other_value(name)));
    }
    terms
}

/// Cuts the list of a block's words, and lets the next block come.
#[derive(Clone)]
struct List {
    gate: Arc<Gate>,
    current: Token,
}

/// A word whose place nobody asks for.
fn nowhere() -> Token {
    Token {
        position: 0,
        ..Token::default()
    }
}

struct ListStream<'a> {
    rest: &'a str,
    current: &'a mut Token,
}

impl Tokenizer for List {
    type TokenStream<'a> = ListStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> ListStream<'a> {
        self.gate.leave(text.len());
        ListStream {
            rest: text,
            current: &mut self.current,
        }
    }
}

impl TokenStream for ListStream<'_> {
    fn advance(&mut self) -> bool {
        let Some((word, rest)) = self.rest.split_once(BETWEEN) else {
            return false;
        };
        self.current.text.clear();
        self.current.text.push_str(word);
        self.rest = rest;
        true
    }

    fn token(&self) -> &Token {
        self.current
    }

    fn token_mut(&mut self) -> &mut Token {
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_fields_share_a_term() {
        assert_ne!(value_term("a", "b=c"), value_term("a=b", "c"));
        assert_eq!(value_term("a", &"x".repeat(MAX_VALUE + 1)), None);
    }

    #[test]
    fn a_list_is_cut_into_its_words() {
        let mut list = List {
            gate: Arc::default(),
            current: nowhere(),
        };
        let mut found = Vec::new();
        let mut stream = list.token_stream("a\nbc\nä_1\n");
        stream.process(&mut |token| found.push(token.text.clone()));
        assert_eq!(found, ["a", "bc", "ä_1"]);
    }
}
