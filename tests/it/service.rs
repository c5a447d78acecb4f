//! Tests of the service: HTTP from the outside, a small engine inside that knows one bug.

use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use whorl::classify::engine::{
    ClusterStatus, Engine, MadeReport, Rule, Rules, SearchError, Searched,
};
use whorl::classify::pipeline::{Looker, Outcome};
use whorl::classify::spool::Spool;
use whorl::config::{Config, StoreKind};
use whorl::event::{BugRef, Build, Evidence, Match, Verdict};
use whorl::state::{Manner, NewNote, Surroundings};
use whorl::web::{Clock, Service};

const HOSTILE: &str = "boom <script>alert(1)</script>";
/// Shorter than the time after which left-out builds are looked for anyway.
const LONG: Duration = Duration::from_secs(20);

/// Matches every log that holds `boom`.
struct Small {
    spool: Spool,
    version: AtomicU64,
    open: Mutex<bool>,
    opened: Condvar,
    trouble: Mutex<Vec<String>>,
    /// The builds that were looked at, in order, told before the gate.
    looked: Mutex<Vec<String>>,
    forgotten: Mutex<Option<Timestamp>>,
    broken: AtomicBool,
    cluster: Option<ClusterStatus>,
}

impl Small {
    fn new(spool: &Spool, cluster: Option<ClusterStatus>) -> Arc<Self> {
        Arc::new(Self {
            spool: spool.clone(),
            version: AtomicU64::new(1),
            open: Mutex::new(true),
            opened: Condvar::new(),
            trouble: Mutex::default(),
            looked: Mutex::default(),
            forgotten: Mutex::default(),
            broken: AtomicBool::new(false),
            cluster,
        })
    }

    fn gate(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.opened.notify_all();
    }
}

impl Looker for Small {
    fn look(&self, build: &Build) -> Outcome {
        // What comes while the gate is closed is not seen by this look.
        let files = self.spool.files(&build.uuid).unwrap();
        let read = |f: &String| std::fs::read_to_string(self.spool.root(&build.uuid).join(f));
        let hit = files
            .iter()
            .find(|f| read(f).is_ok_and(|text| text.contains("boom")));
        self.looked.lock().unwrap().push(build.uuid.clone());
        let open = self.open.lock().unwrap();
        // A test that fails must not leave a worker behind that waits for ever.
        let limit = Duration::from_secs(60);
        let waited = self.opened.wait_timeout_while(open, limit, |open| !*open);
        drop(waited.unwrap());
        let verdict = match (&hit, files.is_empty()) {
            (_, true) => Verdict::NoLog,
            (Some(_), _) => Verdict::Matched,
            (None, _) => Verdict::Unmatched,
        };
        Outcome {
            verdict,
            matches: hit.map(|f| one_match(f)).into_iter().collect(),
            detail: None,
            rules: self.rules().version.clone(),
            events: 1,
        }
    }
}

fn one_match(file: &str) -> Match {
    Match {
        fingerprint: "b1".into(),
        title: "It goes <boom>".into(),
        bug: bug(),
        hits: 1,
        evidence: vec![Evidence {
            file: file.into(),
            line: 1,
            offset: 0,
            excerpt: HOSTILE.into(),
            spans: vec![(0, 4)],
        }],
        advice: None,
        category: None,
        returned: false,
        quiet: false,
    }
}

fn bug() -> BugRef {
    BugRef {
        name: "launchpad:1".into(),
        url: Some("javascript:alert(1)".into()),
    }
}

impl Engine for Small {
    fn rules(&self) -> Arc<Rules> {
        assert!(!self.broken.load(Ordering::SeqCst), "a defect");
        let rule = Rule {
            id: "b1".into(),
            title: "It goes <boom>".into(),
            bug: bug(),
            category: None,
            owner: None,
            advice: None,
            retry: None,
            resolved_at: None,
            hidden: false,
            source: "query: boom".into(),
        };
        Arc::new(Rules {
            version: format!("v{}", self.version.load(Ordering::SeqCst)),
            fingerprints: vec![rule],
            broken: Vec::new(),
        })
    }

    fn reload(&self) {}

    fn notes(&self, build: &Build, outcome: &Outcome, _: &Surroundings) -> Vec<NewNote> {
        vec![NewNote {
            target: "chat".into(),
            topic: format!("build/{}/known-bug", build.uuid),
            manner: Manner::Once,
            kind: "known-bug".into(),
            text: format!("{} <b>", outcome.verdict),
            json: json!({}),
        }]
    }

    fn report(&self, _now: Timestamp) -> Result<MadeReport, String> {
        Ok(MadeReport {
            summary: "fine".into(),
            json: "{\"ok\":true}".into(),
            html: "<p>report".into(),
        })
    }

    fn troubles(&self) -> Vec<String> {
        self.trouble.lock().unwrap().clone()
    }

    fn cluster(&self) -> Option<ClusterStatus> {
        self.cluster.clone()
    }

    fn has_logs(&self, uuid: &str) -> bool {
        self.spool.root(uuid).is_dir()
    }

    fn search(&self, _: &str, _: usize, _: Timestamp) -> Result<Searched, SearchError> {
        Ok(Searched::default())
    }

    fn forget(&self, limit: Timestamp) -> Result<(), String> {
        *self.forgotten.lock().unwrap() = Some(limit);
        Ok(())
    }
}

fn a_cluster_left_alone() -> ClusterStatus {
    ClusterStatus {
        foreign: true,
        reached: true,
        breaker_open: true,
        problem: Some("the cluster does not answer (it is <b>gone</b>)".into()),
        requests: 1234,
        repeated: 56,
        sent_bytes: 7_890_123,
        received_bytes: 45_678_901,
        extra_pages: 12,
        splits: 3,
        waiting_builds: 4,
        unindexed_builds: 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_left_alone_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |config| {
        config.store.kind = StoreKind::Elasticsearch;
    })
    .await;
    let page = service.get("/").await;
    let section = page.split_once("<h2 id=\"log-store\">").unwrap().1;
    let section = section.split_once("</div>").unwrap().0;
    insta::assert_snapshot!(section);
    let problem = "the cluster does not answer (it is &#60;b&#62;gone&#60;/b&#62;)";
    for path in ["/", "/builds", "/unexplained", "/search"] {
        assert!(service.get(path).await.contains(problem), "{path}");
    }
    let status: Value = serde_json::from_str(&service.get("/api/v1/status").await).unwrap();
    assert_eq!(status["cluster"]["splits"], 3, "{status}");
    assert_eq!(status["cluster"]["waiting_builds"], 4);
    let metrics = service.get("/metrics").await;
    let mut ours: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("whorl_cluster") || line.starts_with("whorl_builds_"))
        .collect();
    ours.sort_unstable();
    insta::assert_snapshot!("metrics_of_a_cluster", ours.join("\n"));
    assert!(service.end().await);
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    assert!(!service.get("/").await.contains("log-store"));
    assert!(!service.get("/metrics").await.contains("whorl_cluster"));
    assert!(service.end().await);
}

struct Running {
    base: String,
    small: Arc<Small>,
    stop: tokio_util::sync::CancellationToken,
    done: tokio::task::JoinHandle<bool>,
    client: Client,
}

async fn start(dir: &std::path::Path, change: impl FnOnce(&mut Config)) -> Running {
    start_at(dir, Arc::new(Timestamp::now), change).await
}

async fn start_at(
    dir: &std::path::Path,
    clock: Clock,
    change: impl FnOnce(&mut Config),
) -> Running {
    let mut config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.to_owned(),
        ..Config::default()
    };
    change(&mut config);
    let mut kept = None;
    let service = Service::open_at(config, clock, |config, spool, _, _| {
        let is_cluster = config.store.kind == StoreKind::Elasticsearch;
        let small = Small::new(spool, is_cluster.then(a_cluster_left_alone));
        kept = Some(small.clone());
        Ok(small)
    });
    let service = service.await.unwrap();
    Running {
        base: format!("http://{}", service.address().unwrap()),
        small: kept.unwrap(),
        stop: service.stopper(),
        done: tokio::spawn(async move { service.run().await.unwrap() }),
        client: Client::new(),
    }
}

impl Running {
    async fn send(&self, method: &str, path: &str, body: &str) -> (StatusCode, String) {
        let method = method.parse().unwrap();
        let url = format!("{}{path}", self.base);
        let answer = self
            .client
            .request(method, url)
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> String {
        self.send("GET", path, "").await.1
    }

    async fn build(&self, uuid: &str) -> Value {
        serde_json::from_str(&self.get(&format!("/api/v1/builds/{uuid}")).await).unwrap()
    }

    /// How many builds wait for a verdict.
    async fn pending(&self) -> u64 {
        let page = self.get("/api/v1/builds?verdict=pending&limit=1").await;
        serde_json::from_str::<Value>(&page).unwrap()["total"]
            .as_u64()
            .unwrap()
    }

    /// Builds that wait and builds that are looked at.
    async fn counts(&self) -> (u64, u64) {
        let status: Value = serde_json::from_str(&self.get("/api/v1/status").await).unwrap();
        let count = |name: &str| status["queue"][name].as_u64().unwrap();
        (count("waiting"), count("running"))
    }

    async fn feed(&self, uuid: &str, log: Option<&str>) -> StatusCode {
        let at = format!("/api/v1/builds/{uuid}");
        self.send("PUT", &at, r#"{"job":"<i>unit","project":"p"}"#)
            .await;
        if let Some(log) = log {
            self.send("PUT", &format!("{at}/logs/a/b.txt"), log).await;
        }
        self.send("POST", &format!("{at}/complete"), r#"{"result":"FAILURE"}"#)
            .await
            .0
    }

    async fn verdict(&self, uuid: &str, wanted: &str) {
        until(|| async { self.build(uuid).await["verdict"] == wanted }).await;
    }

    async fn end(self) -> bool {
        self.stop.cancel();
        self.done.await.unwrap()
    }
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < LONG, "it never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_goes_the_whole_way_and_is_shown_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    assert_eq!(
        service.feed("u1", Some(HOSTILE)).await,
        StatusCode::ACCEPTED
    );
    service.feed("u2", Some("quiet")).await;
    service.feed("u3", None).await;
    service.verdict("u1", "matched").await;
    service.verdict("u2", "unmatched").await;
    service.verdict("u3", "no-log").await;
    let page = service.get("/builds/u1").await;
    assert!(
        page.contains("<mark>boom</mark> &#60;script&#62;"),
        "{page}"
    );
    for path in [
        "/",
        "/bugs",
        "/bugs/b1",
        "/unexplained",
        "/builds",
        "/builds/u1",
        "/notes",
        "/reports",
    ] {
        let (status, page) = service.send("GET", path, "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        for bad in ["<script", "<boom>", "<i>", "<b>", "javascript:"] {
            assert!(!page.contains(bad), "{path} holds {bad}");
        }
    }
    assert!(service.get("/").await.contains("1 of 2 failed builds"));
    assert!(service.get("/unexplained").await.contains("u2"));
    let metrics = service.get("/metrics").await;
    assert!(
        metrics.contains("whorl_builds_classified_total{verdict=\"matched\"} 1"),
        "{metrics}"
    );
    assert!(service.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_call_is_answered_alike_and_a_changed_log_is_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    service.feed("u1", Some("quiet")).await;
    service.verdict("u1", "unmatched").await;
    assert_eq!(
        service.feed("u1", Some("quiet")).await,
        StatusCode::ACCEPTED
    );
    assert_eq!(
        service.build("u1").await["history"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    service.feed("u1", Some("boom")).await;
    service.verdict("u1", "matched").await;
    assert!(service.end().await);
}

/// Waits until so many builds were looked at.
async fn looked_at(service: &Running, count: usize) {
    until(|| async { service.small.looked.lock().unwrap().len() >= count }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_comes_while_its_build_is_looked_at_counts() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    service.small.gate(false);
    service.feed("u1", Some("quiet")).await;
    looked_at(&service, 1).await;
    // The worker has its job and waits at the gate; this log is not part of that job.
    let (status, _) = service
        .send("PUT", "/api/v1/builds/u1/logs/late.txt", "boom")
        .await;
    assert_eq!(status, StatusCode::OK);
    service.small.gate(true);
    service.verdict("u1", "matched").await;
    until(|| async { service.pending().await == 0 }).await;
    let build = service.build("u1").await;
    assert_eq!(build["history"].as_array().unwrap().len(), 1, "{build}");
    assert!(service.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_or_a_fact_that_comes_late_leads_to_a_new_verdict_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    service.feed("u1", Some("quiet")).await;
    service.verdict("u1", "unmatched").await;
    service
        .send("PUT", "/api/v1/builds/u1/logs/late.txt", "boom")
        .await;
    service.verdict("u1", "matched").await;
    let looks = service.small.looked.lock().unwrap().len();
    service
        .send("PUT", "/api/v1/builds/u1", r#"{"branch":"main"}"#)
        .await;
    looked_at(&service, looks + 1).await;
    assert!(service.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_come_back_and_stopping_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |c| {
        c.intake.queue = 1;
        c.intake.workers = 1;
    });
    let service = service.await;
    service.small.gate(false);
    assert_eq!(service.feed("u0", Some("boom")).await, StatusCode::ACCEPTED);
    looked_at(&service, 1).await;
    assert_eq!(service.feed("u1", Some("boom")).await, StatusCode::ACCEPTED);
    for n in 2..5 {
        let status = service.feed(&format!("u{n}"), Some("boom")).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "u{n}");
    }
    let repeated = service
        .send("POST", "/api/v1/builds/u1/complete", "")
        .await
        .0;
    assert_eq!(repeated, StatusCode::ACCEPTED, "it has its place already");
    let url = format!("{}/api/v1/builds/u4/complete", service.base);
    let refused = service.client.post(url).body(r#"{"result":"FAILURE"}"#);
    let refused = refused.send().await.unwrap();
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..60).contains(&wait), "{wait}");
    let status: Value = serde_json::from_str(&service.get("/api/v1/status").await).unwrap();
    assert_eq!(
        status["queue"],
        json!({ "waiting": 1, "running": 1, "limit": 1 })
    );
    assert!(
        service
            .get("/metrics")
            .await
            .contains("whorl_intake_refused_total 4")
    );
    // What was refused is not half there: it is taken when there is room.
    service.small.gate(true);
    service.verdict("u1", "matched").await;
    until(|| async { service.feed("u2", Some("boom")).await == StatusCode::ACCEPTED }).await;
    assert!(service.end().await);
    let again = start(dir.path(), |_| {}).await;
    for uuid in ["u0", "u1", "u2"] {
        assert_eq!(again.build(uuid).await["verdict"], "matched");
    }
    assert_eq!(again.build("u3").await["verdict"], "pending");
    assert!(again.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_set_is_tried_newest_first_and_says_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    let times = [("old", "10:00"), ("new", "12:00"), ("middle", "11:00")];
    for (uuid, time) in times {
        service.feed(uuid, Some("boom")).await;
        let meta = format!("{{\"finished\":\"2026-11-20T{time}:00Z\"}}");
        service
            .send("PUT", &format!("/api/v1/builds/{uuid}"), &meta)
            .await;
    }
    until(|| async { service.pending().await == 0 && service.counts().await == (0, 0) }).await;
    service.small.gate(false);
    service.small.looked.lock().unwrap().clear();
    service.small.version.store(2, Ordering::SeqCst);
    looked_at(&service, 1).await;
    let status: Value = serde_json::from_str(&service.get("/api/v1/status").await).unwrap();
    assert_eq!(status["reclassification"], json!({ "done": 0, "total": 3 }));
    assert!(
        service
            .get("/metrics")
            .await
            .contains("whorl_reclassify_left 3")
    );
    assert!(service.get("/").await.contains("0 of 3 stored builds"));
    service.small.gate(true);
    looked_at(&service, 3).await;
    assert_eq!(
        *service.small.looked.lock().unwrap(),
        ["new", "middle", "old"]
    );
    assert!(service.end().await);
}

/// A clock that stands still until it is set.
fn hand_clock(text: &str) -> (Clock, Arc<Mutex<Timestamp>>) {
    let hand = Arc::new(Mutex::new(text.parse().unwrap()));
    let read = hand.clone();
    (Arc::new(move || *read.lock().unwrap()), hand)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_come_by_the_clock_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = hand_clock("2026-11-21T12:10:00Z");
    let service = start_at(dir.path(), clock, |c| c.report.keep = 2).await;
    let reports = dir.path().join("reports");
    let times = || async {
        let page = service.get("/reports").await;
        let mut found: Vec<String> = Vec::new();
        for (at, _) in page.match_indices("2026-11-2") {
            found.push(page[at + 8..at + 16].to_owned());
        }
        found
    };
    until(|| async { times().await == ["21 12:10"] }).await;
    for (now, wanted) in [
        ("2026-11-21T12:29:59Z", vec!["21 12:10"]),
        ("2026-11-21T12:30:00Z", vec!["21 12:30", "21 12:10"]),
        ("2026-11-21T14:59:00Z", vec!["21 14:59", "21 12:30"]),
        ("2026-11-21T15:00:01Z", vec!["21 15:00", "21 14:59"]),
    ] {
        *hand.lock().unwrap() = now.parse().unwrap();
        until(|| async { times().await == wanted }).await;
    }
    // The json and html of two; files go a moment after the list has changed.
    until(|| async { std::fs::read_dir(&reports).unwrap().count() == 4 }).await;
    assert!(service.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_go_after_their_time_and_builds_after_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    for (uuid, days) in [("old", 12), ("young", 1)] {
        service.feed(uuid, Some("boom")).await;
        let ended = Timestamp::now() - jiff::SignedDuration::from_hours(days * 24);
        let meta = format!("{{\"finished\":\"{ended}\"}}");
        service
            .send("PUT", &format!("/api/v1/builds/{uuid}"), &meta)
            .await;
        service.verdict(uuid, "matched").await;
    }
    assert!(service.end().await);
    // Eleven days later the logs are too old, and one of the builds is older than the history.
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(11 * 24);
    let again = start_at(dir.path(), Arc::new(move || later), |c| {
        c.store.retention_days = 10;
        c.report.history_days = 20;
    })
    .await;
    until(|| async { again.small.forgotten.lock().unwrap().is_some() }).await;
    let limit = again.small.forgotten.lock().unwrap().unwrap();
    assert_eq!(later.duration_since(limit).as_hours(), 240);
    assert_eq!(again.send("GET", "/api/v1/builds/old", "").await.0, 404);
    assert_eq!(again.build("young").await["verdict"], "matched");
    let logs = std::fs::read_dir(dir.path().join("logs")).unwrap().count();
    assert_eq!(logs, 0);
    // Other fingerprints cannot look at a log that is gone: the verdict stays.
    again.feed("fresh", Some("boom")).await;
    again.verdict("fresh", "matched").await;
    again.small.version.fetch_add(1, Ordering::SeqCst);
    let looked = |uuid: &str| {
        let all = again.small.looked.lock().unwrap();
        all.iter().filter(|one| *one == uuid).count()
    };
    until(|| async { looked("fresh") == 2 }).await;
    assert_eq!(looked("young"), 0);
    assert_eq!(again.build("young").await["verdict"], "matched");
    assert!(again.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_lead_to_where_the_service_really_listens() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = None;
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    let service = Service::open(config, |config, spool, _, _| {
        seen.clone_from(&config.notes.base_url);
        Ok(Small::new(spool, None))
    });
    let service = service.await.unwrap();
    let address = service.address().unwrap();
    assert_eq!(seen, Some(format!("http://{address}")));
    assert_ne!(address.port(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_names_and_strangers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |c| {
        c.intake.max_body = "10".parse().unwrap();
    });
    let service = service.await;
    for (path, wanted) in [
        ("/api/v1/builds/.x/logs/a", 400),
        ("/api/v1/builds/u/logs/..%2F..%2Fetc", 400),
        ("/api/v1/builds/u/logs/%2Fetc", 400),
        ("/api/v1/builds/u/logs/a%00b", 400),
        ("/api/v1/builds/u/logs/long", 413),
    ] {
        let (status, text) = service.send("PUT", path, "more than ten bytes").await;
        assert_eq!(status.as_u16(), wanted, "{path}: {text}");
        assert!(serde_json::from_str::<Value>(&text).unwrap()["error"].is_string());
    }
    assert_eq!(
        service
            .send("POST", "/api/v1/builds/none/complete", "")
            .await
            .0,
        404
    );
    assert_eq!(
        service
            .send("PUT", "/api/v1/builds/u", "{\"what\":1}")
            .await
            .0,
        400
    );
    assert_eq!(service.send("GET", "/nowhere", "").await.0, 404);
    let url = format!("{}/reports", service.base);
    let foreign = service
        .client
        .post(url)
        .header("origin", "http://evil")
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), 403);
    let page = service.client.get(&service.base).send().await.unwrap();
    assert!(page.headers().contains_key("content-security-policy"));
    assert!(service.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_needed_for_writing_only() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |c| {
        c.intake.token = Some(whorl::config::Secret::new("t0k"));
    });
    let service = service.await;
    assert_eq!(service.send("PUT", "/api/v1/builds/u", "{}").await.0, 401);
    assert_eq!(service.send("GET", "/api/v1/builds", "").await.0, 200);
    let put = service
        .client
        .put(format!("{}/api/v1/builds/u", service.base));
    let put = put.bearer_auth("t0k").body("{}").send().await.unwrap();
    assert_eq!(put.status(), 200);
    assert!(service.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_fingerprints_are_tried_on_old_builds() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    service.feed("u1", Some("boom")).await;
    service.verdict("u1", "matched").await;
    service.small.version.store(2, Ordering::SeqCst);
    until(|| async { service.build("u1").await["rules_version"] == "v2" }).await;
    assert!(service.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_made_on_demand_and_troubles_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    let (status, text) = service.send("POST", "/api/v1/report", "").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let made: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        service.get(made["html"].as_str().unwrap()).await,
        "<p>report"
    );
    assert_eq!(service.get("/api/v1/report").await, "{\"ok\":true}");
    assert_eq!(service.send("GET", "/reports/99999.html", "").await.0, 404);
    assert_eq!(service.send("GET", "/readyz", "").await.0, 200);
    service
        .small
        .trouble
        .lock()
        .unwrap()
        .push("no fingerprints".into());
    let (status, text) = service.send("GET", "/readyz", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("no fingerprints"));
    assert!(service.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_has_ended_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| {}).await;
    assert_eq!(service.get("/healthz").await, "ok\n");
    service.small.broken.store(true, Ordering::SeqCst);
    until(|| async { service.send("GET", "/healthz", "").await.0 == 503 }).await;
    let text = service.get("/healthz").await;
    assert_eq!(text, "re-classification has ended; restart the service\n");
}
