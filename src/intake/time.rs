//! Timestamps at the beginning of a text.

use jiff::civil::DateTime;

/// A timestamp found at the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp<'t> {
    text: &'t str,
    /// Where its zone begins.
    zone: usize,
    /// Bytes that it takes.
    pub(crate) len: usize,
}

impl Stamp<'_> {
    /// The moment as RFC 3339; without a zone it is taken as UTC.
    pub(crate) fn rfc3339(&self) -> String {
        rfc3339(self.text, self.zone, self.len - self.zone)
    }
}

/// Reads `2014-05-07 12:13:14.123`, with `T` or blank, `.` or `,`, and an optional zone.
pub(crate) fn iso(text: &str) -> Option<Stamp<'_>> {
    let bytes = text.as_bytes();
    let shape = bytes.get(..19)?;
    let digits = |from: usize, to: usize| number(&shape[from..to]);
    if shape[4] != b'-' || shape[7] != b'-' || !matches!(shape[10], b' ' | b'T') {
        return None;
    }
    let second = clock(&shape[11..19])?;
    let year = i16::try_from(digits(0, 4)?).ok()?;
    let (month, day) = (small(digits(5, 7)?)?, small(digits(8, 10)?)?);
    DateTime::new(year, month, day, second.0, second.1, second.2, 0).ok()?;
    let fraction = fraction_len(&bytes[19..]);
    let zone = zone_len(&bytes[19 + fraction..]);
    let end = 19 + fraction;
    Some(Stamp {
        text,
        zone: end,
        len: end + zone,
    })
}

fn rfc3339(text: &str, end: usize, zone: usize) -> String {
    let mut out = String::with_capacity(end + 6);
    out.push_str(&text[..10]);
    out.push('T');
    out.push_str(&text[11..19]);
    if end > 19 {
        out.push('.');
        // Nine digits are all that a nanosecond clock has.
        out.push_str(&text[20..end.min(29)]);
    }
    match &text[end..end + zone] {
        "" | "Z" => out.push('Z'),
        zone if zone.len() == 5 => {
            out.push_str(&zone[..3]);
            out.push(':');
            out.push_str(&zone[3..]);
        }
        zone => out.push_str(zone),
    }
    out
}

/// Reads `12:13:14` and checks its ranges.
pub(crate) fn clock(bytes: &[u8]) -> Option<(i8, i8, i8)> {
    let bytes = bytes.get(..8)?;
    if bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let hour = small(number(&bytes[..2])?)?;
    let minute = small(number(&bytes[3..5])?)?;
    let second = small(number(&bytes[6..8])?)?;
    (hour < 24 && minute < 60 && second < 60).then_some((hour, minute, second))
}

/// Length of `.123` or `,123` at the beginning, 0 when there is none.
pub(crate) fn fraction_len(bytes: &[u8]) -> usize {
    if !matches!(bytes.first(), Some(b'.' | b',')) {
        return 0;
    }
    let digits = bytes[1..].iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 { 0 } else { digits + 1 }
}

fn zone_len(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'Z') => 1,
        Some(b'+' | b'-') => offset_len(&bytes[1..]).map_or(0, |n| n + 1),
        _ => 0,
    }
}

fn offset_len(bytes: &[u8]) -> Option<usize> {
    let hour = number(bytes.get(..2)?)?;
    let (minute, len) = if bytes.get(2) == Some(&b':') {
        (number(bytes.get(3..5)?)?, 5)
    } else {
        (number(bytes.get(2..4)?)?, 4)
    };
    (hour < 24 && minute < 60).then_some(len)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |sum, b| {
        b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0'))
    })
}

fn small(n: u32) -> Option<i8> {
    i8::try_from(n).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_become_rfc3339() {
        let cases = [
            ("2014-05-07 12:13:14.123 x", 23, "2014-05-07T12:13:14.123Z"),
            ("2014-05-07 12:13:14,123", 23, "2014-05-07T12:13:14.123Z"),
            (
                "2022-05-20T13:15:39.4534411Z x",
                28,
                "2022-05-20T13:15:39.4534411Z",
            ),
            ("2022-05-20T13:15:39+0200", 24, "2022-05-20T13:15:39+02:00"),
            ("2022-05-20T13:15:39-07:00", 25, "2022-05-20T13:15:39-07:00"),
            ("2022-05-20 13:15:39.", 19, "2022-05-20T13:15:39Z"),
        ];
        for (text, len, rfc3339) in cases {
            let stamp = iso(text).unwrap();
            assert_eq!(
                (stamp.len, stamp.rfc3339().as_str()),
                (len, rfc3339),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_moment_is_left_alone() {
        for text in [
            "2014-02-30 12:13:14",
            "2014-05-07 25:13:14",
            "2014-05-07",
            "20a4-05-07 12:13:14",
            "日本語日本語日本語日本語",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
    }
}
