//! YAML into values and places, by the events of the parser.

use super::scalar;
use crate::chaos::place::{KeyPath, Place};
use crate::chaos::py;
use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How many nodes a document may have once its aliases are written out.
const NODES: usize = 200_000;
/// How deep nodes may stand in each other.
const DEPTH: usize = 128;

/// The value of the one document of a text.
pub(super) fn value(text: &str) -> Result<Value, String> {
    Ok(build(text, false)?.0)
}

/// Where every key and item stands.
pub(super) fn places(text: &str) -> Result<BTreeMap<KeyPath, Place>, String> {
    Ok(build(text, true)?.1)
}

fn build(text: &str, placed: bool) -> Result<(Value, BTreeMap<KeyPath, Place>), String> {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        anchors: BTreeMap::new(),
        places: placed.then(BTreeMap::new),
        nodes: 0,
    };
    let mut value = None;
    loop {
        let (event, span) = builder.event()?;
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            _ if value.is_some() => {
                return Err(at(span, "expected a single document, found another one"));
            }
            event => value = Some(builder.node(event, span, &KeyPath::top(), 0)?),
        }
    }
    Ok((
        value.unwrap_or(Value::Null),
        builder.places.unwrap_or_default(),
    ))
}

struct Builder<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, Value>,
    places: Option<BTreeMap<KeyPath, Place>>,
    nodes: usize,
}

fn place(span: Span) -> Place {
    Place {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

fn at(span: Span, message: &str) -> String {
    let Place { line, column } = place(span);
    format!("line {line}, column {column}: {message}")
}

impl<'a> Builder<'a> {
    fn event(&mut self) -> Result<(Event<'a>, Span), String> {
        loop {
            match self.parser.next_event() {
                None => return Err("the text ends early".into()),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(found)) => return Ok(found),
            }
        }
    }

    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        path: &KeyPath,
        depth: usize,
    ) -> Result<Value, String> {
        self.nodes += 1;
        if self.nodes > NODES || depth > DEPTH {
            return Err(at(span, "the document is too large or too deep"));
        }
        if let Some(places) = &mut self.places {
            places.entry(path.clone()).or_insert_with(|| place(span));
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value = value.ok_or_else(|| at(span, "found an undefined alias"))?;
                self.nodes += weight(&value);
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => {
                (scalar_value(&text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.sequence(path, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(path, depth)?, anchor),
            _ => return Err(at(span, "a value is missing")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self, path: &KeyPath, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.event()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::Array(items));
            }
            items.push(self.node(event, span, &path.item(items.len()), depth + 1)?);
        }
    }

    fn mapping(&mut self, path: &KeyPath, depth: usize) -> Result<Value, String> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.event()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.key(event, span, depth)?;
            let below = path.key(&key);
            if let Some(places) = &mut self.places {
                // The key's own place, not its value's: that is where people look.
                places.insert(below.clone(), place(span));
            }
            let (event, span) = self.event()?;
            let value = self.node(event, span, &below, depth + 1)?;
            if merge {
                merged.push((value, span));
            } else {
                map.insert(key, value);
            }
        }
        for (value, span) in merged {
            merge_into(&mut map, value, span)?;
        }
        Ok(Value::Object(map))
    }

    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<String, String> {
        let places = self.places.take();
        let key = self.node(event, span, &KeyPath::top(), depth + 1);
        self.places = places;
        match key? {
            Value::String(text) => Ok(text),
            key @ (Value::Array(_) | Value::Object(_)) => {
                Err(at(span, &format!("found unhashable key {key}")))
            }
            Value::Null => Ok("null".into()),
            Value::Bool(yes) => Ok(yes.to_string()),
            other => Ok(py::text(&other)),
        }
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(weight).sum::<usize>(),
        _ => 1,
    }
}

/// `<<: *base`: keys that are not there come from the other mappings.
fn merge_into(map: &mut Map<String, Value>, value: Value, span: Span) -> Result<(), String> {
    let others = match value {
        Value::Array(items) => items,
        other => vec![other],
    };
    for other in others {
        let Value::Object(other) = other else {
            return Err(at(span, "expected a mapping for merging"));
        };
        for (key, value) in other {
            map.entry(key).or_insert(value);
        }
    }
    Ok(())
}

fn scalar_value(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    span: Span,
) -> Result<Value, String> {
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => scalar::plain(text),
            _ => Value::from(text),
        });
    };
    let tag = tag.to_string();
    let name = tag
        .strip_prefix("tag:yaml.org,2002:")
        .or_else(|| tag.strip_prefix("!!"));
    name.and_then(|name| scalar::tagged(name, text))
        .or_else(|| (tag == "!").then(|| Value::from(text)))
        .ok_or_else(|| {
            at(
                span,
                &format!("could not determine a constructor for the tag '{tag}'"),
            )
        })
}
