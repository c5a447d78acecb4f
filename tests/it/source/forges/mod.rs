//! GitHub, GitLab, Jenkins and the signed webhook: notifications as their senders make them, strict
//! fakes of the APIs that are asked, and everything that can be wrong with either.

mod fake;
mod github;
mod github_api;
mod gitlab;
mod jenkins;
mod schema;
mod webhook;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower::ServiceExt;
use whorl::event::Build;
use whorl::source::{Desk, Logs, Said, SourceStatus};
use whorl::state::State;

/// The key of all signatures and the token of all notifications here.
const SECRET: &str = "0123456789abcdef-grün";
/// The commit in all fixtures.
const SHA: &str = "6f1d2c3b4a5968778695a4b3c2d1e0f0a1b2c3d4";

/// A desk with a state of its own.
struct Place {
    dir: TempDir,
    state: Arc<State>,
    desk: Arc<Desk>,
    said: Mutex<mpsc::Receiver<Said>>,
    complete: Arc<Mutex<Vec<String>>>,
}

/// An answer to a notification.
struct Told {
    status: StatusCode,
    text: String,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = Arc::new(State::open(dir.path().join("state.db")).unwrap());
        let complete = Arc::new(Mutex::new(Vec::new()));
        let told = complete.clone();
        let (desk, said) = Desk::new(
            state.clone(),
            true,
            Box::new(move |uuid: &str| told.lock().unwrap().push(uuid.to_owned())),
            Box::new(|_: &[(String, String)]| Vec::new()),
        );
        Self {
            dir,
            state,
            desk: Arc::new(desk),
            said: Mutex::new(said),
            complete,
        }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("hooks")
    }

    fn build(&self, uuid: &str) -> Option<Build> {
        self.state.build(uuid).unwrap().map(|stored| stored.build)
    }

    /// Where the logs are that wait to be fetched, by build; each is shown once.
    fn logs(&self) -> Vec<(String, Logs)> {
        let hold = jiff::SignedDuration::from_secs(600);
        let taken = self.state.take_fetches(jiff::Timestamp::now(), hold, 100);
        let one =
            |fetch: whorl::state::Fetch| (fetch.uuid, serde_json::from_str(&fetch.logs).unwrap());
        taken.unwrap().into_iter().map(one).collect()
    }

    fn said(&self) -> Option<Said> {
        self.said.lock().unwrap().try_recv().ok()
    }

    fn status(&self, name: &str) -> SourceStatus {
        self.desk.statuses().get(name).cloned().unwrap_or_default()
    }

    /// Waits for something that a running source does.
    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(
                Instant::now() < end,
                "never: {what}: {:?}",
                self.desk.statuses()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Sends a request to the address of a source.
async fn send(routes: &axum::Router, request: Request<Body>) -> Told {
    let answer = routes.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20)
        .await
        .unwrap();
    Told {
        status,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn post(headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post("/");
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(body.into()).unwrap()
}

fn hooks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hooks")
}

fn fixture(name: &str) -> Value {
    let text = std::fs::read_to_string(hooks().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The hex HMAC-SHA-256, computed by the program that signs our own notes.
fn signature(body: &[u8]) -> String {
    whorl::note::webhook::signature(SECRET, body)
}

/// JSON of any shape, with the names that a fixture has.
fn mutilated(value: &Value, at: usize, with: &Value) -> Value {
    fn walk(value: &mut Value, left: &mut usize, with: &Value) {
        if *left == 0 {
            *value = with.clone();
            *left = usize::MAX;
            return;
        }
        *left = left.saturating_sub(usize::from(*left != usize::MAX));
        match value {
            Value::Array(all) => all.iter_mut().for_each(|one| walk(one, left, with)),
            Value::Object(all) => all.values_mut().for_each(|one| walk(one, left, with)),
            _ => {}
        }
    }
    let (mut value, mut left) = (value.clone(), at);
    walk(&mut value, &mut left, with);
    value
}

/// How many values a fixture has.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(size).sum(),
        Value::Object(all) => all.values().map(size).sum(),
        _ => 0,
    }
}

/// What each value of a fixture is replaced with, one after the other.
fn strange() -> Vec<Value> {
    vec![
        Value::Null,
        serde_json::json!(-1),
        serde_json::json!(1e300),
        serde_json::json!("\u{202e}\u{0}../..\n"),
        serde_json::json!([[{}]]),
        serde_json::json!({"sha": ["x"]}),
    ]
}
