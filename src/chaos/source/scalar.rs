//! What a plain word of YAML is: the rules of YAML 1.1, in which `yes` is true and `1e3` a text.

use crate::chaos::py;
use serde_json::{Number, Value};

/// The value of a plain scalar.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        _ => {}
    }
    if let Some(yes) = boolean(text) {
        return Value::Bool(yes);
    }
    integer(text)
        .or_else(|| float(text))
        .unwrap_or_else(|| Value::from(text))
}

/// The value of a scalar whose tag says what it is; nothing when it is not that.
pub(super) fn tagged(tag: &str, text: &str) -> Option<Value> {
    match tag {
        "str" | "timestamp" => Some(Value::from(text)),
        "null" => Some(Value::Null),
        "bool" => boolean(text).map(Value::Bool),
        "int" => integer(text),
        "float" => float(text).or_else(|| text.parse().ok().and_then(number)),
        "binary" => Some(py::bytes(text)),
        _ => None,
    }
}

fn boolean(text: &str) -> Option<bool> {
    let folded = text.to_ascii_lowercase();
    let case = text == folded
        || text == folded.to_ascii_uppercase()
        || text.chars().next().is_some_and(|c| c.is_ascii_uppercase()) && text[1..] == folded[1..];
    match folded.as_str() {
        "yes" | "true" | "on" if case => Some(true),
        "no" | "false" | "off" if case => Some(false),
        _ => None,
    }
}

fn number(float: f64) -> Option<Value> {
    Number::from_f64(float).map(Value::Number)
}

fn integer(text: &str) -> Option<Value> {
    let (sign, digits) = signed(text);
    let clean: String = digits.chars().filter(|c| *c != '_').collect();
    let radix = |prefix: &str, radix| {
        let digits = clean.strip_prefix(prefix)?;
        i64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| !digits.starts_with('-'))
    };
    let value = if digits.starts_with("0b") {
        radix("0b", 2)?
    } else if digits.starts_with("0x") {
        radix("0x", 16)?
    } else if digits == "0" {
        0
    } else if digits.starts_with('0') {
        radix("0", 8)?
    } else if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    } else if clean.contains(':') {
        sexagesimal(&clean)?
    } else if clean.bytes().all(|b| b.is_ascii_digit()) {
        return if let Ok(value) = clean.parse::<i64>() {
            Some(Value::from(sign * value))
        } else {
            format!("{}{clean}", if sign < 0 { "-" } else { "" })
                .parse()
                .ok()
                .map(Value::Number)
        };
    } else {
        return None;
    };
    Some(Value::from(sign * value))
}

fn signed(text: &str) -> (i64, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// `1:30` is ninety, as it was in YAML 1.1.
fn sexagesimal(text: &str) -> Option<i64> {
    text.split(':')
        .enumerate()
        .try_fold(0i64, |sum, (n, part)| {
            let value: i64 = part.parse().ok()?;
            (n == 0 || value < 60 && part.len() <= 2)
                .then(|| sum.checked_mul(60)?.checked_add(value))?
        })
}

fn float(text: &str) -> Option<Value> {
    let (_, digits) = signed(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let made_of_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let begins = whole.starts_with(|c: char| c.is_ascii_digit())
        || whole.is_empty() && fraction.starts_with(|c: char| c.is_ascii_digit());
    let exponent_is = exponent.is_none_or(|exponent| {
        exponent
            .strip_prefix(['+', '-'])
            .is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
    });
    if !begins || !exponent_is || !made_of_digits(whole) || !made_of_digits(fraction) {
        return None;
    }
    let clean: String = text.chars().filter(|c| *c != '_').collect();
    clean.parse().ok().and_then(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_are_what_yaml_1_1_takes_them_for() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("oN", json!("oN")),
            ("~", json!(null)),
            ("010", json!(8)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("1_000", json!(1000)),
            ("1:30", json!(90)),
            ("-5", json!(-5)),
            ("1.5", json!(1.5)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("1e3", json!("1e3")),
            ("1.0e+3", json!(1000.0)),
            ("1.0e3", json!("1.0e3")),
            ("09", json!("09")),
            ("1.2.3", json!("1.2.3")),
            ("2026-01-01", json!("2026-01-01")),
            ("-", json!("-")),
            ("12:75", json!("12:75")),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}
