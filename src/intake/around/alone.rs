//! Which lines are events of their own for certain, without the joiner that would make them.

use super::text::{Text, without_end};
use super::{Around, Line, Place, Places};
use crate::intake::block::{is_frame, may_go_on, takes_up};
use crate::intake::format::{Format, Prefix};
use crate::intake::join::MAX_BLANKS;
use crate::intake::strip::{clean_line_into, is_blank, plain_text};

/// Most bytes of a line that is handed out as such: who counts lines keeps some of them.
const MAX_LINE: u64 = 8 * 1024;
/// Most lines before one that are looked at to know that it is no part of a block.
const MAX_BACK: usize = 16;

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
pub(super) struct Shape {
    bond: Bond,
    /// Bytes of the line before the event's text.
    cut: usize,
    /// True when the text is made of the bytes as they are.
    simple: bool,
}

impl Around<'_> {
    /// The line that begins at a place with its places from `first` on, if they are all sure and it is an
    /// event of its own for certain.
    pub(super) fn alone<'t>(
        &mut self,
        text: Text<'t>,
        start: u64,
        first: usize,
        places: Places<'_>,
    ) -> Option<Line<'t>> {
        let bytes = text.line(start);
        let end = start + bytes.len() as u64;
        let inside = |place: &Place| text.offset + (place.at as u64) < end;
        let mut last = first;
        while let Some(place) = (last < places.count).then(|| (places.get)(last)) {
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
            text.offset + (places.get)(first).at as u64 >= cut
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
                Bond::Free => return at == self.floor || !under_cause(text, at),
                Bond::Open => return false,
                Bond::Blank | Bond::Block if at <= floor => return at == self.floor,
                Bond::Blank | Bond::Block => {}
            }
            at = text.line_start(at - 1);
            bond = self.shape(text, at).bond;
        }
        false
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
        let hides = plain.is_none() && may_hide(line);
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
}

/// True when the line before may be the one of a stack trace that takes whatever stands under it.
fn under_cause(text: Text<'_>, at: u64) -> bool {
    if at <= text.start() {
        return true;
    }
    let before = text.line(text.line_start(at - 1));
    memchr::memmem::find(before, b"Caused by:").is_some()
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

/// True when a line may have a marker that is hidden together with its carriage return.
fn may_hide(line: &[u8]) -> bool {
    let marked = |marker: &[u8]| memchr::memmem::find(line, marker).is_some();
    memchr::memchr(b'\r', line).is_some() && (marked(b"section_") || marked(b"travis_"))
}
