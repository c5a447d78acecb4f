//! Tests of the service: HTTP from the outside, a small engine inside that knows one bug.

use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use whorl::classify::engine::{Engine, MadeReport, Rule, Rules, SearchError, Searched};
use whorl::classify::pipeline::{Looker, Outcome};
use whorl::classify::spool::Spool;
use whorl::config::Config;
use whorl::event::{BugRef, Build, Evidence, Match, Verdict};
use whorl::state::NewNote;
use whorl::web::Service;

const HOSTILE: &str = "boom <script>alert(1)</script>";
const LONG: Duration = Duration::from_secs(30);

/// Matches every log that holds `boom`.
struct Small {
    spool: Spool,
    version: AtomicU64,
    open: Mutex<bool>,
    opened: Condvar,
    trouble: Mutex<Vec<String>>,
}

impl Small {
    fn gate(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.opened.notify_all();
    }
}

impl Looker for Small {
    fn look(&self, build: &Build) -> Outcome {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
        drop(open);
        let files = self.spool.files(&build.uuid).unwrap();
        let read = |f: &String| std::fs::read_to_string(self.spool.root(&build.uuid).join(f));
        let hit = files
            .iter()
            .find(|f| read(f).is_ok_and(|text| text.contains("boom")));
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
        let rule = Rule {
            id: "b1".into(),
            title: "It goes <boom>".into(),
            bug: bug(),
            category: None,
            owner: None,
            advice: None,
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

    fn notes(&self, _build: &Build, outcome: &Outcome) -> Vec<NewNote> {
        vec![NewNote {
            target: "chat".into(),
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

    fn search(&self, _: &str, _: usize, _: Timestamp) -> Result<Searched, SearchError> {
        Ok(Searched::default())
    }

    fn forget(&self, _limit: Timestamp) -> Result<(), String> {
        Ok(())
    }
}

struct Running {
    base: String,
    small: Arc<Small>,
    stop: tokio_util::sync::CancellationToken,
    done: tokio::task::JoinHandle<bool>,
    client: Client,
}

async fn start(dir: &std::path::Path, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.to_owned(),
        ..Config::default()
    };
    change(&mut config);
    let mut kept = None;
    let service = Service::open(config, |_, spool, _| {
        let small = Arc::new(Small {
            spool: spool.clone(),
            version: AtomicU64::new(1),
            open: Mutex::new(true),
            opened: Condvar::new(),
            trouble: Mutex::default(),
        });
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_come_back_and_stopping_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |c| {
        c.intake.queue = 1;
        c.intake.workers = 1;
    });
    let service = service.await;
    service.small.gate(false);
    let mut taken = Vec::new();
    for n in 0..4 {
        let uuid = format!("u{n}");
        match service.feed(&uuid, Some("boom")).await {
            StatusCode::ACCEPTED => taken.push(uuid),
            other => assert_eq!(other, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert!(taken.len() < 4);
    let url = format!("{}/api/v1/builds/u3/complete", service.base);
    let refused = service.client.post(url).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    service.small.gate(true);
    assert!(service.end().await);
    let again = start(dir.path(), |_| {}).await;
    for uuid in &taken {
        assert_eq!(again.build(uuid).await["verdict"], "matched");
    }
    assert_eq!(again.build("u3").await["verdict"], "pending");
    assert!(again.end().await);
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
