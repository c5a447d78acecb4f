//! An API that answers as it is told, remembers what it was asked and refuses what is not documented.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio_util::io::ReaderStream;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Says that there is more than comes.
    pub(crate) cut: bool,
}

impl Said {
    pub(crate) fn json(body: &serde_json::Value) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "application/json; charset=utf-8".into())],
            body: body.to_string().into_bytes(),
            cut: false,
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        let said = serde_json::json!({"message": "no", "documentation_url": "https://docs"});
        Self {
            status,
            ..Self::json(&said)
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Answer = dyn Fn(&str, &Asked) -> Said + Send + Sync;

/// A running fake; it ends when dropped.
pub(crate) struct Fake {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// `answer` gets its address and the request.
    pub(crate) async fn start(
        answer: impl Fn(&str, &Asked) -> Said + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, base) = (asked.clone(), url.clone());
        let answer: Arc<Answer> = Arc::new(answer);
        let handler = move |request: axum::extract::Request| {
            let (seen, base, answer) = (seen.clone(), base.clone(), answer.clone());
            async move {
                let one = taken(&request);
                seen.lock().unwrap().push(one.clone());
                response(answer(&base, &one))
            }
        };
        let app = axum::Router::new().fallback(handler);
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.unwrap();
        });
        Self { url, asked, task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|one| one.path == path).count()
    }
}

fn taken(request: &axum::extract::Request) -> Asked {
    let query = request.uri().query().unwrap_or_default();
    let query = url::form_urlencoded::parse(query.as_bytes());
    Asked {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: query.into_owned().collect(),
        headers: request.headers().clone(),
    }
}

fn response(said: Said) -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::from_u16(said.status).unwrap());
    for (name, value) in &said.headers {
        response = response.header(*name, value);
    }
    if said.cut {
        let half = said.body[..said.body.len() / 2].to_vec();
        let half = ReaderStream::new(Cursor::new(half).chain(Gone));
        return response.body(Body::from_stream(half)).unwrap();
    }
    response.body(Body::from(said.body)).unwrap()
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
