//! What a refusal means, and for how long a tracker wants to be left alone.

use super::error::{TrackerError, Wait};
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use std::time::Duration;

/// Who limits without saying for how long wants at least this.
const MINUTE: Duration = Duration::from_secs(60);

/// What an answer without success means; `said` is its text.
pub(super) fn failure(status: u16, headers: &HeaderMap, said: &str) -> TrackerError {
    let left = ["x-ratelimit-remaining", "ratelimit-remaining"];
    let left = left.iter().find_map(|name| text(headers, name));
    let used_up = left == Some("0");
    let limited = status == 429
        || status == 403
            && (used_up || headers.contains_key("retry-after") || said.contains("rate limit"));
    let after = retry_after(headers);
    // GitHub says with every answer when its limit is reset; that is no reason to wait for it.
    let reset = || {
        if used_up || left.is_none() {
            reset(headers)
        } else {
            None
        }
    };
    match status {
        _ if limited => TrackerError::Limited {
            status,
            wait: after.or_else(reset).unwrap_or(Wait::For(MINUTE)),
        },
        401 => TrackerError::Unauthorized,
        403 => TrackerError::Denied,
        404 => TrackerError::NotFound,
        410 => TrackerError::Gone,
        500..=599 => TrackerError::Server {
            status,
            wait: after,
        },
        _ => TrackerError::Refused(status),
    }
}

/// `Retry-After` as seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Wait> {
    let after = text(headers, "retry-after")?.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Wait::For(Duration::from_secs(seconds)));
    }
    let date = jiff::fmt::rfc2822::parse(after).ok()?;
    Some(Wait::Until(date.timestamp()))
}

/// When the limit is reset: in seconds since 1970, or as Jira writes times.
fn reset(headers: &HeaderMap) -> Option<Wait> {
    let reset = ["x-ratelimit-reset", "ratelimit-reset"];
    let reset = reset.iter().find_map(|name| text(headers, name))?.trim();
    let moment = match reset.parse::<i64>() {
        Ok(seconds) => Timestamp::from_second(seconds).ok(),
        Err(_) => minutes(reset),
    };
    moment.map(Wait::Until)
}

/// `2026-03-05T10:00Z`.
fn minutes(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let whole = text.strip_suffix('Z')?;
        format!("{whole}:00Z").parse().ok()
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderName;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let all = all
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap()));
        all.collect()
    }

    #[test]
    fn limits_are_told_from_other_refusals() {
        let reset = headers(&[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1764000000"),
        ]);
        let at = Timestamp::from_second(1_764_000_000).unwrap();
        let limited = |status, wait| TrackerError::Limited { status, wait };
        assert_eq!(failure(403, &reset, ""), limited(403, Wait::Until(at)));
        let some = headers(&[("x-ratelimit-remaining", "7")]);
        assert_eq!(failure(403, &some, ""), TrackerError::Denied);
        let minute = Wait::For(MINUTE);
        let secondary = "You have exceeded a secondary rate limit.";
        assert_eq!(failure(403, &some, secondary), limited(403, minute));
        let far = headers(&[
            ("x-ratelimit-remaining", "7"),
            ("x-ratelimit-reset", "1764000000"),
        ]);
        assert_eq!(failure(429, &far, ""), limited(429, minute));
        assert_eq!(
            failure(500, &reset, ""),
            TrackerError::Server {
                status: 500,
                wait: None
            }
        );
        assert_eq!(failure(429, &headers(&[]), ""), limited(429, minute));
        let after = headers(&[("retry-after", "7"), ("x-ratelimit-reset", "1764000000")]);
        assert_eq!(
            failure(429, &after, ""),
            limited(429, Wait::For(Duration::from_secs(7)))
        );
        let jira = headers(&[("x-ratelimit-reset", "2025-11-24T16:00Z")]);
        assert_eq!(failure(429, &jira, ""), limited(429, Wait::Until(at)));
        let date = headers(&[("retry-after", "Mon, 24 Nov 2025 16:00:00 GMT")]);
        let wait = Some(Wait::Until(at));
        assert_eq!(
            failure(503, &date, ""),
            TrackerError::Server { status: 503, wait }
        );
    }
}
