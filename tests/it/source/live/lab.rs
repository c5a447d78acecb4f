//! A Gerrit that does what it is told.

use axum::Router;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use whorl::config::{GerritRest, GerritSource, Period, Secret};
use whorl::source::gerrit::Gerrit;
use whorl::source::{Desk, Said, Source, SourceStatus};
use whorl::state::State;

/// What the program does usually: it says what is written into a pipe of its own, until that is
/// closed.
pub(super) const CAT: &str =
    "echo 'Authenticated to review.example ([::1]:29418) using \"publickey\".' >&2
n=$(wc -l <\"$dir/calls\")
mkfifo \"$dir/pipe.$n\"
cat \"$dir/pipe.$n\"
";

/// The REST API does not answer.
pub(super) const HANG: u16 = 1;

/// A place with a desk.
pub(super) struct Lab {
    folder: tempfile::TempDir,
    pub(super) state: Arc<State>,
    pub(super) desk: Arc<Desk>,
    said: Mutex<Receiver<Said>>,
    patchsets: Arc<AtomicUsize>,
    completed: Arc<Mutex<Vec<String>>>,
    /// The program's call whose pipe was used last.
    used: AtomicUsize,
    pub(super) rest: Rest,
}

/// Whoever writes what the program says.
pub(super) struct Pipe {
    pub(super) file: File,
}

/// A source at work.
pub(super) struct Run {
    gerrit: Arc<Gerrit>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A REST API.
pub(super) struct Rest {
    address: String,
    inner: Arc<Inner>,
}

struct Inner {
    changes: Mutex<BTreeMap<u64, Value>>,
    asked: AtomicUsize,
    status: AtomicU16,
}

impl Lab {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let head = format!("dir='{}'\necho \"$*\" >>\"$dir/calls\"\n", dir.display());
        write_program(&dir.join("ssh"), &format!("{head}. \"$dir/plan\"\n"));
        let state = Arc::new(State::open(dir.join("state.db")).unwrap());
        let patchsets = Arc::new(AtomicUsize::new(0));
        let completed = Arc::<Mutex<Vec<String>>>::default();
        let (seen, complete) = (patchsets.clone(), completed.clone());
        let (desk, said) = Desk::new(
            state.clone(),
            true,
            Box::new(move |uuid| complete.lock().unwrap().push(uuid.to_owned())),
            Box::new(move |_| {
                seen.fetch_add(1, Ordering::SeqCst);
                Vec::new()
            }),
        );
        let lab = Self {
            state,
            desk: Arc::new(desk),
            said: Mutex::new(said),
            patchsets,
            completed,
            used: AtomicUsize::new(0),
            rest: Rest::start().await,
            folder,
        };
        lab.plan(CAT);
        lab
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the program does.
    pub(super) fn plan(&self, script: &str) {
        let next = self.folder().join("plan.next");
        std::fs::write(&next, script).unwrap();
        std::fs::rename(next, self.folder().join("plan")).unwrap();
    }

    pub(super) fn start(&self, change: impl FnOnce(&mut GerritSource)) -> Run {
        let mut source = GerritSource::new("review", "review.example", "whorl");
        source.ssh_command = vec![self.folder().join("ssh").display().to_string()];
        (source.key, source.known_hosts) = (Some("/k/key".into()), Some("/k/known".into()));
        source.quiet = Period(Duration::from_secs(1));
        source.accounts = vec!["zuul".into()];
        source.rest = Some(rest(&self.rest.address));
        change(&mut source);
        Run::start(&source, self.desk.clone())
    }

    /// The output of the program's next run.
    pub(super) async fn stream(&self) -> Pipe {
        let used = self.used.load(Ordering::SeqCst);
        let next = || {
            let pipe = |n: &usize| self.folder().join(format!("pipe.{n}")).exists();
            (used + 1..used + 100).find(pipe)
        };
        self.until("the program", || next().is_some()).await;
        let number = next().unwrap();
        self.used.store(number, Ordering::SeqCst);
        let path = self.folder().join(format!("pipe.{number}"));
        // Opening it waits for who reads.
        let open = tokio::task::spawn_blocking(move || File::options().write(true).open(path));
        let file = tokio::time::timeout(Duration::from_secs(30), open).await;
        let file = file.expect("nobody reads").unwrap().unwrap();
        Pipe { file }
    }

    pub(super) fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(super) fn status(&self) -> SourceStatus {
        self.desk.statuses().remove("review").unwrap_or_default()
    }

    pub(super) fn patchsets(&self) -> usize {
        self.patchsets.load(Ordering::SeqCst)
    }

    pub(super) fn completed(&self) -> usize {
        self.completed.lock().unwrap().len()
    }

    pub(super) async fn build(&self, uuid: &str) {
        let uuid = long(uuid);
        let there = || self.state.build(&uuid).unwrap().is_some();
        self.until(&format!("the build {uuid}"), there).await;
    }

    pub(super) async fn said(&self) -> Said {
        let found = Mutex::new(None);
        self.until("something said", || {
            let said = self.said.lock().unwrap().try_recv().ok();
            let there = said.is_some();
            *found.lock().unwrap() = said;
            there
        })
        .await;
        found.into_inner().unwrap().unwrap()
    }

    pub(super) fn nothing_said(&self) -> bool {
        self.said.lock().unwrap().try_recv().is_err()
    }

    /// Waits a few seconds for what need not come.
    pub(super) async fn shortly(&self, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(3);
        while !holds() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            let late = Instant::now() >= deadline;
            assert!(!late, "{what} did not come: {:?}", self.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(super) fn rest(address: &str) -> GerritRest {
    GerritRest {
        url: address.parse().unwrap(),
        user: None,
        password: Some(Secret::new("secret")),
        ca_file: None,
        timeout: Period::seconds(5),
    }
}

pub(super) fn write_program(path: &Path, script: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{script}")).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

impl Run {
    pub(super) fn start(source: &GerritSource, desk: Arc<Desk>) -> Self {
        let (gerrit, stop) = (
            Arc::new(Gerrit::new(source).unwrap()),
            CancellationToken::new(),
        );
        let (running, stopped) = (gerrit.clone(), stop.clone());
        let task = tokio::spawn(async move { running.run(desk, stopped).await });
        Self { gerrit, stop, task }
    }

    pub(super) fn types(&self) -> BTreeMap<String, u64> {
        self.gerrit.types()
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        ended.expect("it does not stop").unwrap();
    }
}

impl Pipe {
    pub(super) fn say(&mut self, line: &str) {
        self.half(&format!("{line}\n"));
    }

    pub(super) fn half(&mut self, text: &str) {
        self.file.write_all(text.as_bytes()).unwrap();
    }
}

impl Rest {
    async fn start() -> Self {
        let inner = Arc::new(Inner {
            changes: Mutex::default(),
            asked: AtomicUsize::new(0),
            status: AtomicU16::new(200),
        });
        let router = Router::new()
            .route(
                "/a/config/server/version",
                get(|| async { ")]}'\n\"3.9.4\"" }),
            )
            .route("/a/changes/", get(changes))
            .with_state(inner.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner }
    }

    /// A change has these messages.
    pub(super) fn change(&self, number: u64, messages: &[Value]) {
        let change = json!({
            "project": "shop/api", "branch": "main", "_number": number, "messages": messages,
            "revisions": {"abc": {"_number": 1}},
        });
        self.inner.changes.lock().unwrap().insert(number, change);
    }

    /// How often changes were asked for.
    pub(super) fn asked(&self) -> usize {
        self.inner.asked.load(Ordering::SeqCst)
    }

    pub(super) fn answer(&self, status: u16) {
        self.inner.status.store(status, Ordering::SeqCst);
    }
}

async fn changes(
    Shared(inner): Shared<Arc<Inner>>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    inner.asked.fetch_add(1, Ordering::SeqCst);
    let status = inner.status.load(Ordering::SeqCst);
    if status == HANG {
        std::future::pending::<()>().await;
    }
    if status != 200 {
        return (StatusCode::from_u16(status).unwrap(), "no".into());
    }
    // The account, as `whorl:secret`.
    assert_eq!(headers["authorization"], "Basic d2hvcmw6c2VjcmV0");
    let of = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let since = of("q").unwrap().strip_prefix("after:\"").unwrap();
    assert!(since.ends_with(" +0000\""), "{since}");
    let number = |name: &str| of(name).unwrap().parse::<usize>().unwrap();
    let (start, most) = (number("S"), number("n"));
    let all: Vec<Value> = inner.changes.lock().unwrap().values().cloned().collect();
    let mut page: Vec<Value> = all.iter().skip(start).take(most).cloned().collect();
    if start + page.len() < all.len() {
        page.last_mut().unwrap()["_more_changes"] = json!(true);
    }
    (StatusCode::OK, format!(")]}}'\n{}", Value::from(page)))
}

/// A uuid that begins so.
pub(super) fn long(uuid: &str) -> String {
    format!("{uuid:0<32}")
}

/// What a CI says of one failed build.
pub(super) fn failed(uuid: &str) -> String {
    let url = format!("https://zuul.example/t/shop/build/{}", long(uuid));
    format!("Build failed (check pipeline).\n\n- unit {url} : FAILURE in 3m 02s\n")
}

fn change(number: u64) -> Value {
    json!({"project": "shop/api", "branch": "main", "number": number, "url": "https://review.example/1"})
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

pub(super) fn event(number: u64, patchset: u64, who: &str, said: &str) -> String {
    json!({
        "type": "comment-added", "author": {"username": who, "name": format!("Name of {who}")},
        "comment": format!("Patch Set {patchset}: Verified-1\n\n{said}"), "change": change(number),
        "patchSet": {"number": patchset, "revision": "abc"}, "eventCreatedOn": now(),
    })
    .to_string()
}

pub(super) fn changed(number: u64, patchset: u64) -> String {
    json!({
        "type": "patchset-created", "change": change(number), "eventCreatedOn": now(),
        "patchSet": {"number": patchset, "revision": "def"},
    })
    .to_string()
}

/// A message of the REST API, written so many seconds ago.
pub(super) fn message(who: &str, said: &str, ago: u64) -> Value {
    let at = jiff::Timestamp::now() - Duration::from_secs(ago);
    json!({
        "author": {"username": who, "name": format!("Name of {who}")},
        "date": at.strftime("%Y-%m-%d %H:%M:%S.000000000").to_string(),
        "message": format!("Patch Set 1: Verified-1\n\n{said}"), "_revision_number": 1,
    })
}
