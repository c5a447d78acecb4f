//! Looks again at stored builds when the fingerprint set has changed: in the background, newest
//! first, one at a time, and never much in the way of new builds.

use super::meter::Meter;
use super::pipeline::Pipeline;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is asked whether new builds are done.
const YIELD: Duration = Duration::from_millis(50);
/// How long one stored build stands back; a service that is always busy gets through them too.
const PATIENCE: Duration = Duration::from_secs(2);

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

/// Looks at every build of `stale` (newest first) until all are done or `stop` is cancelled.
pub async fn again(
    stale: Vec<String>,
    pipeline: Arc<Pipeline>,
    progress: &Progress,
    meter: &Meter,
    stop: &CancellationToken,
) {
    let total = stale.len();
    progress.done.store(0, Ordering::Relaxed);
    progress.total.store(total, Ordering::Relaxed);
    for (done, uuid) in stale.into_iter().enumerate() {
        meter.reclassify_left.set((total - done) as f64);
        stand_back(&pipeline, stop).await;
        if stop.is_cancelled() {
            break;
        }
        let queue = Arc::clone(&pipeline);
        let looked = tokio::task::spawn_blocking(move || queue.look_again(&uuid));
        if looked.await.unwrap_or(false) {
            meter.reclassified.increment(1);
        }
        progress.done.store(done + 1, Ordering::Relaxed);
    }
    progress.total.store(0, Ordering::Relaxed);
    meter.reclassify_left.set(0.0);
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
