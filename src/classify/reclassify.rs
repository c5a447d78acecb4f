//! Looks again at stored builds when the fingerprint set has changed: in the background, newest
//! first, one at a time, and never much in the way of new builds.

use super::engine::Engine;
use super::meter::Meter;
use super::pipeline::Pipeline;
use crate::state::{Spot, State, StateError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is asked whether new builds are done.
const YIELD: Duration = Duration::from_millis(50);
/// How long one stored build stands back; a service that is always busy gets through them too.
const PATIENCE: Duration = Duration::from_secs(2);

/// Stored builds whose names are held at once.
const PAGE: u64 = 10_000;

/// How far the second look has come.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Progress {
    /// Builds looked at and builds to look at, or `None` when there is nothing to do.
    pub fn get(&self) -> Option<(usize, usize)> {
        let total = self.total.load(Ordering::Relaxed);
        let done = self.done.load(Ordering::Relaxed);
        (done < total).then_some((done, total))
    }
}

/// Looks at stored builds a second time.
#[derive(Clone)]
pub struct SecondLook {
    /// Knows what the builds' verdicts came from.
    pub state: Arc<State>,
    /// Knows which builds have logs.
    pub engine: Arc<dyn Engine>,
    /// Looks at them.
    pub pipeline: Arc<Pipeline>,
}

/// The builds that wait for a second look, told apart from those of another time without keeping
/// their names, of which there may be a great many.
#[derive(Debug, PartialEq, Eq)]
pub struct Stale {
    version: String,
    builds: usize,
    mark: u64,
}

impl Stale {
    /// How many there are.
    pub fn builds(&self) -> usize {
        self.builds
    }
}

impl SecondLook {
    /// The builds whose verdict came from others than the fingerprints of `version`. Without their
    /// logs they keep the verdict that they have, and are none of these.
    pub async fn find(&self, version: &str) -> Result<Stale, String> {
        let (mut builds, mut mark) = (0, DefaultHasher::new());
        let mut pages = self.pages(version);
        while let Some(page) = pages.next().await? {
            builds += page.len();
            page.hash(&mut mark);
        }
        let (version, mark) = (version.to_owned(), mark.finish());
        Ok(Stale {
            version,
            builds,
            mark,
        })
    }

    /// Looks at every build of `stale`, newest first, until all are done or `stop` is cancelled.
    pub async fn again(
        &self,
        stale: &Stale,
        progress: &Progress,
        meter: &Meter,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        progress.done.store(0, Ordering::Relaxed);
        progress.total.store(stale.builds, Ordering::Relaxed);
        let told = self.walk(stale, progress, meter, stop).await;
        progress.total.store(0, Ordering::Relaxed);
        meter.reclassify_left.set(0.0);
        told
    }

    async fn walk(
        &self,
        stale: &Stale,
        progress: &Progress,
        meter: &Meter,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let mut done = 0;
        let mut pages = self.pages(&stale.version);
        while let Some(page) = pages.next().await? {
            for uuid in page {
                meter
                    .reclassify_left
                    .set(stale.builds.saturating_sub(done) as f64);
                stand_back(&self.pipeline, stop).await;
                if stop.is_cancelled() {
                    return Ok(());
                }
                let queue = Arc::clone(&self.pipeline);
                let looked = tokio::task::spawn_blocking(move || queue.look_again(&uuid));
                if looked.await.unwrap_or(false) {
                    meter.reclassified.increment(1);
                }
                done += 1;
                progress.done.store(done, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The builds with logs whose verdict came from others than the fingerprints of `version`.
    fn pages<'l>(&'l self, version: &'l str) -> Pages<'l> {
        let place = Place::Start;
        Pages {
            of: self,
            version,
            place,
        }
    }
}

/// Where a walk over builds goes on.
enum Place {
    Start,
    Behind(Spot),
    End,
}

/// A walk over stale builds, newest first, some at a time.
struct Pages<'l> {
    of: &'l SecondLook,
    version: &'l str,
    place: Place,
}

impl Pages<'_> {
    /// The next ones; there may be none among them, and `None` behind the last.
    async fn next(&mut self) -> Result<Option<Vec<String>>, String> {
        let after = match self.place {
            Place::Start => None,
            Place::Behind(spot) => Some(spot),
            Place::End => return Ok(None),
        };
        let (of, version) = (self.of.clone(), self.version.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let (mut builds, next) = of.state.stale(&version, after, PAGE)?;
            builds.retain(|uuid| of.engine.has_logs(uuid));
            Ok((builds, next))
        });
        let read: Result<_, StateError> = read.await.map_err(|error| error.to_string())?;
        let (builds, next) = read.map_err(|error| error.to_string())?;
        self.place = next.map_or(Place::End, Place::Behind);
        Ok(Some(builds))
    }
}

/// Lets new builds go first, for a while.
async fn stand_back(pipeline: &Pipeline, stop: &CancellationToken) {
    let begun = Instant::now();
    while pipeline.busy() && begun.elapsed() < PATIENCE {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(YIELD) => {}
        }
    }
}
