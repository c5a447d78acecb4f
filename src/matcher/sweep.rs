//! The logs of a build, looked at only where it is worth it.
//!
//! In: logs as intake opens them. Out: what [`Run`] would have found in all of their events. Stretches
//! are scanned by this thread and, of large logs, by helpers beside it; what they find is taken in the
//! log's order. Queues are as long as there are helpers.

use super::progress::{Role, Wanted, condition};
use super::scan::{Filter, Found, Scanned, Scratch, is_block};
use super::{Run, exact};
use crate::event::{Event, Fields};
use crate::intake::{
    Around, Chunk, Chunks, Format, Log, Odd, Place, Taken, Taker, all_events, shared_fields,
};
use crate::query::Document;
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Stretches of a log from which on helpers are worth their start: 4 MiB.
const LARGE: u64 = 16;
/// Stretches that are scanned and wait for one before them.
const MAX_WAITING: usize = 16;

/// Fields that lines give their events.
const OWN: [&str; 6] = ["@timestamp", "loglevel", "module", "pid", "node", "program"];

impl<'m> Run<'m> {
    /// Takes logs for this run.
    pub(crate) fn sweep(&mut self, helpers: usize) -> Sweep<'_, 'm> {
        let filter = self.matcher.filter();
        let wanted = (0..filter.rows()).map(|row| is_block(row) || self.wants(filter, row));
        Sweep {
            wanted: wanted.collect(),
            filter,
            run: self,
            helpers,
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
            match self.says(*number, shared, file) {
                Some(false) => {}
                Some(true) => sure.push(*number),
                None => return Open::Anything,
            }
        }
        Open::Sure(sure)
    }

    /// What a condition says of every event of such a log; `None` when that depends on the event.
    fn says(&self, number: u32, shared: &Arc<Fields>, file: &str) -> Option<bool> {
        let slot = self.matcher.candidates.slot(number);
        let fingerprint = &self.matcher.set.fingerprints[slot.fingerprint];
        if !self.applies[slot.fingerprint] {
            return Some(false);
        }
        let own = |field: &str| OWN.contains(&field);
        match condition(fingerprint, slot.role) {
            Some(Wanted::Query(query)) => {
                let said = query.of_fields(shared, &own, self.now);
                // Of conditions over several events each is counted in its own way.
                said.filter(|holds| !holds || slot.role == Role::Single)
            }
            Some(Wanted::Pattern(pattern)) => {
                let files = pattern.files.as_ref();
                let out = files.is_some_and(|globs| !globs.is_match(file));
                out.then_some(false)
            }
            None => Some(false),
        }
    }

    /// Counts an event for conditions that hold for it.
    fn count(&mut self, numbers: &[u32], event: &Event) {
        for number in numbers {
            let slot = self.matcher.candidates.slot(*number);
            if !self.progress[slot.fingerprint].count_unseen() {
                self.look(&Document::new(event), vec![slot]);
            }
        }
    }

    /// Shows the last event that was counted.
    fn show_last(&mut self, numbers: &[u32], event: &Event) {
        for number in numbers {
            let slot = self.matcher.candidates.slot(*number);
            let fingerprint = &self.matcher.set.fingerprints[slot.fingerprint];
            let progress = &mut self.progress[slot.fingerprint];
            if !progress.is_behind() {
                continue;
            }
            if let Some(spans) = exact(fingerprint, slot.role, &Document::new(event), self.now) {
                progress.show_last(event, &spans);
            }
        }
    }
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
    helpers: usize,
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
        let around = Around::new(format, log.limits, file, shared);
        let mut reading = Reading {
            around: if sure.is_empty() {
                around
            } else {
                around.everything()
            },
            sure,
            last: None,
            filter: self.filter,
            run: self.run,
            found: VecDeque::new(),
            odd: Odd::default(),
            bytes: 0,
            lines: 0,
            open: false,
            events: 0,
        };
        let eyes = Eyes {
            filter: self.filter,
            wanted: &self.wanted,
        };
        let mut count = 0;
        while let Some(chunk) = chunks.next() {
            let scanned = eyes.scan(&chunk, &mut self.scratch);
            reading.take(&chunk, &scanned);
            chunks.give_back(chunk);
            count += 1;
            if count == LARGE && self.helpers > 0 {
                with_helpers(
                    &mut chunks,
                    &eyes,
                    self.helpers,
                    &mut self.scratch,
                    &mut reading,
                );
            }
        }
        let problems = reading.odd.problems(file, log.limits);
        reading.finish(format, problems, &mut chunks)
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

/// A stretch with its number in the log.
type Numbered = (u64, Chunk);
type Done = (u64, Chunk, Scanned);

/// Reads on to the end with helpers that scan.
fn with_helpers(
    chunks: &mut Chunks<'_>,
    eyes: &Eyes<'_>,
    helpers: usize,
    scratch: &mut Scratch,
    reading: &mut Reading<'_, '_, '_>,
) {
    let (give, take) = sync_channel::<Numbered>(helpers);
    let take = Mutex::new(take);
    std::thread::scope(|scope| {
        let (tell, hear) = channel::<Done>();
        for _ in 0..helpers {
            let (take, tell) = (&take, tell.clone());
            scope.spawn(move || help(eyes, take, &tell));
        }
        drop(tell);
        let mut order = Order {
            hear,
            waiting: BTreeMap::new(),
            next: 0,
            away: 0,
        };
        share(chunks, eyes, scratch, &give, &mut order, reading);
        drop(give);
        while order.away > 0 && order.wait() {
            order.hand_out(chunks, reading);
        }
        order.hand_out(chunks, reading);
    });
}

/// Gives stretches to helpers, and scans those that no helper has time for.
fn share(
    chunks: &mut Chunks<'_>,
    eyes: &Eyes<'_>,
    scratch: &mut Scratch,
    give: &SyncSender<Numbered>,
    order: &mut Order,
    reading: &mut Reading<'_, '_, '_>,
) {
    let mut number = 0;
    while let Some(chunk) = chunks.next() {
        match give.try_send((number, chunk)) {
            Ok(()) => order.away += 1,
            Err(TrySendError::Full((_, chunk)) | TrySendError::Disconnected((_, chunk))) => {
                let scanned = eyes.scan(&chunk, scratch);
                order.waiting.insert(number, (chunk, scanned));
            }
        }
        number += 1;
        order.look();
        while order.waiting.len() > MAX_WAITING && order.wait() {
            order.hand_out(chunks, reading);
        }
        order.hand_out(chunks, reading);
    }
}

fn help(eyes: &Eyes<'_>, take: &Mutex<Receiver<Numbered>>, tell: &Sender<Done>) {
    let mut scratch = Scratch::default();
    loop {
        let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, chunk)) = next else { return };
        let scanned = eyes.scan(&chunk, &mut scratch);
        if tell.send((number, chunk, scanned)).is_err() {
            return;
        }
    }
}

/// Brings what is scanned into the log's order.
struct Order {
    hear: Receiver<Done>,
    waiting: BTreeMap<u64, (Chunk, Scanned)>,
    next: u64,
    /// Stretches that helpers have.
    away: usize,
}

impl Order {
    fn put(&mut self, (number, chunk, scanned): Done) {
        self.away -= 1;
        self.waiting.insert(number, (chunk, scanned));
    }

    /// Takes what is there.
    fn look(&mut self) {
        while let Ok(done) = self.hear.try_recv() {
            self.put(done);
        }
    }

    /// Waits for the next one; false when there is none to wait for.
    fn wait(&mut self) -> bool {
        let done = self.hear.recv();
        done.map(|done| self.put(done)).is_ok()
    }

    fn hand_out(&mut self, chunks: &mut Chunks<'_>, reading: &mut Reading<'_, '_, '_>) {
        while let Some((chunk, scanned)) = self.waiting.remove(&self.next) {
            reading.take(&chunk, &scanned);
            chunks.give_back(chunk);
            self.next += 1;
        }
    }
}

/// One log on its way through the run.
struct Reading<'r, 'm, 'l> {
    around: Around<'l>,
    /// Conditions that hold for all events.
    sure: Vec<u32>,
    /// The last event, where all are counted.
    last: Option<Event>,
    filter: &'m Filter,
    run: &'r mut Run<'m>,
    /// What was found where, in the order of the log, as long as it may belong to an event to come.
    found: VecDeque<(u64, Found)>,
    odd: Odd,
    bytes: u64,
    lines: u64,
    /// True when the last line has no end.
    open: bool,
    events: u64,
}

impl Reading<'_, '_, '_> {
    fn take(&mut self, chunk: &Chunk, scanned: &Scanned) {
        self.odd.see_all(chunk, self.lines + 1, scanned.plain);
        let hits = scanned.hits.iter();
        self.found
            .extend(hits.map(|hit| (chunk.offset + hit.at as u64, hit.found)));
        let places = scanned.hits.iter().map(|hit| Place {
            at: hit.at,
            block: hit.found == Found::Block,
        });
        let (found, run, filter) = (&mut self.found, &mut *self.run, self.filter);
        let (events, sure, last) = (&mut self.events, &self.sure, &mut self.last);
        self.around
            .take(chunk, scanned.lines, places, &mut |event| {
                *events += 1;
                look(run, filter, found, &event);
                run.count(sure, &event);
                *last = Some(event);
            });
        if !self.around.is_busy() {
            self.found.clear();
        }
        self.bytes += chunk.bytes().len() as u64;
        self.lines += scanned.lines;
        self.open = !chunk.bytes().ends_with(b"\n");
    }

    fn finish(
        mut self,
        format: Format,
        problems: Vec<crate::intake::Problem>,
        chunks: &mut Chunks<'_>,
    ) -> Taken {
        let (found, run, filter) = (&mut self.found, &mut *self.run, self.filter);
        let (events, sure, last) = (&mut self.events, &self.sure, &mut self.last);
        self.around.finish(&mut |event| {
            *events += 1;
            look(run, filter, found, &event);
            run.count(sure, &event);
            *last = Some(event);
        });
        if let Some(event) = &self.last {
            self.run.show_last(&self.sure, event);
        }
        Taken {
            format,
            bytes: self.bytes,
            lines: self.lines + u64::from(self.open),
            events: self.events,
            problems,
            error: chunks.error(),
        }
    }
}

/// Has the run look at an event, with what was found in its bytes.
fn look(run: &mut Run<'_>, filter: &Filter, found: &mut VecDeque<(u64, Found)>, event: &Event) {
    let end = event.at.offset + event.at.length;
    let (mut numbers, mut anything) = (Vec::new(), false);
    while let Some((at, what)) = found.front().copied().filter(|(at, _)| *at < end) {
        found.pop_front();
        match what {
            _ if at < event.at.offset => {}
            Found::Block => {}
            Found::Anything => anything = true,
            Found::Row(row) => numbers.extend_from_slice(filter.conditions(row)),
        }
    }
    if anything {
        run.event(event);
    } else if !numbers.is_empty() {
        run.candidate(event, numbers);
    }
}

#[cfg(test)]
mod tests;
