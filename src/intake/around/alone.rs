//! Which lines are events of their own for certain, without the joiner that would make them; and which
//! events need not be made, since what their places mean is known.

use super::text::{Text, without_end};
use super::{Around, Lines, Places, Wants};
use crate::event::Location;
use crate::intake::block::{is_frame, may_go_on, takes_up};
use crate::intake::format::{Format, Prefix};
use crate::intake::join::MAX_BLANKS;
use crate::intake::strip::{clean_line_into, is_blank, plain_text};
use std::ops::Range;

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
    /// The byte from which on what is found in the line is in the event's text as it is found, if any.
    text: Option<usize>,
}

impl Around<'_> {
    /// The line that begins at a place with its places from `first` on, if none wants more and it is an
    /// event of its own for certain.
    pub(super) fn alone<'t>(
        &mut self,
        text: Text<'t>,
        start: u64,
        first: usize,
        places: Places<'_>,
    ) -> Option<Lines<'t>> {
        let bytes = text.line(start);
        let end = start + bytes.len() as u64;
        let enough = |wants| matches!(wants, Wants::Lines | Wants::Several);
        let found = self.places(text, (first, end), places, enough)?;
        let bond = self.shape(text, start).bond;
        let alone = bytes.len() as u64 <= places.longest
            && self.begins(text, start, bond)
            && self.ends(text, end);
        alone.then_some(Lines {
            bytes,
            offset: start,
            places: found,
        })
    }

    /// The lines of an event with its places, if none wants more.
    pub(super) fn several<'t>(
        &mut self,
        text: Text<'t>,
        at: &Location,
        (first, places): (usize, Places<'_>),
    ) -> Option<Lines<'t>> {
        let too_large = at.length > places.longest;
        if at.offset < text.offset || too_large || (self.all && (places.each)() == Wants::Event) {
            return None;
        }
        let end = at.offset + at.length;
        let enough = |wants| match wants {
            Wants::Lines | Wants::Block => true,
            Wants::Several => at.lines == 1,
            Wants::Event => false,
        };
        let found = self.places(text, (first, end), places, enough)?;
        let (from, to) = (text.inside(at.offset), text.inside(end));
        Some(Lines {
            bytes: &text.stretch[from..to],
            offset: at.offset,
            places: found,
        })
    }

    /// The places from the `first` on that are before the `end`, if lines are `enough` for each and those for
    /// which they are handed out are in the text of their event.
    fn places(
        &mut self,
        text: Text<'_>,
        (first, end): (usize, u64),
        places: Places<'_>,
        enough: impl Fn(Wants) -> bool,
    ) -> Option<Range<usize>> {
        let mut last = first;
        // From where on what is found in a line is in the text of its event, and where the line ends.
        let mut shown = (None, 0);
        while last < places.count {
            let place = (places.get)(last);
            let at = text.offset + place.at as u64;
            if at >= end {
                break;
            }
            if !enough(place.wants) {
                return None;
            }
            if place.wants == Wants::Lines {
                if at >= shown.1 {
                    shown = self.shown(text, at);
                }
                if shown.0.is_none_or(|start| at < start) {
                    return None;
                }
            }
            last += 1;
        }
        Some(first..last)
    }

    /// From where on what is found in the line with a byte is in the text of its event, if it is at all; and
    /// where the line ends.
    fn shown(&mut self, text: Text<'_>, at: u64) -> (Option<u64>, u64) {
        let line = text.line_start(at);
        let from = self.shape(text, line).text;
        let end = line + text.line(line).len() as u64;
        (from.map(|from| line + from as u64), end)
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

    /// True when the line before may be the one of a stack trace that takes whatever stands under it.
    fn under_cause(&self, text: Text<'_>, at: u64) -> bool {
        if at <= text.start() {
            return true;
        }
        let before = text.line(text.line_start(at - 1));
        self.cause.find(before).is_some()
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
        let shape = if plain.is_none() && may_hide(line) {
            Shape {
                bond: Bond::Open,
                text: None,
            }
        } else {
            Shape {
                bond: bond_of(self.format, shown, &prefix),
                // Where colours are taken out, places in the text are not those in the line.
                text: (plain.is_some() || prefix.cut == 0).then_some(prefix.cut),
            }
        };
        self.shaped = Some((start, shape));
        shape
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

/// What a line that does not begin with a blank begins with where more has to be known of it.
const UNSURE: [&str; 7] = [
    "}",
    "Traceback",
    "Caused",
    "Also: ",
    "Suppressed: ",
    "...",
    "[ERROR]",
];

/// True for most lines that begin an event, by their first bytes.
fn is_ordinary(body: &str) -> bool {
    let first = body.as_bytes().first().filter(|b| b.is_ascii_graphic());
    first.is_some_and(|first| {
        let mut unsure = UNSURE.iter().filter(|start| start.as_bytes()[0] == *first);
        !unsure.any(|start| body.starts_with(start))
    })
}

/// True when a line may have a marker that is hidden together with its carriage return.
fn may_hide(line: &[u8]) -> bool {
    let marked = |marker: &[u8]| memchr::memmem::find(line, marker).is_some();
    memchr::memchr(b'\r', line).is_some() && (marked(b"section_") || marked(b"travis_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_ordinary_goes_on_with_nothing(
            body in "(Traceback \\(most recent call last\\):|Caused by:|Caused: |Also: |Suppressed: \
                     |\\.\\.\\. 3 more|\\[ERROR\\]|\\[INFO\\]|}|at |  | |\t|x|\u{a0}){0,4}",
        ) {
            if is_ordinary(&body) {
                let goes_on = is_frame(&body) || takes_up(&body) || may_go_on(&body);
                prop_assert!(!goes_on && !body.trim().is_empty(), "{body:?}");
            }
        }
    }
}
