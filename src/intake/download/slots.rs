//! How many downloads run at once, in all and of one host; a slow host holds up no other.

use super::error::DownloadError;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Failures in a row after which a host is left alone for a while.
const FAILURES: u32 = 6;
/// Hosts that are remembered although nobody asks them.
const REMEMBERED: usize = 256;

/// The places that downloads take.
#[derive(Debug)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    per_host: usize,
    waiting: usize,
    /// For how long a host that does not answer is left alone.
    rest: Duration,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

#[derive(Debug)]
pub(super) struct Host {
    name: String,
    rest: Duration,
    slots: Arc<Semaphore>,
    /// Of a host that does not answer only one request is under way.
    probe: Arc<Semaphore>,
    waiting: AtomicUsize,
    mood: Mutex<Mood>,
}

#[derive(Debug, Default)]
struct Mood {
    failures: u32,
    /// The host has asked to be left alone until then.
    busy_until: Option<Instant>,
    /// It did not answer, and is not asked until then.
    down_until: Option<Instant>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    host: Arc<Host>,
    _of_host: OwnedSemaphorePermit,
    _probe: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

/// One who waits, as long as it exists.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    pub(super) fn new(parallel: usize, per_host: usize, waiting: usize, rest: Duration) -> Self {
        Self {
            all: Arc::new(Semaphore::new(parallel.max(1))),
            per_host: per_host.max(1),
            waiting,
            rest,
            hosts: Mutex::default(),
        }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return Arc::clone(host);
        }
        if hosts.len() >= REMEMBERED {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let host = Arc::new(Host {
            name: name.to_owned(),
            rest: self.rest,
            slots: Arc::new(Semaphore::new(self.per_host)),
            probe: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
            mood: Mutex::default(),
        });
        hosts.insert(name.to_owned(), Arc::clone(&host));
        host
    }

    /// Waits for a place. The host's own comes first, so that who waits for a slow host takes no
    /// place from the others.
    pub(super) async fn take(&self, name: &str) -> Result<Slot, DownloadError> {
        let host = self.host(name);
        if host.waiting.fetch_add(1, Ordering::Relaxed) >= self.waiting {
            host.waiting.fetch_sub(1, Ordering::Relaxed);
            let host = host.name.clone();
            return Err(DownloadError::Busy { host });
        }
        let waiting = Waiting(&host.waiting);
        let of_host = permit(&host.slots).await?;
        let probe = if host.is_troubled() {
            Some(permit(&host.probe).await?)
        } else {
            None
        };
        host.rested().await?;
        let of_all = permit(&self.all).await?;
        drop(waiting);
        Ok(Slot {
            host,
            _of_host: of_host,
            _probe: probe,
            _of_all: of_all,
        })
    }
}

async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, DownloadError> {
    let taken = Arc::clone(of).acquire_owned().await;
    // They are never closed.
    taken.map_err(|_| DownloadError::Stopped)
}

impl Host {
    fn mood(&self) -> std::sync::MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_troubled(&self) -> bool {
        self.mood().failures > 0
    }

    /// Waits as long as the host has asked for; fails when it is not asked at all for now.
    async fn rested(&self) -> Result<(), DownloadError> {
        loop {
            let (busy, down) = {
                let mood = self.mood();
                (mood.busy_until, mood.down_until)
            };
            let now = Instant::now();
            if down.is_some_and(|until| until > now) {
                let host = self.name.clone();
                return Err(DownloadError::Down { host });
            }
            match busy {
                Some(until) if until > now => tokio::time::sleep_until(until).await,
                _ => return Ok(()),
            }
        }
    }
}

impl Slot {
    /// The host has answered.
    pub(super) fn answered(&self) {
        let mut mood = self.host.mood();
        mood.failures = 0;
        mood.down_until = None;
    }

    /// The host did not answer.
    pub(super) fn failed(&self) {
        let mut mood = self.host.mood();
        mood.failures += 1;
        if mood.failures >= FAILURES {
            mood.down_until = Some(Instant::now() + self.host.rest);
        }
    }

    /// The host has asked to be left alone for so long.
    pub(super) fn rest(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut mood = self.host.mood();
        if mood.busy_until.is_none_or(|before| before < until) {
            mood.busy_until = Some(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(300);

    fn slots(parallel: usize, per_host: usize, waiting: usize) -> Slots {
        Slots::new(parallel, per_host, waiting, REST)
    }

    #[tokio::test]
    async fn one_host_takes_no_place_from_another() {
        let slots = slots(3, 2, 10);
        let _first = slots.take("slow").await.unwrap();
        let _second = slots.take("slow").await.unwrap();
        let third = tokio::time::timeout(Duration::from_millis(50), slots.take("slow"));
        assert!(third.await.is_err(), "it has its places");
        let other = tokio::time::timeout(Duration::from_secs(20), slots.take("other"));
        assert!(other.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn the_queue_of_a_host_is_bounded() {
        let slots = Arc::new(slots(9, 1, 2));
        let held = slots.take("h").await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let slots = Arc::clone(&slots);
            waiting.push(tokio::spawn(async move { slots.take("h").await.is_ok() }));
        }
        tokio::task::yield_now().await;
        let refused = slots.take("h").await.unwrap_err();
        assert!(matches!(refused, DownloadError::Busy { .. }), "{refused}");
        drop(held);
        for one in waiting {
            assert!(one.await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_host_that_never_answers_is_left_alone_for_a_while() {
        let slots = slots(9, 4, 10);
        for _ in 0..FAILURES {
            slots.take("h").await.unwrap().failed();
        }
        let refused = slots.take("h").await.unwrap_err();
        assert!(matches!(refused, DownloadError::Down { .. }), "{refused}");
        tokio::time::sleep(REST).await;
        slots.take("h").await.unwrap().answered();
        assert!(slots.take("h").await.is_ok());
    }

    #[tokio::test]
    async fn a_host_is_left_alone_as_long_as_it_asks_for() {
        let slots = slots(9, 4, 10);
        slots.take("h").await.unwrap().rest(REST);
        let before = Instant::now();
        assert!(slots.take("h").await.is_ok());
        assert!(before.elapsed() + Duration::from_millis(20) > REST);
    }
}
