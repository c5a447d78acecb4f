//! A source of builds of which requests fail.

use crate::chance::{Plan, Spot, http};
use crate::source::faults::{SITES, error};
use crate::source::{Desk, Headers, Running, Source};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A source, wrapped.
#[derive(Debug)]
pub struct ChaoticSource {
    inner: Arc<dyn Source>,
    headers: Spot,
    requests: Spot,
}

impl ChaoticSource {
    /// Wraps a source.
    pub fn new(inner: Arc<dyn Source>, plan: &Plan) -> Self {
        Self {
            inner,
            headers: plan.spot(&SITES[0]),
            requests: plan.spot(&http::SOURCES),
        }
    }
}

impl Source for ChaoticSource {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn run(&self, desk: Arc<Desk>, stop: CancellationToken) -> Running<'_> {
        let name = self.inner.name();
        Box::pin(http::within(
            self.requests.clone(),
            name,
            self.inner.run(desk, stop),
        ))
    }

    fn headers(&self) -> Headers<'_> {
        Box::pin(async move {
            let name = self.inner.name();
            let asked = async { self.inner.headers().await };
            let asked = http::within(self.requests.clone(), name, asked);
            self.headers.around_async(name, error, asked).await
        })
    }
}
