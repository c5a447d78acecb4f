//! How long to wait before a server is asked again.

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// The longest pause that comes of doubling.
const LONGEST: Duration = Duration::from_secs(60);

/// The pause after so many tries in vain: it doubles, and up to its half is taken away, so that many
/// that wait do not come back at once.
pub(super) fn pause(tries: u32, first: Duration) -> Duration {
    let doubled = first.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let whole = doubled.min(LONGEST);
    // The standard library draws the seed anew for each of its hash tables.
    let dice = u32::try_from(RandomState::new().hash_one(0_u8) % 1000).unwrap_or(0);
    whole / 2 + whole / 2 * dice / 1000
}

/// What `Retry-After` asks for, in seconds or until a moment.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = date(value)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

/// A date of HTTP.
pub(super) fn date(text: &str) -> Option<Timestamp> {
    rfc2822::parse(text.trim())
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_minute() {
        let of = |tries| pause(tries, Duration::from_secs(2)).as_secs_f64();
        for (tries, whole) in [(1, 2.0), (2, 4.0), (3, 8.0), (9, 60.0), (40, 60.0)] {
            let pause = of(tries);
            assert!((whole / 2.0..=whole).contains(&pause), "{tries}: {pause}");
        }
    }

    #[test]
    fn a_server_says_seconds_or_a_moment() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        let of = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(of("7"), Some(7));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(of("Sun, 06 Nov 1994 08:48:37 GMT"), Some(0));
        assert_eq!(of("soon"), None);
    }
}
