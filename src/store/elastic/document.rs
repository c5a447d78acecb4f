//! What is indexed of an event in a cluster, and the way back from there.

use crate::event::{Event, FieldValue, Fields, Location};
use crate::store::fields::{time_of, votes};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The object in which a document keeps what is not a field of the event.
pub(super) const OWN: &str = "whorl";

/// A longer value cannot be a term of the cluster's index (Lucene's limit is 32,766 bytes).
const MAX_VALUE: usize = 32_766;

/// Where an event belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The build.
    pub(super) build: &'a str,
    /// The append that wrote it.
    pub(super) append: &'a str,
    /// Its place among the build's events.
    pub(super) number: u64,
    /// Its moment, when it names none itself.
    pub(super) otherwise: Timestamp,
}

/// The document of an event.
///
/// Fields stand as they are, so that people search the index by them with any tool; a name or value
/// that the index would refuse is kept beside, for the way back, and not indexed. `plain` keeps all
/// fields beside: for an event that the cluster refuses otherwise.
pub(super) fn document(event: &Event, place: Place<'_>, plain: bool) -> Value {
    let mut fields = Map::new();
    let mut beside = Map::new();
    let mut shared = Vec::new();
    for (name, value) in event.fields() {
        let json = json!(value);
        if plain || !is_indexable(name, value) {
            beside.insert(name.into(), json);
        } else {
            fields.insert(name.into(), json);
        }
        if event.own.get(name).is_none() {
            shared.push(name);
        }
    }
    if !event.message.is_empty() {
        fields.insert("message".into(), json!(event.message));
    }
    let time = time_of(event).unwrap_or(place.otherwise);
    let at = &event.at;
    let mut own = json!({
        "build": place.build,
        "append": place.append,
        "n": place.number,
        "time": shown(time),
        "micros": time.as_microsecond(),
        "votes": votes(event),
        "file": at.file,
        "at": [at.line, at.lines, at.offset, at.length],
        "shared": shared,
    });
    if !beside.is_empty() {
        own["beside"] = Value::Object(beside);
    }
    fields.insert(OWN.into(), own);
    Value::Object(fields)
}

/// The moment as every cluster reads it: Elasticsearch 7 has no milliseconds before 1970, and no
/// cluster has years without four digits.
fn shown(time: Timestamp) -> String {
    let (first, last) = (
        Timestamp::constant(-62_135_596_800, 0),
        Timestamp::constant(253_402_207_200, 0),
    );
    format!("{:.3}", time.clamp(first, last))
}

/// True when a cluster takes the field as it is.
fn is_indexable(name: &str, value: &FieldValue) -> bool {
    let parts_are_named = !name.split('.').any(|part| part.trim().is_empty());
    let name_is_free = !name.starts_with('_') && name != OWN && !name.starts_with("whorl.");
    // A list in a list is flattened by the index, and an empty one is nothing to it.
    parts_are_named && name_is_free && value.values().into_iter().all(is_short)
}

fn is_short(value: &FieldValue) -> bool {
    !matches!(value, FieldValue::Text(text) if text.len() > MAX_VALUE)
}

/// The event of a document that [`document`] made; `None` when it is another's.
pub(super) fn event(source: &Value) -> Option<Event> {
    let object = source.as_object()?;
    let own = object.get(OWN)?;
    let shared_names: Vec<&str> = own["shared"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut event = Event::from_message(object.get("message").map_or("", |m| {
        // Only an event without text has a field of that name.
        m.as_str().unwrap_or_default()
    }));
    let mut shared = Fields::default();
    let beside = own["beside"].as_object().into_iter().flatten();
    let fields = object
        .iter()
        .filter(|(name, value)| *name != OWN && (*name != "message" || *value == ""));
    for (name, value) in fields.chain(beside) {
        let Some(value) = FieldValue::from_json(value) else {
            continue;
        };
        if shared_names.contains(&name.as_str()) {
            shared.set(name, value);
        } else {
            event.own.set(name, value);
        }
    }
    event.shared = Arc::new(shared);
    let number = |n: usize| own["at"][n].as_u64().unwrap_or_default();
    event.at = Location {
        file: own["file"].as_str().unwrap_or_default().into(),
        line: number(0),
        lines: u32::try_from(number(1)).unwrap_or_default(),
        offset: number(2),
        length: number(3),
    };
    Some(event)
}

/// The build and the moment of a document.
pub(super) fn build_and_time(source: &Value) -> (String, Timestamp) {
    let own = &source[OWN];
    let build = own["build"].as_str().unwrap_or_default().to_owned();
    let micros = own["micros"].as_i64().unwrap_or_default();
    (
        build,
        Timestamp::from_microsecond(micros).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place {
            build: "b",
            append: "a",
            number: 3,
            otherwise: Timestamp::UNIX_EPOCH,
        }
    }

    fn odd() -> Event {
        let mut event = Event::from_message("two\nlines");
        event.own.set("pid", FieldValue::Integer(7));
        event.own.set("took", FieldValue::Float(1.0));
        event.own.set("a..b", FieldValue::text("x"));
        event.own.set("_id", FieldValue::text("x"));
        event.own.set("long", FieldValue::text("x".repeat(40_000)));
        let tags = FieldValue::Many(vec![FieldValue::text("console"), FieldValue::Bool(true)]);
        event.shared = Arc::new([("tags", tags)].into_iter().collect());
        event.at.file = "a/b.log".into();
        event.at.line = 3;
        event
    }

    #[test]
    fn an_event_comes_back_as_it_was() {
        let mut nothing = Event::from_message("");
        nothing.own.set("message", FieldValue::text(""));
        for before in [odd(), nothing, Event::from_message("")] {
            for plain in [false, true] {
                let source = document(&before, place(), plain);
                assert_eq!(event(&source), Some(before.clone()), "{source}");
                assert_eq!(build_and_time(&source), ("b".into(), Timestamp::UNIX_EPOCH));
            }
        }
    }

    #[test]
    fn what_an_index_refuses_stands_beside() {
        let source = document(&odd(), place(), false);
        let beside = source[OWN]["beside"].as_object().unwrap();
        let names: Vec<&str> = beside.keys().map(String::as_str).collect();
        assert_eq!(names, ["_id", "a..b", "long"]);
    }
}
