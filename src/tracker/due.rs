//! Which bugs are asked for now. No clock and no network: time comes in.

use super::error::Wait;
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;
use std::time::Duration;

/// A bug that was hit since then is looked at more often.
const RECENT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How much longer other bugs wait.
const SELDOM: i32 = 8;
/// The wait after the first try in vain; it doubles each time.
const FIRST: SignedDuration = SignedDuration::from_mins(5);
/// The longest wait after a try for one bug.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// The wait after a tracker's first failure; it doubles each time.
const SHUT: SignedDuration = SignedDuration::from_mins(1);
/// The longest one of our own choice.
const SHUT_LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// Of so many bugs one is the one that waits longest, however rarely it is hit.
const TURN: usize = 4;

/// What is known of a bug when it is decided whether to ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// When it was last asked for.
    pub tried_at: Option<Timestamp>,
    /// Tries in vain since the last answer.
    pub failures: u32,
    /// When a failed build last had it.
    pub last_hit: Option<Timestamp>,
}

/// How fast a tracker is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often a bug is asked for that was hit in the last week.
    pub every: Duration,
    /// Bugs in a minute at most.
    pub per_minute: u32,
}

/// Whether a tracker may be asked, and what it was asked in the last minute.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    failures: u32,
    shut_until: Option<Timestamp>,
    asked: VecDeque<Timestamp>,
}

/// The places in `all` of the bugs that are asked for now, in order, at most `room` of them: those
/// that were hit last, and between them those that wait longest.
pub fn due(all: &[Known], pace: &Pace, room: usize, now: Timestamp) -> Vec<usize> {
    let waited = |at: &usize| all[*at].since_due(pace, now);
    let mut recent: Vec<usize> = (0..all.len()).filter(|at| waited(at).is_some()).collect();
    let mut waiting = recent.clone();
    recent.sort_by_key(|at| std::cmp::Reverse(all[*at].last_hit));
    waiting.sort_by_key(|at| std::cmp::Reverse(waited(at)));
    let (mut recent, mut waiting) = (recent.into_iter(), waiting.into_iter());
    let mut picked: Vec<usize> = Vec::new();
    while picked.len() < room {
        let turn = picked.len() % TURN == TURN - 1;
        let fresh = |at: &usize| !picked.contains(at);
        let next = if turn {
            waiting.find(fresh)
        } else {
            recent.find(fresh)
        };
        let Some(next) = next else {
            break;
        };
        picked.push(next);
    }
    picked
}

impl Known {
    /// How long ago it became due; `None` when it is not.
    fn since_due(&self, pace: &Pace, now: Timestamp) -> Option<SignedDuration> {
        let Some(tried) = self.tried_at else {
            return Some(SignedDuration::MAX);
        };
        let past = now.duration_since(tried);
        let wait = self.wait(pace, now);
        // A clock that was turned back must not keep a bug waiting.
        (past >= wait || past.is_negative()).then(|| past.saturating_sub(wait))
    }

    fn wait(&self, pace: &Pace, now: Timestamp) -> SignedDuration {
        if self.failures > 0 {
            return doubled(FIRST, self.failures - 1).min(LONGEST);
        }
        let every = SignedDuration::try_from(pace.every).unwrap_or(LONGEST);
        let recent = self
            .last_hit
            .is_some_and(|hit| now.duration_since(hit) <= RECENT);
        if recent {
            every
        } else {
            every.saturating_mul(SELDOM).min(LONGEST.max(every))
        }
    }
}

impl Gate {
    /// Until when nothing is asked.
    pub fn shut_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.shut_until.filter(|until| *until > now)
    }

    /// How many bugs may be asked for now.
    pub fn room(&mut self, pace: &Pace, now: Timestamp) -> usize {
        if self.shut_until(now).is_some() {
            return 0;
        }
        let minute = SignedDuration::from_mins(1);
        let fresh = |at: &Timestamp| {
            let past = now.duration_since(*at);
            !past.is_negative() && past < minute
        };
        self.asked.retain(fresh);
        let most = usize::try_from(pace.per_minute).unwrap_or(usize::MAX);
        let room = most.saturating_sub(self.asked.len());
        // After a failure one bug is tried first.
        if self.failures > 0 { room.min(1) } else { room }
    }

    /// A bug is being asked for.
    pub fn asked(&mut self, now: Timestamp) {
        self.asked.push_back(now);
    }

    /// The tracker has answered.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.shut_until = None;
    }

    /// The tracker has failed: it is left alone for as long as it wishes, and for longer each time.
    /// `random` (0 to 1) takes away up to a quarter of our own wait, so that many do not come back at
    /// once.
    pub fn failed(&mut self, wish: Option<Wait>, random: f64, now: Timestamp) {
        let own = doubled(SHUT, self.failures).min(SHUT_LONGEST);
        let own = own.mul_f64(1.0 - 0.25 * random.clamp(0.0, 1.0));
        self.failures = self.failures.saturating_add(1);
        let end = now.checked_add(own).unwrap_or(Timestamp::MAX);
        let wished = wish.map_or(now, |wish| wish.end(now));
        self.shut_until = Some(end.max(wished));
    }
}

fn doubled(first: SignedDuration, times: u32) -> SignedDuration {
    first.saturating_mul(2_i32.saturating_pow(times.min(20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        every: Duration::from_secs(1800),
        per_minute: 3,
    };

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_764_000_000 + 60 * minutes).unwrap()
    }

    fn bug(tried: Option<i64>, failures: u32, hit: Option<i64>) -> Known {
        Known {
            tried_at: tried.map(at),
            failures,
            last_hit: hit.map(at),
        }
    }

    fn is_due(bug: Known, now: i64) -> bool {
        !due(&[bug], &PACE, 1, at(now)).is_empty()
    }

    #[test]
    fn a_bug_waits_for_its_time() {
        assert!(is_due(bug(None, 0, None), 0));
        let hit = bug(Some(0), 0, Some(-60));
        assert!(!is_due(hit, 29) && is_due(hit, 30));
        let quiet = bug(Some(0), 0, None);
        assert!(!is_due(quiet, 239) && is_due(quiet, 240));
        let long_ago = bug(Some(0), 0, Some(-8 * 24 * 60));
        assert!(!is_due(long_ago, 239) && is_due(long_ago, 240));
        assert!(
            is_due(bug(Some(50), 0, None), 0),
            "the clock was turned back"
        );
    }

    #[test]
    fn a_bug_that_fails_waits_longer_each_time() {
        for (failures, wait) in [(1, 5), (2, 10), (5, 80), (9, 1280), (10, 1440), (99, 1440)] {
            let bug = bug(Some(0), failures, Some(0));
            assert!(!is_due(bug, wait - 1) && is_due(bug, wait), "{failures}");
        }
    }

    #[test]
    fn those_hit_last_go_first_and_nobody_starves() {
        // Ten bugs that are hit all the time, and one that waits for a month.
        let mut all: Vec<Known> = (0..10).map(|n| bug(Some(-60), 0, Some(-n))).collect();
        all.push(bug(Some(-43_200), 0, None));
        assert_eq!(due(&all, &PACE, 5, at(0)), [0, 1, 2, 10, 3]);
        assert_eq!(due(&all, &PACE, 0, at(0)), [0; 0]);
        assert_eq!(due(&all, &PACE, 99, at(0)).len(), 11);
    }

    #[test]
    fn no_more_than_so_many_in_any_minute() {
        let mut gate = Gate::default();
        assert_eq!(gate.room(&PACE, at(0)), 3);
        gate.asked(at(0));
        gate.asked(at(0));
        assert_eq!(gate.room(&PACE, at(0)), 1);
        assert_eq!(gate.room(&PACE, at(1)), 3);
    }

    #[test]
    fn a_tracker_that_fails_is_left_alone_and_then_asked_carefully() {
        let mut gate = Gate::default();
        gate.failed(None, 0.0, at(0));
        assert_eq!(gate.shut_until(at(0)), Some(at(1)));
        assert_eq!(gate.room(&PACE, at(0)), 0);
        assert_eq!(gate.room(&PACE, at(1)), 1);
        gate.failed(None, 0.0, at(1));
        assert_eq!(gate.shut_until(at(1)), Some(at(3)));
        for _ in 0..40 {
            gate.failed(None, 0.0, at(3));
        }
        assert_eq!(gate.shut_until(at(3)), Some(at(63)));
        gate.failed(Some(Wait::Until(at(500))), 1.0, at(63));
        assert_eq!(gate.shut_until(at(63)), Some(at(500)));
        gate.answered();
        assert_eq!(gate.room(&PACE, at(64)), 3);
    }
}
