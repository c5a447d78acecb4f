//! What kind of value a field holds, as a cluster's mapping says it.

use crate::event::{Event, FieldValue};
use std::collections::BTreeMap;

/// How a field's values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Analysed by the standard analyser: a list of words with positions.
    Text,
    /// One exact string.
    Keyword,
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Long,
    /// A number with a fraction.
    Float,
    /// A moment, with date maths.
    Date,
    /// True or false.
    Boolean,
    /// No event has it: every condition on it matches nothing.
    Unmapped,
}

/// The kinds of all fields. Unlisted fields are keywords (or unmapped, for a closed schema).
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    kinds: BTreeMap<String, FieldKind>,
    closed: bool,
}

impl Default for Schema {
    /// `message` is text, `@timestamp` a date, `voting` a whole number, all others keywords.
    fn default() -> Self {
        let kinds = [
            ("message", FieldKind::Text),
            ("@timestamp", FieldKind::Date),
            ("voting", FieldKind::Integer),
        ];
        Self {
            kinds: kinds.map(|(name, kind)| (name.to_owned(), kind)).into(),
            closed: false,
        }
    }
}

impl Schema {
    /// Sets the kind of one field.
    pub fn set(&mut self, name: &str, kind: FieldKind) {
        self.kinds.insert(name.to_owned(), kind);
    }

    /// Says that fields not listed do not exist.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// The kind of a field.
    pub fn kind(&self, name: &str) -> FieldKind {
        let default = if self.closed {
            FieldKind::Unmapped
        } else {
            FieldKind::Keyword
        };
        self.kinds.get(name).copied().unwrap_or(default)
    }

    /// True when the field has a kind of its own, set or inferred.
    pub fn lists(&self, name: &str) -> bool {
        self.kinds.contains_key(name)
    }

    /// Every listed field with its kind.
    pub fn fields(&self) -> impl Iterator<Item = (&str, FieldKind)> {
        self.kinds.iter().map(|(name, kind)| (name.as_str(), *kind))
    }
}

impl Schema {
    /// The kinds that a cluster's dynamic mapping gives the fields of these events: `message`,
    /// `@timestamp` and `voting` as in the default, other strings keywords, numbers and booleans by
    /// their first value; fields that no event has do not exist.
    pub fn infer<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut schema = Self::default();
        schema.close();
        for event in events {
            for (name, value) in event.fields() {
                if schema.kinds.contains_key(name) {
                    continue;
                }
                if let Some(first) = value.values().first() {
                    schema.set(name, kind_of(first));
                }
            }
        }
        schema
    }
}

fn kind_of(value: &FieldValue) -> FieldKind {
    match value {
        FieldValue::Bool(_) => FieldKind::Boolean,
        FieldValue::Integer(_) => FieldKind::Long,
        FieldValue::Float(_) => FieldKind::Float,
        FieldValue::Text(_) | FieldValue::Many(_) => FieldKind::Keyword,
    }
}
