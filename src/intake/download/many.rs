//! Many files at once.

use super::Downloader;
use super::error::DownloadError;
use super::request::{Answer, Request};
use std::path::PathBuf;
use tokio::task::JoinSet;

/// A file and where it shall lie.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What is asked for.
    pub request: Request,
    /// Where it goes.
    pub target: PathBuf,
}

/// Downloads that are under way. Those that are not done end when this is dropped.
#[derive(Debug)]
pub struct Downloads {
    running: JoinSet<(usize, Result<Answer, DownloadError>)>,
}

impl Downloads {
    /// The next one that is done: its place among the wanted, and what came of it.
    pub async fn next(&mut self) -> Option<(usize, Result<Answer, DownloadError>)> {
        let done = self.running.join_next().await?;
        // Nobody aborts one of them; one that panics must not take the others with it.
        Some(done.unwrap_or((usize::MAX, Err(DownloadError::Stopped))))
    }
}

impl Downloader {
    /// Begins to download all of them.
    pub fn start(&self, wanted: Vec<Wanted>) -> Downloads {
        let mut running = JoinSet::new();
        for (place, one) in wanted.into_iter().enumerate() {
            let downloader = self.clone();
            running.spawn(async move {
                let answer = downloader.fetch(&one.request, &one.target).await;
                (place, answer)
            });
        }
        Downloads { running }
    }

    /// Downloads all of them; what came of each, in their order.
    pub async fn fetch_all(&self, wanted: Vec<Wanted>) -> Vec<Result<Answer, DownloadError>> {
        let mut all: Vec<_> = wanted.iter().map(|_| Err(DownloadError::Stopped)).collect();
        let mut running = self.start(wanted);
        while let Some((place, answer)) = running.next().await {
            if let Some(slot) = all.get_mut(place) {
                *slot = answer;
            }
        }
        all
    }
}
