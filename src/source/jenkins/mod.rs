//! Jenkins: the notifications of its Notification plug-in, and console texts by their address.
//!
//! In: notifications with a shared token. Out: builds whose log is `consoleText` below the configured
//! address and nowhere else, for our password goes along.

mod read;

pub use read::Phase;

use super::hook::{self, Door, Heard, Hearing, Hook, Incoming, Trouble};
use super::{Desk, Headers, Running, Source};
use axum::Router;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use url::Url;

/// A notification may bring the end of the log, which is not read here.
const LARGEST: usize = 8 << 20;
/// The header with the token.
const TOKEN_HEADER: &str = "x-whorl-token";

/// One Jenkins.
pub struct Settings {
    /// The source's name.
    pub name: String,
    /// The address of its first page.
    pub url: Url,
    /// The token that notifications bring.
    pub secret: String,
    /// Our account and its API token, where logs cannot be read without.
    pub account: Option<(String, String)>,
    /// When a build counts as ended.
    pub phase: Phase,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// A Jenkins that tells of its builds.
#[derive(Debug)]
pub struct Jenkins {
    settings: Settings,
    door: Door,
}

impl Jenkins {
    /// Makes ready.
    pub fn new(mut settings: Settings) -> Self {
        let url = &mut settings.url;
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Self {
            settings,
            door: Door::new(),
        }
    }

    /// The address of the notifications.
    pub fn routes(self: Arc<Self>, desk: Arc<Desk>) -> Router {
        hook::routes(self, desk)
    }

    async fn notified(&self, desk: &Arc<Desk>, incoming: &Incoming) -> Result<Heard, Trouble> {
        let payload = hook::json(incoming)?;
        let Settings {
            name,
            url,
            account,
            phase,
            ..
        } = &self.settings;
        let account = account.as_ref().map(|_| name.as_str());
        let mut heard = Heard::default();
        match read::read(&payload, url, *phase, account) {
            Ok(None) => {}
            Ok(Some(build)) => desk.announce(name, vec![build], None).await?,
            Err(why) => heard.not_understood.push(why),
        }
        Ok(heard)
    }
}

impl Hook for Jenkins {
    fn door(&self) -> &Door {
        &self.door
    }

    fn limit(&self) -> usize {
        LARGEST
    }

    /// The plug-in sends no headers of ours, so the token may stand in the address.
    fn may_knock(&self, headers: &HeaderMap, query: &str) -> bool {
        let bearer = hook::text(headers, header::AUTHORIZATION.as_str())
            .and_then(|value| value.strip_prefix("Bearer "));
        if let Some(given) = hook::text(headers, TOKEN_HEADER).or(bearer) {
            return hook::same(given, &self.settings.secret);
        }
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        let given = pairs.find(|(name, _)| name == "token");
        let given = given.map(|(_, value)| value).unwrap_or_default();
        hook::same(&given, &self.settings.secret)
    }

    fn proven(&self, incoming: &Incoming, _now: Timestamp) -> bool {
        self.may_knock(&incoming.headers, &incoming.query)
    }

    fn key(&self, _incoming: &Incoming) -> Option<String> {
        None
    }

    fn hear<'a>(&'a self, desk: &'a Arc<Desk>, incoming: &'a Incoming) -> Hearing<'a> {
        Box::pin(self.notified(desk, incoming))
    }
}

impl Source for Jenkins {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn run(&self, desk: Arc<Desk>, stop: CancellationToken) -> Running<'_> {
        Box::pin(async move {
            desk.connected(&self.settings.name, Timestamp::now(), None);
            stop.cancelled().await;
        })
    }

    fn headers(&self) -> Headers<'_> {
        Box::pin(async {
            let Some((user, token)) = &self.settings.account else {
                return Ok(Vec::new());
            };
            let pair = STANDARD.encode(format!("{user}:{token}"));
            let value = HeaderValue::from_str(&format!("Basic {pair}"));
            let mut value = value.map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            Ok(vec![(AUTHORIZATION, value)])
        })
    }
}
