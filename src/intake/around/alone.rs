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

/// Most lines before one that are looked at to know that it is no part of a block: a part of a program that is
/// shown in a log has so many. What is found in the next of them is known by this one.
const MAX_BACK: usize = 256;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        let found = self.places(text, (first, end), (places, start), enough)?;
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
        let found = self.places(text, (first, end), (places, u64::MAX), enough)?;
        let (from, to) = (text.inside(at.offset), text.inside(end));
        Some(Lines {
            bytes: &text.stretch[from..to],
            offset: at.offset,
            places: found,
        })
    }

    /// The places from the `first` on that are before the `end`, if lines are `enough` for each and those for
    /// which they are handed out are in the text of their event. What stands before the `end` is one line if
    /// that is known to begin at `line`.
    fn places(
        &mut self,
        text: Text<'_>,
        (first, end): (usize, u64),
        (places, line): (Places<'_>, u64),
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
                    shown = self.shown(text, at, (line, end));
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
    /// where the line ends. It is the `known` one if that begins before.
    fn shown(&mut self, text: Text<'_>, at: u64, known: (u64, u64)) -> (Option<u64>, u64) {
        let (line, end) = if known.0 <= at {
            known
        } else {
            let line = text.line_start(at);
            (line, line + text.line(line).len() as u64)
        };
        let from = self.shape(text, line).text;
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
        self.cause.find(text.line_before(at)).is_some()
    }

    fn shape(&mut self, text: Text<'_>, start: u64) -> Shape {
        if let Some((at, shape)) = self.shaped
            && at == start
        {
            return shape;
        }
        let most = shape_of_most(self.format, text.from(start));
        let shape = most.unwrap_or_else(|| self.shape_of(without_end(text.line(start))));
        self.shaped = Some((start, shape));
        shape
    }

    fn shape_of(&mut self, line: &[u8]) -> Shape {
        let plain = plain_text(line);
        if plain.is_none() && may_hide(line) {
            return Shape {
                bond: Bond::Open,
                text: None,
            };
        }
        let shown = if let Some(shown) = plain {
            shown
        } else {
            clean_line_into(line, &mut self.text);
            self.text.as_str()
        };
        let prefix = self.format.prefix(shown);
        Shape {
            bond: bond_of(self.format, shown, &prefix),
            // Where colours are taken out, places in the text are not those in the line.
            text: (plain.is_some() || prefix.cut == 0).then_some(prefix.cut),
        }
    }
}

/// The shape of the line that begins here, for most lines, which are known by their first bytes.
fn shape_of_most(format: Format, rest: &[u8]) -> Option<Shape> {
    if format.may_put_before(*rest.first()?) {
        return None;
    }
    let bond = bond_of_most(rest)?;
    // A line that is written anew on the screen may begin with what hides itself.
    let end = memchr::memchr2(b'\n', b'\r', rest).map_or(&[][..], |end| &rest[end..]);
    let is_one = end.first() != Some(&b'\r') || end.starts_with(b"\r\n");
    is_one.then_some(Shape {
        bond,
        text: Some(0),
    })
}

fn bond_of_most(rest: &[u8]) -> Option<Bond> {
    let indent = rest.iter().take_while(|b| matches!(b, b' ' | b'\t'));
    let shown = &rest[indent.count()..];
    let first = *shown.first()?;
    let indented = shown.len() < rest.len();
    if first == b'\n' {
        return Some(Bond::Blank);
    }
    let unsure = if indented {
        &UNSURE_INDENTED[..]
    } else {
        &UNSURE
    };
    if !first.is_ascii_graphic() || !begins_with_none(shown, unsure) {
        return None;
    }
    Some(if rest.starts_with(b"  ") {
        Bond::Block
    } else {
        Bond::Free
    })
}

/// True when the first two bytes of a text show that it begins with none of these.
fn begins_with_none(text: &[u8], starts: &[&str]) -> bool {
    let mut same = starts
        .iter()
        .map(|start| start.as_bytes())
        .filter(|start| start[0] == text[0]);
    same.all(|start| {
        let second = start.get(1).zip(second_of(text));
        second.is_some_and(|(wanted, found)| *wanted != found)
    })
}

/// The second byte of a line's text, which may be the one behind a colour.
fn second_of(line: &[u8]) -> Option<u8> {
    let rest = line.get(1..)?;
    let Some(colour) = rest.strip_prefix(b"\x1b[") else {
        return rest.first().copied().filter(|b| is_shown(*b));
    };
    let is_part = |byte: &&u8| byte.is_ascii_digit() || **byte == b';';
    let end = colour.iter().take_while(is_part).count();
    match colour[end..] {
        // With an `h` begins what Jenkins hides.
        [b'm', byte, ..] if is_shown(byte) && byte != b'h' => Some(byte),
        _ => None,
    }
}

fn is_shown(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
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

/// What an indented line begins with behind its blanks where more has to be known of it.
const UNSURE_INDENTED: [&str; 5] = ["at ", "Caused", "Also: ", "Suppressed: ", "..."];

/// True for most lines that begin an event, by their first bytes.
fn is_ordinary(body: &str) -> bool {
    let first = body.as_bytes().first().filter(|b| b.is_ascii_graphic());
    first.is_some_and(|first| {
        let mut unsure = UNSURE.iter().filter(|start| start.as_bytes()[0] == *first);
        !unsure.any(|start| body.starts_with(start))
    })
}

/// True when a line may have a marker that is hidden together with its carriage return, which is none of the
/// line's end.
fn may_hide(line: &[u8]) -> bool {
    let end = line.iter().rposition(|byte| *byte != b'\r');
    let line = &line[..end.map_or(0, |last| last + 1)];
    let marked = |marker: &[u8]| memchr::memmem::find(line, marker).is_some();
    memchr::memchr(b'\r', line).is_some() && (marked(b"section_") || marked(b"travis_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::limits::Limits;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn around(format: Format, limits: &Limits) -> Around<'_> {
        Around::new(format, limits, "x.log", Arc::default())
    }

    #[test]
    fn most_lines_are_known_by_their_first_bytes() {
        let known = |line: &str| shape_of_most(Format::Plain, line.as_bytes()).is_some();
        assert!(known("make: done") && known("Tests run: 3\r\n") && known("12:13 x"));
        assert!(known("[\x1b[1;34mINFO\x1b[m] done") && known("[main] INFO x"));
        assert!(!known("[\x1b[1;31mERROR\x1b[m] no") && !known("[ERROR] no"));
        assert!(known("  indented") && known("\tx") && known(" \n"));
        assert!(!known("  at x") && !known("\tCaused: x") && !known("  \x1b[1mx"));
        assert!(!known("Traceback (most") && !known("}") && !known("\u{a0}\n"));
        assert!(!known(" 10%\r 20%") && !known("10%\r20%") && !known("T\x1b[0"));
    }

    proptest! {
        #[test]
        fn what_the_first_bytes_say_is_so(
            line in "(Traceback|Caused by:|C|T|\\[|ERROR|INFO|\x1b\\[|1;3|m|ha:|\x1b|}|travis_fold:|section_start:1|\
                     \\.\\.\\.| 3 more|at |at|\t|  |Also: |[A-Z]|2022-05-20T13:15:39|Z|12:13:14|TRACE|\r|\u{feff}|\u{e9}| |x){0,6}",
            ending in "(\n|\r\n|\r\r\n|)",
        ) {
            let (limits, text) = (Limits::default(), format!("{line}{ending}"));
            for format in Format::ALL {
                let slow = around(format, &limits).shape_of(without_end(text.as_bytes()));
                let most = shape_of_most(format, text.as_bytes());
                prop_assert!(most.is_none_or(|most| most == slow), "{format:?}: {most:?}, {slow:?}");
            }
        }

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
