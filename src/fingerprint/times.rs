//! Days and moments as people write them in fingerprint files.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

/// Reads a day (`2026-01-31`).
pub(super) fn day(text: &str) -> Option<Date> {
    text.trim().parse().ok()
}

/// Reads a moment: RFC 3339, a day (its first moment in UTC), or what `date` prints
/// (`Sun Jan 19 18:36:37 PST 2014`), which is how elastic-recheck's files have it.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    if let Ok(moment) = text.parse::<DateTime>() {
        return moment.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp());
    }
    printed_by_date(text)
}

fn printed_by_date(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[weekday, month, day, clock, zone, year] = words.as_slice() else {
        return None;
    };
    let plain = format!("{weekday} {month} {day:0>2} {clock} {year}");
    let moment = DateTime::strptime("%a %b %d %H:%M:%S %Y", plain).ok()?;
    let zone = TimeZone::fixed(Offset::from_hours(zone_hours(zone)?).ok()?);
    moment.to_zoned(zone).ok().map(|z| z.timestamp())
}

/// The zones that `date` abbreviates without doubt in files of this kind.
fn zone_hours(zone: &str) -> Option<i8> {
    match zone {
        "UTC" | "GMT" | "Z" => Some(0),
        "EDT" => Some(-4),
        "EST" | "CDT" => Some(-5),
        "CST" | "MDT" => Some(-6),
        "MST" | "PDT" => Some(-7),
        "PST" => Some(-8),
        "CET" => Some(1),
        "CEST" => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_every_form() {
        let read = |text| moment(text).map(|m| m.to_string());
        let utc = |text: &str| Some(text.to_owned());
        assert_eq!(
            read("Sun Jan 19 18:36:37 PST 2014"),
            utc("2014-01-20T02:36:37Z")
        );
        assert_eq!(
            read("Fri Feb  7 17:06:16 PST 2014"),
            utc("2014-02-08T01:06:16Z")
        );
        assert_eq!(read("2026-01-02"), utc("2026-01-02T00:00:00Z"));
        assert_eq!(
            read("2026-01-02T03:04:05+01:00"),
            utc("2026-01-02T02:04:05Z")
        );
        assert_eq!(read("last week"), None);
        assert_eq!(read("Sun Jan 19 18:36:37 XYZ 2014"), None);
    }
}
