//! The lines of a stretch and of what is kept before it.

use crate::event::Location;

/// What is in memory: the carry and the stretch behind it.
#[derive(Clone, Copy)]
pub(super) struct Text<'t> {
    pub(super) carry: &'t [u8],
    pub(super) stretch: &'t [u8],
    /// Where the stretch begins in the log.
    pub(super) offset: u64,
    /// Number of its first line.
    pub(super) number: u64,
}

impl<'t> Text<'t> {
    pub(super) fn start(&self) -> u64 {
        self.offset - self.carry.len() as u64
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + self.stretch.len() as u64
    }

    /// The part in which a byte lies, and where in it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a place in what is in memory"
    )]
    pub(super) fn part(&self, at: u64) -> (&'t [u8], usize) {
        match at.checked_sub(self.offset) {
            Some(inside) => (self.stretch, inside as usize),
            None => (self.carry, (at - self.start()) as usize),
        }
    }

    /// A byte of the stretch; 0 for one before it.
    pub(super) fn inside(&self, at: u64) -> usize {
        let inside = at.saturating_sub(self.offset);
        usize::try_from(inside).unwrap_or(usize::MAX)
    }

    /// Where the line with a byte begins.
    pub(super) fn line_start(&self, at: u64) -> u64 {
        let (part, inside) = self.part(at);
        let back = memchr::memrchr(b'\n', &part[..inside]).map_or(inside, |end| inside - end - 1);
        at - back as u64
    }

    /// The line that begins at a place, with its end.
    pub(super) fn line(&self, start: u64) -> &'t [u8] {
        let rest = self.from(start);
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        &rest[..end]
    }

    /// The line that ends at a place.
    pub(super) fn line_before(&self, end: u64) -> &'t [u8] {
        let (part, last) = self.part(end - 1);
        let start = memchr::memrchr(b'\n', &part[..last]).map_or(0, |end| end + 1);
        &part[start..=last]
    }

    /// What is at hand from a place on: the line that begins there, and more.
    pub(super) fn from(&self, start: u64) -> &'t [u8] {
        let (part, inside) = self.part(start);
        &part[inside..]
    }

    /// The lines of an event, with their ends.
    pub(super) fn lines(self, at: &Location) -> impl Iterator<Item = &'t [u8]> + use<'t> {
        let (mut next, end) = (at.offset, at.offset + at.length);
        std::iter::from_fn(move || {
            let line = (next < end).then(|| self.line(next))?;
            next += line.len() as u64;
            Some(line)
        })
    }

    /// The number of the line that begins at a place. Counting goes on from the place that was asked for
    /// last, which is `counted`.
    pub(super) fn number(&self, start: u64, counted: &mut (u64, u64)) -> u64 {
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

/// A line without its end.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}
