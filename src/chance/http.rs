//! Requests that get an error instead of their answer, before they are sent or after they were answered.
//!
//! Whoever begins something for which others are asked says by [`within`] that such requests may fail,
//! and under which key they are counted; the clients send them by [`send`]. What is begun by a task of
//! its own is not within.

use super::site::{Kind, Phase, Site};
use super::spot::Spot;
use axum::http;
use reqwest::{Body, RequestBuilder, Response, ResponseBuilderExt};
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::ReaderStream;

/// What may come back for any request.
const ANY: &[Kind] = &[
    Kind::before("429"),
    Kind::either("500"),
    Kind::either("503"),
    Kind::either("reset"),
    Kind::either("timeout"),
];

/// Requests of those that tell people.
pub const NOTES: Site = Site::new("http.note", ANY);
/// Requests to bug trackers.
pub const TRACKERS: Site = Site::new("http.tracker", ANY);
/// Requests of sources of builds.
pub const SOURCES: Site = Site::new("http.source", ANY);
/// Requests for logs.
pub const DOWNLOADS: Site = Site::new("http.download", ANY);
/// All of them.
pub const SITES: &[Site] = &[NOTES, TRACKERS, SOURCES, DOWNLOADS];

tokio::task_local! {
    /// Where requests of the task may fail, and the key that they are counted by.
    static WITHIN: (Spot, String);
}

/// Does `work`; the requests that it sends may fail.
pub async fn within<F: Future>(spot: Spot, key: &str, work: F) -> F::Output {
    WITHIN.scope((spot, key.to_owned()), work).await
}

/// Sends a request, unless it is to fail.
pub async fn send(request: RequestBuilder) -> Result<Response, reqwest::Error> {
    let Ok((spot, key)) = WITHIN.try_with(Clone::clone) else {
        return request.send().await;
    };
    let Some(mishap) = spot.decide(&key) else {
        return request.send().await;
    };
    let (client, request) = request.build_split();
    let request = request?;
    let url = request.url().clone();
    if mishap.phase == Phase::After {
        // All of it, so that the other side has certainly done what it was asked.
        client.execute(request).await?.bytes().await?;
    }
    mishap.strike();
    match mishap.kind.name {
        "reset" => lost(ErrorKind::ConnectionReset).await,
        "timeout" => lost(ErrorKind::TimedOut).await,
        status => Ok(answer(status.parse().unwrap_or(500), url)),
    }
}

/// An answer that says no more than its status.
fn answer(status: u16, url: url::Url) -> Response {
    let mut answer = http::Response::builder().status(status).url(url);
    if matches!(status, 429 | 503) {
        answer = answer.header("retry-after", "0");
    }
    let body = format!("{}\n", super::MARK);
    // A status from the table and a plain header always make an answer.
    Response::from(answer.body(body).unwrap_or_default())
}

/// The error of a connection that breaks. Only the client can make its errors, so that it is given a
/// body that breaks.
async fn lost(kind: ErrorKind) -> Result<Response, reqwest::Error> {
    let broken = Body::wrap_stream(ReaderStream::new(Broken(kind)));
    let answer = Response::from(http::Response::new(broken));
    answer.bytes().await?;
    Ok(Response::from(http::Response::<String>::default()))
}

/// Cannot be read.
struct Broken(ErrorKind);

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let error = std::io::Error::new(self.0, super::MARK);
        Poll::Ready(Err(error))
    }
}
