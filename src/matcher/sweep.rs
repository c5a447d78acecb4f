//! The logs of a build, looked at only where it is worth it.
//!
//! In: logs as intake opens them. Out: what [`Run`] would have found in all of their events. Stretches
//! are scanned, and what is found in them is taken in the log's order; of large logs by two threads.

use super::progress::{Role, Wanted, condition};
use super::scan::{Filter, Scanned, Scratch, is_block};
use super::{Run, exact};
use crate::event::{Event, Fields};
use crate::intake::{
    Around, Chunk, Chunks, Format, Log, OWN_FIELDS, Taken, Taker, all_events, shared_fields,
};
use crate::query::{Document, Left};
use beside::take_beside;
use lanes::{Kind, Lanes};
use reading::Reading;
use std::cell::Cell;
use std::sync::Arc;

/// Stretches of a log from which on a second thread is worth its start: 4 MiB.
const LARGE: u64 = 16;

impl<'m> Run<'m> {
    /// Takes logs for this run; large ones on two threads when `beside` says so.
    pub(crate) fn sweep(&mut self, beside: bool) -> Sweep<'_, 'm> {
        let filter = self.matcher.filter();
        let wanted = (0..filter.rows()).map(|row| is_block(row) || self.wants(filter, row));
        Sweep {
            wanted: wanted.collect(),
            filter,
            run: self,
            beside,
            lanes: Lanes::new(filter.rows()),
            kinds: (0..=filter.rows()).map(|_| Cell::default()).collect(),
            scratch: Scratch::default(),
        }
    }

    fn wants(&self, filter: &Filter, row: u32) -> bool {
        let mut numbers = filter.conditions(row).iter();
        numbers.any(|number| self.applies[self.matcher.candidates.slot(*number).fingerprint])
    }

    /// What conditions without words of their own say of a log with these fields.
    fn open(&self, filter: &Filter, shared: &Arc<Fields>, file: &str) -> Open {
        let mut sure = Vec::new();
        for number in filter.always() {
            match self.left(*number, shared, file) {
                Left::Nothing => {}
                Left::All => sure.push(*number),
                Left::Message | Left::More => return Open::Anything,
            }
        }
        Open::Sure(sure)
    }

    /// What is left of a condition in a log with these fields and name.
    fn left(&self, number: u32, shared: &Arc<Fields>, file: &str) -> Left {
        let slot = self.matcher.candidates.slot(number);
        let fingerprint = &self.matcher.set.fingerprints[slot.fingerprint];
        if !self.applies[slot.fingerprint] {
            return Left::Nothing;
        }
        match condition(fingerprint, slot.role) {
            Some(Wanted::Query(query)) => match query.left(shared, &is_own, self.now) {
                // Of conditions over several events each is counted in its own way.
                Left::All | Left::Message if slot.role != Role::Single => Left::More,
                left => left,
            },
            Some(Wanted::Pattern(pattern)) if pattern.is_for(file) => Left::More,
            Some(Wanted::Pattern(_)) | None => Left::Nothing,
        }
    }

    /// Takes hits of a condition that were counted, and the event of the last one.
    fn counted(&mut self, number: u32, hits: u64, last: &Event) {
        let slot = self.matcher.candidates.slot(number);
        let fingerprint = &self.matcher.set.fingerprints[slot.fingerprint];
        let progress = &mut self.progress[slot.fingerprint];
        progress.count_more(hits);
        if !progress.is_before(last) {
            return;
        }
        if let Some(spans) = exact(fingerprint, slot.role, &Document::new(last), self.now) {
            progress.show_last(last, &spans);
        }
    }
}

/// True for fields that lines give their events.
fn is_own(field: &str) -> bool {
    OWN_FIELDS.contains(&field)
}

/// What conditions without words of their own say of a log.
enum Open {
    /// These hold for all of its events, and the others for none.
    Sure(Vec<u32>),
    /// Some may hold for any event.
    Anything,
}

/// Takes the logs of one build.
pub(crate) struct Sweep<'r, 'm> {
    run: &'r mut Run<'m>,
    filter: &'m Filter,
    /// Which rows some fingerprint of this build asks for.
    wanted: Vec<bool>,
    beside: bool,
    lanes: Lanes,
    kinds: Box<[Cell<Kind>]>,
    scratch: Scratch,
}

impl Taker for Sweep<'_, '_> {
    fn event(&mut self, event: Event) {
        self.run.event(&event);
    }

    fn log(&mut self, log: Log<'_>) -> Taken {
        let mut chunks = Chunks::new(log.reader, log.limits);
        let format = Format::detect(chunks.head());
        let shared = Arc::new(shared_fields(log.context, format));
        let file = &*log.context.name;
        let sure = match self.run.open(self.filter, &shared, file) {
            Open::Sure(numbers) => numbers,
            Open::Anything => {
                let run = &mut *self.run;
                let sink = &mut |event: Event| run.event(&event);
                return all_events(&mut chunks, (format, file), shared, log.limits, sink);
            }
        };
        let around = Around::new(format, log.limits, file, Arc::clone(&shared));
        let around = if sure.is_empty() {
            around
        } else {
            around.everything()
        };
        let lanes = (&mut self.lanes, &mut *self.kinds);
        let mut reading = Reading::new(
            around,
            self.filter,
            &mut *self.run,
            lanes,
            (&shared, file),
            sure,
        );
        let eyes = Eyes {
            filter: self.filter,
            wanted: &self.wanted,
        };
        let mut count = 0;
        while let Some(chunk) = chunks.next() {
            let scanned = eyes.scan(&chunk, &mut self.scratch);
            reading.take(&chunk, scanned);
            chunks.give_back(chunk);
            count += 1;
            if count == LARGE && self.beside {
                take_beside(&mut chunks, &eyes, &mut self.scratch, &mut reading);
            }
        }
        reading.finish(log.limits, format, chunks.error())
    }
}

/// What looks at a stretch.
#[derive(Clone, Copy)]
struct Eyes<'f> {
    filter: &'f Filter,
    wanted: &'f [bool],
}

impl Eyes<'_> {
    fn scan(&self, chunk: &Chunk, scratch: &mut Scratch) -> Scanned {
        let wanted = |row: u32| self.wanted[row as usize];
        self.filter.scan(chunk.bytes(), scratch, wanted)
    }
}

mod beside;
mod lanes;
mod reading;

#[cfg(test)]
mod tests;
