//! What is said to us in the rooms.

use super::Matrix;
use crate::note::chat::Incoming;
use crate::note::chat::text::one_line;
use crate::note::{Refusal, Then};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longest wait after an error of our own choice.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait that a server may wish for.
const LONGEST_WISH: Duration = Duration::from_secs(3600);
/// Longest command, in characters.
const LONGEST: usize = 500;

/// What one look brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// From where the next look goes on: keep it once `said` is dealt with.
    pub since: String,
    /// What was said to us, oldest first.
    pub said: Vec<Incoming>,
}

/// Listens in `rooms` (ids or aliases) until cancelled and sends what is heard; waits while nobody
/// takes it. `since` is what the caller kept of the last [`Heard`]; without it only what is said from
/// now on counts.
pub async fn listen(
    matrix: Arc<Matrix>,
    target: String,
    rooms: Vec<String>,
    mut since: Option<String>,
    out: mpsc::Sender<Heard>,
    cancel: CancellationToken,
) {
    let mut wait = Duration::from_secs(1);
    loop {
        let look = matrix.look(&target, &rooms, since.as_deref());
        let looked = tokio::select! {
            () = cancel.cancelled() => return,
            looked = look => looked,
        };
        match looked {
            Ok(heard) => {
                wait = Duration::from_secs(1);
                since = Some(heard.since.clone());
                let sent = tokio::select! {
                    () = cancel.cancelled() => return,
                    sent = out.send(heard) => sent,
                };
                if sent.is_err() {
                    return;
                }
            }
            Err(refusal) => {
                tracing::warn!(target_name = target, error = %refusal.error, "Matrix is not heard");
                let wish = match refusal.then {
                    Then::Again(wish) | Then::Rest(wish) => wish,
                    // It may be repaired on the server's side.
                    Then::Park | Then::Drop => Some(LONGEST_WAIT),
                };
                let pause = wish.unwrap_or(wait).min(LONGEST_WISH).max(wait);
                wait = (wait * 2).min(LONGEST_WAIT);
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

impl Matrix {
    /// One look: waits for something to be said, for a part of the time that a request may take.
    pub async fn look(
        &self,
        target: &str,
        rooms: &[String],
        since: Option<&str>,
    ) -> Result<Heard, Refusal> {
        let own = self.session().await?.user;
        let mut ids = Vec::new();
        for room in rooms {
            ids.push(self.room_id(room, false).await?);
        }
        let filter = filter(&ids, &own, since.is_some());
        let patience = match since {
            Some(_) => (self.settings.timeout / 2).min(Duration::from_secs(30)),
            // The first look never waits. Servers keep the answer to the very same question for minutes,
            // and the place in it, so it is asked with another number each time.
            None => {
                Duration::from_millis(1 + Timestamp::now().as_millisecond().unsigned_abs() % 30_000)
            }
        };
        let patience = patience.as_millis().to_string();
        let mut query = vec![("filter", filter.as_str()), ("timeout", patience.as_str())];
        query.extend(since.map(|since| ("since", since)));
        let answer = self.ask(Method::GET, &["sync"], &query, None).await?;
        let Some(next) = answer["next_batch"].as_str() else {
            return Err(Refusal::again("the answer has no next_batch"));
        };
        let mut said = Vec::new();
        // What was said before we listened for the first time is not for us.
        for id in ids.iter().filter(|_| since.is_some()) {
            let timeline = &answer["rooms"]["join"][id.as_str()]["timeline"];
            if timeline["limited"] == true {
                tracing::warn!(room = %self.http.shown(id), "more was said in the room than was heard");
            }
            let events = timeline["events"].as_array();
            said.extend(
                events
                    .into_iter()
                    .flatten()
                    .filter_map(|e| incoming(e, target, id, &own, &self.settings.called)),
            );
        }
        let since = next.to_owned();
        Ok(Heard { since, said })
    }
}

fn filter(rooms: &[String], own: &str, listening: bool) -> String {
    let none = json!({"types": [], "limit": 0});
    json!({
        "presence": none, "account_data": none,
        "room": {
            "rooms": rooms, "ephemeral": none, "account_data": none, "state": {"types": []},
            "timeline": {
                "types": ["m.room.message"], "not_senders": [own],
                "limit": if listening { 100 } else { 0 },
            },
        },
    })
    .to_string()
}

/// A message that is meant for us. Notices are not: bots must not talk to each other for ever.
fn incoming(event: &Value, target: &str, room: &str, own: &str, called: &str) -> Option<Incoming> {
    let content = &event["content"];
    let is_edit = content["m.relates_to"]["rel_type"] == "m.replace";
    if content["msgtype"] != "m.text" || is_edit {
        return None;
    }
    let mentions = content["m.mentions"]["user_ids"].as_array();
    let mentioned = mentions.into_iter().flatten().any(|user| user == own);
    let body = without_quote(content["body"].as_str()?);
    let text = addressed(&one_line(&body), own, called, mentioned)?;
    Some(Incoming {
        target: target.to_owned(),
        channel: room.to_owned(),
        sender: event["sender"].as_str()?.to_owned(),
        text: text.chars().take(LONGEST).collect(),
        event: event["event_id"].as_str()?.to_owned(),
    })
}

/// A reply may begin with what it replies to, in lines that begin with `>`.
fn without_quote(body: &str) -> String {
    let lines = body.lines().skip_while(|line| line.starts_with('>'));
    lines.collect::<Vec<_>>().join("\n")
}

/// The words after our name; all of them when we are mentioned elsewhere.
fn addressed(text: &str, own: &str, called: &str, mentioned: bool) -> Option<String> {
    let local = own.trim_start_matches('@').split(':').next();
    let names = [called, own, local.unwrap_or(called)];
    let bare = text.trim_start_matches('@');
    for name in names.map(|name| name.trim_start_matches('@')) {
        let begins = bare
            .get(..name.len())
            .is_some_and(|b| b.eq_ignore_ascii_case(name));
        let Some(rest) = begins.then(|| &bare[name.len()..]) else {
            continue;
        };
        if let Some(rest) = rest.strip_prefix([':', ',']) {
            // Not the rest of another account's whole name.
            if rest.is_empty() || rest.starts_with(' ') {
                return Some(rest.trim().to_owned());
            }
        } else if mentioned && (rest.is_empty() || rest.starts_with(' ')) {
            return Some(rest.trim().to_owned());
        }
    }
    let rest = text
        .strip_prefix('!')
        .and_then(|rest| rest.strip_prefix(called));
    if let Some(rest) = rest.filter(|r| r.is_empty() || r.starts_with(' ')) {
        return Some(rest.trim().to_owned());
    }
    mentioned.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "@bot:localhost";

    #[test]
    fn only_what_is_said_to_us_is_heard() {
        let heard = |text| addressed(text, OWN, "whorl", false);
        for (text, command) in [
            ("whorl: status", Some("status")),
            ("WHORL, why gate-full", Some("why gate-full")),
            ("@whorl: status", Some("status")),
            ("bot: help", Some("help")),
            ("@bot:localhost: help", Some("help")),
            ("!whorl silence 1234 2h", Some("silence 1234 2h")),
            ("!whorl", Some("")),
            ("!whorls are nice", None),
            ("whorl is nice", None),
            ("bot:other.example: help", None),
            ("the whorl: status", None),
        ] {
            assert_eq!(heard(text).as_deref(), command, "{text}");
        }
        assert_eq!(
            addressed("bot status", OWN, "whorl", true).as_deref(),
            Some("status")
        );
        assert_eq!(
            addressed("status, bot?", OWN, "whorl", true).as_deref(),
            Some("status, bot?")
        );
    }

    #[test]
    fn notices_edits_and_quotes_are_no_commands() {
        let event = |content| json!({"sender": "@a:b", "event_id": "$1", "content": content});
        let heard =
            |content: Value| incoming(&event(content), "t", "!r", OWN, "whorl").map(|one| one.text);
        let quoted = "> <@c:d> whorl: recheck\n\nwhorl: status\u{1b}";
        assert_eq!(
            heard(json!({"msgtype": "m.text", "body": quoted})).as_deref(),
            Some("status")
        );
        assert_eq!(
            heard(json!({"msgtype": "m.notice", "body": "whorl: status"})),
            None
        );
        let edit = json!({"msgtype": "m.text", "body": "whorl: status", "m.relates_to": {"rel_type": "m.replace"}});
        assert_eq!(heard(edit), None);
        assert_eq!(heard(json!({"msgtype": "m.text", "body": 7})), None);
    }
}
