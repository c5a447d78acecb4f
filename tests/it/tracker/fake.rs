//! A listener on loopback that answers as a closure says, remembers what it was asked, and can be made
//! to misbehave.

use super::Shared;
use axum::body::Body;
use axum::http::{HeaderMap, Response};
use serde_json::Value;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio_util::io::ReaderStream;

/// What is done to every request instead of answering it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Never answered.
    Hang,
    /// This status and these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// The right answer with half of its text, as if that were all.
    Half,
    /// The connection ends in the middle of the right answer.
    Cut,
    /// A page for people, with status 200.
    Html,
    /// JSON without end.
    Huge,
    /// JSON of another shape.
    WrongTypes,
    /// A redirect to another host.
    Away,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// As it was sent, encoded.
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// A running fake; it ends when dropped.
pub(crate) struct Fake {
    url: String,
    asked: Shared<Vec<Asked>>,
    trouble: Shared<Option<Trouble>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The body as JSON, when it was sent as such.
    pub(crate) fn json(&self) -> Option<Value> {
        let json = self.header("content-type") == Some("application/json");
        json.then(|| serde_json::from_str(&self.body).ok())
            .flatten()
    }

    /// A field of the body, when it was sent as a form.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        if self.header("content-type") != Some("application/x-www-form-urlencoded") {
            return None;
        }
        let mut pairs = url::form_urlencoded::parse(self.body.as_bytes());
        Some(pairs.find(|(key, _)| key == name)?.1.into_owned())
    }

    /// The parts of the path below a prefix.
    pub(crate) fn below(&self, prefix: &str) -> Option<Vec<&str>> {
        Some(self.path.strip_prefix(prefix)?.split('/').collect())
    }
}

impl Said {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json; charset=utf-8", &body.to_string())
    }

    pub(crate) fn text(status: u16, kind: &str, body: &str) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self {
            status,
            headers,
            body: body.to_owned(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn response(self, body: Body) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap()
    }
}

impl Fake {
    /// Starts one; `answer` gets its address and the request.
    pub(crate) async fn start(
        answer: impl Fn(&str, &Asked) -> Said + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, trouble) = (
            Shared::<Vec<Asked>>::default(),
            Shared::<Option<Trouble>>::default(),
        );
        let (seen, plan, base) = (asked.clone(), trouble.clone(), url.clone());
        let answer = std::sync::Arc::new(answer);
        let handler = move |request: axum::extract::Request| {
            let (seen, plan, base, answer) =
                (seen.clone(), plan.clone(), base.clone(), answer.clone());
            async move {
                let one = taken(request).await;
                seen.lock().unwrap().push(one.clone());
                let trouble = plan.lock().unwrap().clone();
                let said = answer(&base, &one);
                match trouble {
                    None => {
                        let body = said.body.clone();
                        said.response(body.into())
                    }
                    Some(trouble) => misbehave(trouble, said).await,
                }
            }
        };
        let app = axum::Router::new().fallback(handler);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            asked,
            trouble,
            task,
        }
    }

    /// Its address without a slash at the end.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
    }

    /// What it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The same as lines of method and path.
    pub(crate) fn paths(&self) -> Vec<String> {
        let line = |one: &Asked| format!("{} {}", one.method, one.path);
        self.asked().iter().map(line).collect()
    }
}

async fn taken(request: axum::extract::Request) -> Asked {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query).into_owned().collect(),
        headers: parts.headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

async fn misbehave(trouble: Trouble, said: Said) -> Response<Body> {
    let half = || said.body[..said.body.len() / 2].to_owned();
    match trouble {
        Trouble::Hang => std::future::pending().await,
        Trouble::Status(status, headers) => {
            let said = Said {
                status,
                headers,
                body: "trouble".into(),
            };
            said.response("trouble".into())
        }
        Trouble::Half => {
            let half = half();
            said.response(half.into())
        }
        Trouble::Cut => {
            let half = std::io::Cursor::new(half().into_bytes());
            said.response(Body::from_stream(ReaderStream::new(half.chain(Gone))))
        }
        Trouble::Html => {
            Said::text(200, "text/html", "").response("<html>We are down</html>".into())
        }
        Trouble::Huge => {
            let endless = ReaderStream::with_capacity(tokio::io::repeat(b' '), 1 << 16);
            let said = Said::text(200, "application/json", "");
            said.response(Body::from_stream(endless))
        }
        Trouble::WrongTypes => Said::text(200, "application/json", "").response(
            "{\"title\": 7, \"entries\": 3, \"bugs\": {\"a\": 1}, \"fields\": []}".into(),
        ),
        Trouble::Away => Said::text(301, "text/plain", "")
            .with("location", "http://127.0.0.2:9/elsewhere")
            .response("".into()),
    }
}

/// What a lost connection reads as.
struct Gone;

impl AsyncRead for Gone {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Err(std::io::Error::other("gone")))
    }
}

/// Waits until something holds, at most ten seconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
