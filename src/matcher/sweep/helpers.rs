//! Threads that scan stretches of a large log beside the one that reads it.

use super::{Eyes, Reading};
use crate::intake::{Chunk, Chunks};
use crate::matcher::scan::{Scanned, Scratch};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Stretches that are scanned and wait for one before them.
const MAX_WAITING: usize = 16;

/// A stretch with its number in the log.
type Numbered = (u64, Chunk);
type Done = (u64, Chunk, Scanned);

/// Reads on to the end with helpers that scan.
pub(super) fn with_helpers(
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
            reading.take(&chunk, scanned);
            chunks.give_back(chunk);
            self.next += 1;
        }
    }
}
