//! Zuul's web server: the newest build first, parameters that it does not know refused.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// What goes wrong with the next requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Hang,
    Status(u16),
    Half,
    Html,
    WrongTypes,
}

#[derive(Debug)]
pub(super) struct Held {
    /// Builds in the order in which they began.
    pub(super) builds: Vec<Value>,
    pub(super) buildsets: Vec<Value>,
    pub(super) params: Vec<&'static str>,
    pub(super) token: Option<&'static str>,
    pub(super) white_label: bool,
    pub(super) trouble: Option<Trouble>,
    /// Requests that are answered before the trouble begins.
    pub(super) good: usize,
    pub(super) asked: Vec<String>,
    pub(super) etags: bool,
    pub(super) not_modified: usize,
}

#[derive(Debug)]
pub(super) struct Fake {
    pub(super) url: String,
    held: Arc<Mutex<Held>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let held = Arc::new(Mutex::new(Held {
            builds: Vec::new(),
            buildsets: Vec::new(),
            params: vec![
                "project",
                "pipeline",
                "result",
                "complete",
                "limit",
                "skip",
                "exclude_result",
            ],
            token: None,
            white_label: false,
            trouble: None,
            good: 0,
            asked: Vec::new(),
            etags: false,
            not_modified: 0,
        }));
        let shared = held.clone();
        let app = Router::new().fallback(move |request: Request| answer(shared.clone(), request));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, held, task }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.lock().unwrap());
    }

    pub(super) fn see<T>(&self, see: impl FnOnce(&Held) -> T) -> T {
        see(&self.held.lock().unwrap())
    }

    /// Requests so far.
    pub(super) fn asked(&self) -> usize {
        self.see(|held| held.asked.len())
    }
}

/// A build that ended `minutes` after midnight; none: it still runs.
pub(super) fn build(uuid: &str, minutes: Option<u32>, result: &str) -> Value {
    let clock = |m: u32| format!("2026-01-02T{:02}:{:02}:00", m / 60, m % 60);
    json!({
        "_id": "new in this version", "uuid": uuid, "job_name": "unit", "voting": true,
        "result": minutes.map(|_| result), "held": false, "final": result != "RETRY",
        "start_time": minutes.map(|m| clock(m.saturating_sub(30))), "end_time": minutes.map(clock),
        "log_url": minutes.map(|_| format!("https://logs.shop.example/{uuid}/")),
        "error_detail": null, "artifacts": [], "pipeline": "check", "event_id": null,
        "ref": {"project": "shop/api", "branch": "main", "change": 7, "patchset": "2",
            "ref": "refs/changes/07/7/2", "oldrev": null, "newrev": null, "ref_url": "https://review.shop.example/7"},
        "buildset": {"uuid": "set1"},
    })
}

async fn answer(held: Arc<Mutex<Held>>, request: Request) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    drop(request);
    let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let (token, etag) = (header("authorization"), header("if-none-match"));
    let (body, trouble) = {
        let mut held = held.lock().unwrap();
        held.asked.push(format!("{path}?{query}"));
        let trouble = if held.good > 0 {
            held.good -= 1;
            None
        } else {
            held.trouble
        };
        if held.token.map(|t| format!("Bearer {t}")) != token {
            return said(401, "Authorization required".into());
        }
        match held.find(&path, &query) {
            Ok(found) => {
                let body = found.to_string();
                let name = format!("\"{}-{}\"", body.len(), held.builds.len());
                if held.etags && trouble.is_none() && etag.as_deref() == Some(&*name) {
                    held.not_modified += 1;
                    return said(304, String::new());
                }
                if held.etags && trouble.is_none() {
                    let mut good = said(200, body);
                    good.headers_mut().insert("etag", name.parse().unwrap());
                    return good;
                }
                (body, trouble)
            }
            Err(text) => return said(404, text),
        }
    };
    match trouble {
        None => said(200, body),
        Some(Trouble::Hang) => std::future::pending().await,
        Some(Trouble::Status(status)) => said(status, "trouble".into()),
        Some(Trouble::Half) => said(200, body[..body.len() / 2].to_owned()),
        Some(Trouble::Html) => said(200, "<html>We are down</html>".into()),
        Some(Trouble::WrongTypes) => said(200, "{\"builds\": 7, \"uuid\": []}".into()),
    }
}

fn said(status: u16, body: String) -> Response<Body> {
    let answer = Response::builder().status(status);
    answer
        .header("content-type", "application/json; charset=utf-8")
        .body(body.into())
        .unwrap()
}

impl Held {
    fn find(&self, path: &str, query: &str) -> Result<Value, String> {
        let rest = if self.white_label {
            path.strip_prefix("/api/")
        } else {
            path.strip_prefix("/api/tenant/shop/")
        };
        let rest = rest.ok_or("Tenant does not exist.")?;
        if let Some(uuid) = rest.strip_prefix("buildset/") {
            let found = self.buildsets.iter().find(|one| one["uuid"] == uuid);
            return found.cloned().ok_or_else(|| "Buildset not found".into());
        }
        if rest != "builds" {
            return Err("Not Found".into());
        }
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        if let Some((odd, _)) = pairs
            .iter()
            .find(|(key, _)| !self.params.contains(&key.as_str()))
        {
            return Err(format!("Unexpected query string parameters: {odd}"));
        }
        let all = |key: &str| -> Vec<&str> {
            pairs
                .iter()
                .filter(|(k, _)| k == key)
                .map(|(_, v)| v.as_str())
                .collect()
        };
        let listed = |key: &str, value: &Value| {
            let all = all(key);
            all.is_empty() || all.iter().any(|one| value == one)
        };
        let number = |key: &str| all(key)[0].parse::<usize>().unwrap();
        let is = |b: &&Value| {
            (all("complete").is_empty() || !b["end_time"].is_null())
                && listed("pipeline", &b["pipeline"])
                && listed("project", &b["ref"]["project"])
                && listed("result", &b["result"])
                && !all("exclude_result").iter().any(|one| b["result"] == *one)
        };
        let found = self.builds.iter().rev().filter(is);
        Ok(found
            .skip(number("skip"))
            .take(number("limit"))
            .cloned()
            .collect())
    }
}
