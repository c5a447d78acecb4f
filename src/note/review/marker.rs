//! The line by which a note is found again.

use crate::state::Note;
use serde_json::{Map, Value};

/// How the line begins.
const PREFIX: &str = "whorl-note: ";
/// A longer marker is cut down to what finds the note again.
const LONGEST: usize = 2000;

/// What finds a note again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) topic: String,
    pub(super) generation: u64,
}

impl Marker {
    /// The marker of a text whose last line is one; anywhere else it is none, because text that came
    /// from a log can stand there.
    pub(super) fn at_end(text: &str) -> Option<Self> {
        let line = text.trim_end().lines().next_back()?.trim();
        let hidden = line
            .strip_prefix("<!-- ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        let object = object(hidden.unwrap_or(line))?;
        Some(Self {
            topic: object.get("topic")?.as_str()?.to_owned(),
            generation: object.get("generation")?.as_u64()?,
        })
    }

    /// True if this is about what the note is about.
    pub(super) fn is_of(&self, note: &Note) -> bool {
        self.topic == note.topic
    }
}

/// The marker line of a note.
pub(super) fn line(note: &Note) -> String {
    let given = note.json.get("marker").and_then(Value::as_object).cloned();
    let given = given.or_else(|| object(note.text.trim_end().lines().next_back()?.trim()));
    let text = with_place(note, given.unwrap_or_default());
    if text.len() > LONGEST {
        return with_place(note, Map::new());
    }
    text
}

/// The same where HTML comments are not shown: nothing in it can end the comment.
pub(super) fn hidden_line(note: &Note) -> String {
    let line = line(note)
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    format!("<!-- {line} -->")
}

/// The lines of a note without its marker and whatever looks like one.
pub(super) fn body(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.trim_end().lines();
    lines.filter(|line| !line.trim_start().starts_with(PREFIX.trim_end()))
}

fn with_place(note: &Note, mut object: Map<String, Value>) -> String {
    object.insert("topic".to_owned(), note.topic.clone().into());
    object.insert("generation".to_owned(), note.generation.into());
    format!("{PREFIX}{}", Value::Object(object))
}

fn object(line: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(line.strip_prefix(PREFIX)?).ok()
}
