//! Lines out of a reader, block by block: at most one line's limit is in memory.

use super::limits::Limits;
use std::io::{self, ErrorKind, Read};

const BLOCK: usize = 64 * 1024;

/// One line, or one piece of a line that is too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawLine<'a> {
    /// The bytes without the line end.
    pub(crate) bytes: &'a [u8],
    /// Number of the line, from 1.
    pub(crate) number: u64,
    /// Where it begins.
    pub(crate) offset: u64,
    /// Its length with the line end.
    pub(crate) length: u64,
    /// True for each piece of a line that was cut.
    pub(crate) piece: bool,
}

/// Cuts what a reader gives into lines.
pub(crate) struct Lines<'r> {
    reader: &'r mut dyn Read,
    window: Vec<u8>,
    start: usize,
    end: usize,
    max_line: usize,
    ended: bool,
    error: Option<io::Error>,
    offset: u64,
    number: u64,
    inside_line: bool,
}

/// Where the next line ends.
enum Cut {
    /// After this many bytes and a line end.
    End(usize),
    /// After this many bytes, in the middle of a line.
    Middle(usize),
    /// The data ends after this many bytes, without a line end.
    Last(usize),
}

impl<'r> Lines<'r> {
    pub(crate) fn new(reader: &'r mut dyn Read, limits: &Limits) -> Self {
        Self {
            reader,
            window: Vec::new(),
            start: 0,
            end: 0,
            max_line: limits.max_line.max(16),
            ended: false,
            error: None,
            offset: 0,
            number: 1,
            inside_line: false,
        }
    }

    /// What stopped the reading before the end.
    pub(crate) fn error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// The next line; `None` at the end or after an error.
    pub(crate) fn next(&mut self) -> Option<RawLine<'_>> {
        let (len, full, whole) = match self.cut()? {
            Cut::End(len) => (len, len + 1, true),
            Cut::Middle(len) | Cut::Last(len) => (len, len, false),
        };
        let piece = self.inside_line || (!whole && !self.at_end(full));
        let (from, number, offset) = (self.start, self.number, self.offset);
        self.start += full;
        self.offset += full as u64;
        self.inside_line = !whole;
        self.number += u64::from(whole);
        Some(RawLine {
            bytes: &self.window[from..from + len],
            number,
            offset,
            length: full as u64,
            piece,
        })
    }

    fn at_end(&self, full: usize) -> bool {
        self.ended && self.start + full == self.end
    }

    fn cut(&mut self) -> Option<Cut> {
        let mut searched = 0;
        loop {
            let have = self.end - self.start;
            let window = &self.window[self.start..self.end];
            let upto = have.min(self.max_line + 1);
            if let Some(at) = memchr::memchr(b'\n', &window[searched..upto]) {
                return Some(Cut::End(searched + at));
            }
            if have > self.max_line {
                return Some(Cut::Middle(char_end(window, self.max_line)));
            }
            if self.ended {
                return (have > 0).then_some(Cut::Last(have));
            }
            searched = have;
            self.fill();
        }
    }

    /// Reads one block more.
    fn fill(&mut self) {
        if self.start > 0 && self.start >= self.end.saturating_sub(self.start) {
            self.window.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.window.len() < self.end + BLOCK {
            self.window.resize(self.end + BLOCK, 0);
        }
        match self.reader.read(&mut self.window[self.end..]) {
            Ok(0) => self.ended = true,
            Ok(n) => self.end += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                self.error = Some(error);
                self.ended = true;
            }
        }
    }
}

/// The last place at or before `at` that is not inside a UTF-8 character.
pub(super) fn char_end(bytes: &[u8], at: usize) -> usize {
    (at - 3..=at)
        .rev()
        .find(|i| bytes[*i] & 0xC0 != 0x80)
        .unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(data: &[u8], max_line: usize) -> Vec<(u64, u64, u64, bool)> {
        let limits = Limits {
            max_line,
            ..Limits::default()
        };
        let mut data = data;
        let mut lines = Lines::new(&mut data, &limits);
        let mut all = Vec::new();
        while let Some(line) = lines.next() {
            all.push((line.number, line.offset, line.length, line.piece));
        }
        all
    }

    #[test]
    fn long_lines_come_in_pieces_with_one_number() {
        let text = format!("a\n{}\nb", "x".repeat(40));
        let expected = [
            (1, 0, 2, false),
            (2, 2, 16, true),
            (2, 18, 16, true),
            (2, 34, 9, true),
            (3, 43, 1, false),
        ];
        assert_eq!(pieces(text.as_bytes(), 16), expected);
    }

    #[test]
    fn a_cut_never_goes_through_a_character() {
        let text = format!("{}é{}", "x".repeat(15), "y".repeat(5));
        assert_eq!(pieces(text.as_bytes(), 16)[0].2, 15);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        assert_eq!(pieces(&[b'x'; 16], 16), [(1, 0, 16, false)]);
        let with_end = format!("{}\n", "x".repeat(16));
        assert_eq!(pieces(with_end.as_bytes(), 16), [(1, 0, 17, false)]);
    }
}
