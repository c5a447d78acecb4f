//! In how many builds a bug was seen, written into one comment of the bug that is kept up to date.

use super::{Bug, Comment, Tracker, TrackerError};
use crate::config::Counts;
use crate::state::{BugHits, BugRow};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// What became of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A new comment with this name was written.
    Added(String),
    /// The comment of this name was changed.
    Edited(String),
    /// The comment of this name says so already.
    Same(String),
}

/// True when it is time to look at the comment of a bug.
pub(super) fn is_due(mode: Counts, every: Duration, row: Option<&BugRow>, now: Timestamp) -> bool {
    let every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
    let last = row.and_then(|row| row.comment_at);
    let past = |last| {
        let past = now.duration_since(last);
        past >= every || past.is_negative()
    };
    mode != Counts::Never && last.is_none_or(past)
}

/// True when there is something to write: other counts than the comment has, and a bug that was never
/// seen gets no comment that says so.
pub(super) fn is_news(row: Option<&BugRow>, hits: &BugHits, text: &str) -> bool {
    match row.and_then(|row| row.comment_text.as_deref()) {
        Some(written) => !same(written, text),
        None => hits.builds_30d > 0,
    }
}

/// The words of the comment.
pub fn counts_text(hits: &BugHits, marker: &str) -> String {
    let last = hits.last.map_or_else(
        || "never".to_owned(),
        |last| last.strftime("%Y-%m-%d").to_string(),
    );
    format!(
        "{marker}\nFailed builds with this bug: {} in 24 hours, {} in 7 days, {} in 30 days. \
         Last seen: {last}.\nwhorl counts them and keeps this comment up to date.",
        hits.builds_24h, hits.builds_7d, hits.builds_30d
    )
}

/// Brings the comment up to date: the one that is known, else the one that is found by its marker,
/// else a new one.
pub(super) async fn write(
    tracker: &dyn Tracker,
    bug: &Bug,
    known: Option<&str>,
    text: &str,
) -> Result<Written, TrackerError> {
    if let Some(id) = known {
        match tracker.edit_comment(bug, id, text).await {
            Ok(()) => return Ok(Written::Edited(id.to_owned())),
            // It was deleted, or the bug or the whole tracker was moved and it has another name.
            Err(TrackerError::NotFound | TrackerError::Gone | TrackerError::Elsewhere(_)) => {}
            Err(error) => return Err(error),
        }
    }
    match tracker.own_comment(bug).await? {
        Some(Comment { id, text: there }) if same(&there, text) => Ok(Written::Same(id)),
        Some(Comment { id, .. }) => {
            tracker.edit_comment(bug, &id, text).await?;
            Ok(Written::Edited(id))
        }
        None => tracker.add_comment(bug, text).await.map(Written::Added),
    }
}

/// True for texts that differ only in what trackers do to line ends.
fn same(one: &str, other: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        text.trim()
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    };
    lines(one) == lines(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(day: u64, month: u64) -> BugHits {
        let last = "2026-11-20T23:10:00Z".parse().ok();
        BugHits {
            builds_24h: day,
            builds_7d: month,
            builds_30d: month,
            last,
        }
    }

    #[test]
    fn the_comment_says_what_was_counted() {
        insta::assert_snapshot!(counts_text(&hits(2, 40), "[marker]"), @r"
        [marker]
        Failed builds with this bug: 2 in 24 hours, 40 in 7 days, 40 in 30 days. Last seen: 2026-11-20.
        whorl counts them and keeps this comment up to date.
        ");
    }

    #[test]
    fn a_bug_without_builds_gets_no_comment() {
        assert!(!is_news(None, &hits(0, 0), "text"));
        assert!(is_news(None, &hits(0, 1), "text"));
        assert!(same("a \r\nb\r\n", "a\nb"));
        assert!(!same("a b", "a\nb"));
    }
}
