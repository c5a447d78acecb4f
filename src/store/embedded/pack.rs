//! From the events of one build to blocks: what is stored together and found by its words.
//!
//! A block is `[form, flags, lengths, facts, text]`. The text is all messages in a row; the facts are
//! all else, column by column, so that times and fields are read without the text. Both are zstd
//! frames. `unpack.rs` reads what is written here.

use super::bytes::{put_bytes, put_number, put_signed, put_value, written_text};
use super::document::{Marks, keyword_terms};
use super::when::Clock;
use super::words::Vocabulary;
use crate::event::{Event, FieldValue, Fields, Location};
use crate::store::StoreError;
use crate::store::fields::votes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use zstd::bulk::Compressor;

/// Tells blocks written by this program from those of another one.
pub(super) const FORM: u8 = 1;

/// Flag: some character beyond ASCII becomes one of ASCII in lower case, so that looking for bytes
/// could miss a word.
pub(super) const ODD_CASE: u8 = 1;

/// A block's messages have about this many bytes.
const TEXT: usize = 128 * 1024;

/// A block has at most this many events.
const EVENTS: usize = 4096;

/// A block's groups have fields of about this many bytes; each writes its build's again.
const SHARED: usize = 1 << 20;

/// Values of one field that a block is found by; with more of them it is found by all.
const VALUES: usize = 200;

/// How hard it is tried to write little.
const LEVEL: i32 = 3;

/// The field that is different in nearly every event.
const TIME: &str = "@timestamp";

/// How a field's column is written.
pub(super) mod column {
    /// The different values, then for each event the number of its value, from 1.
    pub(in super::super) const NUMBERED: u8 = 0;
    /// The values themselves; a text by what it has in common with the one before.
    pub(in super::super) const PLAIN: u8 = 1;
    /// In a plain column: the event does not have the field.
    pub(in super::super) const ABSENT: u8 = 0;
    /// In a plain column: a text follows.
    pub(in super::super) const TEXT: u8 = 1;
    /// In a plain column: another value follows.
    pub(in super::super) const OTHER: u8 = 2;
    /// The most values that are numbered.
    pub(in super::super) const MOST: usize = 255;
}

/// A block, ready for the index.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) payload: Vec<u8>,
    /// The words that it is found by, each followed by a line end.
    pub(super) words: String,
    /// Values and marks that it is found by.
    pub(super) keywords: Vec<String>,
    /// Place of its first event among the build's events.
    pub(super) first: u64,
    pub(super) count: u64,
    /// The earliest and the latest moment.
    pub(super) time: (i64, i64),
}

/// Cuts the events of one build into blocks.
pub(super) struct Packer {
    next: u64,
    clock: Clock,
    compressor: Compressor<'static>,
    words: Vocabulary,
    block: Open,
}

/// The block that is being filled.
#[derive(Default)]
struct Open {
    count: usize,
    text: String,
    groups: Vec<Group>,
    /// About how many bytes their fields take.
    shared: usize,
    lengths: Vec<u8>,
    times: Vec<u8>,
    places: Vec<u8>,
    columns: BTreeMap<Arc<str>, Column>,
    keywords: BTreeSet<String>,
    time: Option<(i64, i64)>,
    /// What the next event is compared with.
    last_time: i64,
    last_place: (u64, u64),
}

/// Events in a row that share a file and fields.
struct Group {
    count: usize,
    /// It is known whether the events vote that do not say so themselves.
    marked: bool,
    file: Arc<str>,
    shared: Arc<Fields>,
}

/// One field that events have of their own.
#[derive(Default)]
struct Column {
    /// The values as bytes.
    values: Vec<Vec<u8>>,
    known: HashMap<Vec<u8>, u32>,
    /// For each event the number of its value, from 1; 0 where it has none.
    numbers: Vec<u32>,
}

impl Packer {
    /// `otherwise` is the moment, in microseconds, of events that name none.
    pub(super) fn new(otherwise: i64) -> Result<Self, StoreError> {
        let compressor = Compressor::new(LEVEL).map_err(|e| failed(&e))?;
        Ok(Self {
            next: 0,
            clock: Clock::new(otherwise),
            compressor,
            words: Vocabulary::default(),
            block: Open::default(),
        })
    }

    /// How many events there were so far.
    pub(super) fn count(&self) -> u64 {
        self.next + self.block.count as u64
    }

    /// Takes the next event; gives a block when one is full.
    pub(super) fn push(&mut self, event: &Event) -> Result<Option<Packed>, StoreError> {
        self.words.add(&event.message);
        let time = self.clock.of(event);
        self.block.push(event, time);
        if self.block.text.len() < TEXT && self.block.count < EVENTS && self.block.shared < SHARED {
            return Ok(None);
        }
        self.close()
    }

    /// Gives what is left; of a build without events an empty block, so that it is known.
    pub(super) fn finish(&mut self) -> Result<Option<Packed>, StoreError> {
        if self.block.count == 0 && self.next > 0 {
            return Ok(None);
        }
        self.close()
    }

    fn close(&mut self) -> Result<Option<Packed>, StoreError> {
        let mut block = std::mem::take(&mut self.block);
        let (first, count) = (self.next, block.count as u64);
        self.next += count;
        block.name_values();
        let facts = block.facts();
        let flags = if has_odd_case(&block.text) {
            ODD_CASE
        } else {
            0
        };
        let mut payload = vec![FORM, flags];
        put_number(&mut payload, facts.len() as u64);
        let packed = self.compressor.compress(&facts).map_err(|e| failed(&e))?;
        put_number(&mut payload, block.text.len() as u64);
        put_bytes(&mut payload, &packed);
        let text = self.compressor.compress(block.text.as_bytes());
        payload.extend_from_slice(&text.map_err(|e| failed(&e))?);
        Ok(Some(Packed {
            payload,
            words: self.words.take(),
            keywords: block.keywords.into_iter().collect(),
            first,
            count,
            time: block.time.unwrap_or_default(),
        }))
    }
}

impl Open {
    fn push(&mut self, event: &Event, time: i64) {
        self.group(event);
        self.voting(event);
        self.own(event);
        self.count += 1;
        self.text.push_str(&event.message);
        put_number(&mut self.lengths, event.message.len() as u64);
        put_signed(&mut self.times, time.wrapping_sub(self.last_time));
        self.last_time = time;
        let (from, to) = self.time.unwrap_or((time, time));
        self.time = Some((from.min(time), to.max(time)));
        self.place(&event.at, event.message.len() as u64);
    }

    fn group(&mut self, event: &Event) {
        let (file, shared) = (&event.at.file, &event.shared);
        if let Some(last) = self.groups.last_mut()
            && (Arc::ptr_eq(&last.file, file) || last.file == *file)
            && (Arc::ptr_eq(&last.shared, shared) || last.shared == *shared)
        {
            last.count += 1;
            return;
        }
        for (name, value) in shared.iter() {
            self.keywords.extend(keyword_terms(name, value));
        }
        self.shared += weight(shared);
        self.groups.push(Group {
            count: 1,
            marked: false,
            file: Arc::clone(file),
            shared: Arc::clone(shared),
        });
    }

    fn voting(&mut self, event: &Event) {
        let own = event.own.get("voting").is_some();
        let Some(group) = self.groups.last_mut() else {
            return;
        };
        if own || !group.marked {
            group.marked |= !own;
            self.keywords.insert(Marks::voting(votes(event)));
        }
    }

    fn own(&mut self, event: &Event) {
        let mut scratch = Vec::new();
        for (name, value) in event.own.iter() {
            scratch.clear();
            put_value(&mut scratch, value);
            let column = match self.columns.get_mut(name) {
                Some(column) => column,
                None => self.columns.entry(name.into()).or_default(),
            };
            column.numbers.resize(self.count, 0);
            let number = column.number(&scratch, name != TIME);
            column.numbers.push(number);
        }
    }

    fn place(&mut self, at: &Location, length: u64) {
        let (line, offset) = self.last_place;
        let apart = |value: u64, expected: u64| value.wrapping_sub(expected).cast_signed();
        put_signed(&mut self.places, apart(at.line, line));
        put_number(&mut self.places, u64::from(at.lines));
        put_signed(&mut self.places, apart(at.offset, offset));
        put_signed(&mut self.places, apart(at.length, length));
        self.last_place = (
            at.line.wrapping_add(at.lines.into()),
            at.offset.wrapping_add(at.length),
        );
    }

    /// Adds the terms of the fields that events have of their own.
    fn name_values(&mut self) {
        for (name, column) in &mut self.columns {
            column.numbers.resize(self.count, 0);
            self.keywords.extend(Marks::presence(name));
            if &**name == TIME || column.values.len() > VALUES {
                self.keywords.insert(Marks::other_value(name));
                continue;
            }
            for value in &column.values {
                if let Some(value) = super::bytes::Bytes(value).value() {
                    self.keywords.extend(keyword_terms(name, &value));
                }
            }
        }
    }

    fn facts(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.count * 12);
        put_number(&mut out, self.count as u64);
        let mut groups = Vec::new();
        put_number(&mut groups, self.groups.len() as u64);
        for group in &self.groups {
            group.write(&mut groups);
        }
        let mut columns = Vec::new();
        put_number(&mut columns, self.columns.len() as u64);
        for (name, column) in &self.columns {
            put_bytes(&mut columns, name.as_bytes());
            let mut body = Vec::new();
            column.write(&mut body);
            // With its length, so that it can be left out.
            put_bytes(&mut columns, &body);
        }
        for part in [&self.lengths, &self.times, &groups, &self.places, &columns] {
            put_bytes(&mut out, part);
        }
        out
    }
}

/// About how many bytes fields take when they are written.
fn weight(fields: &Fields) -> usize {
    let of = |(name, value): (&str, &FieldValue)| name.len() + value_weight(value);
    fields.iter().map(of).sum()
}

fn value_weight(value: &FieldValue) -> usize {
    match value {
        FieldValue::Text(text) => text.len(),
        FieldValue::Many(values) => 1 + values.iter().map(value_weight).sum::<usize>(),
        FieldValue::Integer(_) | FieldValue::Float(_) | FieldValue::Bool(_) => 8,
    }
}

impl Group {
    fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.count as u64);
        put_bytes(out, self.file.as_bytes());
        put_number(out, self.shared.iter().count() as u64);
        for (name, value) in self.shared.iter() {
            put_bytes(out, name.as_bytes());
            put_value(out, value);
        }
    }
}

impl Column {
    fn number(&mut self, value: &[u8], often: bool) -> u32 {
        if often && let Some(number) = self.known.get(value) {
            return *number;
        }
        self.values.push(value.to_vec());
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        if often {
            self.known.insert(value.to_vec(), number);
        }
        number
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.values.len() > column::MOST {
            return self.write_plain(out);
        }
        out.push(column::NUMBERED);
        put_number(out, self.values.len() as u64);
        self.values
            .iter()
            .for_each(|value| out.extend_from_slice(value));
        out.extend(self.numbers.iter().map(|number| number.to_le_bytes()[0]));
    }

    fn write_plain(&self, out: &mut Vec<u8>) {
        out.push(column::PLAIN);
        let mut before: &[u8] = &[];
        for number in &self.numbers {
            let value = (*number as usize)
                .checked_sub(1)
                .and_then(|n| self.values.get(n));
            let Some(value) = value else {
                out.push(column::ABSENT);
                continue;
            };
            let Some(text) = written_text(value) else {
                out.push(column::OTHER);
                out.extend_from_slice(value);
                continue;
            };
            let common = before.iter().zip(text).take_while(|(a, b)| a == b).count();
            out.push(column::TEXT);
            put_number(out, common as u64);
            put_bytes(out, &text[common..]);
            before = text;
        }
    }
}

/// `K` (the Kelvin sign) and `İ` become letters of ASCII.
fn has_odd_case(text: &str) -> bool {
    !text.is_ascii() && (text.contains('\u{212a}') || text.contains('\u{130}'))
}

fn failed(error: &io::Error) -> StoreError {
    StoreError::Index(format!("a block could not be packed: {error}"))
}
