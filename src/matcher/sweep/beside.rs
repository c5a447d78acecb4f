//! A large log on two threads: one reads, unpacks and scans, the other takes what is found.
//!
//! Whoever has time scans: the reader does while the taker is behind, else the taker. So a compressed log
//! goes as fast as it is unpacked, and one that is not shares the work evenly.

use super::Eyes;
use super::reading::Reading;
use crate::intake::{Chunk, Chunks};
use crate::matcher::scan::{Scanned, Scratch};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};

/// Stretches that wait to be taken.
const MAX_WAITING: usize = 8;

/// A stretch on its way, scanned or not.
type Piece = (Chunk, Option<Scanned>);

/// Reads on to the end beside a thread that takes.
pub(super) fn take_beside(
    chunks: &mut Chunks<'_>,
    eyes: &Eyes<'_>,
    scratch: &mut Scratch,
    reading: &mut Reading<'_, '_, '_>,
) {
    let (give, pieces) = sync_channel(MAX_WAITING);
    let (back, spare) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || take(&pieces, &back, eyes, reading));
        read(chunks, &spare, &give, eyes, scratch);
        drop(give);
    });
}

/// Reads and hands over; scans what there is no room for.
fn read(
    chunks: &mut Chunks<'_>,
    spare: &Receiver<Chunk>,
    give: &SyncSender<Piece>,
    eyes: &Eyes<'_>,
    scratch: &mut Scratch,
) {
    while let Some(chunk) = chunks.next() {
        for done in spare.try_iter() {
            chunks.give_back(done);
        }
        let chunk = match give.try_send((chunk, None)) {
            Ok(()) => continue,
            Err(TrySendError::Full((chunk, _))) => chunk,
            // The other thread has panicked, which the scope passes on.
            Err(TrySendError::Disconnected(_)) => return,
        };
        let scanned = eyes.scan(&chunk, scratch);
        if give.send((chunk, Some(scanned))).is_err() {
            return;
        }
    }
}

fn take(
    pieces: &Receiver<Piece>,
    back: &Sender<Chunk>,
    eyes: &Eyes<'_>,
    reading: &mut Reading<'_, '_, '_>,
) {
    let mut scratch = Scratch::default();
    for (chunk, scanned) in pieces {
        let scanned = scanned.unwrap_or_else(|| eyes.scan(&chunk, &mut scratch));
        reading.take(&chunk, scanned);
        // Nobody wants it any more once all is read.
        let _ = back.send(chunk);
    }
}
