//! Slack as it documents `chat.postMessage`, `chat.update`, `conversations.history` and incoming
//! webhooks: it takes nothing that Slack would not take.

use super::fake::{Asked, Fake, Reply};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

pub(super) const TOKEN: &str = "xoxb-right-token";
pub(super) const CHANNEL: &str = "C0123ABCD";
const HOOK: &str = "/services/T000/B000/hook-secret";

#[derive(Default)]
pub(super) struct World {
    /// Oldest first.
    pub(super) messages: Vec<Value>,
    /// How many messages are on a page, whatever is asked for.
    pub(super) page: usize,
}

pub(super) struct Slack {
    pub(super) fake: Fake,
    pub(super) world: Arc<Mutex<World>>,
}

impl Slack {
    pub(super) async fn start() -> Self {
        let world = Arc::new(Mutex::new(World {
            page: 100,
            ..World::default()
        }));
        let inner = world.clone();
        let fake = Fake::start(move |asked| answer(&mut inner.lock().unwrap(), asked)).await;
        Self { fake, world }
    }

    pub(super) fn hook(&self) -> url::Url {
        self.fake.url.join(HOOK).unwrap()
    }

    pub(super) fn messages(&self) -> Vec<Value> {
        self.world.lock().unwrap().messages.clone()
    }

    /// Somebody else says something.
    pub(super) fn chatter(&self, text: &str) {
        let world = &mut self.world.lock().unwrap();
        let ts = next_ts(world);
        world
            .messages
            .push(json!({"type": "message", "ts": ts, "text": text}));
    }
}

fn answer(world: &mut World, asked: &Asked) -> Reply {
    if asked.path == HOOK {
        return hook(world, asked);
    }
    let header = |name| {
        asked
            .headers
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    };
    match header("authorization") {
        "" => return no("not_authed"),
        token if token != format!("Bearer {TOKEN}") => return no("invalid_auth"),
        _ => {}
    }
    if asked.method == "POST" && !header("content-type").starts_with("application/json") {
        return no("invalid_post_type");
    }
    match asked.path.as_str() {
        "/api/chat.postMessage" => post(world, &asked.body),
        "/api/chat.update" => update(world, &asked.body),
        "/api/conversations.history" => history(world, asked),
        _ => no("unknown_method"),
    }
}

fn no(error: &str) -> Reply {
    Reply::json(200, &json!({"ok": false, "error": error}))
}

fn next_ts(world: &World) -> String {
    let now = jiff::Timestamp::now().as_second();
    format!("{now}.{:06}", world.messages.len() + 1)
}

fn post(world: &mut World, body: &Value) -> Reply {
    if let Err(error) = valid(body, &[]) {
        return no(error);
    }
    let ts = next_ts(world);
    let mut message = body.clone();
    message["ts"] = json!(ts);
    world.messages.push(message.clone());
    Reply::json(
        200,
        &json!({"ok": true, "channel": CHANNEL, "ts": ts, "message": message}),
    )
}

fn update(world: &mut World, body: &Value) -> Reply {
    if let Err(error) = valid(body, &["ts"]) {
        return no(error);
    }
    let Some(old) = world.messages.iter_mut().find(|m| m["ts"] == body["ts"]) else {
        return no("message_not_found");
    };
    *old = body.clone();
    Reply::json(
        200,
        &json!({"ok": true, "channel": CHANNEL, "ts": body["ts"], "text": body["text"]}),
    )
}

fn valid(body: &Value, more: &[&str]) -> Result<(), &'static str> {
    const KNOWN: [&str; 9] = [
        "channel",
        "text",
        "blocks",
        "metadata",
        "mrkdwn",
        "parse",
        "link_names",
        "unfurl_links",
        "unfurl_media",
    ];
    let object = body.as_object().ok_or("invalid_json")?;
    if object
        .keys()
        .any(|k| !KNOWN.contains(&k.as_str()) && !more.contains(&k.as_str()))
    {
        return Err("invalid_arguments");
    }
    if body["channel"] != CHANNEL {
        return Err("channel_not_found");
    }
    let metadata = &body["metadata"];
    if !metadata["event_type"].is_string() || !metadata["event_payload"].is_object() {
        return Err("invalid_metadata_format");
    }
    content(body)
}

fn content(body: &Value) -> Result<(), &'static str> {
    let text = body["text"]
        .as_str()
        .filter(|t| !t.is_empty())
        .ok_or("no_text")?;
    if text.chars().count() > 4000 {
        return Err("msg_too_long");
    }
    for block in body["blocks"].as_array().ok_or("invalid_blocks_format")? {
        if block["type"] != "rich_text" {
            return Err("invalid_blocks");
        }
        for section in block["elements"].as_array().ok_or("invalid_blocks")? {
            let elements = section["elements"].as_array().ok_or("invalid_blocks")?;
            if section["type"] != "rich_text_section" || !elements.iter().all(is_element) {
                return Err("invalid_blocks");
            }
        }
    }
    Ok(())
}

fn is_element(element: &Value) -> bool {
    let filled = |key: &str| element[key].as_str().is_some_and(|t| !t.is_empty());
    match element["type"].as_str() {
        Some("text") => filled("text"),
        Some("link") => element["url"]
            .as_str()
            .is_some_and(|u| u.parse::<url::Url>().is_ok()),
        _ => false,
    }
}

fn history(world: &World, asked: &Asked) -> Reply {
    let query = |name: &str| {
        asked
            .query
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    };
    if query("channel") != CHANNEL {
        return no("channel_not_found");
    }
    let Ok(1..=999) = query("limit").parse::<u32>() else {
        return no("invalid_limit");
    };
    let oldest: f64 = query("oldest").parse().unwrap_or(0.0);
    let start: usize = match query("cursor") {
        "" => 0,
        cursor => match cursor.strip_prefix("at:").and_then(|n| n.parse().ok()) {
            Some(at) => at,
            None => return no("invalid_cursor"),
        },
    };
    let since = |m: &&Value| m["ts"].as_str().unwrap().parse::<f64>().unwrap() > oldest;
    let all: Vec<&Value> = world.messages.iter().rev().filter(since).collect();
    let mut page: Vec<Value> = all
        .iter()
        .skip(start)
        .take(world.page)
        .map(|m| (*m).clone())
        .collect();
    if query("include_all_metadata") != "true" {
        for message in &mut page {
            message.as_object_mut().unwrap().remove("metadata");
        }
    }
    let more = start + page.len() < all.len();
    let next = if more {
        format!("at:{}", start + page.len())
    } else {
        String::new()
    };
    Reply::json(
        200,
        &json!({
            "ok": true, "messages": page, "has_more": more,
            "response_metadata": {"next_cursor": next},
        }),
    )
}

fn hook(world: &mut World, asked: &Asked) -> Reply {
    if asked.method != "POST" {
        return Reply::text(405, "method_not_allowed");
    }
    if let Err(error) = content(&asked.body) {
        return Reply::text(400, error);
    }
    world.messages.push(asked.body.clone());
    Reply::text(200, "ok")
}
