//! What the tracker says of a bug, in words, with its age where that matters. Time comes in.

use super::wording::one_line;
use crate::event::{BugFacts, BugStatus};
use crate::state::BugRow;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// Open reviews of a bug that are told.
const REVIEWS: usize = 3;

/// A bug as its tracker knows it. All texts are one line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tracked {
    /// Its title there.
    pub title: String,
    /// Where it stands: `open`, `in progress`, `fixed`, `closed otherwise`, or the tracker's own word.
    pub status: String,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Its page.
    pub url: Option<String>,
    /// When the tracker said so.
    pub at: Timestamp,
    /// The same for people, where that is so long ago that it may no longer be so.
    pub as_of: Option<String>,
    /// And how long ago that is.
    pub ago: Option<String>,
    /// Open reviews that name it, the first few.
    pub reviews: Vec<Review>,
}

/// A change under review that names a bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Review {
    /// What it is called.
    pub title: String,
    /// Where it is reviewed.
    pub url: String,
}

impl Tracked {
    /// What is known of a bug; none where its tracker has never answered.
    pub fn of(row: &BugRow, stale_after: SignedDuration, now: Timestamp) -> Option<Self> {
        let (facts, at) = (row.facts.as_ref()?, row.fetched_at?);
        let stale = row.stale(now, stale_after);
        let reviews = facts.reviews.iter().take(REVIEWS).map(|review| Review {
            title: one_line(&review.title),
            url: one_line(&review.url),
        });
        Some(Self {
            title: one_line(&facts.title),
            status: status(facts),
            assignee: facts.assignee.as_deref().map(one_line),
            url: facts.url.as_deref().map(one_line),
            at,
            as_of: stale.then(|| at.strftime("%Y-%m-%d %H:%M UTC").to_string()),
            ago: stale.then(|| ago(now.duration_since(at))),
            reviews: reviews.collect(),
        })
    }

    /// Status, who works on it, and where it may no longer be so since when: `open, Ann; as of 3 h ago`.
    pub fn in_words(&self, age: Option<&str>) -> String {
        let who = self.assignee.as_ref().map(|who| format!(", {who}"));
        let age = age.map(|age| format!("; as of {age}"));
        let rest = [who, age].into_iter().flatten().collect::<String>();
        format!("{}{rest}", self.status)
    }
}

fn status(facts: &BugFacts) -> String {
    match facts.status {
        BugStatus::Unknown => one_line(&facts.word),
        known => known.as_str().replace('-', " "),
    }
}

/// A span as people say it, in its largest unit.
pub fn ago(span: SignedDuration) -> String {
    let minutes = span.as_secs().max(0) / 60;
    match minutes {
        0 => "a moment ago".to_owned(),
        1..=119 => format!("{minutes} min ago"),
        120..=2879 => format!("{} h ago", minutes / 60),
        _ => format!("{} d ago", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::BugReview;

    fn row(hours: i64) -> (BugRow, Timestamp) {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let facts = BugFacts {
            title: "Race\nin x".into(),
            status: BugStatus::InProgress,
            word: "In Progress".into(),
            assignee: Some("Ann".into()),
            url: None,
            updated: None,
            closed: None,
            reviews: vec![
                BugReview {
                    title: "Fix".into(),
                    url: "https://review.example/1".into()
                };
                5
            ],
        };
        let row = BugRow {
            name: "launchpad:1".into(),
            facts: Some(facts),
            validator: None,
            fetched_at: Some(now - SignedDuration::from_hours(hours)),
            read_at: None,
            tried_at: None,
            failures: 0,
            error: None,
            comment: None,
            comment_text: None,
            comment_at: None,
        };
        (row, now)
    }

    #[test]
    fn only_what_is_old_shows_its_age() {
        let limit = SignedDuration::from_hours(6);
        let (fresh, now) = row(3);
        let fresh = Tracked::of(&fresh, limit, now).unwrap();
        assert_eq!(fresh.in_words(fresh.ago.as_deref()), "in progress, Ann");
        assert_eq!(
            (fresh.title.as_str(), fresh.reviews.len()),
            ("Race in x", 3)
        );
        let (old, now) = row(30);
        let old = Tracked::of(&old, limit, now).unwrap();
        assert_eq!(
            old.in_words(old.ago.as_deref()),
            "in progress, Ann; as of 30 h ago"
        );
        assert_eq!(old.as_of.as_deref(), Some("2026-11-19 06:00 UTC"));
        let never = BugRow {
            facts: None,
            ..row(1).0
        };
        assert_eq!(Tracked::of(&never, limit, now), None);
    }

    #[test]
    fn spans_are_said_in_their_largest_unit() {
        let said = [0, 90, 7199, 7200, 200_000].map(|s| ago(SignedDuration::from_secs(s)));
        assert_eq!(
            said,
            [
                "a moment ago",
                "1 min ago",
                "119 min ago",
                "2 h ago",
                "2 d ago"
            ]
        );
    }
}
