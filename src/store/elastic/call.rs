//! One request, before it is sent.

use elasticsearch::http::Method;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) parameters: Vec<(&'static str, String)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) lines: bool,
    pub(super) once: Option<Duration>,
}

impl Request {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            parameters: Vec::new(),
            body: None,
            lines: false,
            once: None,
        }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path)
    }

    pub(super) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::Post, path)
    }

    pub(super) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::Put, path)
    }

    pub(super) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::Delete, path)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.parameters.push((name, format!("{value}")));
        self
    }

    pub(super) fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self
    }

    /// Sent only once, with a time limit of its own: somebody waits for the answer.
    pub(super) fn once(mut self, limit: Duration) -> Self {
        self.once = Some(limit);
        self
    }

    /// A body of JSON lines.
    pub(super) fn lines(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self.lines = true;
        self
    }
}
