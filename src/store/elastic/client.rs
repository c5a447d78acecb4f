//! Requests to a cluster: several addresses, time limits, retries, a circuit breaker, counters.
//!
//! Everything that is asked here may be asked twice without harm: documents are written with names
//! of their own. So a request is sent again after a lost connection, after 429, 502, 503, 504, and after a 500 that
//! says that a node is gone.

pub(super) use super::call::Request;

use super::breaker::{Breaker, BreakerState};
use super::connection::{Connection, transport};
use super::told::{causes, hint, lost_a_node, misses_shards, reason, shown, verb};
use crate::store::StoreError;
use elasticsearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use elasticsearch::http::response::Response;
use elasticsearch::http::transport::Transport;
use elasticsearch::http::{Method, StatusCode};
use serde_json::Value;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use url::Url;

/// The longest pause before a request is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The pause before the first repetition, before jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What went over the wire since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests sent, repetitions included.
    pub requests: u64,
    /// Repetitions among them.
    pub repeated: u64,
    /// Bytes of the requests' bodies.
    pub sent: u64,
    /// Bytes of the answers' bodies.
    pub received: u64,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    repeated: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Why one attempt failed.
enum Failure {
    /// The cluster will not do it, now or later.
    Final(StoreError),
    /// It may be done later; how long to wait at least, when the cluster said so.
    Passing(String, Option<Duration>),
}

/// A cluster that can be asked. All calls block; call them outside of asynchronous code.
pub(super) struct Client {
    runtime: Option<Runtime>,
    nodes: Vec<(Url, Transport)>,
    next: AtomicUsize,
    breaker: Breaker,
    counters: Counters,
    timeout: Duration,
    retries: u32,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<&str> = self.nodes.iter().map(|(url, _)| url.as_str()).collect();
        f.debug_struct("Client")
            .field("nodes", &nodes)
            .finish_non_exhaustive()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping a runtime waits, which is forbidden where asynchronous code drops us.
            runtime.shutdown_background();
        }
    }
}

impl Client {
    /// Makes ready to ask; nothing is sent yet.
    pub(super) fn new(connection: &Connection) -> Result<Self, StoreError> {
        if connection.urls.is_empty() {
            return Err(StoreError::Setup(
                "no address of the cluster is given".into(),
            ));
        }
        let nodes = connection.urls.iter().map(|url| {
            let transport = transport(url, connection)?;
            Ok((url.clone(), transport))
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("whorl-cluster")
            .enable_all()
            .build();
        Ok(Self {
            nodes: nodes.collect::<Result<_, StoreError>>()?,
            runtime: Some(runtime.map_err(|e| StoreError::Setup(e.to_string()))?),
            next: AtomicUsize::new(0),
            breaker: Breaker::default(),
            counters: Counters::default(),
            timeout: connection.timeout,
            retries: connection.retries,
        })
    }

    /// What went over the wire so far.
    pub(super) fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            requests: read(&self.counters.requests),
            repeated: read(&self.counters.repeated),
            sent: read(&self.counters.sent),
            received: read(&self.counters.received),
        }
    }

    /// What the circuit breaker says, when it does not let requests through.
    pub(super) fn trouble(&self) -> Option<String> {
        match self.breaker.state(Instant::now()) {
            BreakerState::Closed => None,
            BreakerState::Trial => Some("the cluster is being tried again".into()),
            BreakerState::Open(left, why) => Some(silent(&why, left)),
        }
    }

    /// Sends a request, again and to other nodes when needed, and reads the answer as JSON.
    pub(super) fn call(&self, request: &Request) -> Result<Value, StoreError> {
        let Some(runtime) = &self.runtime else {
            return Err(StoreError::Setup("the client was closed".into()));
        };
        runtime.block_on(self.attempts(request))
    }

    async fn attempts(&self, request: &Request) -> Result<Value, StoreError> {
        let retries = if request.once.is_some() {
            0
        } else {
            self.retries
        };
        let mut pause = FIRST_PAUSE;
        for attempt in 0.. {
            if let Err((wait, why)) = self.breaker.ask(Instant::now()) {
                return Err(StoreError::Unavailable(silent(&why, wait)));
            }
            let (why, wait) = match self.attempt(request).await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) if attempt > 0 && is_gone(request, &error) => {
                    return Ok(Value::Null);
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(why, wait)) => (why, wait),
            };
            if attempt >= retries {
                return Err(StoreError::Unavailable(match attempt {
                    0 => why,
                    more => format!("{why} (asked {} times)", more + 1),
                }));
            }
            self.counters.repeated.fetch_add(1, Ordering::Relaxed);
            let wait = wait.unwrap_or_else(|| jitter(pause)).min(LONGEST_PAUSE);
            tracing::debug!(%why, path = request.path, ?wait, "asking the cluster again");
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        unreachable!("attempts are counted without end")
    }

    async fn attempt(&self, request: &Request) -> Result<Value, Failure> {
        let node = self.next.load(Ordering::Relaxed) % self.nodes.len();
        let (url, transport) = &self.nodes[node];
        let limit = request.once.unwrap_or(self.timeout);
        let body_size = request.body.as_ref().map_or(0, Vec::len);
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.counters
            .sent
            .fetch_add(body_size as u64, Ordering::Relaxed);
        let answer = tokio::time::timeout(limit, self.exchange(transport, request)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => {
                let heard = self.counters.received.load(Ordering::Relaxed) > 0;
                let hint = if heard { "" } else { hint(url, &why) };
                return Err(self.lost(node, &format!("{}: {why}{hint}", shown(url))));
            }
            Err(_) => {
                let seconds = limit.as_secs_f64();
                return Err(self.lost(node, &format!("{}: no answer in {seconds} s", shown(url))));
            }
        };
        self.judge(node, request, answer)
    }

    async fn exchange(&self, transport: &Transport, request: &Request) -> Result<Answer, String> {
        let mut headers = HeaderMap::new();
        if request.lines {
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-ndjson"),
            );
        }
        let sent = transport.send(
            request.method,
            &request.path,
            headers,
            Some(&request.parameters),
            request.body.clone(),
            // The limit around this call is the one that counts; this one only frees the socket.
            Some(self.timeout + Duration::from_secs(1)),
        );
        let response = sent.await.map_err(|e| causes(&e))?;
        let (status, pause) = (response.status_code(), retry_after(&response));
        let body = response.bytes().await.map_err(|e| causes(&e))?;
        self.counters
            .received
            .fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(Answer {
            status,
            pause,
            body: body.to_vec(),
        })
    }

    fn judge(&self, node: usize, request: &Request, answer: Answer) -> Result<Value, Failure> {
        let url = shown(&self.nodes[node].0);
        let Answer {
            status,
            pause,
            body,
        } = answer;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .inspect(|_: &Value| self.breaker.good())
                .map_err(|error| {
                    self.lost(node, &format!("{url}: the answer is no JSON: {error}"))
                });
        }
        let text = format!("{url}: {status} {}", reason(&body));
        match status.as_u16() {
            // It is there and says to come back: no reason to stop asking, or to ask another.
            429 => self.breaker.good(),
            503 if misses_shards(&body) => self.breaker.good(),
            500 if lost_a_node(&body) => self.breaker.good(),
            502..=504 => drop(self.lost(node, &text)),
            code => {
                self.breaker.good();
                return Err(Failure::Final(StoreError::Refused {
                    status: code,
                    message: format!("{} {}: {text}", verb(request.method), request.path),
                }));
            }
        }
        Err(Failure::Passing(text, pause))
    }

    /// Notes a failure of the node, so that the next attempt goes to another one.
    fn lost(&self, node: usize, why: &str) -> Failure {
        let others = self.nodes.len();
        // Several requests that a node fails at once are one reason to go on, not several.
        let _ = self.next.compare_exchange(
            node,
            (node + 1) % others,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        self.breaker.bad(Instant::now(), why);
        Failure::Passing(why.to_owned(), None)
    }
}

struct Answer {
    status: StatusCode,
    pause: Option<Duration>,
    body: Vec<u8>,
}

fn silent(why: &str, wait: Duration) -> String {
    let seconds = wait.as_secs_f64().ceil();
    format!("the cluster does not answer ({why}); it is asked again in {seconds:.0} s")
}

/// True when a removal that was sent again found that the first one had been done.
fn is_gone(request: &Request, error: &StoreError) -> bool {
    request.method == Method::Delete && matches!(error, StoreError::Refused { status: 404, .. })
}

/// Between half of the pause and the whole of it, so that many that wait do not come back at once.
fn jitter(pause: Duration) -> Duration {
    let dice = RandomState::new().hash_one(0_u8) % 1000;
    pause / 2 + pause / 2 * u32::try_from(dice).unwrap_or(0) / 1000
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_never_longer_than_said() {
        for _ in 0..100 {
            let pause = jitter(Duration::from_secs(1));
            assert!(pause >= Duration::from_millis(500) && pause <= Duration::from_secs(1));
        }
    }
}
