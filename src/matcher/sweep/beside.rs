//! A large log on two threads: one reads and unpacks, the other takes what is found, in the log's order.
//!
//! Both scan when they have nothing of their own to do: the reader while enough is read that nobody has
//! scanned, the taker while what comes next is not scanned. So neither waits as long as there is a stretch to
//! scan: a compressed log goes as fast as it is unpacked, and of one that is not each does half.

use super::Eyes;
use super::reading::Reading;
use crate::intake::{Chunk, Chunks};
use crate::matcher::scan::{Scanned, Scratch};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Stretches that are read and not taken: so many that the reader goes on while a part of the log is slow to
/// be taken, and the taker finds enough that is scanned while a part is slow to be scanned.
const MAX_WAITING: usize = 32;
/// Stretches that are read and nobody has scanned: no more, so that they are still near when one does.
const MAX_UNSCANNED: usize = 3;

/// Reads on to the end beside a thread that takes.
pub(super) fn take_beside(
    chunks: &mut Chunks<'_>,
    eyes: &Eyes<'_>,
    scratch: &mut Scratch,
    reading: &mut Reading<'_, '_, '_>,
) {
    let table = Table::default();
    std::thread::scope(|scope| {
        scope.spawn(|| take(&table, eyes, reading));
        read(&table, chunks, eyes, scratch);
    });
}

/// Reads while there is room, else scans what was read last, which is still near.
fn read(table: &Table, chunks: &mut Chunks<'_>, eyes: &Eyes<'_>, scratch: &mut Scratch) {
    let _left = Leaving(table);
    let mut more = true;
    while let Some(task) = table.for_reader(more) {
        match task {
            ReaderTask::Read(spare) => {
                for done in spare {
                    chunks.give_back(done);
                }
                match chunks.next() {
                    Some(chunk) => table.add(chunk),
                    None => more = false,
                }
            }
            ReaderTask::Scan(number, chunk) => {
                let scanned = eyes.scan(&chunk, scratch);
                table.put(number, chunk, scanned);
            }
        }
    }
}

/// Takes what is scanned, else scans what comes next.
fn take(table: &Table, eyes: &Eyes<'_>, reading: &mut Reading<'_, '_, '_>) {
    let _left = Leaving(table);
    let mut scratch = Scratch::default();
    let mut done = None;
    while let Some(task) = table.for_taker(done.take()) {
        match task {
            TakerTask::Take(chunk, scanned) => {
                reading.take(&chunk, scanned);
                done = Some(chunk);
            }
            TakerTask::Scan(number, chunk) => {
                let scanned = eyes.scan(&chunk, &mut scratch);
                table.put(number, chunk, scanned);
            }
        }
    }
}

/// What the reader does next.
enum ReaderTask {
    /// Read on, with the room of what is done with.
    Read(Vec<Chunk>),
    Scan(u64, Chunk),
}

/// What the taker does next.
enum TakerTask {
    Take(Chunk, Scanned),
    Scan(u64, Chunk),
}

/// A stretch that is not taken yet.
enum Piece {
    Read(Chunk),
    /// One of the two scans it.
    InHand,
    Scanned(Chunk, Scanned),
}

/// What lies between the two threads.
#[derive(Default)]
struct Table {
    row: Mutex<Row>,
    /// Told of every change: there is one who may wait at most.
    changed: Condvar,
}

#[derive(Default)]
struct Row {
    /// In the log's order.
    pieces: VecDeque<Piece>,
    /// The number of the first of them.
    first: u64,
    /// What is done with.
    spare: Vec<Chunk>,
    /// True when one of the two is gone: the reader at its end, either by a panic, which the scope passes on.
    left: bool,
}

impl Row {
    /// True while hardly anything that is read is not scanned.
    fn is_scanned(&self) -> bool {
        let unscanned = self.pieces.iter().filter(|p| matches!(p, Piece::Read(_)));
        unscanned.count() < MAX_UNSCANNED
    }

    /// Takes a piece to scan it: of those that nobody has, the one that comes first in `order`.
    fn unscanned(&mut self, mut order: impl Iterator<Item = usize>) -> Option<(u64, Chunk)> {
        let at = order.find(|at| matches!(self.pieces[*at], Piece::Read(_)))?;
        match std::mem::replace(&mut self.pieces[at], Piece::InHand) {
            Piece::Read(chunk) => Some((self.first + at as u64, chunk)),
            Piece::InHand | Piece::Scanned(..) => None,
        }
    }
}

impl Table {
    fn row(&self) -> MutexGuard<'_, Row> {
        // Nothing that may panic is done with the lock.
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'t>(&'t self, row: MutexGuard<'t, Row>) -> MutexGuard<'t, Row> {
        self.changed
            .wait(row)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What the reader does next; `more` while it has not come to the log's end.
    fn for_reader(&self, more: bool) -> Option<ReaderTask> {
        let mut row = self.row();
        loop {
            if row.left {
                return None;
            }
            let count = row.pieces.len();
            if more && count < MAX_WAITING && row.is_scanned() {
                return Some(ReaderTask::Read(std::mem::take(&mut row.spare)));
            }
            if let Some((number, chunk)) = row.unscanned((0..count).rev()) {
                return Some(ReaderTask::Scan(number, chunk));
            }
            if !more {
                return None;
            }
            row = self.wait(row);
        }
    }

    /// What the taker does next, who is done with a stretch.
    fn for_taker(&self, done: Option<Chunk>) -> Option<TakerTask> {
        let mut row = self.row();
        row.spare.extend(done);
        loop {
            match row.pieces.pop_front() {
                Some(Piece::Scanned(chunk, scanned)) => {
                    row.first += 1;
                    self.changed.notify_one();
                    return Some(TakerTask::Take(chunk, scanned));
                }
                Some(piece) => row.pieces.push_front(piece),
                None if row.left => return None,
                None => {}
            }
            let count = row.pieces.len();
            if let Some((number, chunk)) = row.unscanned(0..count) {
                return Some(TakerTask::Scan(number, chunk));
            }
            // Who had the next one in hand has panicked.
            if row.left {
                return None;
            }
            row = self.wait(row);
        }
    }

    fn add(&self, chunk: Chunk) {
        self.row().pieces.push_back(Piece::Read(chunk));
        self.changed.notify_one();
    }

    /// Puts a piece back that was taken to be scanned; it is still there, as nobody takes it unscanned.
    fn put(&self, number: u64, chunk: Chunk, scanned: Scanned) {
        let mut row = self.row();
        let at = number
            .checked_sub(row.first)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(piece) = at.and_then(|at| row.pieces.get_mut(at)) {
            *piece = Piece::Scanned(chunk, scanned);
        }
        drop(row);
        self.changed.notify_one();
    }
}

/// Says that a thread is gone, however it went.
struct Leaving<'t>(&'t Table);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.row().left = true;
        self.0.changed.notify_one();
    }
}
