//! What the fakes share: a server on a free port that ends when dropped, and answers made to order.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, Uri};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use url::Url;

/// A request as a fake sees it.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: Vec<String>,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str, otherwise: usize) -> usize {
        self.query
            .get(name)
            .map_or(otherwise, |text| text.parse().unwrap())
    }
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
            headers: vec![("Content-Type", "application/json; charset=utf-8".into())],
            body: body.to_string(),
        }
    }

    pub(crate) fn text(status: u16, kind: &str, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", kind.into())],
            body: body.into(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A service that is pretended.
pub(crate) trait Service: Send + 'static {
    fn answer(&mut self, request: &Request) -> Reply;
}

/// A running fake.
pub(crate) struct Fake<S> {
    pub(crate) url: Url,
    pub(crate) service: Arc<Mutex<S>>,
    /// Answers given in place of the service's own, by a part of `METHOD /path`, each once.
    orders: Arc<Mutex<Vec<(String, Reply)>>>,
    /// Every request: `METHOD /path`.
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl<S> Drop for Fake<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<S: Service> Fake<S> {
    pub(crate) async fn start(make: impl FnOnce(Url) -> S) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let url: Url = url.parse().unwrap();
        let service = Arc::new(Mutex::new(make(url.clone())));
        let orders: Arc<Mutex<Vec<(String, Reply)>>> = Arc::default();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answering, ordered, noted) = (service.clone(), orders.clone(), seen.clone());
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: String| {
            let line = format!("{method} {}", uri.path());
            noted.lock().unwrap().push(line.clone());
            let request = request(&method, &uri, headers, &body);
            let order = {
                let mut orders = ordered.lock().unwrap();
                let at = orders.iter().position(|(part, _)| line.contains(part));
                at.map(|at| orders.remove(at).1)
            };
            let reply = order.unwrap_or_else(|| answering.lock().unwrap().answer(&request));
            let mut response = Response::builder().status(reply.status);
            for (name, value) in reply.headers {
                response = response.header(name, value);
            }
            std::future::ready(response.body(Body::from(reply.body)).unwrap())
        };
        let app = axum::Router::new().fallback(handler);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            service,
            orders,
            seen,
            task,
        }
    }

    /// The next request whose method and path hold `part` gets this answer.
    pub(crate) fn order(&self, part: &str, reply: Reply) {
        self.orders.lock().unwrap().push((part.to_owned(), reply));
    }

    /// How many requests' methods and paths hold `part`.
    pub(crate) fn count(&self, part: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|line| line.contains(part)).count()
    }
}

fn request(method: &Method, uri: &Uri, headers: HeaderMap, body: &str) -> Request {
    let url = Url::parse(&format!("http://x{uri}")).unwrap();
    let path = url.path_segments().unwrap().map(str::to_owned).collect();
    let query = url.query_pairs().into_owned().collect();
    Request {
        method: method.to_string(),
        path,
        query,
        headers,
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

/// One page of a list, and whether there is another one.
pub(crate) fn page<T: Clone>(all: &[T], request: &Request, usual: usize) -> (Vec<T>, bool) {
    let size = request.number("per_page", usual).clamp(1, 100);
    let from = (request.number("page", 1).max(1) - 1) * size;
    let part = all.iter().skip(from).take(size).cloned().collect();
    (part, from + size < all.len())
}
