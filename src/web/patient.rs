//! A listener whose connections end when the other side is silent for too long, with half a request or
//! with none, and that has room for so many connections only: who was silent longest makes room.

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// What has to arrive for a sender to count as one that sends: single bytes are as good as silence.
const LEAST: u64 = 1024;
/// Open files that a connection may need: itself, and the log that it brings, opened twice; the fourth
/// part is left for everything else.
const FILES: u64 = 4;
/// Connections at most, however many files may be open.
const MOST: u64 = 4096;
/// Connections at least.
const FEWEST: u64 = 8;
/// How often it is looked for room when there is none.
const LOOK: Duration = Duration::from_millis(20);

/// How many connections there may be, after the system was asked for as many open files as it allows.
pub(super) fn room() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let allowed = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: allowed.maximum,
        maximum: allowed.maximum,
    };
    // Where that is refused the old limit holds.
    let raised = setrlimit(Resource::Nofile, all).is_ok();
    let files = if raised {
        allowed.maximum
    } else {
        allowed.current
    };
    let most = files.map_or(MOST, |files| (files / FILES).clamp(FEWEST, MOST));
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Accepts connections and gives each of them so much patience.
#[derive(Debug)]
pub(super) struct Patient {
    listener: TcpListener,
    patience: Duration,
    crowd: Arc<Crowd>,
}

impl Patient {
    /// With room for `most` connections at a time.
    pub(super) fn new(listener: TcpListener, patience: Duration, most: usize) -> Self {
        let crowd = Crowd {
            // Long enough that who is being answered is hardly ever taken for silent.
            grace: patience / 30,
            most,
            began: Instant::now(),
            next: AtomicU64::new(0),
            full: Mutex::new(false),
            guests: Mutex::default(),
        };
        Self {
            listener,
            patience,
            crowd: Arc::new(crowd),
        }
    }
}

impl axum::serve::Listener for Patient {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Those who come wait in the system's queue meanwhile.
        while !self.crowd.has_room() {
            sleep(LOOK).await;
        }
        // The listener's own `accept` tells passing errors from lasting ones and waits.
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        let guest = self.crowd.enter();
        let connection = Connection {
            stream,
            patience: self.patience,
            deadline: Box::pin(sleep(self.patience)),
            asked_to_leave: Box::pin(guest.leave.clone().cancelled_owned()),
            guest,
            arrived: 0,
            heard: false,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// All connections there are.
#[derive(Debug)]
struct Crowd {
    most: usize,
    /// Who was silent for this long can be asked to make room for others, and who never said anything
    /// much earlier.
    grace: Duration,
    began: Instant,
    next: AtomicU64,
    /// Whether there was no room when it was looked last.
    full: Mutex<bool>,
    guests: Mutex<HashMap<u64, Seat>>,
}

/// What the crowd knows of a connection.
#[derive(Debug)]
struct Seat {
    /// When the other side last did something, in milliseconds after the beginning.
    moved: Arc<AtomicU64>,
    /// Whether it ever said anything.
    spoken: Arc<AtomicBool>,
    leave: CancellationToken,
}

impl Crowd {
    fn guests(&self) -> MutexGuard<'_, HashMap<u64, Seat>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// True when another one may come in; else those that were silent for too long are asked to leave.
    fn has_room(&self) -> bool {
        let guests = self.guests();
        let full = guests.len() >= self.most;
        self.tell(full);
        if !full {
            return true;
        }
        let now = self.now();
        for seat in guests.values() {
            let spoken = seat.spoken.load(Ordering::Relaxed);
            let grace = if spoken { self.grace } else { self.grace / 10 };
            let silent = now.saturating_sub(seat.moved.load(Ordering::Relaxed));
            if u128::from(silent) >= grace.as_millis() {
                seat.leave.cancel();
            }
        }
        false
    }

    /// Says once that there is no room, and not for each who waits.
    fn tell(&self, full: bool) {
        let mut before = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if full && !*before {
            tracing::warn!(
                connections = self.most,
                "no room for more connections: silent ones are closed, others wait"
            );
        }
        *before = full;
    }

    fn enter(self: &Arc<Self>) -> Guest {
        let moved = Arc::new(AtomicU64::new(self.now()));
        let spoken = Arc::new(AtomicBool::new(false));
        let leave = CancellationToken::new();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let seat = Seat {
            moved: moved.clone(),
            spoken: spoken.clone(),
            leave: leave.clone(),
        };
        self.guests().insert(number, seat);
        Guest {
            crowd: self.clone(),
            number,
            moved,
            spoken,
            leave,
        }
    }
}

/// A place in the crowd; free again when it is dropped.
#[derive(Debug)]
struct Guest {
    crowd: Arc<Crowd>,
    number: u64,
    moved: Arc<AtomicU64>,
    spoken: Arc<AtomicBool>,
    leave: CancellationToken,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.crowd.guests().remove(&self.number);
    }
}

/// A connection with a deadline that is put off by every answer, by the first bytes after one, and by
/// every KiB that arrives.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    asked_to_leave: Pin<Box<WaitForCancellationFutureOwned>>,
    guest: Guest,
    /// Bytes that have arrived since the deadline was put off.
    arrived: u64,
    /// Something has arrived since the last answer.
    heard: bool,
}

impl Connection {
    fn put_off(&mut self) {
        let deadline = Instant::now() + self.patience;
        self.deadline.as_mut().reset(deadline);
        self.arrived = 0;
        let now = self.guest.crowd.now();
        self.guest.moved.store(now, Ordering::Relaxed);
    }

    fn received(&mut self, bytes: usize) {
        self.arrived += bytes as u64;
        if !self.heard || self.arrived >= LEAST {
            self.heard = true;
            self.guest.spoken.store(true, Ordering::Relaxed);
            self.put_off();
        }
    }

    /// Ready when nobody waits any longer for the other side.
    fn over(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.asked_to_leave.as_mut().poll(context).is_ready() {
            return Poll::Ready(ErrorKind::ConnectionAborted.into());
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(ErrorKind::TimedOut.into())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(done) => {
                self.received(buffer.filled().len() - before);
                Poll::Ready(done)
            }
            Poll::Pending => self.over(context).map(Err),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(done) => {
                self.heard = false;
                self.put_off();
                Poll::Ready(done)
            }
            // While an answer is not taken, nothing may be read that would notice the time.
            Poll::Pending => self.over(context).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
