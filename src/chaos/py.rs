//! What Python makes of a value, where an experiment can tell: equality, order, truth and text.
//!
//! In: JSON values. Out: what `==`, `<`, `bool()`, `str()` and `repr()` say of them. Experiments are
//! written for a tool in Python, whose `true == 1` decides whether a tolerance is met.

use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::fmt::Write;

/// The key by which bytes are told from text in values: `{"$bytes": "…"}`.
const BYTES: &str = "$bytes";

/// Wraps text as Python's bytes.
pub(crate) fn bytes(text: &str) -> Value {
    let mut map = Map::new();
    map.insert(BYTES.to_owned(), Value::from(text));
    Value::Object(map)
}

/// The text of bytes, when the value is such.
pub(crate) fn as_bytes(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.get(BYTES)?.as_str()
}

/// The name of the type, as Python's messages have it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) if as_bytes(value).is_some() => "bytes",
        Value::Object(_) => "dict",
    }
}

/// `bool(value)`.
pub(crate) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => as_bytes(value).map_or(!o.is_empty(), |b| !b.is_empty()),
    }
}

/// What a missing key is to `bool(mapping.get(key))`.
pub(crate) fn truth_of(value: Option<&Value>) -> bool {
    value.is_some_and(truth)
}

/// A number as Python counts: booleans are numbers.
enum Number {
    Int(i128),
    Float(f64),
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Bool(b) => Some(Number::Int(i128::from(*b))),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Some(Number::Int(i.into())),
            (None, Some(u)) => Some(Number::Int(u.into())),
            (None, None) => n.as_f64().map(Number::Float),
        },
        _ => None,
    }
}

fn order(a: &Number, b: &Number) -> Option<Ordering> {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => Some(a.cmp(b)),
        (Number::Float(a), Number::Float(b)) => a.partial_cmp(b),
        (Number::Int(a), Number::Float(b)) => (*a as f64).partial_cmp(b),
        (Number::Float(a), Number::Int(b)) => a.partial_cmp(&(*b as f64)),
    }
}

/// `a == b`.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return order(&a, &b) == Some(Ordering::Equal);
    }
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// `value in list`.
pub(crate) fn contains(list: &[Value], value: &Value) -> bool {
    list.iter().any(|item| equal(item, value))
}

/// `a <= b`; nothing where Python raises a `TypeError`.
pub(crate) fn at_most(a: &Value, b: &Value) -> Option<bool> {
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return Some(order(&a, &b).is_some_and(Ordering::is_le));
    }
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a <= b),
        (Value::Array(a), Value::Array(b)) => {
            let differs = a.iter().zip(b).find(|(a, b)| !equal(a, b));
            differs.map_or(Some(a.len() <= b.len()), |(a, b)| at_most(a, b))
        }
        _ => None,
    }
}

/// `a < b` of two numbers (booleans are numbers); false for anything else.
pub(crate) fn number_order(a: &Value, b: &Value) -> Option<Ordering> {
    order(&number(a)?, &number(b)?)
}

/// `str(value)`.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => repr(other),
    }
}

/// `repr(value)`.
pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
            Some(float) => float_text(float),
            None => n.to_string(),
        },
        Value::String(s) => quoted(s),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => mapping(value, map),
    }
}

fn mapping(value: &Value, map: &Map<String, Value>) -> String {
    if let Some(bytes) = as_bytes(value) {
        return format!("b{}", quoted(bytes));
    }
    let items = map.iter();
    let items: Vec<String> = items
        .map(|(key, value)| format!("{}: {}", quoted(key), repr(value)))
        .collect();
    format!("{{{}}}", items.join(", "))
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || (c as u32) == 0x7f => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// The shortest digits that read back as the same float, in Python's layout.
pub(crate) fn float_text(float: f64) -> String {
    if float.is_nan() {
        return "nan".into();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{float:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{float}");
        return if plain.contains('.') {
            plain
        } else {
            format!("{plain}.0")
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn booleans_are_numbers_and_text_is_not() {
        assert!(equal(&json!(true), &json!(1)));
        assert!(equal(&json!(1), &json!(1.0)));
        assert!(equal(&json!({"a": [1]}), &json!({"a": [true]})));
        assert!(!equal(&json!("1"), &json!(1)));
        assert!(!equal(&json!(null), &json!(false)));
        assert_eq!(at_most(&json!("a"), &json!("b")), Some(true));
        assert_eq!(at_most(&json!("a"), &json!(1)), None);
    }

    #[test]
    fn text_is_what_python_prints() {
        assert_eq!(text(&json!(null)), "None");
        assert_eq!(text(&json!([true, "a'b", 1.0])), "[True, \"a'b\", 1.0]");
        assert_eq!(text(&json!({"a": {"b": 2}})), "{'a': {'b': 2}}");
        assert_eq!(text(&bytes("x")), "b'x'");
        for (float, expected) in [
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.5e300, "1.5e+300"),
        ] {
            assert_eq!(float_text(float), expected);
        }
    }
}
