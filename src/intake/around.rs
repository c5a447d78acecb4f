//! Events round places of a log, without making those of the rest.
//!
//! In: stretches of a log in order, and places in them. Out: each event that has one of the places (and
//! some that have none), as [`super::join`] makes them of the whole log. The way: from a place's line back
//! to the nearest line that begins an event whatever stands before it, and from there through the joiner
//! until the event is whole.
//!
//! An event need not be made when all of its places are such that the caller knows what they mean
//! ([`Wants`]): its lines are handed out as they are. Most such events are one line that is told to be
//! one by itself, without the joiner.
//!
//! Whether a line goes on with a block depends on what was read before only for tracebacks and the like,
//! whose first lines the caller names as places too ([`Wants::Block`]): they are read through to their
//! end when they come, so that at any other line there is no such block. What is left can be told from
//! the line and the one before it.

use super::block::{Block, may_go_on};
use super::chunks::Chunk;
use super::format::Format;
use super::join::{self, Joiner};
use super::limits::Limits;
use super::lines::RawLine;
use super::strip::{is_blank, line_text};
use crate::event::{Event, Fields, Location};
use alone::Shape;
use memchr::memmem::Finder;
use std::ops::Range;
use std::sync::Arc;
use text::{Text, without_end};

mod alone;
mod text;

/// Bytes that are kept of a stretch for the next one; where more would have to be, the joiner goes on
/// from there.
const MAX_CARRY: u64 = 64 * 1024;

/// A place in a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Byte of the stretch.
    pub(crate) at: usize,
    pub(crate) wants: Wants,
}

/// What has to be handed out for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// The event.
    Event,
    /// The lines of the event.
    Lines,
    /// The event if it has several lines, else nothing.
    Several,
    /// Nothing; but a block of several lines may begin there.
    Block,
}

/// The places of a stretch, in order.
#[derive(Clone, Copy)]
pub(crate) struct Places<'p> {
    pub(crate) count: usize,
    /// One of them, as it is by now.
    pub(crate) get: &'p dyn Fn(usize) -> Place,
    /// Most bytes of an event that is handed out as its lines.
    pub(crate) longest: u64,
    /// What each event wants as it is by now, with places or without, where all are handed out.
    pub(crate) each: &'p dyn Fn() -> Wants,
}

impl Places<'_> {
    /// The first place from one on that is not before a byte of the stretch.
    fn next_from(&self, mut number: usize, at: usize) -> usize {
        while number < self.count && (self.get)(number).at < at {
            number += 1;
        }
        number
    }
}

/// What is found round places.
pub(crate) enum RoundPlaces<'t> {
    Event(Event),
    Lines(Lines<'t>),
}

/// The lines of an event no place of which wants it to be made.
#[derive(Debug)]
pub(crate) struct Lines<'t> {
    /// With their ends.
    pub(crate) bytes: &'t [u8],
    /// Where they begin in the log.
    pub(crate) offset: u64,
    /// Their places in the stretch.
    pub(crate) places: Range<usize>,
}

/// Takes what is found.
type Sink<'s> = &'s mut dyn FnMut(RoundPlaces<'_>);

/// Makes the events round places of one log.
pub(crate) struct Around<'a> {
    format: Format,
    limits: &'a Limits,
    file: Arc<str>,
    shared: Arc<Fields>,
    /// An event begins here whatever stands before, or what stands before was handed out.
    floor: u64,
    /// Whole lines before the next stretch, from such a place on.
    carry: Vec<u8>,
    /// Number of the first line of the next stretch.
    next_line: u64,
    /// A line's beginning and its number.
    counted: (u64, u64),
    /// True when all events are handed out.
    all: bool,
    live: Option<Live<'a>>,
    /// The line whose shape was asked for last.
    shaped: Option<(u64, Shape)>,
    text: String,
    /// Finds what takes up whatever stands under it.
    cause: Finder<'static>,
}

/// A joiner on its way.
struct Live<'a> {
    joiner: Joiner<'a>,
    /// Where the next line begins, and its number.
    next: u64,
    number: u64,
    /// The event with this byte is wanted.
    wanted: u64,
}

impl<'a> Around<'a> {
    pub(crate) fn new(format: Format, limits: &'a Limits, file: &str, shared: Arc<Fields>) -> Self {
        Self {
            format,
            limits,
            file: Arc::from(file),
            shared,
            floor: 0,
            carry: Vec::new(),
            next_line: 1,
            counted: (0, 1),
            all: false,
            live: None,
            shaped: None,
            text: String::new(),
            cause: Finder::new("Caused by:"),
        }
    }

    /// Hands out all events, with places or without.
    pub(crate) fn everything(mut self) -> Self {
        self.all = true;
        self
    }

    /// Takes the next stretch, which has so many line ends, with its places in order.
    pub(crate) fn take(&mut self, chunk: &Chunk, lines: u64, places: Places<'_>, sink: Sink<'_>) {
        if self.all && self.live.is_none() {
            self.live = Some(Live {
                joiner: if chunk.piece {
                    self.joiner()
                } else {
                    self.joiner().bare()
                },
                next: chunk.offset,
                number: self.next_line,
                wanted: u64::MAX,
            });
        }
        let carry = std::mem::take(&mut self.carry);
        let text = Text {
            carry: &carry,
            stretch: chunk.bytes(),
            offset: chunk.offset,
            number: self.next_line,
        };
        if chunk.piece {
            self.piece(text, places, sink);
        } else {
            self.lines(text, places, sink);
        }
        self.next_line += lines;
    }

    /// Hands out what is not yet handed out.
    pub(crate) fn finish(&mut self, sink: Sink<'_>) {
        if let Some(live) = self.live.take() {
            live.joiner
                .finish(&mut |event| sink(RoundPlaces::Event(event)));
        }
    }

    /// The event of lines with their ends, the number of the first, and where it begins.
    pub(crate) fn event(&self, bytes: &[u8], number: u64, offset: u64) -> Event {
        let lines = || bytes.split_inclusive(|byte| *byte == b'\n');
        let mut event = Event {
            message: String::new(),
            own: Fields::default(),
            shared: Arc::clone(&self.shared),
            at: Location {
                file: Arc::clone(&self.file),
                line: number,
                lines: u32::try_from(lines().count()).unwrap_or(u32::MAX),
                offset,
                length: bytes.len() as u64,
            },
        };
        join::make(&mut event, self.format, lines());
        event
    }

    /// True while an event is not whole.
    pub(crate) fn is_busy(&self) -> bool {
        self.live.is_some()
    }

    /// One piece of a line that was cut is an event of its own.
    fn piece(&mut self, text: Text<'_>, places: Places<'_>, sink: Sink<'_>) {
        self.floor = text.end();
        let live = self.live.take();
        let Some(mut joiner) = live
            .map(|live| live.joiner)
            .or_else(|| (places.count > 0).then(|| self.joiner()))
        else {
            return;
        };
        let line = RawLine {
            bytes: without_end(text.stretch),
            number: text.number,
            offset: text.offset,
            length: text.stretch.len() as u64,
            piece: true,
        };
        let shown = line_text(line.bytes, &mut self.text);
        let sink = &mut |event| sink(RoundPlaces::Event(event));
        joiner.push(&line, shown, sink);
        joiner.finish(sink);
    }

    fn lines(&mut self, text: Text<'_>, places: Places<'_>, sink: Sink<'_>) {
        self.go_on(text, (0, places), sink);
        let mut next = 0;
        // Behind the last line in which no block begins: it is read once, however often it looks like one.
        let mut read = 0;
        while next < places.count {
            let place = (places.get)(next);
            let at = text.offset + place.at as u64;
            next += 1;
            if let Some(live) = &mut self.live {
                // All of the stretch has been through the joiner.
                live.wanted = live.wanted.max(at);
                continue;
            }
            if at < self.floor || (place.wants == Wants::Block && at < read) {
                continue;
            }
            let line = text.line_start(at);
            if matches!(place.wants, Wants::Lines | Wants::Several)
                && let Some(found) = self.alone(text, line, next - 1, places)
            {
                next = found.places.end;
                self.floor = found.offset + found.bytes.len() as u64;
                sink(RoundPlaces::Lines(found));
                continue;
            }
            if place.wants == Wants::Block && !self.begins_block(text.line(line)) {
                read = line + text.line(line).len() as u64;
                continue;
            }
            let start = self.back(text, line);
            self.begin(text, start, at);
            self.go_on(text, (next - 1, places), sink);
        }
        self.keep(text, places, sink);
    }

    fn joiner(&self) -> Joiner<'a> {
        Joiner::new(
            self.format,
            self.limits,
            Arc::clone(&self.file),
            Arc::clone(&self.shared),
        )
    }

    fn begin(&mut self, text: Text<'_>, start: u64, wanted: u64) {
        let number = text.number(start, &mut self.counted);
        self.live = Some(Live {
            joiner: self.joiner().bare(),
            next: start,
            number,
            wanted,
        });
    }

    /// Has the joiner take lines until the wanted event is handed out, or the stretch ends. Of events that
    /// it begins and ends in one stretch only the wanted one is made. `ahead` are the places of the stretch,
    /// and the number of the first that is not handed out.
    fn go_on(&mut self, text: Text<'_>, mut ahead: (usize, Places<'_>), sink: Sink<'_>) {
        let Some(mut live) = self.live.take() else {
            return;
        };
        while live.next < text.end() {
            let line = text.line(live.next);
            let raw = RawLine {
                bytes: without_end(line),
                number: live.number,
                offset: live.next,
                length: line.len() as u64,
                piece: false,
            };
            let bare = live.joiner.is_bare();
            let wanted = if self.all { 0 } else { live.wanted };
            let mut whole = Vec::new();
            let shown = line_text(raw.bytes, &mut self.text);
            live.joiner.push(&raw, shown, &mut |event: Event| {
                if !bare || event.at.offset + event.at.length > wanted {
                    whole.push(event);
                }
            });
            if self.all && !bare && !whole.is_empty() {
                live.joiner.sleep();
            }
            for event in whole {
                let end = event.at.offset + event.at.length;
                sink(if bare {
                    self.wanted(event, text, &mut ahead)
                } else {
                    RoundPlaces::Event(event)
                });
                ahead.0 = ahead.1.next_from(ahead.0, text.inside(end));
            }
            live.next += raw.length;
            live.number += 1;
            if let Some(start) = live.joiner.begun_after(live.wanted, live.next) {
                self.floor = start;
                return;
            }
        }
        // What is pending goes on behind the stretch, which is then no longer at hand.
        if live.joiner.is_bare() {
            let format = self.format;
            let make = |event: &mut Event| join::make(event, format, text.lines(&event.at));
            live.joiner.wake(make);
        }
        self.live = Some(live);
    }

    /// A bare event as its lines where that is enough, else made.
    fn wanted<'t>(
        &mut self,
        mut event: Event,
        text: Text<'t>,
        ahead: &mut (usize, Places<'_>),
    ) -> RoundPlaces<'t> {
        ahead.0 = ahead.1.next_from(ahead.0, text.inside(event.at.offset));
        if let Some(lines) = self.several(text, &event.at, *ahead) {
            return RoundPlaces::Lines(lines);
        }
        let lines = text.lines(&event.at);
        join::make(&mut event, self.format, lines);
        RoundPlaces::Event(event)
    }

    /// Keeps what the next stretch needs of this one.
    fn keep(&mut self, text: Text<'_>, places: Places<'_>, sink: Sink<'_>) {
        if self.live.is_some() || text.stretch.is_empty() {
            return;
        }
        let last = text.line_start(text.end() - 1).max(self.floor);
        // The line behind the floor may not be there yet.
        let start = if last < text.end() {
            self.back(text, last)
        } else {
            last
        };
        if text.end() - start > MAX_CARRY {
            self.begin(text, start, text.end() - 1);
            self.go_on(text, (places.count, places), sink);
            return;
        }
        let (part, inside) = text.part(start);
        self.carry.clear();
        self.carry.extend_from_slice(&part[inside..]);
        if start < text.offset {
            self.carry.extend_from_slice(text.stretch);
        }
        self.floor = start;
    }

    /// The nearest line at or before this one that begins an event for certain.
    fn back(&mut self, text: Text<'_>, line: u64) -> u64 {
        let floor = self.floor.max(text.start());
        let mut at = line;
        while at > floor {
            let before = text.line_start(at - 1);
            if !self.may_go_on(text.line(at), text.line(before)) {
                break;
            }
            at = before;
        }
        at
    }

    /// False when a line begins an event whatever the event before it is, as long as that is no
    /// block that a place began.
    fn may_go_on(&mut self, line: &[u8], before: &[u8]) -> bool {
        let text = line_text(without_end(line), &mut self.text);
        let prefix = self.format.prefix(text);
        is_blank(text, &prefix)
            || (self.format == Format::Oslo && !prefix.known)
            || prefix.level == Some("TRACE")
            || may_go_on(&text[prefix.body..])
            || self.cause.find(before).is_some()
    }

    fn begins_block(&mut self, line: &[u8]) -> bool {
        let text = line_text(without_end(line), &mut self.text);
        let prefix = self.format.prefix(text);
        Block::start(&text[prefix.body..]) != Block::None
    }
}
