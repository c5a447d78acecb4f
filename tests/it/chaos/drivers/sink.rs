//! Receives notes and counts them, and has logs that can be fetched.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// How often each note came, by receiver, build, and number of the note.
pub(crate) type Deliveries = BTreeMap<(String, String), BTreeMap<i64, u64>>;
type Kept = Arc<Mutex<Deliveries>>;

/// A server that takes every note.
pub(crate) struct Sink {
    address: SocketAddr,
    kept: Kept,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Kept::default();
        let log = |Path(number): Path<usize>| async move { super::harness::log(number) };
        let router = Router::new()
            .route("/notes/{name}", post(take))
            .route("/logs/{number}", get(log));
        let router = router.with_state(kept.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            kept,
            task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a receiver takes notes.
    pub(crate) fn hook(&self, name: &str) -> String {
        format!("http://{}/notes/{name}", self.address)
    }

    /// Below it are the logs of builds, by number.
    pub(crate) fn logs(&self) -> String {
        format!("http://{}/logs", self.address)
    }

    /// Everything that came until now.
    pub(crate) fn so_far(&self) -> Deliveries {
        self.kept.lock().unwrap().clone()
    }

    /// Everything that came.
    pub(crate) fn stop(self) -> Deliveries {
        self.so_far()
    }
}

async fn take(State(kept): State<Kept>, Path(name): Path<String>, body: String) {
    let note: Value = serde_json::from_str(&body).unwrap();
    let build = note["build"].as_str().unwrap_or_default().to_owned();
    let mut kept = kept.lock().unwrap();
    let numbers = kept.entry((name, build)).or_default();
    *numbers.entry(note["id"].as_i64().unwrap()).or_default() += 1;
}
