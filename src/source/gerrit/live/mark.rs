//! How far a Gerrit was heard, and what was heard last: nothing is lost and nothing taken twice,
//! though the same comment comes by the stream and by a query, and with two times. The stream says
//! when the event was made, the query when the comment was written, which is up to seconds before.

use serde::{Deserialize, Serialize};

/// Seconds that are looked at again: events overtake each other, and queries lag behind.
pub(super) const OVERLAP: i64 = 60;
/// The stream's time of a comment is this much later than the query's at most, and a little earlier
/// where several servers share the work.
const LATER: i64 = 30;
const EARLIER: i64 = 2;
/// Seconds by which the stream may be behind, when what was heard could not be kept for long.
const BEHIND: i64 = 3_600;
/// Comments that are remembered. When more come in a minute, a query may bring the first of them once
/// more; their builds are known by their names.
const REMEMBERED: usize = 2_000;

/// By which way something was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Stream,
    Query,
}

/// One comment: what it says, and its time by each way that it was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen(String, Option<i64>, Option<i64>);

/// How far was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Everything before this, less the overlap, was taken: seconds since 1970 by Gerrit's clock.
    until: i64,
    /// What was taken since.
    seen: Vec<Seen>,
    /// The time of the newest that was taken.
    #[serde(skip)]
    newest: i64,
    /// True while something may be missing after `until`.
    #[serde(skip)]
    gap: bool,
    #[serde(skip)]
    changed: bool,
}

impl Mark {
    /// Nothing before `until` is of interest.
    pub(super) fn new(until: i64) -> Self {
        Self {
            until,
            seen: Vec::new(),
            newest: until,
            gap: false,
            changed: false,
        }
    }

    /// What `text` wrote.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut mark: Self = serde_json::from_str(text).ok()?;
        mark.newest = mark.until;
        Some(mark)
    }

    /// As it is kept.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// From where a query has to look.
    pub(super) fn from(&self) -> i64 {
        self.until.saturating_sub(OVERLAP)
    }

    /// The newest time that was heard of.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// Gives up what is before `limit`; true when there may have been something.
    pub(super) fn give_up_before(&mut self, limit: i64) -> bool {
        let given_up = self.until < limit;
        if given_up {
            (self.until, self.changed) = (limit, true);
            self.newest = self.newest.max(limit);
        }
        given_up
    }

    /// True when this was not taken before; from now on it was.
    pub(super) fn take(&mut self, way: Way, id: &str, at: i64) -> bool {
        if way == Way::Query && at < self.from() {
            return false;
        }
        if self.known(way, id, at) {
            return false;
        }
        let (stream, query) = match way {
            Way::Stream => (Some(at), None),
            Way::Query => (None, Some(at)),
        };
        self.seen.push(Seen(id.to_owned(), stream, query));
        self.changed = true;
        true
    }

    /// Time has come to `at`. What is later than `limit` is a clock gone mad.
    pub(super) fn advance(&mut self, at: i64, limit: i64) {
        if at > self.newest && at <= limit {
            (self.newest, self.changed) = (at, true);
        }
        self.move_on();
    }

    /// Everything before `now` was asked for and taken, whatever the stream has left out.
    pub(super) fn caught_up(&mut self, now: i64) {
        if self.until < now {
            (self.until, self.changed) = (now, true);
        }
        self.newest = self.newest.max(now);
        self.move_on();
    }

    /// True while nothing says where to begin.
    pub(super) fn is_new(&self) -> bool {
        self.until == 0
    }

    /// Something may be missing from here on.
    pub(super) fn open(&mut self) {
        self.gap = true;
    }

    /// Nothing is missing any more.
    pub(super) fn close(&mut self) {
        self.gap = false;
        self.move_on();
    }

    /// True when it is not what was kept last.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// It was kept.
    pub(super) fn kept(&mut self) {
        self.changed = false;
    }

    fn move_on(&mut self) {
        if !self.gap && self.until < self.newest {
            (self.until, self.changed) = (self.newest, true);
        }
        let from = self.from() - LATER;
        self.seen.retain(|seen| match (seen.1, seen.2) {
            // The stream may be behind, and bring it yet.
            (None, Some(query)) => query >= from - BEHIND,
            (stream, query) => stream.max(query) >= Some(from),
        });
        let excess = self.seen.len().saturating_sub(REMEMBERED);
        self.seen.drain(..excess);
    }

    /// True when the comment was taken; notes that it came by this way too.
    fn known(&mut self, way: Way, id: &str, at: i64) -> bool {
        let same = |seen: &&mut Seen| seen.0 == id;
        if way == Way::Query && self.seen.iter_mut().filter(same).any(|s| s.2 == Some(at)) {
            return true;
        }
        // Somebody may say the same again: each of them stands for one.
        let other = self.seen.iter_mut().filter(same).filter_map(|seen| {
            let later = match (way, seen.1, seen.2) {
                (Way::Stream, None, Some(query)) => at - query,
                (Way::Query, Some(stream), None) => stream - at,
                _ => return None,
            };
            (-EARLIER..=LATER).contains(&later).then_some((later, seen))
        });
        let Some((_, seen)) = other.min_by_key(|(later, _)| later.abs()) else {
            return false;
        };
        match way {
            Way::Stream => seen.1 = Some(at),
            Way::Query => seen.2 = Some(at),
        }
        self.changed = true;
        true
    }
}

#[cfg(test)]
#[path = "mark_tests.rs"]
mod tests;
