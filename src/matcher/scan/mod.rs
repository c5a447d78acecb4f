//! Which lines of a log are worth an exact look, over its bytes as they are.
//!
//! In: a set's conditions; a stretch of a log, whole lines of it. Out: places with the conditions that
//! may hold there. The way: `rows` says which rows of sub-tokens a condition needs, `frequency` which
//! sub-token of a row is the rarest in real logs, `kernel` finds where those begin, `near` leaves out rows
//! whose next sub-token is another one, and `whole` and `walk` compare the whole row.
//!
//! Invariant: no event that meets a condition is missed; what is found need not meet it. Where the
//! bytes say less than the text does, the line is given out as worth everything: letters whose lower
//! case is ASCII and they are not, words so long that the analyser cuts them (see `long`). Colours are taken out
//! first, as intake does it.

mod frequency;
mod kernel;
mod long;
mod near;
mod rows;
mod walk;
mod whole;

use super::progress::Wanted;
use crate::intake::Uncoloured;
use frequency::Frequency;
use kernel::{Keys, Level, key_of};
use long::hides_word;
use memchr::memmem;
use near::{Near, Neighbour};
use rows::{Row, rows_of, tokens};
use std::collections::{HashMap, HashSet};
use walk::stands;
use whole::{Glue, Stand, glue_of, stand};

/// Rows with which blocks of several lines begin, besides those that a line shows by itself.
const BLOCKS: [&str; 6] = [
    "most recent call last",
    "goroutine",
    "panic",
    "fatal error",
    "warning data race",
    "panicked at",
];

/// Letters that are not ASCII and whose lower case, or a pattern's other case, is.
const HIDDEN: [&str; 3] = ["\u{212a}", "\u{130}", "\u{17f}"];

/// What may be at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A block of several lines may begin here.
    Block,
    /// Any condition may hold.
    Anything,
    /// The conditions of this row may hold; see [`Filter::conditions`].
    Row(u32),
}

impl Found {
    fn of(row: u32) -> Self {
        if is_block(row) {
            Self::Block
        } else {
            Self::Row(row)
        }
    }
}

/// True when blocks begin with this row.
pub(super) fn is_block(row: u32) -> bool {
    (row as usize) < BLOCKS.len()
}

/// A place in a stretch, and what may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) at: usize,
    pub(super) found: Found,
    pub(super) sure: Sure,
}

/// What is certain of a row at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sure {
    /// That it begins here, whole words side by side in one line.
    Whole,
    /// That it goes over a line's end, if it stands here at all.
    Beyond,
    /// Nothing.
    Nothing,
}

/// What was seen of a stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// In the order of the stretch.
    pub(super) hits: Vec<Hit>,
    /// Line ends.
    pub(super) lines: u64,
    /// True when every byte is ASCII and none is 0.
    pub(super) plain: bool,
}

/// A row's sub-token that is looked for.
#[derive(Debug, Clone, Copy)]
struct Entry {
    row: u32,
    token: u32,
    neighbour: Neighbour,
}

/// Room that is used again for every stretch of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    kernel: kernel::Scratch,
    uncoloured: Uncoloured,
}

/// The conditions of a set, ready to be looked for.
#[derive(Debug)]
pub(super) struct Filter {
    keys: Keys,
    /// For each key the entries with it.
    of_key: Vec<std::ops::Range<u32>>,
    entries: Vec<Entry>,
    rows: Vec<Row>,
    /// For each row how its sub-tokens hang together, where that tells whether its conditions hold.
    glues: Vec<Option<Glue>>,
    conditions: Vec<Vec<u32>>,
    /// All sub-tokens of all rows.
    tokens: HashSet<Box<[u8]>>,
    /// Conditions that may hold for any event.
    always: Vec<u32>,
}

impl Filter {
    /// Makes conditions ready; each has its number.
    pub(super) fn new<'w>(conditions: impl Iterator<Item = (u32, Wanted<'w>)>) -> Self {
        Self::with(conditions, Level::best())
    }

    fn with<'w>(conditions: impl Iterator<Item = (u32, Wanted<'w>)>, level: Level) -> Self {
        let frequency = Frequency::shipped();
        let mut known: HashMap<Row, usize> = HashMap::new();
        let mut filter = Rows::default();
        for text in BLOCKS {
            filter.add(&mut known, tokens(text.as_bytes()), None, None);
        }
        let mut always = Vec::new();
        for (number, wanted) in conditions {
            let Some(rows) = rows_of(&wanted, &frequency) else {
                always.push(number);
                continue;
            };
            let glue = if rows.len() == 1 {
                glue_of(&wanted)
            } else {
                None
            };
            for row in rows {
                filter.add(&mut known, row, Some(number), glue.clone());
            }
        }
        filter.ready(always, &frequency, level)
    }

    /// The conditions that may hold where a row was found.
    pub(super) fn conditions(&self, row: u32) -> &[u32] {
        &self.conditions[row as usize]
    }

    /// True when a hit of the row that is sure shows that its conditions' words are there.
    pub(super) fn is_exact(&self, row: u32) -> bool {
        self.glues[row as usize].is_some()
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// Conditions that may hold for any event, whatever its words.
    pub(super) fn always(&self) -> &[u32] {
        &self.always
    }

    /// The hit of a row whose sub-token begins at `at`.
    fn hit(&self, text: &[u8], at: usize, entry: Entry) -> Option<Hit> {
        let number = entry.row as usize;
        let (row, token) = (&self.rows[number], entry.token as usize);
        let found = Found::of(entry.row);
        let known = match &self.glues[number] {
            Some(glue) => stand(text, at, row, token, glue),
            None => Stand::Perhaps,
        };
        let (at, sure) = match known {
            Stand::Whole(start) => (start, Sure::Whole),
            Stand::Perhaps => (at, stands(text, at, row, token)?),
            Stand::Not => return None,
        };
        Some(Hit { at, found, sure })
    }

    /// Looks at a stretch of whole lines. Rows that `wanted` does not want are left out.
    pub(super) fn scan(
        &self,
        stretch: &[u8],
        scratch: &mut Scratch,
        wanted: impl Fn(u32) -> bool,
    ) -> Scanned {
        let Scratch { kernel, uncoloured } = scratch;
        let coloured = uncoloured.take_out(stretch);
        let text = if coloured { uncoloured.text() } else { stretch };
        let mut hits = Vec::new();
        let seen = self.keys.scan(text, kernel, |at, key| {
            let range = self.of_key[key as usize].clone();
            let near = Near::new(text, at);
            for entry in &self.entries[range.start as usize..range.end as usize] {
                if near.may_have(entry.neighbour) && wanted(entry.row) {
                    hits.extend(self.hit(text, at, *entry));
                }
            }
        });
        let anything = |at| Hit {
            at,
            found: Found::Anything,
            sure: Sure::Nothing,
        };
        let long = seen.long.iter().map(|at| *at as usize);
        let hides = |at: &usize| hides_word(text, *at, &self.tokens);
        hits.extend(long.filter(hides).map(anything));
        if seen.beyond_ascii {
            for letter in HIDDEN {
                hits.extend(memmem::find_iter(text, letter.as_bytes()).map(anything));
            }
        }
        if coloured {
            for hit in &mut hits {
                hit.at = uncoloured.original(hit.at);
            }
        }
        hits.sort_by_key(|hit| hit.at);
        Scanned {
            hits,
            lines: seen.lines,
            plain: !seen.beyond_ascii && !seen.nul,
        }
    }
}

/// Rows that are being gathered.
#[derive(Default)]
struct Rows {
    all: Vec<Row>,
    glues: Vec<Option<Glue>>,
    conditions: Vec<Vec<u32>>,
}

impl Rows {
    fn add(
        &mut self,
        known: &mut HashMap<Row, usize>,
        row: Row,
        condition: Option<u32>,
        glue: Option<Glue>,
    ) {
        // A row that begins a block and is a condition too is looked for twice.
        let at = if let Some(at) = condition.and_then(|_| known.get(&row).copied()) {
            if self.glues[at] != glue {
                self.glues[at] = None;
            }
            at
        } else {
            let at = self.all.len();
            if condition.is_some() {
                known.insert(row.clone(), at);
            }
            self.all.push(row);
            self.glues.push(glue);
            self.conditions.push(Vec::new());
            at
        };
        let conditions = &mut self.conditions[at];
        if let Some(condition) = condition.filter(|c| conditions.last() != Some(c)) {
            conditions.push(condition);
        }
    }

    /// What is looked at before a row, whose sub-token was found, is compared.
    fn neighbour(&self, row: usize, token: usize) -> Neighbour {
        let glue = self.glues[row].as_deref().unwrap_or_default();
        // The byte that joins it to the next one tells as much, and sooner.
        if glue.get(token).is_some_and(|joint| *joint != 0) {
            return Neighbour::None;
        }
        Neighbour::of(&self.all[row], token)
    }

    fn ready(self, always: Vec<u32>, frequency: &Frequency, level: Level) -> Filter {
        let mut anchors: Vec<(u64, Entry)> = Vec::new();
        let mut shortest = 4;
        for (number, row) in (0..).zip(&self.all) {
            let at = frequency.rarest(row);
            shortest = shortest.min(row[at].len());
            let token = u32::try_from(at).unwrap_or(0);
            let entry = Entry {
                row: number,
                token,
                neighbour: self.neighbour(number as usize, at),
            };
            anchors.push((key_of(&row[at]), entry));
        }
        anchors.sort_by_key(|(key, entry)| (*key, entry.row));
        let (mut keys, mut of_key): (Vec<u64>, Vec<std::ops::Range<u32>>) =
            (Vec::new(), Vec::new());
        for (at, (key, _)) in (0..).zip(&anchors) {
            if let Some(range) = of_key.last_mut().filter(|_| keys.last() == Some(key)) {
                range.end = at + 1;
            } else {
                keys.push(*key);
                of_key.push(at..at + 1);
            }
        }
        Filter {
            keys: Keys::new(&keys, shortest, &frequency.common, level),
            of_key,
            entries: anchors.into_iter().map(|(_, entry)| entry).collect(),
            tokens: self.all.iter().flatten().cloned().collect(),
            rows: self.all,
            glues: self.glues,
            conditions: self.conditions,
            always,
        }
    }
}
