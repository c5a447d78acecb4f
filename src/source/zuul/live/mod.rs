//! Zuul at work: looks at its API again and again, and listens to its messages.

mod ask;
mod look;
mod poll;

use super::choose::Choice;
use super::mqtt::Listener;
use crate::config::ZuulSource;
use crate::source::{Desk, Running, Source};
use poll::Poll;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Why a source cannot be used as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub(super) String);

/// One Zuul.
#[derive(Debug)]
pub struct Zuul {
    name: String,
    poll: Option<Poll>,
    listener: Option<Listener>,
}

impl Zuul {
    /// As configured. Files are read here, so that a wrong one is known at the start.
    pub fn new(config: &ZuulSource) -> Result<Self, Unusable> {
        let choice = Choice::new(config);
        let poll = config.url.as_ref();
        let poll = poll.map(|url| Poll::new(config, url, choice.clone()));
        let listener = config.mqtt.as_ref();
        let listener = listener.map(|mqtt| Listener::new(&config.name, mqtt, choice));
        Ok(Self {
            name: config.name.clone(),
            poll: poll.transpose()?,
            listener: listener.transpose()?,
        })
    }
}

impl Source for Zuul {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, desk: Arc<Desk>, stop: CancellationToken) -> Running<'_> {
        Box::pin(async move {
            let look = async {
                if let Some(poll) = &self.poll {
                    poll.run(&desk, &stop).await;
                }
            };
            let listen = async {
                if let Some(listener) = &self.listener {
                    listener.run(&desk, &stop).await;
                }
            };
            tokio::join!(look, listen);
        })
    }
}
