//! Stretches of whole lines out of a reader: what [`super::lines`] gives line by line, many at once.

use super::limits::Limits;
use super::lines::char_end;
use std::io::{self, ErrorKind, Read};

/// Bytes of one stretch: it stays in a core's second cache while it is looked at.
const STRETCH: usize = 256 * 1024;
/// Bytes by which a format is recognised.
const HEAD: usize = 64 * 1024;

/// A stretch of whole lines, or one piece of a line that is too long.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// The bytes are the first `length` of these.
    room: Vec<u8>,
    length: usize,
    /// Where it begins in the log.
    pub(crate) offset: u64,
    /// True for a piece of a line that was cut.
    pub(crate) piece: bool,
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.room[..self.length]
    }
}

/// Cuts what a reader gives into stretches.
pub(crate) struct Chunks<'r> {
    reader: &'r mut dyn Read,
    /// What is read and not handed out.
    next: Vec<u8>,
    have: usize,
    spare: Vec<Vec<u8>>,
    stretch: usize,
    max_line: usize,
    offset: u64,
    ended: bool,
    inside_line: bool,
    error: Option<io::Error>,
}

impl<'r> Chunks<'r> {
    pub(crate) fn new(reader: &'r mut dyn Read, limits: &Limits) -> Self {
        let max_line = limits.max_line.max(16);
        Self {
            reader,
            next: Vec::new(),
            have: 0,
            spare: Vec::new(),
            // No line of a stretch is longer than a line may be.
            stretch: STRETCH.min(max_line),
            max_line,
            offset: 0,
            ended: false,
            inside_line: false,
            error: None,
        }
    }

    /// The beginning of the data, at most 64 KiB, the same however the reader hands it out.
    pub(crate) fn head(&mut self) -> &[u8] {
        self.fill(HEAD);
        &self.next[..self.have.min(HEAD)]
    }

    /// What stopped the reading before the end.
    pub(crate) fn error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Takes back the room of a stretch that is done with.
    pub(crate) fn give_back(&mut self, chunk: Chunk) {
        self.spare.push(chunk.room);
    }

    /// The next stretch; `None` at the end or after an error.
    pub(crate) fn next(&mut self) -> Option<Chunk> {
        let mut wanted = self.stretch;
        loop {
            self.fill(wanted);
            let have = self.have;
            if have == 0 {
                return None;
            }
            if let Some((length, piece)) = self.cut(have) {
                return Some(self.hand_out(length, piece));
            }
            wanted = self.max_line + 1;
        }
    }

    /// How many bytes are handed out, and whether they are a piece; `None` when more must be read.
    fn cut(&mut self, have: usize) -> Option<(usize, bool)> {
        // After a long line's end, or at the head, there may be more than one stretch.
        let upto = have.min(self.max_line + 1);
        let window = &self.next[..upto];
        if self.inside_line {
            if let Some(end) = memchr::memchr(b'\n', window) {
                self.inside_line = false;
                return Some((end + 1, true));
            }
        } else if let Some(end) = memchr::memrchr(b'\n', window) {
            return Some((end + 1, false));
        }
        if have > self.max_line {
            let piece = char_end(window, self.max_line);
            self.inside_line = true;
            return Some((piece, true));
        }
        if self.ended {
            let piece = std::mem::take(&mut self.inside_line);
            return Some((have, piece));
        }
        None
    }

    fn hand_out(&mut self, length: usize, piece: bool) -> Chunk {
        let mut rest = self.spare.pop().unwrap_or_default();
        let more = self.have - length;
        if rest.len() < more {
            rest.resize(more, 0);
        }
        rest[..more].copy_from_slice(&self.next[length..self.have]);
        self.have = more;
        let offset = self.offset;
        self.offset += length as u64;
        Chunk {
            room: std::mem::replace(&mut self.next, rest),
            length,
            offset,
            piece,
        }
    }

    /// Reads until so many bytes are there, or all.
    fn fill(&mut self, wanted: usize) {
        if self.next.len() < wanted {
            self.next.resize(wanted, 0);
        }
        while self.have < wanted && !self.ended {
            match self.reader.read(&mut self.next[self.have..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.have += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(error);
                    self.ended = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::lines::Lines;
    use proptest::prelude::*;

    /// Hands out a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(buffer.len());
            self.0.read(&mut buffer[..most])
        }
    }

    type Line = (u64, u64, Vec<u8>, bool);

    fn by_lines(data: &[u8], limits: &Limits) -> Vec<Line> {
        let mut reader = data;
        let mut lines = Lines::new(&mut reader, limits);
        let mut all = Vec::new();
        while let Some(line) = lines.next() {
            let bytes = line.bytes.to_vec();
            all.push((line.number, line.offset, bytes, line.piece));
        }
        all
    }

    fn by_chunks(data: &[u8], limits: &Limits, step: usize) -> Vec<Line> {
        let mut reader = Slow(data, step);
        let mut chunks = Chunks::new(&mut reader, limits);
        let (mut all, mut number) = (Vec::new(), 1);
        while let Some(chunk) = chunks.next() {
            let mut offset = chunk.offset;
            for line in chunk.bytes().split_inclusive(|byte| *byte == b'\n') {
                let ended = line.ends_with(b"\n");
                let text = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
                all.push((number, offset, text, chunk.piece));
                number += u64::from(ended);
                offset += line.len() as u64;
            }
            chunks.give_back(chunk);
        }
        all
    }

    proptest! {
        #[test]
        fn the_same_lines_and_pieces(
            lines in prop::collection::vec(("[aé]{0,9}", 0_usize..5, any::<bool>()), 0..20),
            step in 1_usize..50,
        ) {
            let limits = Limits { max_line: 16, ..Limits::default() };
            let mut data = String::new();
            for (text, times, end) in lines {
                data.push_str(&text.repeat(times));
                data.push_str(if end { "\n" } else { "" });
            }
            let data = data.as_bytes();
            prop_assert_eq!(by_chunks(data, &limits, step), by_lines(data, &limits));
        }
    }
}
