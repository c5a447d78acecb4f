//! Numbers compared as Python's `Decimal` compares them: exactly.

use super::py;
use serde_json::Value;
use std::cmp::Ordering;

/// An exact decimal number: sign, digits, and how many of them stand after the point.
#[derive(Debug, Clone)]
pub(crate) struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

/// Why a value is no decimal number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotDecimal {
    /// A text that is no number: the tolerance is not met.
    Text,
    /// A value that Python refuses to make a number of: an error.
    Type(String),
}

impl Decimal {
    /// `Decimal(value)`.
    pub(crate) fn new(value: &Value) -> Result<Self, NotDecimal> {
        match value {
            Value::Bool(b) => Ok(Self::plain(if *b { "1" } else { "0" })),
            Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
                // All digits of the binary fraction, as Python takes them.
                Some(float) => Ok(Self::plain(&format!("{float:.1074}"))),
                None => Ok(Self::plain(&n.to_string())),
            },
            Value::String(text) => Self::read(text).ok_or(NotDecimal::Text),
            other => Err(NotDecimal::Type(format!(
                "conversion from {} to Decimal is not supported",
                py::kind(other)
            ))),
        }
    }

    /// From `-12.5`, which is known to be a number.
    fn plain(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |t| (true, t));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        Self {
            negative,
            whole: whole.trim_start_matches('0').to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let text: String = text.trim().chars().filter(|c| *c != '_').collect();
        let lower = text.to_ascii_lowercase();
        let (number, exponent) = match lower.split_once('e') {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (lower.as_str(), 0),
        };
        let number = number.strip_prefix('+').unwrap_or(number);
        let digits = number.strip_prefix('-').unwrap_or(number);
        let counted = digits.bytes().filter(u8::is_ascii_digit).count();
        let points = digits.bytes().filter(|b| *b == b'.').count();
        if counted == 0 || points > 1 || counted + points != digits.len() || exponent.abs() > 10_000
        {
            return None;
        }
        let mut decimal = Self::plain(number);
        decimal.shift(exponent);
        Some(decimal)
    }

    /// Moves the point.
    fn shift(&mut self, exponent: i32) {
        for _ in 0..exponent {
            let first = if self.fraction.is_empty() {
                '0'
            } else {
                self.fraction.remove(0)
            };
            self.whole.push(first);
        }
        for _ in exponent..0 {
            let last = self.whole.pop().unwrap_or('0');
            self.fraction.insert(0, last);
        }
        self.whole = self.whole.trim_start_matches('0').to_owned();
        self.fraction = self.fraction.trim_end_matches('0').to_owned();
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    /// Compares exactly.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let sign = |d: &Self| match (d.is_zero(), d.negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        };
        let by_sign = sign(self).cmp(&sign(other));
        if by_sign.is_ne() || self.is_zero() {
            return by_sign;
        }
        let size = self
            .whole
            .len()
            .cmp(&other.whole.len())
            .then_with(|| self.whole.cmp(&other.whole))
            .then_with(|| self.fraction.cmp(&other.fraction));
        if self.negative { size.reverse() } else { size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_is_exact() {
        for (a, b, expected) in [
            (json!("580"), json!(800), Ordering::Less),
            (json!("1e3"), json!(1000), Ordering::Equal),
            (json!(" 10.50 "), json!(10.5), Ordering::Equal),
            // The float 0.1 is a little more than one tenth.
            (json!("0.1"), json!(0.1), Ordering::Less),
            (json!(-2), json!("-1.5"), Ordering::Less),
            (json!(true), json!(1), Ordering::Equal),
            (json!("-0"), json!(0), Ordering::Equal),
            (json!("125e-2"), json!(1.25), Ordering::Equal),
        ] {
            let order = Decimal::new(&a).unwrap().order(&Decimal::new(&b).unwrap());
            assert_eq!(order, expected, "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_number_is_told_apart() {
        for text in ["", "x", "1.2.3", "1,5", "--1", "."] {
            assert_eq!(
                Decimal::new(&json!(text)).unwrap_err(),
                NotDecimal::Text,
                "{text:?}"
            );
        }
        assert!(matches!(Decimal::new(&json!({})), Err(NotDecimal::Type(_))));
    }
}
