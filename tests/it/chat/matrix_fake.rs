//! A Matrix server as far as notes need one: transaction ids make one event.

use super::fake::{Asked, Fake, Reply};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub(super) const TOKEN: &str = "syt_right_token";
pub(super) const ALIAS: &str = "#infra:fake";
const ROOM: &str = "!room:fake";

#[derive(Default)]
pub(super) struct World {
    /// Oldest first.
    pub(super) events: Vec<Value>,
    transactions: BTreeMap<String, String>,
}

pub(super) async fn matrix() -> (Fake, Arc<Mutex<World>>) {
    let world = Arc::new(Mutex::new(World::default()));
    let inner = world.clone();
    let fake = Fake::start(move |asked| answer(&mut inner.lock().unwrap(), asked)).await;
    (fake, world)
}

fn no(status: u16, code: &str) -> Reply {
    Reply::json(
        status,
        &json!({"errcode": code, "error": format!("it is {code}")}),
    )
}

fn answer(world: &mut World, asked: &Asked) -> Reply {
    match asked.headers.get("authorization").map(String::as_str) {
        None => return no(401, "M_MISSING_TOKEN"),
        Some(token) if token != format!("Bearer {TOKEN}") => return no(401, "M_UNKNOWN_TOKEN"),
        Some(_) => {}
    }
    let path = asked
        .path
        .strip_prefix("/_matrix/client/v3/")
        .unwrap_or_default();
    let path = path
        .replace("%23", "#")
        .replace("%21", "!")
        .replace("%3A", ":");
    let parts: Vec<&str> = path.split('/').collect();
    match (asked.method.as_str(), &parts[..]) {
        ("GET", ["account", "whoami"]) => Reply::json(200, &json!({"user_id": "@bot:fake"})),
        ("POST", ["join", ALIAS | ROOM]) => Reply::json(200, &json!({"room_id": ROOM})),
        ("PUT", ["rooms", ROOM, "send", "m.room.message", id]) => send(world, id, &asked.body),
        ("GET", ["rooms", ROOM, "messages"]) => {
            let chunk: Vec<_> = world.events.iter().rev().collect();
            Reply::json(200, &json!({"chunk": chunk, "start": "s"}))
        }
        _ => no(404, "M_NOT_FOUND"),
    }
}

fn send(world: &mut World, id: &str, content: &Value) -> Reply {
    if content["msgtype"] != "m.notice" || !content["body"].is_string() {
        return no(400, "M_BAD_JSON");
    }
    if content.to_string().len() > 60_000 {
        return no(413, "M_TOO_LARGE");
    }
    let known = world.transactions.get(id).cloned();
    let event = known.unwrap_or_else(|| {
        let event = format!("$event{}", world.events.len());
        world.events.push(json!({
            "type": "m.room.message", "sender": "@bot:fake", "event_id": event, "content": content,
        }));
        world.transactions.insert(id.to_owned(), event.clone());
        event
    });
    Reply::json(200, &json!({"event_id": event}))
}
