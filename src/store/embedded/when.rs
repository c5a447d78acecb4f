//! The moments of events, read fast where they are written as in the event before.

use crate::event::{Event, FieldValue};
use crate::store::fields::time_of;

/// Bytes of `2026-01-02T03:04:`.
const TO_MINUTE: usize = 17;

/// Tells the moment of one event after the other, in microseconds since 1970.
#[derive(Debug)]
pub(super) struct Clock {
    otherwise: i64,
    /// A minute as it was written, and its first moment.
    minute: Option<([u8; TO_MINUTE], i64)>,
}

impl Clock {
    /// `otherwise` is the moment of events that name none.
    pub(super) fn new(otherwise: i64) -> Self {
        Self {
            otherwise,
            minute: None,
        }
    }

    pub(super) fn of(&mut self, event: &Event) -> i64 {
        let Some(FieldValue::Text(text)) = event.field("@timestamp") else {
            return self.slowly(event);
        };
        let Some((minute, seconds)) = text.as_bytes().split_first_chunk::<TO_MINUTE>() else {
            return self.slowly(event);
        };
        let Some(within) = within_minute(seconds) else {
            return self.slowly(event);
        };
        if let Some((known, start)) = &self.minute
            && known == minute
        {
            return start + within;
        }
        let time = self.slowly(event);
        if time_of(event).is_some() {
            self.minute = Some((*minute, time - within));
        }
        time
    }

    fn slowly(&self, event: &Event) -> i64 {
        time_of(event).map_or(self.otherwise, jiff::Timestamp::as_microsecond)
    }
}

/// Microseconds of `05Z` or `05.678Z`; `None` for what is written otherwise.
fn within_minute(text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    let (seconds, fraction) = digits.split_at_checked(2)?;
    let seconds = number(seconds).filter(|seconds| *seconds < 60)?;
    let fraction = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => {
            number(digits)? * 10_i64.pow(6 - u32::try_from(digits.len()).ok()?)
        }
        _ => return None,
    };
    Some(seconds * 1_000_000 + fraction)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_and_slow_say_the_same() {
        let mut clock = Clock::new(7);
        let minute = [
            "2026-01-02T03:04:",
            "2026-01-02 03:04:",
            "1969-12-31T23:59:",
            "2026-13-02T03:04:",
        ];
        let seconds = [
            "05Z",
            "05.6Z",
            "59.123456Z",
            "60Z",
            "05.1234567Z",
            "05",
            "05.Z",
            "5Z",
            "05+02:00",
            "x",
        ];
        for minute in minute {
            for seconds in seconds.iter().chain(&seconds) {
                let mut event = Event::from_message("x");
                event
                    .own
                    .set("@timestamp", FieldValue::text(format!("{minute}{seconds}")));
                let slow = time_of(&event).map_or(7, jiff::Timestamp::as_microsecond);
                assert_eq!(clock.of(&event), slow, "{minute}{seconds}");
            }
        }
        assert_eq!(clock.of(&Event::from_message("none")), 7);
    }
}
