//! Notes to Slack: to a channel as an app, or through an incoming webhook.
//!
//! In: notes. Out: one message for each. Invariants of a channel: the message's `ts` is kept, a changed
//! note changes the message, and where an answer may have been lost the channel's history is looked at
//! before anything is said. A webhook tells no `ts`: its notes come at least once, and a changed note is
//! a new message. What a log says is never markup: the message is made of `rich_text`, where nothing
//! has a meaning, and the fallback is escaped.

mod history;
mod webhook;

pub use webhook::Webhook;
pub(super) use webhook::{POSTED, UPDATE};

use super::http::{Answer, Http, by_status};
use super::text::{Piece, clean, fit, key, page, pieces};
use crate::note::{Refusal, Said, Saying, Target};
use crate::state::Note;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Slack shows 4,000 characters of a text; blocks have less room.
const MOST: usize = 3_000;
/// What our messages' metadata is called.
const EVENT: &str = "whorl_note";
/// A note that is older was maybe said by a process that did not live to record it.
const FRESH: SignedDuration = SignedDuration::from_secs(10);

/// An app in a workspace.
pub struct Slack {
    api: Url,
    token: String,
    http: Http,
    /// Notes that were made before may have been said by another process.
    began: Timestamp,
}

impl std::fmt::Debug for Slack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slack")
            .field("host", &self.api.host_str())
            .finish_non_exhaustive()
    }
}

/// A channel that is told notes.
#[derive(Debug)]
pub struct Channel {
    slack: Arc<Slack>,
    id: String,
}

impl Slack {
    /// An app by its bot token (`xoxb-…`); `api` is `https://slack.com/api/`. The error is for people.
    pub fn new(api: Url, token: impl Into<String>, timeout: Duration) -> Result<Arc<Self>, String> {
        let (token, http) = (token.into(), Http::new(timeout, None)?);
        http.hide(&token);
        let began = Timestamp::now();
        Ok(Arc::new(Self {
            api,
            token,
            http,
            began,
        }))
    }

    /// A channel, by its id (`C…`): names cannot be asked for their history.
    pub fn channel(self: &Arc<Self>, id: impl Into<String>) -> Channel {
        Channel {
            slack: Arc::clone(self),
            id: id.into(),
        }
    }

    async fn post(&self, method: &str, body: &Value) -> Result<Value, Refusal> {
        let request = self.http.client().post(self.url(method)?).json(body);
        self.ask(request).await
    }

    async fn get(&self, method: &str, query: &[(&str, &str)]) -> Result<Value, Refusal> {
        let request = self.http.client().get(self.url(method)?).query(query);
        self.ask(request).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, Refusal> {
        let answer = self.http.send(request.bearer_auth(&self.token)).await?;
        let body = answer.json();
        if answer.status.is_success() && body["ok"] == true {
            return Ok(body);
        }
        let error = body["error"].as_str().unwrap_or_default();
        Err(refusal(&answer, &self.http.shown(error)))
    }

    fn url(&self, method: &str) -> Result<Url, Refusal> {
        let url = self.api.join(method);
        url.map_err(|_| Refusal::park("the API's address cannot have a path"))
    }

    /// True when nobody can have said the note yet.
    fn is_first(&self, note: &Note) -> bool {
        let age = Timestamp::now().duration_since(note.created_at);
        let fresh = note.created_at > self.began && age < FRESH;
        fresh && note.attempts == 0 && note.generation == 1
    }
}

impl Channel {
    async fn say_now(&self, note: &Note) -> Result<Said, Refusal> {
        if let Some(ts) = &note.remote {
            return self.change(note, ts).await;
        }
        if !self.slack.is_first(note) {
            let found = self
                .slack
                .find(&self.id, &key(note), note.created_at)
                .await?;
            match found {
                Some(found) if found.generation >= note.generation => {
                    return Ok(Said {
                        remote: Some(found.ts),
                    });
                }
                Some(found) => return self.change(note, &found.ts).await,
                None => {}
            }
        }
        let answer = self
            .slack
            .post("chat.postMessage", &self.body(note))
            .await?;
        said(&answer)
    }

    async fn change(&self, note: &Note, ts: &str) -> Result<Said, Refusal> {
        let mut body = self.body(note);
        body["ts"] = json!(ts);
        let answer = self.slack.post("chat.update", &body).await?;
        said(&answer)
    }

    fn body(&self, note: &Note) -> Value {
        let mut body = message(note);
        body["channel"] = json!(self.id);
        body["metadata"] = json!({
            "event_type": EVENT,
            "event_payload": {"key": key(note), "id": note.id, "generation": note.generation},
        });
        body
    }
}

fn said(answer: &Value) -> Result<Said, Refusal> {
    let Some(ts) = answer["ts"].as_str() else {
        return Err(Refusal::again("the answer has no ts"));
    };
    let remote = Some(ts.to_owned());
    Ok(Said { remote })
}

impl Target for Channel {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(self.say_now(note))
    }
}

/// The message without its place: blocks for people, escaped text for where blocks are not shown.
fn message(note: &Note) -> Value {
    let size = |text: &str| fallback(text).chars().count();
    let text = fit(&clean(&note.text), MOST, page(note), size);
    let elements: Vec<_> = pieces(&text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(words) => json!({"type": "text", "text": words}),
            Piece::Link(link) => json!({"type": "link", "url": link}),
        })
        .collect();
    json!({
        "text": fallback(&text),
        "mrkdwn": false, "parse": "none", "link_names": false,
        "unfurl_links": false, "unfurl_media": false,
        "blocks": [{"type": "rich_text", "elements": [
            {"type": "rich_text_section", "elements": elements},
        ]}],
    })
}

/// The three characters that have a meaning, and a space that nobody sees after `@`.
fn fallback(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('@', "@\u{200b}")
}

fn refusal(answer: &Answer, error: &str) -> Refusal {
    let hint = match error {
        "ratelimited" | "rate_limited" => {
            return Refusal::rest(error, answer.wish);
        }
        "internal_error"
        | "fatal_error"
        | "service_unavailable"
        | "request_timeout"
        | "accesslimited"
        | "team_added_to_org" => return Refusal::again(error),
        // Somebody took the message away: nothing is to be changed any more.
        "message_not_found" => {
            return Refusal::outdated("message_not_found: the message was deleted there");
        }
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => {
            "the token is not valid (any more); configure a new one"
        }
        "missing_scope" | "no_permission" | "not_allowed_token_type" | "access_denied" => {
            "the app lacks a right: it needs chat:write, and channels:history (groups:history in a private channel)"
        }
        "not_in_channel" => "invite the app to the channel",
        "channel_not_found" => {
            "there is no such channel, or it is private and the app is not in it; give its id (C…)"
        }
        "is_archived" => "the channel is archived",
        "edit_window_closed" | "cant_update_message" => "the message can no longer be changed",
        "msg_too_long"
        | "no_text"
        | "invalid_blocks"
        | "invalid_blocks_format"
        | "metadata_too_large"
        | "invalid_metadata_format"
        | "invalid_arguments" => "Slack does not take this message",
        "" => return by_status(answer.status, answer.wish, ""),
        _ if error.starts_with("restricted_action") => {
            "the workspace does not let the app post there"
        }
        // Nobody knows what else may come: as often as any other note.
        _ => return Refusal::again(error),
    };
    Refusal::park(format!("{error}: {hint}"))
}
