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

/// How much may lie between the two threads.
struct Room {
    /// Stretches that are read and not taken: so many that the reader goes on while a part of the log is slow
    /// to be taken, and the taker finds enough that is scanned while a part is slow to be scanned.
    waiting: usize,
    /// Their bytes: pieces of long lines are larger than other stretches.
    bytes: usize,
    /// What was found in them: hostile logs have a hit for every other byte.
    hits: usize,
    /// Stretches that are read and nobody has scanned: no more, so that they are still near when one does.
    unscanned: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            waiting: 32,
            bytes: 8 << 20,
            hits: 1 << 18,
            unscanned: 3,
        }
    }
}

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

/// Reads while there is room and little that is not scanned, else scans what was read last, which is still near.
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
    room: Room,
}

#[derive(Default)]
struct Row {
    /// In the log's order.
    pieces: VecDeque<Piece>,
    /// The number of the first of them.
    first: u64,
    /// Bytes of all of them, and hits of those that are scanned.
    bytes: usize,
    hits: usize,
    /// What is done with.
    spare: Vec<Chunk>,
    /// True when one of the two is gone: the reader at its end, either by a panic, which the scope passes on.
    left: bool,
}

impl Row {
    /// True when there is room for one more.
    fn has(&self, room: &Room) -> bool {
        let unscanned = self.pieces.iter().filter(|p| matches!(p, Piece::Read(_)));
        let full = self.pieces.len() >= room.waiting
            || self.bytes >= room.bytes
            || self.hits >= room.hits
            || unscanned.count() >= room.unscanned;
        !full
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
            if more && row.has(&self.room) {
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
                    row.bytes -= chunk.bytes().len();
                    row.hits -= scanned.hits.len();
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
        let mut row = self.row();
        row.bytes += chunk.bytes().len();
        row.pieces.push_back(Piece::Read(chunk));
        drop(row);
        self.changed.notify_one();
    }

    /// Puts a piece back that was taken to be scanned; it is still there, as nobody takes it unscanned.
    fn put(&self, number: u64, chunk: Chunk, scanned: Scanned) {
        let mut row = self.row();
        let at = number
            .checked_sub(row.first)
            .and_then(|at| usize::try_from(at).ok());
        let hits = scanned.hits.len();
        if let Some(piece) = at.and_then(|at| row.pieces.get_mut(at)) {
            *piece = Piece::Scanned(chunk, scanned);
            row.hits += hits;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::scan::{Found, Hit, Sure};
    use std::sync::mpsc;
    use std::time::Duration;

    const STRETCHES: u64 = 2000;

    fn scanned() -> Scanned {
        let hit = Hit {
            at: 0,
            found: Found::Anything,
            sure: Sure::Nothing,
        };
        Scanned {
            hits: vec![hit; 3],
            ..Scanned::default()
        }
    }

    /// A reader that has only to read and scan; the most stretches and hits that lay there.
    fn reads(table: &Table) -> (usize, usize) {
        let _left = Leaving(table);
        let (mut next, mut most) = (0, (0, 0));
        while let Some(task) = table.for_reader(next < STRETCHES) {
            match task {
                ReaderTask::Read(_) => {
                    let mut chunk = Chunk::default();
                    chunk.offset = next;
                    next += 1;
                    table.add(chunk);
                }
                ReaderTask::Scan(number, chunk) => table.put(number, chunk, scanned()),
            }
            let row = table.row();
            most = (most.0.max(row.pieces.len()), most.1.max(row.hits));
        }
        most
    }

    /// A taker; what it was given, in its order.
    fn takes(table: &Table) -> Vec<u64> {
        let _left = Leaving(table);
        let (mut taken, mut done) = (Vec::new(), None);
        while let Some(task) = table.for_taker(done.take()) {
            match task {
                TakerTask::Take(chunk, _) => {
                    taken.push(chunk.offset);
                    std::thread::yield_now();
                    done = Some(chunk);
                }
                TakerTask::Scan(number, chunk) => table.put(number, chunk, scanned()),
            }
        }
        taken
    }

    fn goes_to_its_end(room: Room) -> (usize, usize) {
        let (send, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let table = Table {
                room,
                ..Table::default()
            };
            let both = std::thread::scope(|scope| {
                let taken = scope.spawn(|| takes(&table));
                (reads(&table), taken.join())
            });
            send.send(both)
        });
        let both = ended.recv_timeout(Duration::from_secs(60));
        let (most, taken) = both.expect("nobody waits for ever");
        assert!(taken.unwrap().into_iter().eq(0..STRETCHES));
        most
    }

    #[test]
    fn a_reader_without_room_waits_and_goes_on() {
        for (waiting, unscanned) in [(1, 1), (2, 1), (3, 2), (32, 3)] {
            let (most, _) = goes_to_its_end(Room {
                waiting,
                unscanned,
                ..Room::default()
            });
            assert!(most <= waiting, "{most} of {waiting}");
        }
    }

    #[test]
    fn what_was_found_takes_room_too() {
        let (_, hits) = goes_to_its_end(Room {
            hits: 4,
            ..Room::default()
        });
        // Those that were read before it was known add theirs.
        assert!(hits <= 4 + 4 * 3, "{hits}");
    }
}
