//! The types that travel: builds, log events, field values, verdicts, hits and matches.
//!
//! In: nothing. Out: plain data, used by every other room. Invariants: this room does no I/O, knows
//! no file format and uses no other room.

mod bug;
mod build;
mod field;
mod verdict;

pub use bug::{BugFacts, BugReview, BugStatus};
pub use build::{Build, BuildError};
pub use field::{FieldValue, Fields};
pub use verdict::{BugRef, Evidence, Match, Verdict};

use std::sync::Arc;

/// One message of a build's log: a line, or a block of lines that belong together (a traceback).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The text that queries see: no ANSI sequences, no timestamp prefix; lines of a block are
    /// joined by `\n`.
    pub message: String,
    /// Fields of this event alone (`loglevel`, `module`, `pid`, `@timestamp`, …).
    pub own: Fields,
    /// Fields that all events of the same log file share (`filename`, `tags`, `build_name`, …).
    pub shared: Arc<Fields>,
    /// Where the event stands in the log.
    pub at: Location,
}

impl Event {
    /// An event with only a message, as examples and tests need it.
    pub fn from_message(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            own: Fields::default(),
            shared: Arc::default(),
            at: Location::default(),
        }
    }

    /// The value of a field other than `message`; an event's own value wins over the shared one.
    pub fn field(&self, name: &str) -> Option<&FieldValue> {
        self.own.get(name).or_else(|| self.shared.get(name))
    }

    /// All fields other than `message`, own values first, each name once.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        let shared = self
            .shared
            .iter()
            .filter(|(name, _)| self.own.get(name).is_none());
        self.own.iter().chain(shared)
    }
}

/// Where an event begins in a (decompressed) log file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Location {
    /// Path of the file below the build's log root, `/` between the parts.
    pub file: Arc<str>,
    /// Number of the event's first line, counted from 1; 0 where there is no file.
    pub line: u64,
    /// Number of lines in the event.
    pub lines: u32,
    /// Byte offset of the first line in the decompressed file.
    pub offset: u64,
    /// Length in bytes of all its lines in the decompressed file, line ends included.
    pub length: u64,
}

/// The first bytes of a text, cut between two characters.
pub(crate) fn bounded(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// True for a character that shows nothing and can make people see what is not there: control
/// characters, and those that turn the direction of the text after them.
pub fn is_deceptive(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control()
}

impl Event {
    /// Reads an event from a JSON object as clusters return them; nested objects become dotted
    /// names. A missing message is empty; one that is there but empty is kept as a field too, so
    /// that the two can be told apart.
    pub fn from_json(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        let message = object.get("message").map(message_text).unwrap_or_default();
        let mut event = Self::from_message(message);
        add_fields(&mut event.own, "", object);
        if object.get("message").is_some_and(|m| m == "") {
            event.own.set("message", FieldValue::text(""));
        }
        event
    }
}

fn message_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => String::new(),
        serde_json::Value::Array(all) => {
            let parts: Vec<String> = all.iter().map(message_text).collect();
            parts.join("\n")
        }
        other => other.to_string(),
    }
}

fn add_fields(
    fields: &mut Fields,
    prefix: &str,
    object: &serde_json::Map<String, serde_json::Value>,
) {
    for (name, value) in object {
        let name = format!("{prefix}{name}");
        match value {
            _ if name == "message" => {}
            serde_json::Value::Object(inner) => add_fields(fields, &format!("{name}."), inner),
            value => {
                if let Some(value) = FieldValue::from_json(value) {
                    fields.set(name, value);
                }
            }
        }
    }
}
