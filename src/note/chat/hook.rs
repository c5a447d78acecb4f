//! Notes through incoming webhooks of Mattermost and of Discord.
//!
//! In: notes. Out: messages. Invariants: text is escaped as Markdown and calls nobody. Neither service
//! can be asked whether a message is there, so after a lost answer a note may come twice. Discord names
//! the message, so a changed note changes it; at Mattermost it is a new message.

use super::http::{Answer, Http, by_status};
use super::slack::{POSTED, UPDATE};
use super::text::{clean, fit, markdown, once, page};
use crate::note::{Refusal, Said, Saying, Target};
use crate::state::Note;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// Whose webhook it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Mattermost, and what takes the same (`text`, `username`).
    Mattermost,
    /// Discord, and what takes the same (`content`).
    Discord,
}

impl Kind {
    /// How long a message may be, in characters as the service counts them.
    fn most(self) -> usize {
        match self {
            Self::Mattermost => 16_000,
            Self::Discord => 2_000,
        }
    }
}

/// A channel behind an incoming webhook.
pub struct Hook {
    kind: Kind,
    url: Url,
    username: Option<String>,
    http: Http,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rest of the address is the secret.
        f.debug_struct("Hook")
            .field("kind", &self.kind)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

impl Hook {
    /// A webhook by its whole address; `username` is shown in place of the webhook's own name where the
    /// service allows it. The error is for people.
    pub fn new(
        kind: Kind,
        url: Url,
        username: Option<String>,
        timeout: Duration,
    ) -> Result<Self, String> {
        let http = Http::new(timeout, None)?;
        http.hide(url.as_str());
        http.hide(url.path().trim_matches('/'));
        for part in url
            .path_segments()
            .into_iter()
            .flatten()
            .filter(|part| part.len() > 15)
        {
            http.hide(part);
        }
        Ok(Self {
            kind,
            url,
            username,
            http,
        })
    }

    async fn say_now(&self, note: &Note) -> Result<Said, Refusal> {
        match self.kind {
            Kind::Mattermost => self.mattermost(note).await,
            Kind::Discord => self.discord(note).await,
        }
    }

    async fn mattermost(&self, note: &Note) -> Result<Said, Refusal> {
        let text = self.text(note, note.remote.is_some());
        let mut body = json!({
            "text": text,
            "props": {
                "disable_group_highlight": true, "mentionHighlightDisabled": true,
                "whorl_note": once(note),
            },
        });
        self.named(&mut body);
        let request = self.http.client().post(self.url.clone()).json(&body);
        let answer = self.http.send(request).await?;
        if answer.status.is_success() && answer.text().trim() == "ok" {
            let remote = Some(POSTED.to_owned());
            return Ok(Said { remote });
        }
        Err(self.refusal(&answer))
    }

    async fn discord(&self, note: &Note) -> Result<Said, Refusal> {
        let mut url = self.url.clone();
        let mut body = json!({
            "content": self.text(note, false),
            "allowed_mentions": {"parse": []},
            // SUPPRESS_EMBEDS
            "flags": 4,
        });
        let client = self.http.client();
        let request = if let Some(id) = note.remote.as_deref() {
            if let Ok(mut parts) = url.path_segments_mut() {
                parts.pop_if_empty().extend(["messages", id]);
            }
            client.patch(url)
        } else {
            url.query_pairs_mut().append_pair("wait", "true");
            self.named(&mut body);
            client.post(url)
        };
        let answer = self.http.send(request.json(&body)).await?;
        let said = answer.json();
        match said["id"].as_str() {
            Some(id) if answer.status.is_success() && is_number(id) => Ok(Said {
                remote: Some(id.to_owned()),
            }),
            // Unknown Message: somebody took it away.
            _ if note.remote.is_some() && said["code"] == 10008 => Err(Refusal::outdated(
                "Unknown Message: the message was deleted there",
            )),
            _ => Err(self.refusal(&answer)),
        }
    }

    fn text(&self, note: &Note, again: bool) -> String {
        let text = clean(&note.text);
        let text = if again {
            format!("{UPDATE}{text}")
        } else {
            text
        };
        let size = |text: &str| markdown(text).encode_utf16().count();
        markdown(&fit(&text, self.kind.most(), page(note), size))
    }

    fn named(&self, body: &mut Value) {
        if let Some(name) = &self.username {
            body["username"] = json!(name);
        }
    }

    fn refusal(&self, answer: &Answer) -> Refusal {
        let body = answer.json();
        let said = body["message"].as_str().unwrap_or_default();
        let said = self.http.shown(said);
        // Discord tells the wait in the body, with a fraction.
        let asked = body["retry_after"].as_f64();
        let asked = asked.and_then(|s| Duration::try_from_secs_f64(s).ok());
        by_status(answer.status, asked.or(answer.wish), &said)
    }
}

fn is_number(id: &str) -> bool {
    (1..=20).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit())
}

impl Target for Hook {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(self.say_now(note))
    }
}
