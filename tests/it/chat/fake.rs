//! An HTTP server whose answers a test decides.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use url::Url;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".into())],
            body: body.to_string(),
        }
    }

    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("content-type", "text/plain".into())],
            body: body.into(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A running server; it ends with the test's runtime.
pub(crate) struct Fake {
    pub(crate) url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
    told: Arc<Mutex<Vec<Reply>>>,
}

#[derive(Clone)]
struct Inner {
    answer: Arc<Answer>,
    asked: Arc<Mutex<Vec<Asked>>>,
    told: Arc<Mutex<Vec<Reply>>>,
}

impl Fake {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (asked, told): (Arc<Mutex<Vec<_>>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let inner = Inner {
            answer: Arc::new(answer),
            asked: asked.clone(),
            told: told.clone(),
        };
        let router = Router::new().fallback(serve).with_state(inner);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let url = url.parse().unwrap();
        Self { url, asked, told }
    }

    /// Answers the next request so, whatever it is; the last one told is the first one said.
    pub(crate) fn tell(&self, reply: Reply) {
        self.told.lock().unwrap().push(reply);
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    State(inner): State<Inner>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let asked = Asked {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: query
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    inner.asked.lock().unwrap().push(asked.clone());
    let told = inner.told.lock().unwrap().pop();
    let reply = told.unwrap_or_else(|| (inner.answer)(&asked));
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
