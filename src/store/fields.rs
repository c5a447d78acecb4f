//! What every store reads out of an event in the same way.

use crate::event::{Event, FieldValue};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The text by which an exact field's value is compared; a list has none.
pub fn keyword_of(value: &FieldValue) -> Option<String> {
    match value {
        FieldValue::Bool(value) => Some(value.to_string()),
        FieldValue::Integer(value) => Some(value.to_string()),
        FieldValue::Float(value) => Some(format!("{value:?}")),
        FieldValue::Text(value) => Some(value.to_string()),
        FieldValue::Many(_) => None,
    }
}

/// True unless the event says that its build does not vote.
pub(super) fn votes(event: &Event) -> bool {
    let Some(value) = event.field("voting") else {
        return true;
    };
    let words = value.values().into_iter().filter_map(keyword_of);
    !words
        .into_iter()
        .any(|word| matches!(word.as_str(), "0" | "false"))
}

/// The moment that the event itself names.
pub(super) fn time_of(event: &Event) -> Option<Timestamp> {
    let value = event.field("@timestamp")?.values().into_iter().next()?;
    match value {
        FieldValue::Text(text) => time_from_text(text),
        FieldValue::Integer(millis) => Timestamp::from_millisecond(*millis).ok(),
        _ => None,
    }
}

fn time_from_text(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// The day, in UTC, whose slice an event of this moment goes to.
pub(super) fn day_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_without_zone_is_utc() {
        let at = |text: &str| time_from_text(text).map(|t| t.to_string());
        assert_eq!(
            at("2024-01-02T03:04:05.6Z").as_deref(),
            Some("2024-01-02T03:04:05.6Z")
        );
        assert_eq!(
            at("2024-01-02 03:04:05").as_deref(),
            Some("2024-01-02T03:04:05Z")
        );
        assert_eq!(at("yesterday"), None);
    }
}
