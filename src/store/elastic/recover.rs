//! Clearing what appends leave: their build's old events, and what broke before its end.
//!
//! Each append has a note in an index of its own from its beginning to its end. A note of a process
//! that is gone is cleared: what was being written is taken back, what was written replaces what was
//! there before. What a living process is writing is hidden until its note is gone.

use super::ElasticStore;
use super::client::Request;
use super::request::{Hidden, whole};
use crate::store::StoreError;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Notes read at once; more than appends that can be under way or broken.
const NOTES: usize = 1_000;

/// A note as it was found.
struct Note {
    append: String,
    build: String,
    written: bool,
    begun: i64,
    dead: bool,
}

impl Note {
    /// What must not be seen while the append is at this point.
    fn hidden(&self) -> Hidden {
        if self.written {
            Hidden::Others {
                build: self.build.clone(),
                append: self.append.clone(),
            }
        } else {
            Hidden::Append(self.append.clone())
        }
    }
}

/// The note of this process's append.
pub(super) fn note(build: &str, state: &str) -> Value {
    let (place, process, started) = this_process();
    json!({
        "build": build,
        "state": state,
        "begun": Timestamp::now().as_millisecond(),
        "place": place,
        "process": process,
        "started": started,
    })
}

impl ElasticStore {
    /// Removes what earlier appends wrote for the build, then the note.
    pub(super) fn finish(&self, append: &str, build: &str) -> Result<(), StoreError> {
        let notes = self.notes()?;
        let others = notes
            .iter()
            .filter(|note| note.build == build && note.append != append);
        let (written, writing): (Vec<_>, Vec<_>) = others.partition(|note| note.written);
        // Else the next start would take the older append's events for those that count.
        for note in written {
            self.forget_note(&note.append)?;
        }
        let hidden = Hidden::Others {
            build: build.to_owned(),
            append: append.to_owned(),
        };
        // What is being written at this moment will come in place of ours.
        let later = writing
            .iter()
            .map(|note| Hidden::Append(note.append.clone()).query());
        let later: Vec<Value> = later.collect();
        self.remove(&json!({"bool": {"filter": [hidden.query()], "must_not": later}}))?;
        self.unhide(&hidden);
        self.forget_note(append)
    }

    /// Removes what an append wrote, and its note.
    pub(super) fn take_back(&self, append: &str) -> Result<(), StoreError> {
        self.remove_append(append)?;
        self.forget_note(append)?;
        self.unhide(&Hidden::Append(append.to_owned()));
        Ok(())
    }

    /// Removes what an append wrote so far.
    pub(super) fn remove_append(&self, append: &str) -> Result<(), StoreError> {
        self.refresh(&self.pattern())?;
        self.remove(&Hidden::Append(append.to_owned()).query())?;
        Ok(())
    }

    /// Leaves something hidden, and the note of it, until it can be cleared: a request of a broken
    /// append may still arrive, or clearing failed.
    pub(super) fn doubt(&self, what: Hidden) {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        doubtful.push((Instant::now(), what));
    }

    /// Sees to what earlier appends, ours and others', have left. Best effort: what fails now is
    /// hidden as before, and done another time.
    pub(super) fn look_again(&self) {
        // A cluster gives a request up, or has done it, long before twice our patience is over.
        let patience = self.options.connection.timeout * 2;
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        let (late, young): (Vec<_>, Vec<_>) = std::mem::take(&mut *doubtful)
            .into_iter()
            .partition(|(end, _)| end.elapsed() > patience);
        *doubtful = young;
        drop(doubtful);
        for (_, what) in late {
            let done = match &what {
                // A later append of the build has seen to it.
                _ if !self.hidden_set().contains(&what) => Ok(()),
                Hidden::Append(append) => self.take_back(append),
                Hidden::Others { build, append } => self.finish(append, build),
            };
            if done.is_err() {
                self.doubt(what);
            }
        }
        let adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing_of_others = adopted.is_empty();
        drop(adopted);
        if !nothing_of_others && let Err(error) = self.recover(self.options.append_limit) {
            tracing::warn!(%error, "what other processes write was not looked at");
        }
    }

    /// Clears what dead processes left, which is also everything older than `age`, and hides what
    /// living ones are writing.
    pub(super) fn recover(&self, age: Duration) -> Result<(), StoreError> {
        let limit =
            Timestamp::now().as_millisecond() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let mut notes = self.notes()?;
        // The newest of a build's appends counts.
        notes.sort_by_key(|note| std::cmp::Reverse(note.begun));
        let (mut adopted, mut builds) = (BTreeSet::new(), BTreeSet::new());
        for note in &notes {
            if self.is_own(note) {
                continue;
            }
            let superseded = note.written && !builds.insert(note.build.clone());
            if superseded {
                continue;
            }
            if !note.dead && note.begun > limit {
                adopted.insert(note.hidden());
                continue;
            }
            let (build, append) = (&note.build, &note.append);
            tracing::warn!(build, append, "clearing what a broken append left");
            if note.written {
                self.refresh(&self.pattern())?;
                self.finish(append, build)?;
            } else {
                self.take_back(append)?;
            }
        }
        self.adopt(adopted);
        Ok(())
    }

    /// Hides what others are writing or have left, and clears nothing.
    pub(super) fn hide_others(&self) -> Result<(), StoreError> {
        let mut notes = self.notes()?;
        // The newest of a build's appends counts.
        notes.sort_by_key(|note| std::cmp::Reverse(note.begun));
        let mut builds = BTreeSet::new();
        let counts = |note: &&Note| !note.written || builds.insert(note.build.clone());
        let hidden = notes.iter().filter(counts).map(Note::hidden);
        let hidden = hidden.collect();
        self.adopt(hidden);
        Ok(())
    }

    /// Exchanges what is hidden of other processes.
    fn adopt(&self, new: BTreeSet<Hidden>) {
        let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hidden = self.hidden_set();
        for old in adopted.iter() {
            hidden.remove(old);
        }
        hidden.extend(new.iter().cloned());
        *adopted = new;
    }

    /// True for an append of this store, at whatever point: others' are known by being adopted.
    fn is_own(&self, note: &Note) -> bool {
        let adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        let hidden = self.hidden_set();
        let (append, build) = (note.append.clone(), note.build.clone());
        let others = Hidden::Others {
            build,
            append: append.clone(),
        };
        [others, Hidden::Append(append)]
            .iter()
            .any(|this| hidden.contains(this) && !adopted.contains(this))
    }

    fn notes(&self) -> Result<Vec<Note>, StoreError> {
        let request = Request::post(format!("{}/_search", self.notes_index()))
            .with("ignore_unavailable", true)
            .with("allow_no_indices", true)
            .with("allow_partial_search_results", false)
            .json(&json!({"size": NOTES, "query": {"match_all": {}}}));
        let answer = self.client.call(&request)?;
        whole(&answer)?;
        let hits = answer["hits"]["hits"].as_array();
        Ok(hits.into_iter().flatten().map(read).collect())
    }

    pub(super) fn notes_index(&self) -> String {
        format!("{}_appends", self.options.prefix)
    }

    fn forget_note(&self, append: &str) -> Result<(), StoreError> {
        let path = format!("{}/_doc/{append}", self.notes_index());
        let request = Request::delete(path).with("refresh", true);
        match self.client.call(&request) {
            Err(StoreError::Refused { status: 404, .. }) => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

fn read(hit: &Value) -> Note {
    let source = &hit["_source"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Note {
        append: text(&hit["_id"]),
        build: text(&source["build"]),
        written: source["state"] == "written",
        begun: source["begun"].as_i64().unwrap_or_default(),
        dead: is_dead(source),
    }
}

/// Where this process runs, its number there, and when it started.
fn this_process() -> (String, u32, String) {
    let process = std::process::id();
    (place(), process, started(process).unwrap_or_default())
}

/// True when the process that wrote the note ran where we run, and runs no more. Of others only
/// time tells.
fn is_dead(source: &Value) -> bool {
    let place = place();
    if place.is_empty() || source["place"] != json!(place) {
        return false;
    }
    let process = source["process"]
        .as_u64()
        .and_then(|p| u32::try_from(p).ok());
    process.is_some_and(|process| match started(process) {
        Some(started) => source["started"] != json!(started),
        None => true,
    })
}

/// A name for where process numbers mean the same: this boot of this system, and the container.
/// Empty where the system does not say.
fn place() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let numbers = fs::read_link("/proc/self/ns/pid");
    match (boot, numbers) {
        (Ok(boot), Ok(numbers)) => format!("{} {}", boot.trim(), numbers.display()),
        _ => String::new(),
    }
}

/// When a process started, in the system's ticks: with its number that names it for good. `None`
/// when there is none, or only its remains that nobody has collected.
fn started(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let (state, started) = (fields.first()?, fields.get(19)?);
    (!matches!(*state, "Z" | "X")).then(|| (*started).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_number_and_start() {
        let mut source = note("b", "writing");
        assert!(!is_dead(&source));
        source["started"] = json!("1");
        assert!(is_dead(&source), "another process has the number now");
        source["place"] = json!("elsewhere");
        assert!(!is_dead(&source), "of other places nothing is known");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let mut source = note("b", "writing");
        source["process"] = json!(child.id());
        assert!(is_dead(&source));
    }
}
