//! Dates as OpenSearch reads them (`strict_date_optional_time||epoch_millis`) with date maths
//! (`now-1d/d`, `2026-01-01||+1M/M`), in UTC, to the millisecond.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

/// Whether missing parts (and `/d`) are filled with their lowest or their highest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Down,
    Up,
}

/// Says whether a text is a date, whatever the time of asking.
pub(super) fn check(text: &str) -> Result<(), String> {
    resolve(text, Timestamp::UNIX_EPOCH, Fill::Down).map(|_| ())
}

/// The moment a text means, in milliseconds since 1970.
pub(super) fn resolve(text: &str, now: Timestamp, fill: Fill) -> Result<i64, String> {
    if let Some(maths) = text.strip_prefix("now") {
        return calculate(maths, now.as_millisecond(), fill);
    }
    match text.split_once("||") {
        None => absolute(text, fill),
        Some((base, maths)) => calculate(maths, absolute(base, Fill::Down)?, fill),
    }
}

/// The moment of an event's own value.
pub(super) fn of_value(text: &str) -> Option<i64> {
    absolute(text, Fill::Down).ok()
}

fn absolute(text: &str, fill: Fill) -> Result<i64, String> {
    if let Some(moment) = iso(text, fill) {
        return Ok(moment);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, _) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let cut = &text[..text.len() - (digits.len() - whole.len())];
        let moment: i64 = cut
            .parse()
            .map_err(|_| "the number is too large".to_owned())?;
        // Before 1970 the server's rounding up reaches a millisecond too far back.
        let odd = i64::from(moment < 0 && fill == Fill::Up);
        return Ok(moment - odd);
    }
    Err("write it as `2026-01-31`, `2026-01-31T12:00:00Z`, milliseconds since 1970 or date maths such as `now-1d`".to_owned())
}

/// Reads the parts of an ISO 8601 date as far as they are given.
fn iso(text: &str, fill: Fill) -> Option<i64> {
    let (day, clock) = match text.split_once('T') {
        Some((day, clock)) => (day, Some(clock)),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let year: i16 = fixed(parts.next()?, 4)?;
    let month: i8 = parts.next().map_or(Some(1), |p| fixed(p, 2))?;
    let date: i8 = parts.next().map_or(Some(1), |p| fixed(p, 2))?;
    if parts.next().is_some() || (clock.is_some() && day.len() != 10) {
        return None;
    }
    let (clock, offset) = split_offset(clock.unwrap_or(""))?;
    let (hour, minute, second, nano) = time_of_day(clock, fill)?;
    let moment = DateTime::new(year, month, date, hour, minute, second, nano).ok()?;
    let zoned = moment.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond() - offset * 60_000)
}

fn fixed<T: std::str::FromStr>(text: &str, digits: usize) -> Option<T> {
    let plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Cuts `Z`, `+01:00`, `+0100` or `+01` off; the offset is in minutes.
fn split_offset(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = clock.find(['+', '-']) else {
        return Some((clock, 0));
    };
    let (clock, written) = clock.split_at(at);
    let sign = if written.starts_with('-') { -1 } else { 1 };
    let digits = written[1..].replace(':', "");
    let hours: i64 = fixed(digits.get(..2)?, 2)?;
    let minutes: i64 = match digits.get(2..) {
        Some("") | None => 0,
        Some(rest) => fixed(rest, 2)?,
    };
    Some((clock, sign * (hours * 60 + minutes)))
}

fn time_of_day(clock: &str, fill: Fill) -> Option<(i8, i8, i8, i32)> {
    let (hour_fill, sixty_fill, nano_fill) = match fill {
        Fill::Down => (0, 0, 0),
        Fill::Up => (23, 59, 999_999_999),
    };
    if clock.is_empty() {
        return Some((hour_fill, sixty_fill, sixty_fill, nano_fill));
    }
    let (clock, fraction) = match clock.find(['.', ',']) {
        Some(at) => (&clock[..at], Some(&clock[at + 1..])),
        None => (clock, None),
    };
    let mut parts = clock.split(':');
    let hour = fixed(parts.next()?, 2)?;
    let minute = parts.next().map(|p| fixed(p, 2));
    let second = parts.next().map(|p| fixed(p, 2));
    if parts.next().is_some() || (fraction.is_some() && second.is_none()) {
        return None;
    }
    let nano = match fraction {
        None => nano_fill,
        Some(digits) => nanoseconds(digits)?,
    };
    Some((
        hour,
        minute.unwrap_or(Some(sixty_fill))?,
        second.unwrap_or(Some(sixty_fill))?,
        nano,
    ))
}

fn nanoseconds(digits: &str) -> Option<i32> {
    let fits = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| format!("{digits:0<9}").parse().ok()).flatten()
}

fn calculate(maths: &str, base: i64, fill: Fill) -> Result<i64, String> {
    let start =
        Timestamp::from_millisecond(base).map_err(|_| "the date is out of range".to_owned())?;
    let mut moment = start.to_zoned(TimeZone::UTC);
    let mut rest = maths;
    while let Some(sign) = rest.chars().next() {
        let after = &rest[sign.len_utf8()..];
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let amount: i64 = match (&after[..digits], sign) {
            ("", '+' | '-' | '/') => 1,
            (_, '/') | ("", _) => return Err(format!("`{rest}` is no date maths")),
            (number, _) => number
                .parse()
                .map_err(|_| "the number is too large".to_owned())?,
        };
        let unit = after[digits..]
            .chars()
            .next()
            .ok_or("date maths ends without a unit (y M w d h m s)")?;
        moment = match sign {
            '+' => shift(&moment, amount, unit)?,
            '-' => shift(&moment, -amount, unit)?,
            '/' => round(&moment, unit, fill)?,
            other => return Err(format!("`{other}` is no sign of date maths (+ - /)")),
        };
        rest = &after[digits + unit.len_utf8()..];
    }
    Ok(moment.timestamp().as_millisecond())
}

fn span(amount: i64, unit: char) -> Result<Span, String> {
    let span = match unit {
        'y' => Span::new().try_years(amount),
        'M' => Span::new().try_months(amount),
        'w' => Span::new().try_weeks(amount),
        'd' => Span::new().try_days(amount),
        'h' | 'H' => Span::new().try_hours(amount),
        'm' => Span::new().try_minutes(amount),
        's' => Span::new().try_seconds(amount),
        other => {
            return Err(format!(
                "`{other}` is no unit of date maths (y M w d h m s)"
            ));
        }
    };
    span.map_err(|_| "the number is too large".to_owned())
}

fn shift(moment: &Zoned, amount: i64, unit: char) -> Result<Zoned, String> {
    moment
        .checked_add(span(amount, unit)?)
        .map_err(|_| "the date is out of range".to_owned())
}

/// Down to the start of the unit, or up to its last millisecond.
fn round(moment: &Zoned, unit: char, fill: Fill) -> Result<Zoned, String> {
    let day = moment
        .start_of_day()
        .map_err(|_| "the date is out of range".to_owned())?;
    let seconds = |n: i64| SignedDuration::from_secs(n);
    let low = match unit {
        'y' => day.first_of_year(),
        'M' => day.first_of_month(),
        'w' => {
            let back = i64::from(day.weekday().to_monday_zero_offset());
            return finish(&shift(&day, -back, 'd')?, unit, fill);
        }
        'd' => Ok(day),
        'h' | 'H' => Ok(&day + seconds(i64::from(moment.hour()) * 3600)),
        'm' => {
            Ok(&day + seconds(i64::from(moment.hour()) * 3600 + i64::from(moment.minute()) * 60))
        }
        's' => {
            let clock = i64::from(moment.hour()) * 3600 + i64::from(moment.minute()) * 60;
            Ok(&day + seconds(clock + i64::from(moment.second())))
        }
        other => {
            return Err(format!(
                "`{other}` is no unit of date maths (y M w d h m s)"
            ));
        }
    };
    finish(
        &low.map_err(|_| "the date is out of range".to_owned())?,
        unit,
        fill,
    )
}

fn finish(low: &Zoned, unit: char, fill: Fill) -> Result<Zoned, String> {
    match fill {
        Fill::Down => Ok(low.clone()),
        Fill::Up => Ok(&shift(low, 1, unit)? - SignedDuration::from_millis(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, fill: Fill) -> String {
        let now: Timestamp = "2026-03-18T10:20:30.456Z".parse().unwrap();
        let moment = resolve(text, now, fill).unwrap();
        Timestamp::from_millisecond(moment).unwrap().to_string()
    }

    #[test]
    fn missing_parts_are_filled() {
        assert_eq!(at("2013", Fill::Down), "2013-01-01T00:00:00Z");
        assert_eq!(at("2013-10", Fill::Up), "2013-10-01T23:59:59.999Z");
        assert_eq!(at("2013-10-18T17", Fill::Up), "2013-10-18T17:59:59.999Z");
        assert_eq!(
            at("2014-11-24T22:45:50.414+01:00", Fill::Down),
            "2014-11-24T21:45:50.414Z"
        );
        assert_eq!(at("1382115600000", Fill::Up), "2013-10-18T17:00:00Z");
    }

    #[test]
    fn maths() {
        assert_eq!(at("now-1d/d", Fill::Down), "2026-03-17T00:00:00Z");
        assert_eq!(at("now/w", Fill::Down), "2026-03-16T00:00:00Z");
        assert_eq!(at("now/M", Fill::Up), "2026-03-31T23:59:59.999Z");
        assert_eq!(
            at("2013-10-18||+1d/d", Fill::Up),
            "2013-10-19T23:59:59.999Z"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "yesterday",
            "2013-13",
            "now+1x",
            "now*2",
            "2013-10-18T25",
            "",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
