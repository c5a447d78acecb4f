//! Blocks read back: first the times, and only where they are needed fields, places and text.

use super::bytes::Bytes;
use super::pack::{FORM, ODD_CASE, column};
use crate::event::{Event, FieldValue, Fields, Location};
use crate::store::StoreError;
use std::ops::Range;
use std::sync::Arc;
use zstd::bulk::Decompressor;

/// What a payload says of itself.
pub(super) struct Payload<'a> {
    /// True when looking for bytes in the text could miss a word.
    pub(super) odd_case: bool,
    facts: (usize, &'a [u8]),
    text: (usize, &'a [u8]),
}

/// The facts of a block, unpacked but hardly read.
pub(super) struct Facts<'a> {
    pub(super) count: usize,
    lengths: Bytes<'a>,
    times: Bytes<'a>,
    groups: Bytes<'a>,
    places: Bytes<'a>,
    columns: Bytes<'a>,
}

/// Everything that is needed to make any event of a block.
pub(super) struct Rows {
    /// Where each event's message ends in the text.
    pub(super) ends: Vec<usize>,
    groups: Vec<Group>,
    places: Vec<(u64, u32, u64, u64)>,
    pub(super) columns: Vec<Column>,
}

struct Group {
    /// Behind its last event.
    end: usize,
    file: Arc<str>,
    shared: Arc<Fields>,
}

/// A field that events have of their own.
pub(super) struct Column {
    pub(super) name: Arc<str>,
    values: Values,
}

enum Values {
    Numbered {
        values: Vec<FieldValue>,
        numbers: Vec<u8>,
    },
    Plain {
        texts: Vec<u8>,
        events: Vec<Plain>,
    },
}

enum Plain {
    Absent,
    Text(Range<usize>),
    Other(FieldValue),
}

/// Unpacks frames; keeps its memory for the next one.
pub(super) struct Unpacker {
    decompressor: Decompressor<'static>,
}

/// More bytes than any frame of ours unpacks to.
const LONGEST: usize = 1 << 30;

fn damaged() -> StoreError {
    StoreError::Damaged("a stored block".to_owned())
}

impl Unpacker {
    pub(super) fn new() -> Result<Self, StoreError> {
        let decompressor = Decompressor::new();
        let decompressor = decompressor.map_err(|e| StoreError::Index(e.to_string()))?;
        Ok(Self { decompressor })
    }

    fn frame(&mut self, frame: (usize, &[u8]), out: &mut Vec<u8>) -> Result<(), StoreError> {
        let (length, packed) = frame;
        if length > LONGEST {
            return Err(damaged());
        }
        out.clear();
        out.reserve(length);
        let written = self.decompressor.decompress_to_buffer(packed, out);
        match written {
            Ok(written) if written == length => Ok(()),
            _ => Err(damaged()),
        }
    }

    /// The facts as bytes for [`Facts::read`].
    pub(super) fn facts(
        &mut self,
        payload: &Payload<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.frame(payload.facts, out)
    }

    /// Adds all events of a block.
    pub(super) fn events(
        &mut self,
        payload: &[u8],
        all: &mut Vec<Event>,
    ) -> Result<(), StoreError> {
        let (mut facts, mut text) = (Vec::new(), Vec::new());
        let payload = Payload::read(payload)?;
        self.facts(&payload, &mut facts)?;
        self.text(&payload, &mut text)?;
        let facts = Facts::read(&facts)?;
        let rows = facts.rows()?;
        for event in 0..facts.count {
            all.push(rows.event(event, &text)?);
        }
        Ok(())
    }

    /// All messages in a row.
    pub(super) fn text(
        &mut self,
        payload: &Payload<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.frame(payload.text, out)
    }
}

impl<'a> Payload<'a> {
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, StoreError> {
        let mut bytes = Bytes(payload);
        let mut read = || {
            if bytes.byte()? != FORM {
                return None;
            }
            let flags = bytes.byte()?;
            let (facts, text) = (bytes.count()?, bytes.count()?);
            Some(Self {
                odd_case: flags & ODD_CASE != 0,
                facts: (facts, bytes.bytes()?),
                text: (text, bytes.0),
            })
        };
        read().ok_or_else(damaged)
    }
}

impl<'a> Facts<'a> {
    pub(super) fn read(facts: &'a [u8]) -> Result<Self, StoreError> {
        let mut bytes = Bytes(facts);
        let mut read = || {
            Some(Self {
                count: bytes.count()?,
                lengths: Bytes(bytes.bytes()?),
                times: Bytes(bytes.bytes()?),
                groups: Bytes(bytes.bytes()?),
                places: Bytes(bytes.bytes()?),
                columns: Bytes(bytes.bytes()?),
            })
        };
        let facts = read().ok_or_else(damaged)?;
        // Each event has a byte of length at least: a count that was not written by us allocates
        // nothing.
        if facts.count > facts.lengths.0.len() {
            return Err(damaged());
        }
        Ok(facts)
    }

    /// Microseconds since 1970 of each event.
    pub(super) fn times(&self) -> Result<Vec<i64>, StoreError> {
        let (mut times, mut last) = (self.times, 0_i64);
        let next = || {
            last = last.wrapping_add(times.signed()?);
            Some(last)
        };
        let all: Option<Vec<i64>> = std::iter::repeat_with(next).take(self.count).collect();
        all.ok_or_else(damaged)
    }

    /// Where each message ends in the text.
    pub(super) fn ends(&self) -> Result<Vec<usize>, StoreError> {
        let (mut lengths, mut end) = (self.lengths, 0_usize);
        let next = || {
            end = end.checked_add(lengths.count()?)?;
            Some(end)
        };
        let all: Option<Vec<usize>> = std::iter::repeat_with(next).take(self.count).collect();
        all.ok_or_else(damaged)
    }

    /// All that events are made of but their text.
    pub(super) fn rows(&self) -> Result<Rows, StoreError> {
        let mut rows = self.rows_for(&|_| true)?;
        rows.places = places(self.places, &rows.ends).ok_or_else(damaged)?;
        Ok(rows)
    }

    /// As much as conditions on some fields need: of the fields that events have of their own only
    /// these, and no places.
    pub(super) fn rows_for(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Rows, StoreError> {
        let ends = self.ends()?;
        let rows = || {
            Some(Rows {
                places: Vec::new(),
                groups: groups(self.groups)?,
                columns: columns(self.columns, self.count, wanted)?,
                ends,
            })
        };
        let rows = rows().ok_or_else(damaged)?;
        if rows.groups.last().map_or(0, |group| group.end) < self.count {
            return Err(damaged());
        }
        Ok(rows)
    }
}

fn places(mut bytes: Bytes<'_>, ends: &[usize]) -> Option<Vec<(u64, u32, u64, u64)>> {
    let (mut line, mut offset, mut before) = (0_u64, 0_u64, 0);
    let mut all = Vec::with_capacity(ends.len());
    for end in ends {
        let from = line.wrapping_add_signed(bytes.signed()?);
        let lines = u32::try_from(bytes.number()?).ok()?;
        let start = offset.wrapping_add_signed(bytes.signed()?);
        let length = ((end - before) as u64).wrapping_add_signed(bytes.signed()?);
        before = *end;
        line = from.wrapping_add(lines.into());
        offset = start.wrapping_add(length);
        all.push((from, lines, start, length));
    }
    Some(all)
}

fn groups(mut bytes: Bytes<'_>) -> Option<Vec<Group>> {
    let (count, mut end) = (bytes.number()?, 0_usize);
    let mut all = Vec::new();
    for _ in 0..count {
        end = end.checked_add(bytes.count()?)?;
        let file = Arc::from(bytes.text()?);
        let fields = bytes.number()?;
        let mut shared = Fields::default();
        for _ in 0..fields {
            let name = bytes.text()?;
            shared.set(name, bytes.value()?);
        }
        all.push(Group {
            end,
            file,
            shared: Arc::new(shared),
        });
    }
    Some(all)
}

fn columns(
    mut bytes: Bytes<'_>,
    count: usize,
    wanted: &dyn Fn(&str) -> bool,
) -> Option<Vec<Column>> {
    let columns = bytes.number()?;
    let mut all = Vec::new();
    for _ in 0..columns {
        let (name, mut body) = (bytes.text()?, Bytes(bytes.bytes()?));
        if !wanted(name) {
            continue;
        }
        let values = match body.byte()? {
            column::NUMBERED => {
                let values = body.number()?;
                let values: Option<Vec<_>> = (0..values).map(|_| body.value()).collect();
                let (values, numbers) = (values?, body.take(count)?.to_vec());
                Values::Numbered { values, numbers }
            }
            column::PLAIN => plain(&mut body, count)?,
            _ => return None,
        };
        let name = Arc::from(name);
        all.push(Column { name, values });
    }
    Some(all)
}

fn plain(bytes: &mut Bytes<'_>, count: usize) -> Option<Values> {
    let (mut texts, mut last): (Vec<u8>, Range<usize>) = (Vec::new(), 0..0);
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        events.push(match bytes.byte()? {
            column::ABSENT => Plain::Absent,
            column::TEXT => {
                let common = bytes.count().filter(|common| *common <= last.len())?;
                let start = texts.len();
                texts.extend_from_within(last.start..last.start + common);
                texts.extend_from_slice(bytes.bytes()?);
                last = start..texts.len();
                Plain::Text(last.clone())
            }
            column::OTHER => Plain::Other(bytes.value()?),
            _ => return None,
        });
    }
    Some(Values::Plain { texts, events })
}

impl Column {
    /// The number of an event's value where equal values have equal numbers, 0 for none.
    pub(super) fn number(&self, event: usize) -> Option<u8> {
        match &self.values {
            Values::Numbered { numbers, .. } => numbers.get(event).copied(),
            Values::Plain { .. } => None,
        }
    }

    /// An event's value.
    pub(super) fn value(&self, event: usize) -> Option<FieldValue> {
        match &self.values {
            Values::Numbered { values, numbers } => {
                let number = usize::from(*numbers.get(event)?);
                values.get(number.checked_sub(1)?).cloned()
            }
            Values::Plain { texts, events } => match events.get(event)? {
                Plain::Absent => None,
                Plain::Text(range) => {
                    let text = texts.get(range.clone())?;
                    Some(FieldValue::text(String::from_utf8_lossy(text)))
                }
                Plain::Other(value) => Some(value.clone()),
            },
        }
    }
}

impl Rows {
    /// The number of the group that an event belongs to.
    pub(super) fn group(&self, event: usize) -> usize {
        self.groups.partition_point(|group| group.end <= event)
    }

    /// Whether an event is in a group.
    pub(super) fn is_in_group(&self, event: usize, group: usize) -> bool {
        let start = group.checked_sub(1).and_then(|n| self.groups.get(n));
        let start = start.map_or(0, |before| before.end);
        let end = self.groups.get(group).map_or(0, |group| group.end);
        (start..end).contains(&event)
    }

    /// Bytes of an event's message in the text.
    pub(super) fn range(&self, event: usize) -> Range<usize> {
        let start = event.checked_sub(1).and_then(|n| self.ends.get(n));
        let start = start.copied().unwrap_or_default();
        start..self.ends.get(event).copied().unwrap_or(start)
    }

    /// An event with no message, enough for conditions on fields.
    pub(super) fn fields(&self, event: usize) -> Result<Event, StoreError> {
        let group = self.groups.get(self.group(event)).ok_or_else(damaged)?;
        let place = self.places.get(event).copied();
        let (line, lines, offset, length) = place.unwrap_or_default();
        let mut own = Fields::default();
        for column in &self.columns {
            if let Some(value) = column.value(event) {
                own.put(Arc::clone(&column.name), value);
            }
        }
        Ok(Event {
            message: String::new(),
            own,
            shared: Arc::clone(&group.shared),
            at: Location {
                file: Arc::clone(&group.file),
                line,
                lines,
                offset,
                length,
            },
        })
    }

    /// An event as it was packed.
    pub(super) fn event(&self, event: usize, text: &[u8]) -> Result<Event, StoreError> {
        let mut whole = self.fields(event)?;
        self.message(event, text)?.clone_into(&mut whole.message);
        Ok(whole)
    }

    /// An event's message.
    pub(super) fn message<'t>(&self, event: usize, text: &'t [u8]) -> Result<&'t str, StoreError> {
        let message = text.get(self.range(event)).ok_or_else(damaged)?;
        std::str::from_utf8(message).map_err(|_| damaged())
    }
}

#[cfg(test)]
mod tests;
