//! Rows whose hits are counted by the bounds of events, without making them.
//!
//! A row comes so far in a log when all of its conditions that can hold there hold wherever the row stands
//! for certain, and enough of their hits are shown. Conditions that hold for all events of the log are a
//! row of their own. The lines of the last event that was counted are kept, so that it can be shown in the end.

use crate::event::Fields;
use crate::intake::Chunk;
use crate::matcher::Run;
use crate::matcher::scan::Filter;
use crate::query::Left;
use std::cell::Cell;
use std::sync::Arc;

/// What hits of a row are worth in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// Not known yet.
    #[default]
    Unknown,
    /// Nothing: none of its conditions can hold there.
    Nothing,
    /// An event.
    Event,
    /// An event until enough of them are shown.
    Shown,
    /// A count.
    Counted,
}

/// Bytes of one event that is counted as long as there is room for more.
const MAX_LARGE: u64 = 1 << 20;
/// Bytes of one event that is counted at any time.
const MAX_SMALL: u64 = 8 * 1024;
/// Bytes of kept events from which on there is only room for small ones.
const ENOUGH: usize = 16 << 20;

/// An event that was counted.
#[derive(Debug)]
pub(super) struct Kept {
    /// Of its first line.
    pub(super) number: u64,
    /// Where it begins in the log.
    pub(super) offset: u64,
    /// Its lines with their ends.
    pub(super) bytes: Box<[u8]>,
}

/// What is counted of one row.
#[derive(Debug, Default)]
struct Lane {
    /// Its conditions that can hold in this log.
    conditions: Vec<u32>,
    hits: u64,
    /// Where the event that was counted last begins and ends.
    last: Option<(u64, u64)>,
    /// True while that event is not kept.
    new: bool,
    kept: Option<Arc<Kept>>,
}

/// All rows, for one log after the other.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    all: Vec<Lane>,
    /// Rows that are not as at the beginning of a log.
    used: Vec<u32>,
    /// Rows whose last event is not kept.
    new: Vec<u32>,
    /// Bytes of all kept events.
    bytes: usize,
}

/// What was counted of a row in a log.
pub(super) struct Count {
    pub(super) conditions: Vec<u32>,
    pub(super) hits: u64,
    pub(super) last: Arc<Kept>,
}

impl Lanes {
    /// So many rows, and one for what holds for all events.
    pub(super) fn new(rows: u32) -> Self {
        Self {
            all: (0..=rows).map(|_| Lane::default()).collect(),
            used: Vec::new(),
            new: Vec::new(),
            bytes: 0,
        }
    }

    /// Most bytes of an event that can be counted now.
    pub(super) fn longest(&self) -> u64 {
        if self.bytes < ENOUGH {
            MAX_LARGE
        } else {
            MAX_SMALL
        }
    }

    /// Begins a log for all events of which these conditions hold.
    pub(super) fn hold(&mut self, kinds: &[Cell<Kind>], conditions: Vec<u32>, run: &Run<'_>) {
        let row = self.everything();
        let kind = &kinds[row as usize];
        self.used.push(row);
        kind.set(if conditions.is_empty() {
            Kind::Nothing
        } else {
            Kind::Shown
        });
        self.all[row as usize].conditions = conditions;
        self.shown(kind, row, run);
    }

    /// The conditions of a row that can hold in this log.
    pub(super) fn conditions(&self, row: u32) -> &[u32] {
        &self.all[row as usize].conditions
    }

    /// The row of conditions that hold for all events.
    pub(super) fn everything(&self) -> u32 {
        u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
    }

    /// What a row is worth in a log with these fields.
    pub(super) fn learn(
        &mut self,
        kinds: &[Cell<Kind>],
        row: u32,
        (run, filter): (&Run<'_>, &Filter),
        (fields, file): (&Arc<Fields>, &str),
    ) -> Kind {
        let kind = &kinds[row as usize];
        if kind.get() != Kind::Unknown {
            return kind.get();
        }
        self.used.push(row);
        let lane = &mut self.all[row as usize];
        kind.set(Kind::Nothing);
        for number in filter.conditions(row) {
            match run.left(*number, fields, file) {
                Left::Nothing => {}
                Left::Message if filter.is_exact(row) => {
                    lane.conditions.push(*number);
                    if kind.get() == Kind::Nothing {
                        kind.set(Kind::Shown);
                    }
                }
                Left::All | Left::Message | Left::More => kind.set(Kind::Event),
            }
        }
        self.shown(kind, row, run);
        kind.get()
    }

    /// Looks whether enough hits of a row are shown by now.
    pub(super) fn shown(&self, kind: &Cell<Kind>, row: u32, run: &Run<'_>) {
        if kind.get() != Kind::Shown {
            return;
        }
        let mut conditions = self.all[row as usize].conditions.iter();
        if conditions.all(|number| run.has_shown(*number)) {
            kind.set(Kind::Counted);
        }
    }

    /// Counts an event that begins and ends at places of the log.
    pub(super) fn count(&mut self, row: u32, event: (u64, u64)) {
        let lane = &mut self.all[row as usize];
        if lane.last.replace(event) == Some(event) {
            return;
        }
        lane.hits += 1;
        if !lane.new {
            lane.new = true;
            self.new.push(row);
        }
    }

    /// Keeps the last events that were counted in a stretch that has so many line `ends`, `before` which there
    /// are so many.
    pub(super) fn keep(&mut self, chunk: &Chunk, before: u64, ends: u64) {
        let event = |lanes: &[Lane], row: u32| lanes[row as usize].last.unwrap_or_default();
        self.new.sort_unstable_by_key(|row| event(&self.all, *row));
        let inside = |at: u64| usize::try_from(at - chunk.offset).unwrap_or(usize::MAX);
        let bytes = chunk.bytes();
        let mut last: Option<Arc<Kept>> = None;
        let (mut from, mut number) = (0, before + 1);
        for row in self.new.drain(..) {
            let (offset, end) = event(&self.all, row);
            let same = last.take().filter(|kept| kept.offset == offset);
            let kept = same.unwrap_or_else(|| {
                let at = inside(offset);
                // Most are near the end.
                number = if bytes.len() - at < at - from {
                    before + 1 + ends - line_ends(&bytes[at..])
                } else {
                    number + line_ends(&bytes[from..at])
                };
                from = at;
                let bytes = &bytes[at..inside(end)];
                self.bytes += bytes.len();
                Arc::new(Kept {
                    number,
                    offset,
                    bytes: bytes.into(),
                })
            });
            let lane = &mut self.all[row as usize];
            lane.new = false;
            let before = lane.kept.replace(Arc::clone(&kept));
            let gone = before.and_then(Arc::into_inner);
            self.bytes -= gone.map_or(0, |kept| kept.bytes.len());
            last = Some(kept);
        }
    }

    /// Hands out what was counted, and is ready for the next log.
    pub(super) fn finish(&mut self, kinds: &[Cell<Kind>]) -> Vec<Count> {
        let mut counts = Vec::new();
        for row in self.used.drain(..) {
            kinds[row as usize].set(Kind::Unknown);
            let lane = std::mem::take(&mut self.all[row as usize]);
            counts.extend(lane.kept.map(|last| Count {
                conditions: lane.conditions,
                hits: lane.hits,
                last,
            }));
        }
        self.bytes = 0;
        counts
    }
}

fn line_ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

impl Run<'_> {
    /// True when as many hits of a condition are shown as are at all.
    fn has_shown(&self, number: u32) -> bool {
        let slot = self.matcher.candidates.slot(number);
        self.progress[slot.fingerprint].has_shown()
    }
}
