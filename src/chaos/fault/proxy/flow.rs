//! The way of one answer: late, slow, cut off.

use super::head::end_of_head;
use super::lot::{Ending, Lot};
use super::plan::Effects;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// Pieces that may be on their way at once.
const PIECES: usize = 256;

/// How an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Went {
    /// To its end.
    Whole,
    /// It was stopped where this ending is due.
    Cut(Ending),
}

/// Where an answer is stopped.
#[derive(Debug)]
struct Cut {
    ending: Ending,
    left: u64,
    /// What was seen of a head that does not count; nothing when everything counts.
    head: Option<Vec<u8>>,
}

impl Cut {
    /// How many bytes of the next piece come through; nothing when all of them do.
    fn through(&mut self, piece: &[u8]) -> Option<usize> {
        let free = self.free(piece);
        let counted = (piece.len() - free) as u64;
        if counted <= self.left {
            self.left -= counted;
            return None;
        }
        // It is less than the length of a piece.
        Some(free + usize::try_from(self.left).unwrap_or(0))
    }

    /// How many bytes of the piece belong to the head.
    fn free(&mut self, piece: &[u8]) -> usize {
        let Some(head) = &mut self.head else { return 0 };
        let before = head.len();
        head.extend_from_slice(piece);
        match end_of_head(head) {
            None => piece.len(),
            Some(end) => {
                self.head = None;
                end - before
            }
        }
    }
}

/// What is to happen to an answer.
#[derive(Debug)]
pub(super) struct Flow<'a> {
    effects: &'a Effects,
    lot: Option<&'a Lot>,
    /// Each piece is late by itself; requests of HTTP were late before they were passed on.
    pieces_late: bool,
    cut: Option<Cut>,
}

impl<'a> Flow<'a> {
    pub(super) fn new(effects: &'a Effects, lot: Option<&'a Lot>, http: bool) -> Self {
        let ending = lot.and_then(|lot| lot.ending);
        let cut = ending.filter(|ending| *ending != Ending::Status);
        Self {
            effects,
            lot,
            pieces_late: !http,
            cut: cut.map(|ending| Cut {
                ending,
                left: effects.after,
                head: (http && ending == Ending::Truncate).then(Vec::new),
            }),
        }
    }

    /// Passes an answer on.
    pub(super) async fn pass(
        mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<Went> {
        let (send, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
        let late = self.lot.filter(|_| self.pieces_late);
        let effects = self.effects;
        let read = async move {
            for m in 0.. {
                let mut piece = Vec::with_capacity(16 * 1024);
                if from.read_buf(&mut piece).await? == 0 {
                    break;
                }
                let delay = late.map_or(Duration::ZERO, |lot| lot.delay(effects, m));
                if send.send((Instant::now() + delay, piece)).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let write = async {
            while let Some((due, piece)) = pieces.recv().await {
                sleep_until(due).await;
                let through = self.cut.as_mut().and_then(|cut| cut.through(&piece));
                let some = &piece[..through.unwrap_or(piece.len())];
                self.write(&mut to, some).await?;
                if let (Some(_), Some(cut)) = (through, &self.cut) {
                    return Ok(Went::Cut(cut.ending));
                }
            }
            Ok(Went::Whole)
        };
        tokio::pin!(read, write);
        // A cut ends the writing first; else the reading ends, and the writing when it has written all.
        tokio::select! {
            went = &mut write => went,
            end = &mut read => match end {
                Ok(()) => write.await,
                Err(error) => Err(error),
            },
        }
    }

    /// Writes no faster than is allowed.
    async fn write(&self, to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
        let Some(rate) = self.effects.rate.filter(|_| self.lot.is_some()) else {
            return to.write_all(bytes).await;
        };
        // Twenty steps a second, or a byte at a time.
        let step = usize::try_from(rate / 20).unwrap_or(usize::MAX).max(1);
        for some in bytes.chunks(step) {
            to.write_all(some).await?;
            sleep(Duration::from_secs_f64(some.len() as f64 / rate as f64)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::fault::proxy::lot::Urn;

    async fn passed(effects: &Effects, http: bool, text: &[u8]) -> (Went, Vec<u8>) {
        let lot = Urn::default().draw(effects, "k");
        let flow = Flow::new(effects, Some(&lot), http);
        let mut out = Vec::new();
        let went = flow.pass(text, &mut out).await.unwrap();
        (went, out)
    }

    #[tokio::test]
    async fn an_answer_is_cut_only_where_there_is_more_of_it() {
        let mut effects = Effects {
            truncate: 100.0,
            after: 3,
            intensity: 100.0,
            ..Effects::default()
        };
        let cut = Went::Cut(Ending::Truncate);
        assert_eq!(
            passed(&effects, false, b"abcd").await,
            (cut, b"abc".to_vec())
        );
        let whole = (Went::Whole, b"abc".to_vec());
        assert_eq!(passed(&effects, false, b"abc").await, whole);
        let answer = b"HTTP/1.1 200 OK\r\n\r\nabcd";
        let (went, out) = passed(&effects, true, answer).await;
        assert_eq!((went, out.as_slice()), (cut, &answer[..answer.len() - 1]));
        effects.after = 4;
        assert_eq!(passed(&effects, true, answer).await.0, Went::Whole);
    }
}
