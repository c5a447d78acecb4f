//! Who takes the lines of a log: [`Events`] makes events of all of them, the matcher only of those that
//! are worth it.

use super::chunks::{Chunk, Chunks};
use super::format::Format;
use super::join::Joiner;
use super::limits::Limits;
use super::lines::RawLine;
use super::problem::Problem;
use super::read::{FileContext, shared_fields};
use super::strip::clean_line_into;
use crate::event::{Event, Fields};
use std::io::{self, Read};
use std::sync::Arc;

/// One log that is to be taken, decompressed.
pub(crate) struct Log<'a> {
    pub(crate) reader: &'a mut dyn Read,
    pub(crate) context: &'a FileContext,
    pub(crate) limits: &'a Limits,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) format: Format,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    /// Events that were made.
    pub(crate) events: u64,
    /// Lines that were not as they should be.
    pub(crate) problems: Vec<Problem>,
    /// What stopped the reading before the end.
    pub(crate) error: Option<io::Error>,
}

/// Takes the logs of a build, one after the other.
pub(crate) trait Taker {
    /// Takes an event that is made of no lines, such as a task of `job-output.json`.
    fn event(&mut self, event: Event);
    /// Takes a log to its end.
    fn log(&mut self, log: Log<'_>) -> Taken;
}

/// Makes events of all lines.
pub(crate) struct Events<'s>(pub(crate) &'s mut dyn FnMut(Event));

impl Taker for Events<'_> {
    fn event(&mut self, event: Event) {
        (self.0)(event);
    }

    fn log(&mut self, log: Log<'_>) -> Taken {
        let mut chunks = Chunks::new(log.reader, log.limits);
        let format = Format::detect(chunks.head());
        let shared = Arc::new(shared_fields(log.context, format));
        let file = &log.context.name;
        all_events(&mut chunks, (format, file), shared, log.limits, self.0)
    }
}

/// Makes events of all lines of a log that has a format and a name.
pub(crate) fn all_events(
    chunks: &mut Chunks<'_>,
    (format, file): (Format, &str),
    shared: Arc<Fields>,
    limits: &Limits,
    sink: &mut dyn FnMut(Event),
) -> Taken {
    let mut joiner = Joiner::new(format, limits, Arc::from(file), shared);
    let mut odd = Odd::default();
    let mut text = String::new();
    let (mut bytes, mut number, mut open) = (0, 1, false);
    while let Some(chunk) = chunks.next() {
        for line in chunk.bytes().split_inclusive(|byte| *byte == b'\n') {
            let whole = line.strip_suffix(b"\n");
            let raw = RawLine {
                bytes: whole.unwrap_or(line),
                number,
                offset: bytes,
                length: line.len() as u64,
                piece: chunk.piece,
            };
            let is_utf8 = clean_line_into(raw.bytes, &mut text);
            odd.see(&raw, is_utf8);
            joiner.push(&raw, &text, sink);
            bytes += raw.length;
            number += u64::from(whole.is_some());
            open = whole.is_none();
        }
        chunks.give_back(chunk);
    }
    Taken {
        format,
        bytes,
        lines: number - 1 + u64::from(open),
        events: joiner.finish(sink),
        problems: odd.problems(file, limits),
        error: chunks.error(),
    }
}

/// Lines that are no clean text, of which the first and the number are told.
#[derive(Debug, Default)]
pub(crate) struct Odd {
    long: Lot,
    not_utf8: Lot,
    nul: Lot,
    text: String,
}

/// Lines of one kind.
#[derive(Debug, Default)]
struct Lot {
    first: u64,
    last: u64,
    count: u64,
}

impl Odd {
    fn see(&mut self, line: &RawLine<'_>, is_utf8: bool) {
        if line.piece {
            self.long.add(line.number);
        }
        if !is_utf8 {
            self.not_utf8.add(line.number);
        }
        if memchr::memchr(0, line.bytes).is_some() {
            self.nul.add(line.number);
        }
    }

    /// Looks at a stretch whose first line has this number; `plain` when it is known to be ASCII without
    /// a NUL.
    pub(crate) fn see_all(&mut self, chunk: &Chunk, number: u64, plain: bool) {
        let bytes = chunk.bytes();
        let clean =
            plain || (std::str::from_utf8(bytes).is_ok() && memchr::memchr(0, bytes).is_none());
        if clean {
            if chunk.piece {
                self.long.add(number);
            }
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        for (number, line) in (number..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let is_utf8 = clean_line_into(line, &mut text);
            let line = RawLine {
                bytes: line,
                number,
                offset: 0,
                length: 0,
                piece: chunk.piece,
            };
            self.see(&line, is_utf8);
        }
        self.text = text;
    }

    /// What is told of them.
    pub(crate) fn problems(&self, file: &str, limits: &Limits) -> Vec<Problem> {
        let long = self.long.told(|line, count| Problem::LongLine {
            file: file.to_owned(),
            line,
            count,
            limit: limits.max_line,
        });
        let not_utf8 = self.not_utf8.told(|line, count| Problem::NotUtf8 {
            file: file.to_owned(),
            line,
            count,
        });
        let nul = self.nul.told(|line, count| Problem::Nul {
            file: file.to_owned(),
            line,
            count,
        });
        [long, not_utf8, nul].into_iter().flatten().collect()
    }
}

impl Lot {
    /// The pieces of one line count once.
    fn add(&mut self, line: u64) {
        if self.last == line {
            return;
        }
        self.count += 1;
        self.last = line;
        if self.first == 0 {
            self.first = line;
        }
    }

    fn told(&self, problem: impl Fn(u64, u64) -> Problem) -> Option<Problem> {
        (self.count > 0).then(|| problem(self.first, self.count))
    }
}
