//! Listens to Zuul's MQTT reporter.
//!
//! The broker keeps what comes while we are away (a session that is not clean, under a fixed name), and
//! sends again what was not acknowledged. A message is acknowledged when what it says is durable, so
//! none is lost; one that is heard twice changes nothing.

use super::choose::Choice;
use super::live::Unusable;
use super::{Reported, reported};
use crate::config::ZuulMqtt;
use crate::source::Desk;
use crate::source::pace::Backoff;
use crate::state::StateError;
use jiff::Timestamp;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, Publish, QoS,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The largest message that the protocol knows: one that we refused would be sent for ever.
const LARGEST: usize = 268_435_455;
/// The largest message that is read, as large as an answer of the API; Zuul's have some hundred kB.
const READ: usize = 32 << 20;
/// Our own messages are small.
const OURS: usize = 64 << 10;
/// Requests of ours that may wait to be sent.
const WAITING: usize = 100;
/// First and longest pause after an error.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// How long the broker may take to be told that we go.
const FAREWELL: Duration = Duration::from_secs(1);
/// Longest piece of a message that is shown when it is not understood.
const SHOWN: usize = 120;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Broker(#[from] ConnectionError),
    #[error("the broker refuses the topic {0:?}")]
    Topic(String),
    #[error("the state: {0}")]
    State(#[from] StateError),
    #[error("too many requests wait for the broker")]
    Full,
}

/// Listens at one broker.
pub(super) struct Listener {
    source: String,
    status: String,
    topic: String,
    options: MqttOptions,
    choice: Choice,
    pauses: (Duration, Duration),
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options hold the password.
        f.debug_struct("Listener")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl Listener {
    pub(super) fn new(source: &str, config: &ZuulMqtt, choice: Choice) -> Result<Self, Unusable> {
        let own = || format!("whorl-{source}");
        let id = config.client_id.clone().unwrap_or_else(own);
        let mut options = MqttOptions::new(id, config.host.clone(), config.port());
        options
            .set_clean_session(false)
            .set_manual_acks(true)
            .set_keep_alive(config.keep_alive.0)
            .set_max_packet_size(LARGEST, OURS);
        if let Some(user) = &config.user {
            let password = config
                .password
                .as_ref()
                .map_or("", |password| password.expose());
            options.set_credentials(user.clone(), password);
        }
        if config.tls {
            let tls = Arc::new(tls(config.ca_file.as_deref())?);
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        }
        Ok(Self {
            source: source.to_owned(),
            status: format!("{source} (mqtt)"),
            topic: config.topic.clone(),
            options,
            choice,
            pauses: PAUSES,
        })
    }

    /// Listens until it is stopped.
    pub(super) async fn run(&self, desk: &Arc<Desk>, stop: &CancellationToken) {
        let mut backoff = Backoff::new(self.pauses.0, self.pauses.1);
        loop {
            // Nothing of an older connection may be said on a newer one: an acknowledgement would be
            // taken for that of another message.
            let (client, mut events) = AsyncClient::new(self.options.clone(), WAITING);
            let ended = tokio::select! {
                () = stop.cancelled() => return farewell(&client, &mut events).await,
                ended = self.listen(desk, &client, &mut events, &mut backoff) => ended,
            };
            let now = Timestamp::now();
            tracing::warn!(source = %self.status, error = %ended, "the broker was not heard");
            desk.connected(&self.status, now, Some(ended.to_string()));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    async fn listen(
        &self,
        desk: &Arc<Desk>,
        client: &AsyncClient,
        events: &mut EventLoop,
        backoff: &mut Backoff,
    ) -> Ended {
        loop {
            let packet = match events.poll().await {
                Ok(Event::Incoming(packet)) => packet,
                Ok(Event::Outgoing(_)) => continue,
                Err(error) => return error.into(),
            };
            let done = match packet {
                Packet::ConnAck(_) => client
                    .try_subscribe(&self.topic, QoS::AtLeastOnce)
                    .map_err(|_| Ended::Full),
                Packet::SubAck(answer) => {
                    if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                        return Ended::Topic(self.topic.clone());
                    }
                    backoff.reset();
                    desk.connected(&self.status, Timestamp::now(), None);
                    Ok(())
                }
                Packet::Publish(message) => self.take(desk, client, &message).await,
                _ => Ok(()),
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    /// Hands in what a message says, then acknowledges it.
    async fn take(
        &self,
        desk: &Arc<Desk>,
        client: &AsyncClient,
        message: &Publish,
    ) -> Result<(), Ended> {
        let mut lost = Vec::new();
        match read(&message.payload) {
            None => lost.push(shown(message)),
            Some(found) => {
                if found.unread > 0 {
                    lost.push(format!(
                        "{} of the builds in {}",
                        found.unread, message.topic
                    ));
                }
                let all: Vec<_> = found
                    .builds
                    .iter()
                    .filter_map(|one| self.choice.take(one))
                    .collect();
                if !all.is_empty() {
                    desk.announce(&self.source, all, None).await?;
                }
            }
        }
        desk.heard(&self.status, Timestamp::now(), 1, &lost);
        client.try_ack(message).map_err(|_| Ended::Full)
    }
}

/// Says what waits to be said, and goodbye, so that the broker does not wait for us.
async fn farewell(client: &AsyncClient, events: &mut EventLoop) {
    if events.network.is_none() || client.try_disconnect().is_err() {
        return;
    }
    let said = async { while events.poll().await.is_ok() {} };
    // The broker finds out anyway.
    let _ = tokio::time::timeout(FAREWELL, said).await;
}

/// What a message says, if it is one of Zuul's and not too large.
fn read(message: &[u8]) -> Option<Reported> {
    let message = Some(message).filter(|message| message.len() <= READ)?;
    let json: Value = serde_json::from_slice(message).ok()?;
    reported(&json)
}

/// The beginning of a message that is not one of Zuul's, or too large.
fn shown(message: &Publish) -> String {
    let text: String = String::from_utf8_lossy(&message.payload)
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let bytes = message.payload.len();
    if bytes > READ {
        return format!("{}: {bytes} bytes are too many: {text}", message.topic);
    }
    format!("{}: {text}", message.topic)
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, Unusable> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(file) = ca_file {
        let wrong = |why: String| Unusable(format!("{}: {why}", file.display()));
        let found = CertificateDer::pem_file_iter(file).map_err(|e| wrong(e.to_string()))?;
        let found: Result<Vec<_>, _> = found.collect();
        let found = found.map_err(|e| wrong(e.to_string()))?;
        if found.is_empty() {
            return Err(wrong("holds no certificate".into()));
        }
        for one in found {
            roots.add(one).map_err(|e| wrong(e.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Unusable(format!("TLS: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_large_is_told_with_its_size() {
        let message = br#"{"build": {"uuid": "5ef9f24c", "result": "FAILURE"}}"#;
        let fits = [&message[..], &b" ".repeat(READ - message.len())].concat();
        let more = [&fits[..], b" "].concat();
        let is_read = |message: &[u8]| serde_json::from_slice::<Value>(message).is_ok();
        assert!(is_read(&fits) && is_read(&more));
        assert_eq!(read(&fits).is_some(), read(message).is_some());
        assert_eq!(read(&more), None);
        let told = shown(&Publish::new("zuul/shop", QoS::AtLeastOnce, more));
        assert!(
            told.starts_with("zuul/shop: 33554433 bytes are too many: {\"build\""),
            "{told}"
        );
        let other = shown(&Publish::new("zuul/shop", QoS::AtLeastOnce, "no\nmessage"));
        assert_eq!(other, "zuul/shop: no message");
    }
}
