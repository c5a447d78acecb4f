//! Who may work at the same time for those who ask. The threads for work that blocks are shared with
//! classification: without limits, readers who do not read or many searches at once would hold all of
//! them, and no build would get its verdict.

use super::error::ApiError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Handlers on threads; the runtime has 512 of these.
const HANDLERS: usize = 128;
/// Searches: each of them uses all processors and unpacks blocks of logs.
const SEARCHES: usize = 4;
/// Kept logs that are read for somebody, each for as long as its reader takes.
const LOGS: usize = 32;
/// How long somebody waits for a turn before being told to come again.
const WAIT: Duration = Duration::from_secs(10);

/// How many may work.
#[derive(Debug)]
pub(super) struct Turns {
    handlers: Arc<Semaphore>,
    searches: Arc<Semaphore>,
    logs: Arc<Semaphore>,
}

/// Held while somebody works.
pub(super) type Turn = OwnedSemaphorePermit;

impl Default for Turns {
    fn default() -> Self {
        Self {
            handlers: Arc::new(Semaphore::new(HANDLERS)),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            logs: Arc::new(Semaphore::new(LOGS)),
        }
    }
}

impl Turns {
    /// To work on a thread for a request.
    pub(super) async fn handler(&self) -> Result<Turn, ApiError> {
        turn(&self.handlers, "requests", WAIT).await
    }

    /// To search all logs.
    pub(super) async fn search(&self) -> Result<Turn, ApiError> {
        turn(&self.searches, "searches", WAIT).await
    }

    /// To read a kept log.
    pub(super) async fn log(&self) -> Result<Turn, ApiError> {
        turn(&self.logs, "readers of logs", WAIT).await
    }
}

async fn turn(of: &Arc<Semaphore>, what: &str, wait: Duration) -> Result<Turn, ApiError> {
    match tokio::time::timeout(wait, of.clone().acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(ApiError::overloaded(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_too_long_is_told_to_come_again() {
        let turns = Turns::default();
        let mut held = Vec::new();
        for _ in 0..SEARCHES {
            held.push(turns.search().await.unwrap());
        }
        let soon = Duration::from_millis(10);
        let refused = turn(&turns.searches, "searches", soon).await.unwrap_err();
        assert!(format!("{refused:?}").contains("too many searches"));
        assert!(turns.log().await.is_ok(), "others have turns of their own");
        held.pop();
        assert!(turns.search().await.is_ok());
    }
}
