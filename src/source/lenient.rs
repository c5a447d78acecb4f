//! Values of JSON that strangers wrote: what is missing or of another type is left out.

use jiff::Timestamp;
use serde_json::Value;
use url::Url;

/// Longest text that is taken; no name or address of a build is longer.
const LONGEST: usize = 2_000;

/// A text that is not empty, cut where no good one goes on.
pub(super) fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    (!text.is_empty()).then(|| text.chars().take(LONGEST).collect())
}

/// A text, or a number as a text.
pub(super) fn text_or_number(value: &Value) -> Option<String> {
    text(value).or_else(|| value.as_u64().map(|number| number.to_string()))
}

/// An address that people can open.
pub(super) fn address(value: &Value) -> Option<String> {
    let url = Url::parse(&text(value)?).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| url.into())
}

/// A moment in one of the forms of forges: `2026-01-02T03:04:05Z`, with an offset, `2026-01-02
/// 03:04:05 UTC` or `2026-01-02 03:04:05 +0100`.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    let text = match text.strip_suffix(" UTC") {
        Some(plain) => format!("{plain} +0000"),
        None => text.to_owned(),
    };
    Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", text).ok()
}

/// The name of a commit: hexadecimal digits, 40 or 64 of them.
pub(super) fn commit(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && matches!(text.len(), 40 | 64)).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn moments_have_four_forms() {
        for value in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T04:04:05+01:00",
            "2026-01-02 03:04:05 UTC",
            "2026-01-02 04:04:05 +0100",
        ] {
            let moment = moment(&json!(value)).map(|moment| moment.to_string());
            assert_eq!(moment.as_deref(), Some("2026-01-02T03:04:05Z"), "{value}");
        }
        assert_eq!(moment(&json!("soon")), None);
    }

    #[test]
    fn only_what_it_says_it_is_is_taken() {
        assert_eq!(address(&json!("javascript:alert(1)")), None);
        assert_eq!(address(&json!("https://h/ä")).unwrap(), "https://h/%C3%A4");
        assert_eq!(commit(&json!("../../etc")), None);
        assert_eq!(commit(&json!("A".repeat(40))), Some("a".repeat(40)));
        assert_eq!(text(&json!("x".repeat(9_000))).unwrap().len(), LONGEST);
        assert_eq!(text_or_number(&json!(7)), Some("7".into()));
    }
}
