//! One log on its way through the run.

use super::lanes::{Kind, Lanes};
use crate::event::{Event, Fields};
use crate::intake::{
    Around, Chunk, Format, Limits, Lines, Odd, Place, Places, RoundPlaces, Taken, Wants,
};
use crate::matcher::Run;
use crate::matcher::scan::{Filter, Found, Hit, Scanned, Sure};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

/// Takes what is scanned of one log, in its order.
pub(super) struct Reading<'r, 'm, 'l> {
    around: Around<'l>,
    looking: Looking<'r, 'm, 'l>,
    /// What each row is worth by now.
    kinds: &'r mut [Cell<Kind>],
    odd: Odd,
    bytes: u64,
    lines: u64,
    /// True when the last line has no end.
    open: bool,
}

/// What looks at events and lines, and counts them.
struct Looking<'r, 'm, 'l> {
    filter: &'m Filter,
    run: &'r mut Run<'m>,
    lanes: &'r mut Lanes,
    /// What the log gives all of its events, and its name.
    fields: &'l Arc<Fields>,
    file: &'l str,
    /// What was found where, in the order of the log, as long as it may belong to an event to come.
    found: VecDeque<(u64, Found)>,
    events: u64,
}

impl<'r, 'm, 'l> Reading<'r, 'm, 'l> {
    pub(super) fn new(
        around: Around<'l>,
        filter: &'m Filter,
        run: &'r mut Run<'m>,
        (lanes, kinds): (&'r mut Lanes, &'r mut [Cell<Kind>]),
        (fields, file): (&'l Arc<Fields>, &'l str),
        sure: Vec<u32>,
    ) -> Self {
        lanes.hold(kinds, sure, run);
        Self {
            around,
            looking: Looking {
                filter,
                run,
                lanes,
                fields,
                file,
                found: VecDeque::new(),
                events: 0,
            },
            kinds,
            odd: Odd::default(),
            bytes: 0,
            lines: 0,
            open: false,
        }
    }

    pub(super) fn take(&mut self, chunk: &Chunk, mut scanned: Scanned) {
        self.odd.see_all(chunk, self.lines + 1, scanned.plain);
        let (looking, kinds) = (&mut self.looking, &*self.kinds);
        looking.learn(kinds, &mut scanned.hits);
        let hits = scanned.hits.iter();
        looking
            .found
            .extend(hits.map(|hit| (chunk.offset + hit.at as u64, hit.found)));
        let place = |number: usize| place_of(&scanned.hits[number], kinds);
        let everything = looking.lanes.everything();
        let each = || wants_of(everything, kinds);
        let places = Places {
            count: scanned.hits.len(),
            get: &place,
            longest: looking.lanes.longest(),
            each: &each,
        };
        self.around
            .take(chunk, scanned.lines, places, &mut |found| match found {
                RoundPlaces::Event(event) => looking.event(kinds, &event),
                RoundPlaces::Lines(lines) => looking.lines(&lines, &scanned.hits),
            });
        if !self.around.is_busy() {
            looking.found.clear();
        }
        looking.lanes.keep(chunk, self.lines, scanned.lines);
        self.bytes += chunk.bytes().len() as u64;
        self.lines += scanned.lines;
        self.open = !chunk.bytes().ends_with(b"\n");
    }

    pub(super) fn finish(
        mut self,
        limits: &Limits,
        format: Format,
        error: Option<std::io::Error>,
    ) -> Taken {
        let (looking, kinds) = (&mut self.looking, &*self.kinds);
        self.around.finish(&mut |found| {
            if let RoundPlaces::Event(event) = found {
                looking.event(kinds, &event);
            }
        });
        looking.finish(kinds, &self.around);
        Taken {
            format,
            bytes: self.bytes,
            lines: self.lines + u64::from(self.open),
            events: looking.events,
            problems: self.odd.problems(looking.file, limits),
            error,
        }
    }
}

impl Looking<'_, '_, '_> {
    /// Leaves out what cannot matter in this log.
    fn learn(&mut self, kinds: &[Cell<Kind>], hits: &mut Vec<Hit>) {
        let (run, log) = ((&*self.run, self.filter), (self.fields, self.file));
        hits.retain(|hit| match hit.found {
            Found::Row(row) => self.lanes.learn(kinds, row, run, log) != Kind::Nothing,
            Found::Block | Found::Anything => true,
        });
    }

    /// Counts an event that need not be made.
    fn lines(&mut self, lines: &Lines<'_>, hits: &[Hit]) {
        let event = (lines.offset, lines.offset + lines.bytes.len() as u64);
        for hit in &hits[lines.places.clone()] {
            if let (Found::Row(row), Sure::Whole) = (hit.found, hit.sure) {
                self.lanes.count(row, event);
            }
        }
        let everything = self.lanes.everything();
        if !self.lanes.conditions(everything).is_empty() {
            self.lanes.count(everything, event);
        }
    }

    /// Has the run look at an event, with what was found in its bytes.
    fn event(&mut self, kinds: &[Cell<Kind>], event: &Event) {
        self.events += 1;
        let end = event.at.offset + event.at.length;
        let (mut rows, mut anything) = (Vec::new(), false);
        while let Some((at, what)) = self.found.front().copied().filter(|(at, _)| *at < end) {
            self.found.pop_front();
            match what {
                _ if at < event.at.offset => {}
                Found::Block => {}
                Found::Anything => anything = true,
                Found::Row(row) => rows.push(row),
            }
        }
        let everything = self.lanes.everything();
        let mut numbers = self.lanes.conditions(everything).to_vec();
        numbers.extend(rows.iter().flat_map(|row| self.filter.conditions(*row)));
        if anything {
            self.run.event(event);
        } else if !numbers.is_empty() {
            self.run.candidate(event, numbers);
        }
        for row in rows.into_iter().chain([everything]) {
            self.lanes.shown(&kinds[row as usize], row, self.run);
        }
    }

    /// Gives the run what was counted.
    fn finish(&mut self, kinds: &[Cell<Kind>], around: &Around<'_>) {
        for count in self.lanes.finish(kinds) {
            let event = around.event(&count.last.bytes, count.last.number, count.last.offset);
            for number in count.conditions {
                self.run.counted(number, count.hits, &event);
            }
        }
    }
}

/// A hit as a place of its stretch.
fn place_of(hit: &Hit, kinds: &[Cell<Kind>]) -> Place {
    let wants = match (hit.found, hit.sure) {
        (Found::Block, _) => Wants::Block,
        (Found::Row(_), Sure::Beyond) => Wants::Several,
        (Found::Row(row), Sure::Whole) => wants_of(row, kinds),
        (Found::Row(_), Sure::Nothing) | (Found::Anything, _) => Wants::Event,
    };
    Place { at: hit.at, wants }
}

/// What a row wants of an event where it holds for certain.
fn wants_of(row: u32, kinds: &[Cell<Kind>]) -> Wants {
    if kinds[row as usize].get() == Kind::Counted {
        Wants::Lines
    } else {
        Wants::Event
    }
}
