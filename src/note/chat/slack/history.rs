//! What we said before, found again in a channel's history by its metadata.

use super::{EVENT, Slack};
use crate::note::Refusal;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Pages of a channel's history that are looked at.
const PAGES: usize = 10;
/// Clocks differ: the look begins so much before the note was made.
const BEFORE: SignedDuration = SignedDuration::from_mins(2);

/// A note that is in the channel.
pub(super) struct Found {
    pub(super) ts: String,
    pub(super) generation: u64,
}

impl Slack {
    /// The message of a note among what was said in the channel since the note was made. That it is not
    /// there is only said when everything was looked at.
    pub(super) async fn find(
        &self,
        channel: &str,
        key: &str,
        made: Timestamp,
    ) -> Result<Option<Found>, Refusal> {
        let oldest = (made - BEFORE).as_second().to_string();
        let mut cursor = String::new();
        for _ in 0..PAGES {
            let mut query = vec![
                ("channel", channel),
                ("include_all_metadata", "true"),
                ("oldest", oldest.as_str()),
                ("limit", "100"),
            ];
            if !cursor.is_empty() {
                query.push(("cursor", cursor.as_str()));
            }
            let page = self.get("conversations.history", &query).await?;
            let Some(messages) = page["messages"].as_array() else {
                return Err(Refusal::again("the answer has no messages"));
            };
            if let Some(found) = messages.iter().find_map(|message| found(message, key)) {
                return Ok(Some(found));
            }
            match page["response_metadata"]["next_cursor"].as_str() {
                Some(next) if !next.is_empty() && next != cursor => next.clone_into(&mut cursor),
                _ => return Ok(None),
            }
        }
        Err(Refusal::park(
            "too much was said in the channel since: nobody knows whether this note is there already",
        ))
    }
}

fn found(message: &Value, key: &str) -> Option<Found> {
    let metadata = &message["metadata"];
    let payload = &metadata["event_payload"];
    if metadata["event_type"] != EVENT || payload["key"].as_str()? != key {
        return None;
    }
    Some(Found {
        ts: message["ts"].as_str()?.to_owned(),
        generation: payload["generation"].as_u64()?,
    })
}
