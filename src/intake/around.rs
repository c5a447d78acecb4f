//! Events round places of a log, without making those of the rest.
//!
//! In: stretches of a log in order, and places in them. Out: each event that has one of the places (and
//! some that have none), as [`super::join`] makes them of the whole log. The way: from a place's line back
//! to the nearest line that begins an event whatever stands before it, and from there through the joiner
//! until the event is whole.
//!
//! A line that is an event of its own for certain need not be made one, when all of its places are such
//! that the caller knows what they mean ([`Place::sure`]): it is handed out as a line.
//!
//! Whether a line goes on with a block depends on what was read before only for tracebacks and the like,
//! whose first lines the caller names as places too ([`Place::block`]): they are read through to their
//! end when they come, so that at any other line there is no such block. What is left can be told from
//! the line and the one before it.

use super::block::{Block, is_frame, may_go_on, takes_up};
use super::chunks::Chunk;
use super::format::{Format, Prefix};
use super::join::{Joiner, MAX_BLANKS};
use super::limits::Limits;
use super::lines::RawLine;
use super::strip::{clean_line_into, is_blank, plain_text};
use crate::event::{Event, Fields};
use std::ops::Range;
use std::sync::Arc;

/// Bytes that are kept of a stretch for the next one; where more would have to be, the joiner goes on
/// from there.
const MAX_CARRY: u64 = 64 * 1024;

/// Most bytes of a line that is handed out as such: who counts lines keeps some of them.
const MAX_LINE: u64 = 8 * 1024;
/// Most lines before one that are looked at to know that it is no part of a block.
const MAX_BACK: usize = 16;

/// A place in a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Byte of the stretch.
    pub(crate) at: usize,
    /// True when it only matters if a block of several lines begins there.
    pub(crate) block: bool,
    /// True when the caller need not see an event of this line alone.
    pub(crate) sure: bool,
}

/// The places of a stretch, in order.
pub(crate) trait Places {
    /// How many.
    fn count(&self) -> usize;
    /// One of them, as it is by now.
    fn get(&self, number: usize) -> Place;
}

/// What is found round places.
pub(crate) enum RoundPlaces<'t> {
    Event(Event),
    Line(Line<'t>),
}

/// A line that is an event of its own, all places of which are sure.
#[derive(Debug)]
pub(crate) struct Line<'t> {
    /// With its end.
    pub(crate) bytes: &'t [u8],
    /// Where it begins in the log.
    pub(crate) offset: u64,
    /// Its places in the stretch.
    pub(crate) places: Range<usize>,
}

/// Takes what is found.
type Sink<'s> = &'s mut dyn FnMut(RoundPlaces<'_>);

/// What a line may be to the event before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bond {
    /// It begins an event whatever is before it.
    Free,
    /// It may go on with a block, and begins an event where there is none.
    Block,
    /// It is no part of an event's text.
    Blank,
    /// More has to be known.
    Open,
}

/// What is known of a line by itself.
#[derive(Debug, Clone, Copy)]
struct Shape {
    bond: Bond,
    /// Bytes of the line before the event's text.
    cut: usize,
    /// True when the text is made of the bytes as they are.
    simple: bool,
}

/// Makes the events round places of one log.
pub(crate) struct Around<'a> {
    format: Format,
    limits: &'a Limits,
    file: &'a str,
    shared: Arc<Fields>,
    /// An event begins here whatever stands before, or what stands before was handed out.
    floor: u64,
    /// Whole lines before the next stretch, from such a place on.
    carry: Vec<u8>,
    /// Number of the first line of the next stretch.
    next_line: u64,
    /// A line's beginning and its number.
    counted: (u64, u64),
    /// True when all events are made.
    all: bool,
    live: Option<Live<'a>>,
    /// The line whose shape was asked for last.
    shaped: Option<(u64, Shape)>,
    text: String,
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

/// What is in memory: the carry and the stretch behind it.
#[derive(Clone, Copy)]
struct Text<'t> {
    carry: &'t [u8],
    stretch: &'t [u8],
    /// Where the stretch begins in the log.
    offset: u64,
    /// Number of its first line.
    number: u64,
}

impl<'t> Text<'t> {
    fn start(&self) -> u64 {
        self.offset - self.carry.len() as u64
    }

    fn end(&self) -> u64 {
        self.offset + self.stretch.len() as u64
    }

    /// The part in which a byte lies, and where in it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a place in what is in memory"
    )]
    fn part(&self, at: u64) -> (&'t [u8], usize) {
        match at.checked_sub(self.offset) {
            Some(inside) => (self.stretch, inside as usize),
            None => (self.carry, (at - self.start()) as usize),
        }
    }

    /// Where the line with a byte begins.
    fn line_start(&self, at: u64) -> u64 {
        let (part, inside) = self.part(at);
        let back = memchr::memrchr(b'\n', &part[..inside]).map_or(inside, |end| inside - end - 1);
        at - back as u64
    }

    /// The line that begins at a place, with its end.
    fn line(&self, start: u64) -> &'t [u8] {
        let (part, inside) = self.part(start);
        let rest = &part[inside..];
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        &rest[..end]
    }

    /// The number of the line that begins at a place. Counting goes on from the place that was asked for
    /// last, which is `counted`.
    fn number(&self, start: u64, counted: &mut (u64, u64)) -> u64 {
        let ends = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
        let (part, inside) = self.part(start);
        if start < self.offset {
            return self.number - ends(&part[inside..]);
        }
        if counted.0 < self.offset || counted.0 > start {
            *counted = (self.offset, self.number);
        }
        let (_, from) = self.part(counted.0);
        *counted = (start, counted.1 + ends(&part[from..inside]));
        counted.1
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

impl<'a> Around<'a> {
    pub(crate) fn new(
        format: Format,
        limits: &'a Limits,
        file: &'a str,
        shared: Arc<Fields>,
    ) -> Self {
        Self {
            format,
            limits,
            file,
            shared,
            floor: 0,
            carry: Vec::new(),
            next_line: 1,
            counted: (0, 1),
            all: false,
            live: None,
            shaped: None,
            text: String::new(),
        }
    }

    /// Makes all events, with places or without.
    pub(crate) fn everything(mut self) -> Self {
        self.all = true;
        self
    }

    /// Takes the next stretch, which has so many line ends, with its places in order.
    pub(crate) fn take(&mut self, chunk: &Chunk, lines: u64, places: &impl Places, sink: Sink<'_>) {
        if self.all && self.live.is_none() {
            self.live = Some(Live {
                joiner: self.joiner(),
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

    /// The event of one line with its end.
    pub(crate) fn line(&self, bytes: &[u8], number: u64, offset: u64) -> Option<Event> {
        let line = RawLine {
            bytes: without_end(bytes),
            number,
            offset,
            length: bytes.len() as u64,
            piece: false,
        };
        let (mut text, mut made) = (String::new(), None);
        clean_line_into(line.bytes, &mut text);
        let mut joiner = self.joiner();
        joiner.push(&line, &text, &mut |event| made = Some(event));
        joiner.finish(&mut |event| made = Some(event));
        made
    }

    /// True while an event is not whole.
    pub(crate) fn is_busy(&self) -> bool {
        self.live.is_some()
    }

    /// One piece of a line that was cut is an event of its own.
    fn piece(&mut self, text: Text<'_>, places: &impl Places, sink: Sink<'_>) {
        self.floor = text.end();
        let live = self.live.take();
        let Some(mut joiner) = live
            .map(|live| live.joiner)
            .or_else(|| (places.count() > 0).then(|| self.joiner()))
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
        clean_line_into(line.bytes, &mut self.text);
        let sink = &mut |event| sink(RoundPlaces::Event(event));
        joiner.push(&line, &self.text, sink);
        joiner.finish(sink);
    }

    fn lines(&mut self, text: Text<'_>, places: &impl Places, sink: Sink<'_>) {
        self.go_on(text, sink);
        let mut next = 0;
        while next < places.count() {
            let place = places.get(next);
            let at = text.offset + place.at as u64;
            next += 1;
            if let Some(live) = &mut self.live {
                // All of the stretch has been through the joiner.
                live.wanted = live.wanted.max(at);
                continue;
            }
            if at < self.floor {
                continue;
            }
            let line = text.line_start(at);
            if place.sure
                && let Some(found) = self.alone(text, line, next - 1, places)
            {
                next = found.places.end;
                self.floor = found.offset + found.bytes.len() as u64;
                sink(RoundPlaces::Line(found));
                continue;
            }
            if place.block && !self.begins_block(text.line(line)) {
                continue;
            }
            let start = self.back(text, line);
            self.begin(text, start, at);
            self.go_on(text, sink);
        }
        self.keep(text, sink);
    }

    /// The line that begins at a place with its places from `first` on, if they are all sure and it is an
    /// event of its own for certain.
    fn alone<'t>(
        &mut self,
        text: Text<'t>,
        start: u64,
        first: usize,
        places: &impl Places,
    ) -> Option<Line<'t>> {
        let bytes = text.line(start);
        let end = start + bytes.len() as u64;
        let inside = |place: &Place| text.offset + (place.at as u64) < end;
        let mut last = first;
        while let Some(place) = (last < places.count()).then(|| places.get(last)) {
            if !inside(&place) {
                break;
            }
            if !place.sure {
                return None;
            }
            last += 1;
        }
        let shape = self.shape(text, start);
        let cut = start + shape.cut as u64;
        let within = if shape.simple {
            text.offset + places.get(first).at as u64 >= cut
        } else {
            shape.cut == 0
        };
        let alone = bytes.len() as u64 <= MAX_LINE
            && within
            && self.begins(text, start, shape.bond)
            && self.ends(text, end);
        alone.then_some(Line {
            bytes,
            offset: start,
            places: first..last,
        })
    }

    /// True when the line at a place begins an event for certain.
    fn begins(&mut self, text: Text<'_>, line: u64, bond: Bond) -> bool {
        let floor = self.floor.max(text.start());
        let (mut at, mut bond) = (line, bond);
        for _ in 0..MAX_BACK {
            match bond {
                Bond::Free => return at == self.floor || !self.under_cause(text, at),
                Bond::Open => return false,
                Bond::Blank | Bond::Block if at <= floor => return at == self.floor,
                Bond::Blank | Bond::Block => {}
            }
            at = text.line_start(at - 1);
            bond = self.shape(text, at).bond;
        }
        false
    }

    /// True when the line before may be the one of a stack trace that takes whatever stands under it.
    fn under_cause(&self, text: Text<'_>, at: u64) -> bool {
        if at <= text.start() {
            return true;
        }
        let before = text.line(text.line_start(at - 1));
        memchr::memmem::find(before, b"Caused by:").is_some()
    }

    /// True when nothing behind goes on with an event that ends there and is no block.
    fn ends(&mut self, text: Text<'_>, end: u64) -> bool {
        let mut at = end;
        for _ in 0..=MAX_BLANKS {
            if at >= text.end() {
                return false;
            }
            match self.shape(text, at).bond {
                Bond::Free | Bond::Block => return true,
                Bond::Open => return false,
                Bond::Blank => at += text.line(at).len() as u64,
            }
        }
        true
    }

    fn shape(&mut self, text: Text<'_>, start: u64) -> Shape {
        if let Some((at, shape)) = self.shaped
            && at == start
        {
            return shape;
        }
        let line = without_end(text.line(start));
        let plain = plain_text(line);
        let shown = if let Some(shown) = plain {
            shown
        } else {
            clean_line_into(line, &mut self.text);
            self.text.as_str()
        };
        let prefix = self.format.prefix(shown);
        // What a carriage return hides may be no part of the text.
        let hides = plain.is_none() && memchr::memchr(b'\r', line).is_some();
        let shape = Shape {
            bond: if hides {
                Bond::Open
            } else {
                bond_of(self.format, shown, &prefix)
            },
            cut: prefix.cut,
            simple: plain.is_some(),
        };
        self.shaped = Some((start, shape));
        shape
    }

    fn joiner(&self) -> Joiner<'a> {
        Joiner::new(
            self.format,
            self.limits,
            self.file,
            Arc::clone(&self.shared),
        )
    }

    fn begin(&mut self, text: Text<'_>, start: u64, wanted: u64) {
        let number = text.number(start, &mut self.counted);
        self.live = Some(Live {
            joiner: self.joiner(),
            next: start,
            number,
            wanted,
        });
    }

    /// Has the joiner take lines until the wanted event is handed out, or the stretch ends.
    fn go_on(&mut self, text: Text<'_>, sink: Sink<'_>) {
        let Some(live) = &mut self.live else { return };
        while live.next < text.end() {
            let line = text.line(live.next);
            let raw = RawLine {
                bytes: without_end(line),
                number: live.number,
                offset: live.next,
                length: line.len() as u64,
                piece: false,
            };
            clean_line_into(raw.bytes, &mut self.text);
            let sink = &mut |event| sink(RoundPlaces::Event(event));
            live.joiner.push(&raw, &self.text, sink);
            live.next += raw.length;
            live.number += 1;
            if let Some(start) = live.joiner.begun_after(live.wanted, live.next) {
                self.floor = start;
                self.live = None;
                return;
            }
        }
    }

    /// Keeps what the next stretch needs of this one.
    fn keep(&mut self, text: Text<'_>, sink: Sink<'_>) {
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
            self.go_on(text, sink);
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
        clean_line_into(without_end(line), &mut self.text);
        let text = self.text.as_str();
        let prefix = self.format.prefix(text);
        is_blank(text, &prefix)
            || (self.format == Format::Oslo && !prefix.known)
            || prefix.level == Some("TRACE")
            || may_go_on(&text[prefix.body..])
            || memchr::memmem::find(before, b"Caused by:").is_some()
    }

    fn begins_block(&mut self, line: &[u8]) -> bool {
        clean_line_into(without_end(line), &mut self.text);
        let prefix = self.format.prefix(&self.text);
        Block::start(&self.text[prefix.body..]) != Block::None
    }
}

/// What a text of one line is to the event before it.
fn bond_of(format: Format, text: &str, prefix: &Prefix<'_>) -> Bond {
    let body = &text[prefix.body..];
    if prefix.level == Some("TRACE") || (format == Format::Oslo && !prefix.known) {
        return Bond::Open;
    }
    if is_ordinary(body) {
        return Bond::Free;
    }
    if is_blank(text, prefix) {
        return Bond::Blank;
    }
    if is_frame(body) || takes_up(body) {
        return Bond::Open;
    }
    if may_go_on(body) {
        return Bond::Block;
    }
    Bond::Free
}

/// True for most lines that begin an event, by their first byte.
fn is_ordinary(body: &str) -> bool {
    let first = body.as_bytes().first();
    first.is_some_and(|byte| {
        byte.is_ascii_graphic() && !matches!(byte, b'}' | b'T' | b'C' | b'A' | b'S' | b'.' | b'[')
    })
}
