//! Values of JSON that is written loosely, as Zuul does.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// A text that is not empty, or a number as a text.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Seconds since 1970, with fractions, or a date in UTC with or without `Z`.
pub(crate) fn moment(value: &Value) -> Option<Timestamp> {
    if let Some(seconds) = value.as_f64() {
        return from_seconds(seconds);
    }
    let text = value.as_str()?;
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    let date: DateTime = text.parse().ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked, and microseconds are enough"
)]
fn from_seconds(seconds: f64) -> Option<Timestamp> {
    let micros = (seconds * 1e6).round();
    (micros.abs() < 1e17).then(|| Timestamp::from_microsecond(micros as i64).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn moments_have_three_forms() {
        for value in [
            json!(1_767_323_045),
            json!(1_767_323_045.0),
            json!("2026-01-02T03:04:05"),
            json!("2026-01-02T03:04:05Z"),
        ] {
            let moment = moment(&value).map(|moment| moment.to_string());
            assert_eq!(moment.as_deref(), Some("2026-01-02T03:04:05Z"), "{value}");
        }
        for none in [json!(null), json!("soon"), json!(1e300), json!([1])] {
            assert_eq!(moment(&none), None, "{none}");
        }
    }
}
