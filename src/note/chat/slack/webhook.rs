//! Slack's incoming webhooks: they tell nothing about the message, so notes come at least once.

use super::message;
use crate::note::chat::http::{Http, by_status};
use crate::note::{Refusal, Said, Saying, Target};
use crate::state::Note;
use std::time::Duration;
use url::Url;

/// What is kept in place of the message's name: that something was said.
pub(in crate::note::chat) const POSTED: &str = "posted";
/// How a changed note begins where the first message cannot be changed.
pub(in crate::note::chat) const UPDATE: &str = "Update: ";

/// A channel behind an incoming webhook.
pub struct Webhook {
    url: Url,
    http: Http,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rest of the address is the secret.
        f.debug_struct("Webhook")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// A webhook by its whole address. The error is for people.
    pub fn new(url: Url, timeout: Duration) -> Result<Self, String> {
        let http = Http::new(timeout, None)?;
        http.hide(url.as_str());
        http.hide(url.path().trim_matches('/'));
        Ok(Self { url, http })
    }

    async fn say_now(&self, note: &Note) -> Result<Said, Refusal> {
        let mut note = note.clone();
        if note.remote.is_some() {
            note.text.insert_str(0, UPDATE);
        }
        let request = self.http.client().post(self.url.clone());
        let answer = self.http.send(request.json(&message(&note))).await?;
        let said = self.http.shown(&answer.text());
        if answer.status.is_success() && said == "ok" {
            let remote = Some(POSTED.to_owned());
            return Ok(Said { remote });
        }
        if said == "rate_limited" {
            return Err(Refusal::rest(said, answer.wish));
        }
        Err(by_status(answer.status, answer.wish, &said))
    }
}

impl Target for Webhook {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(self.say_now(note))
    }
}
