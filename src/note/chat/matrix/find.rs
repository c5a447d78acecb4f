//! What we said before, found again by its mark.

use super::{MARK, Matrix};
use crate::note::Refusal;
use reqwest::Method;
use serde_json::{Value, json};

/// Pages of own messages that are looked at, and how many are on one.
const PAGES: usize = 5;
const ON_PAGE: u64 = 100;

/// A note that is in the room.
pub(super) struct Found {
    /// The event that edits relate to.
    pub(super) event: String,
    /// Up to which generation it was brought.
    pub(super) generation: u64,
}

impl Matrix {
    /// The newest that was said of a note, among the latest messages of our own.
    pub(super) async fn find(&self, room: &str, key: &str) -> Result<Option<Found>, Refusal> {
        let own = self.session().await?.user;
        let filter = json!({"senders": [own], "types": ["m.room.message"]}).to_string();
        let limit = ON_PAGE.to_string();
        let mut from = String::new();
        for _ in 0..PAGES {
            let mut query = vec![("dir", "b"), ("limit", &limit), ("filter", &filter)];
            if !from.is_empty() {
                query.push(("from", &from));
            }
            let path = ["rooms", room, "messages"];
            let page = self.ask(Method::GET, &path, &query, None).await?;
            let events = page["chunk"].as_array();
            if let Some(found) = events.into_iter().flatten().find_map(|e| found(e, key)) {
                return Ok(Some(found));
            }
            match page["end"].as_str() {
                Some(end) if end != from => end.clone_into(&mut from),
                _ => break,
            }
        }
        Ok(None)
    }
}

fn found(event: &Value, key: &str) -> Option<Found> {
    let content = &event["content"];
    let mark = &content[MARK];
    if mark["key"].as_str()? != key {
        return None;
    }
    let relation = &content["m.relates_to"];
    let first = match relation["rel_type"].as_str() {
        Some("m.replace") => relation["event_id"].as_str()?,
        _ => event["event_id"].as_str()?,
    };
    Some(Found {
        event: first.to_owned(),
        generation: mark["generation"].as_u64()?,
    })
}
