//! How much a channel is told.

use super::{Held, Quiet};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// At most so many messages within any span of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many; at least 1.
    pub most: usize,
    /// How long the span is.
    pub period: SignedDuration,
}

/// What becomes of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is said now.
    Say,
    /// It waits for the digest.
    Hold,
}

/// What a channel was told and what was held back: everything that must survive a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// When the latest messages were said, oldest first; no more than the pace looks back to.
    said: VecDeque<Timestamp>,
    /// What waits for the digest, oldest first.
    held: Vec<Held>,
}

impl Gate {
    /// Decides on a note at `now`. While something waits, what is new waits too: the digest comes first.
    pub fn offer(&mut self, note: Held, quiet: &Quiet, pace: Option<Pace>, now: Timestamp) -> Turn {
        self.forget(pace, now);
        let free = self.held.is_empty() && self.next(quiet, pace, now) == Some(now);
        if free {
            self.said.push_back(now);
            return Turn::Say;
        }
        self.held.push(note);
        Turn::Hold
    }

    /// The notes that the digest stands for, if something waits and may be told at `now`. The digest
    /// counts as said then.
    pub fn release(
        &mut self,
        quiet: &Quiet,
        pace: Option<Pace>,
        now: Timestamp,
    ) -> Option<Vec<Held>> {
        self.forget(pace, now);
        if self.held.is_empty() || self.next(quiet, pace, now) != Some(now) {
            return None;
        }
        self.said.push_back(now);
        Some(std::mem::take(&mut self.held))
    }

    /// When the digest is due, if something waits and there is such a moment.
    pub fn due(&self, quiet: &Quiet, pace: Option<Pace>, now: Timestamp) -> Option<Timestamp> {
        if self.held.is_empty() {
            return None;
        }
        self.next(quiet, pace, now)
    }

    /// What waits.
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    fn next(&self, quiet: &Quiet, pace: Option<Pace>, now: Timestamp) -> Option<Timestamp> {
        let said: Vec<Timestamp> = self.said.iter().copied().collect();
        said_when(&said, quiet, pace, now)
    }

    fn forget(&mut self, pace: Option<Pace>, now: Timestamp) {
        let most = pace.map_or(0, |pace| pace.most);
        while self.said.len() > most {
            self.said.pop_front();
        }
        let Some(pace) = pace else { return };
        // A clock that went back must not make room; what lies far ahead would block for ever.
        self.said.retain(|at| at.duration_since(now) <= pace.period);
    }
}

/// The first moment from `now` on at which a channel that was told things at `said` (oldest first) may
/// be told another one; none where it is always quiet.
pub fn said_when(
    said: &[Timestamp],
    quiet: &Quiet,
    pace: Option<Pace>,
    now: Timestamp,
) -> Option<Timestamp> {
    let free = match pace {
        None => now,
        Some(pace) => {
            let nth = said.len().checked_sub(pace.most.max(1));
            let nth = nth.and_then(|at| said.get(at));
            let end = nth.and_then(|at| at.checked_add(pace.period).ok());
            end.map_or(now, |end| end.max(now))
        }
    };
    quiet.end(free)
}
