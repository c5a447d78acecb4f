//! Numbers as Java reads and compares them.

use std::cmp::Ordering;

/// A number in a query or an event: exact when it is whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// A whole number.
    Whole(i128),
    /// A number with a fraction or an exponent.
    Real(f64),
}

impl Number {
    /// Reads a decimal number, with Java's suffixes and hexadecimal form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(whole) = text.parse() {
            return Some(Self::Whole(whole));
        }
        java_double(text).filter(|x| x.is_finite()).map(Self::Real)
    }

    /// The number in single precision, as a `float` field stores it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "single precision is what the field stores"
    )]
    pub(super) fn single(self) -> Self {
        Self::Real(f64::from(self.double() as f32))
    }

    /// The number without its fraction, as a whole-number field stores it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturation is far outside every field"
    )]
    pub(super) fn cut(self) -> Self {
        match self {
            Self::Real(x) => Self::Whole(x.trunc() as i128),
            whole @ Self::Whole(_) => whole,
        }
    }

    /// False for what is too large to be stored.
    pub(super) fn is_finite(self) -> bool {
        self.double().is_finite()
    }

    /// True when it lies between two whole numbers, both included.
    pub(super) fn inside(self, from: i128, to: i128) -> bool {
        self.compare(Self::Whole(from)) != Ordering::Less
            && self.compare(Self::Whole(to)) != Ordering::Greater
    }

    /// Compares exactly where both are whole.
    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            _ => self.double().total_cmp(&other.double()),
        }
    }

    fn double(self) -> f64 {
        match self {
            Self::Whole(n) => n as f64,
            Self::Real(x) => x,
        }
    }
}

/// A number as Java's `Float.parseFloat` reads it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "single precision is what was asked for"
)]
pub(super) fn java_float(text: &str) -> Option<f32> {
    java_double(text).map(|x| x as f32)
}

fn java_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    if let Some(hexadecimal) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        return hexadecimal_double(hexadecimal);
    }
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    (digits.chars().all(plain) && !digits.is_empty())
        .then(|| digits.parse().ok())
        .flatten()
}

/// `1p3`, `1.8p-1`: the exponent is a power of two and must be there.
fn hexadecimal_double(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 13 {
        return None;
    }
    let value = u64::from_str_radix(&digits, 16).ok()? as f64;
    let shift: i32 = exponent.parse().ok()?;
    Some(value * 2f64.powi(shift.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_forms() {
        for (text, expected) in [
            ("1.5d", Some(1.5)),
            ("0x1p3", Some(8.0)),
            ("0x1.8p1", Some(3.0)),
            ("1e2f", Some(100.0)),
            ("inf", None),
            ("", None),
            ("abc", None),
        ] {
            assert_eq!(java_double(text), expected, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_exact() {
        let big = |text| Number::parse(text).unwrap();
        assert_eq!(
            big("9223372036854775807").compare(big("9223372036854775806")),
            Ordering::Greater
        );
        assert_eq!(big("1.0").cut(), Number::Whole(1));
    }
}
