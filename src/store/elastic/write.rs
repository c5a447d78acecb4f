//! Writing the events of a build, so that they are seen whole or not at all.
//!
//! A cluster has no transactions. An append writes its events under a name of its own, hidden from
//! this process's searches until all are there; then the build's earlier events are hidden instead
//! and removed. A note of the append stands in an index of its own until the end, so that what a
//! kill left is found and cleared at the next start.

use super::ElasticStore;
use super::client::Request;
use super::document::{self, Place};
use super::recover;
use super::request::{Hidden, whole};
use crate::event::{Build, Event};
use crate::store::StoreError;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

/// Bytes of one bulk request, before the last document.
const BULK_BYTES: usize = 4 << 20;
/// Documents of one bulk request.
const BULK_DOCUMENTS: usize = 2_000;
/// How often the refused items of a bulk request are sent again.
const BULK_TRIES: u32 = 8;
/// Documents removed by one request.
const REMOVED: usize = 5_000;

/// An append that has begun. Dropped before its end, it takes back what it wrote.
struct Append<'s> {
    store: &'s ElasticStore,
    name: String,
    build: &'s str,
    index: String,
    /// Whether events may have been written.
    begun: bool,
    /// Whether a request with events was given up, so that it may still arrive.
    uncertain: bool,
    done: bool,
}

/// A document that waits in a bulk request.
struct Waiting {
    id: String,
    event: Event,
    number: u64,
    plain: bool,
}

impl Drop for Append<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if !self.begun {
            // Nothing is there; a note that came through all the same is cleared some day.
            self.store.unhide(&Hidden::Append(self.name.clone()));
            return;
        }
        // Where a request was given up it may still arrive: then more must be removed later.
        let done = if self.uncertain {
            self.store.doubt(Hidden::Append(self.name.clone()));
            self.store.remove_append(&self.name)
        } else {
            self.store.take_back(&self.name)
        };
        // It stays hidden when this fails, and the note of it stays.
        if let Err(error) = done {
            tracing::error!(%error, build = self.build, "a broken append was not taken back");
            if !self.uncertain {
                self.store.doubt(Hidden::Append(self.name.clone()));
            }
        }
    }
}

impl ElasticStore {
    pub(super) fn write(
        &self,
        build: &Build,
        events: &mut dyn Iterator<Item = Event>,
    ) -> Result<u64, StoreError> {
        self.look_again();
        let end = build.finished.or(build.started);
        let end = end.unwrap_or_else(Timestamp::now);
        let index = self.index_of(end)?;
        let name = append_name(end);
        self.hide(Hidden::Append(name.clone()));
        let mut append = Append {
            store: self,
            name,
            build: &build.uuid,
            index,
            begun: false,
            uncertain: false,
            done: false,
        };
        append.note("writing")?;
        append.begun = true;
        let count = append.write_all(events, end)?;
        self.refresh(&append.index)?;
        append.note("written")?;
        self.exchange(&append.name, append.build);
        append.done = true;
        // The new events are there and the old ones hidden: what follows only clears away, and the
        // note sees to it that it is done later when it fails now.
        if let Err(error) = self.finish(&append.name, append.build) {
            tracing::warn!(%error, build = append.build, "a build's old events are not cleared yet");
            self.doubt(Hidden::Others {
                build: append.build.to_owned(),
                append: append.name.clone(),
            });
        }
        Ok(count)
    }

    /// Removes the documents that a query finds.
    pub(super) fn remove(&self, query: &Value) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let answer = self.ask(&json!({
                "query": query, "size": REMOVED, "_source": false, "track_total_hits": false,
                "sort": ["_doc"],
            }))?;
            let hits = answer["hits"]["hits"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if hits.is_empty() {
                return Ok(removed);
            }
            let mut body = Vec::new();
            for hit in &hits {
                let action = json!({"delete": {"_index": hit["_index"], "_id": hit["_id"]}});
                body.extend_from_slice(action.to_string().as_bytes());
                body.push(b'\n');
            }
            let request = Request::post("_bulk").with("refresh", true).lines(body);
            let answer = self.client.call(&request)?;
            for item in items(&answer) {
                if !matches!(item.status, 200 | 404) {
                    return Err(StoreError::Unavailable(format!(
                        "old events were not removed: {}",
                        item.reason
                    )));
                }
            }
            removed += hits.len() as u64;
        }
    }

    pub(super) fn refresh(&self, index: &str) -> Result<(), StoreError> {
        let request = Request::post(format!("{index}/_refresh"))
            .with("ignore_unavailable", true)
            .with("allow_no_indices", true);
        let answer = self.client.call(&request)?;
        whole(&answer)
    }

    /// The index of a day, made when it is not there.
    fn index_of(&self, end: Timestamp) -> Result<String, StoreError> {
        let index = self.own_index(end);
        if self.knows(&index) {
            return Ok(index);
        }
        let request = Request::put(index.clone());
        match self.client.call(&request) {
            Ok(_) => {}
            Err(StoreError::Refused { message, .. }) if message.contains("already exists") => {}
            Err(error) => return Err(error),
        }
        self.learn(&index);
        Ok(index)
    }
}

impl Append<'_> {
    fn note(&self, state: &str) -> Result<(), StoreError> {
        let path = format!("{}/_doc/{}", self.store.notes_index(), self.name);
        let body = recover::note(self.build, state);
        let request = Request::put(path).with("refresh", true).json(&body);
        self.store.client.call(&request).map(|_| ())
    }

    fn write_all(
        &mut self,
        events: &mut dyn Iterator<Item = Event>,
        otherwise: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut waiting: Vec<Waiting> = Vec::new();
        let (mut number, mut bytes) = (0, 0);
        for event in events {
            bytes += event.message.len() + 400;
            waiting.push(Waiting {
                id: format!("{}:{}:{number}", self.build, self.name),
                event,
                number,
                plain: false,
            });
            number += 1;
            if bytes > BULK_BYTES || waiting.len() == BULK_DOCUMENTS {
                self.bulk(std::mem::take(&mut waiting), otherwise)?;
                bytes = 0;
            }
        }
        self.bulk(waiting, otherwise)?;
        Ok(number)
    }

    /// Sends documents; those that the cluster had no room for again, those that it cannot index
    /// once more with their fields kept beside.
    fn bulk(&mut self, mut waiting: Vec<Waiting>, otherwise: Timestamp) -> Result<(), StoreError> {
        let patience = self.store.options.connection.timeout;
        let (begun, mut tries, mut why) = (Instant::now(), 0, String::new());
        for attempt in 0..BULK_TRIES {
            if waiting.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > patience * 3 {
                break;
            }
            tries += 1;
            if attempt > 1 {
                std::thread::sleep(Duration::from_millis(100) * 2_u32.pow(attempt.min(6)));
            }
            let mut body = Vec::new();
            for one in &waiting {
                self.add(&mut body, one, otherwise);
            }
            // The cluster gives up before we do: so we learn why, and nothing arrives late.
            let limit = format!("{}ms", (patience * 4 / 5).as_millis());
            let request = Request::post("_bulk").with("timeout", limit).lines(body);
            let answer = match self.store.client.call(&request) {
                // Something on the way takes less than we send.
                Err(StoreError::Refused { status: 413, .. }) if waiting.len() > 1 => {
                    let later = waiting.split_off(waiting.len() / 2);
                    self.bulk(waiting, otherwise)?;
                    return self.bulk(later, otherwise);
                }
                answer => answer.inspect_err(|error| {
                    self.uncertain |= matches!(error, StoreError::Unavailable(_));
                })?,
            };
            (waiting, why) = self.refused(waiting, &answer)?;
        }
        Err(StoreError::Unavailable(format!(
            "the cluster does not take {} events (asked {tries} times): {why}",
            waiting.len()
        )))
    }

    fn add(&self, body: &mut Vec<u8>, one: &Waiting, otherwise: Timestamp) {
        let place = Place {
            build: self.build,
            append: &self.name,
            number: one.number,
            otherwise,
        };
        let action = json!({"index": {"_index": self.index, "_id": one.id}});
        let document = document::document(&one.event, place, one.plain);
        for line in [action, document] {
            body.extend_from_slice(line.to_string().as_bytes());
            body.push(b'\n');
        }
    }

    /// The documents that must be sent once more, and why the last of them was not taken.
    fn refused(
        &self,
        waiting: Vec<Waiting>,
        answer: &Value,
    ) -> Result<(Vec<Waiting>, String), StoreError> {
        if answer["errors"] == json!(false) {
            return Ok((Vec::new(), String::new()));
        }
        let all = items(answer);
        if all.len() != waiting.len() {
            return Err(StoreError::Index(format!(
                "{} documents were sent and {} answered",
                waiting.len(),
                all.len()
            )));
        }
        let (mut again, mut why) = (Vec::new(), String::new());
        for (mut one, item) in waiting.into_iter().zip(all) {
            match item.status {
                200..=299 => {}
                429 | 502..=504 => {
                    why = item.reason;
                    again.push(one);
                }
                400 if !one.plain => {
                    one.plain = true;
                    why = item.reason;
                    again.push(one);
                }
                _ => {
                    let at = &one.event.at;
                    return Err(StoreError::Refused {
                        status: item.status,
                        message: format!(
                            "the event at {}:{} of build {}: {}",
                            at.file, at.line, self.build, item.reason
                        ),
                    });
                }
            }
        }
        Ok((again, why))
    }
}

struct Item {
    status: u16,
    reason: String,
}

fn items(answer: &Value) -> Vec<Item> {
    let all = answer["items"].as_array().into_iter().flatten();
    let read = |item: &Value| {
        let (_, item) = item.as_object()?.iter().next()?;
        let error = &item["error"];
        let reason = [&error["caused_by"]["reason"], &error["reason"]];
        Some(Item {
            status: u16::try_from(item["status"].as_u64()?).ok()?,
            reason: reason
                .into_iter()
                .find_map(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        })
    };
    all.filter_map(read).collect()
}

/// A name that no other append has, whichever process makes it.
fn append_name(end: Timestamp) -> String {
    let dice = RandomState::new().hash_one(Timestamp::now().as_nanosecond());
    format!("{:x}-{dice:016x}", end.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_judged() {
        let answer = json!({"errors": true, "items": [
            {"index": {"status": 201}},
            {"index": {"status": 429, "error": {"reason": "queue full"}}},
            {"index": {"status": 400, "error": {"reason": "failed to parse",
                "caused_by": {"reason": "For input string"}}}},
        ]});
        let read: Vec<(u16, String)> = items(&answer)
            .into_iter()
            .map(|item| (item.status, item.reason))
            .collect();
        assert_eq!(
            read,
            [
                (201, String::new()),
                (429, "queue full".into()),
                (400, "For input string".into())
            ]
        );
    }
}
