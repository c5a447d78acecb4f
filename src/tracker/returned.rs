//! Bugs that were closed and are hit again.

use crate::event::BugFacts;
use jiff::{SignedDuration, Timestamp};

/// Since when a bug counts as fixed: since its tracker closed it, or since the fingerprint says so.
pub fn closed_since(facts: Option<&BugFacts>, resolved_at: Option<Timestamp>) -> Option<Timestamp> {
    let closed = facts.filter(|facts| facts.status.closed());
    closed.and_then(|facts| facts.closed).or(resolved_at)
}

/// True when a failed build had the bug although it had been closed for `grace` by then: builds that
/// began before the fix was there still fail for a while.
pub fn returned(
    closed: Option<Timestamp>,
    last_hit: Option<Timestamp>,
    grace: SignedDuration,
) -> bool {
    match (closed, last_hit) {
        (Some(closed), Some(hit)) => hit.duration_since(closed) > grace,
        _ => false,
    }
}

/// The facts with a moment of closing, where the tracker does not say any: the one that we know from
/// before, or when the bug was last changed.
#[must_use]
pub fn settled(facts: BugFacts, before: Option<&BugFacts>, now: Timestamp) -> BugFacts {
    if !facts.status.closed() || facts.closed.is_some() {
        return facts;
    }
    let known = before
        .filter(|before| before.status.closed())
        .and_then(|before| before.closed);
    let changed = facts.updated.unwrap_or(now).min(now);
    BugFacts {
        closed: known.or(Some(changed)),
        ..facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::BugStatus;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00:00Z").parse().unwrap()
    }

    fn facts(status: BugStatus, closed: Option<Timestamp>) -> BugFacts {
        BugFacts {
            title: "t".into(),
            status,
            word: "w".into(),
            assignee: None,
            url: None,
            updated: Some(at("03T00")),
            closed,
            reviews: Vec::new(),
        }
    }

    #[test]
    fn a_hit_after_closing_is_a_return() {
        let fixed = facts(BugStatus::Fixed, Some(at("01T00")));
        let grace = SignedDuration::from_hours(6);
        let back = |facts, resolved, hit| returned(closed_since(facts, resolved), hit, grace);
        assert!(back(Some(&fixed), None, Some(at("01T07"))));
        assert!(!back(Some(&fixed), None, Some(at("01T06"))));
        assert!(!back(Some(&fixed), None, None));
        let open = facts(BugStatus::Open, None);
        assert!(!back(Some(&open), None, Some(at("09T00"))));
        assert!(back(None, Some(at("01T00")), Some(at("02T00"))));
        assert!(!back(None, None, Some(at("02T00"))));
    }

    #[test]
    fn a_moment_of_closing_is_kept_once_it_is_known() {
        let now = at("09T00");
        let silent = facts(BugStatus::ClosedOtherwise, None);
        let first = settled(silent.clone(), None, now);
        assert_eq!(first.closed, Some(at("03T00")));
        let later = BugFacts {
            updated: Some(at("08T00")),
            ..silent.clone()
        };
        assert_eq!(
            settled(later.clone(), Some(&first), now).closed,
            Some(at("03T00"))
        );
        let open = facts(BugStatus::Open, None);
        assert_eq!(settled(later, Some(&open), now).closed, Some(at("08T00")));
        assert_eq!(settled(open.clone(), Some(&first), now).closed, None);
    }
}
