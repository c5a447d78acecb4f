//! The log store on a cluster: Elasticsearch 7.17 and 8, OpenSearch 2 and 3.
//!
//! In and out: as every store. Invariants: only this module speaks to a cluster, in plain JSON that
//! all of these versions understand, and never needs `GET /`; an answer that is not whole is an
//! error; a build's events are seen whole or not at all by the process that writes them.

mod able;
mod breaker;
mod call;
mod client;
mod connection;
mod discover;
mod document;
mod layout;
mod look;
mod mapping;
mod prepare;
mod read;
mod ready;
mod recover;
mod request;
mod survey;
mod told;
mod write;

pub use client::Traffic;
pub use connection::{Auth, Connection};
pub use discover::FoundBuild;
pub use layout::Layout;
pub use look::{BuildView, Counts, Named, Page};
pub use ready::Presence;
pub use survey::{Effort, Finds, Span, Survey, SurveyError};

use super::fields::day_of;
use super::{Health, HealthState, LogStore, SearchRequest, SearchResult, Selection, StoreError};
use crate::event::{Build, Event};
use crate::query::Schema;
use call::Request;
use client::Client;
use jiff::Timestamp;
use jiff::civil::Date;
use request::{Form, Hidden};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer on the cluster's health may take.
const HEALTH_LIMIT: Duration = Duration::from_secs(5);
/// Builds that ended before or after these days, which no clock of ours has seen, are in the indexes
/// of these: so the names of all of ours have years of one form.
const FIRST_DAY: Date = Date::constant(1000, 1, 1);
/// The last such day.
const LAST_DAY: Date = Date::constant(2999, 12, 31);

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// How to reach the cluster.
    pub connection: Connection,
    /// How the indexes are laid out that somebody else fills; `None` when we fill our own.
    pub layout: Option<Layout>,
    /// What the names of our indexes begin with.
    pub prefix: String,
    /// The kinds of the fields; queries must have been read with the same.
    pub schema: Schema,
    /// Shards of one day's index.
    pub shards: u32,
    /// Age from which on an append that has not ended is a dead process's.
    pub append_limit: Duration,
    /// Whether nothing may be changed in the cluster, not even to clear what broke.
    pub read_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connection: Connection::default(),
            layout: None,
            prefix: "whorl".into(),
            schema: Schema::default(),
            shards: 1,
            append_limit: Duration::from_secs(900),
            read_only: false,
        }
    }
}

/// A log store in a cluster: one index for each day.
#[derive(Debug)]
pub struct ElasticStore {
    client: Client,
    options: Options,
    form: Form,
    hidden: Mutex<BTreeSet<Hidden>>,
    /// Of what is hidden the part that other processes are about to change.
    adopted: Mutex<BTreeSet<Hidden>>,
    /// Of what is hidden the part that this process must clear later, and since when.
    doubtful: Mutex<Vec<(Instant, Hidden)>>,
    known: Mutex<BTreeSet<String>>,
    prepared: AtomicBool,
    /// Whether messages are cut into words as we do; of somebody else's once their fields are known.
    splits_words: AtomicBool,
    /// Held by the one that makes the cluster ready.
    preparing: Mutex<()>,
}

impl ElasticStore {
    /// What kinds the fields have, by the names that fingerprints use, and what is said of fields
    /// whose kinds differ between indexes. For our own indexes it is what they were made with.
    pub fn schema(&self) -> Result<(Schema, Vec<String>), StoreError> {
        let Form::Foreign(layout) = &self.form else {
            return Ok((self.options.schema.clone(), Vec::new()));
        };
        let request = Request::get(format!("{}/_mapping", self.pattern()))
            .with("ignore_unavailable", true)
            .with("allow_no_indices", true);
        let answer = self.client.call(&request)?;
        let words = mapping::splits_words(&answer, layout.name("message"));
        self.splits_words.store(words, Ordering::Relaxed);
        let (theirs, problems) = mapping::read(&answer);
        let mut ours = theirs.clone();
        for (name, their_name) in &layout.names {
            ours.set(name, theirs.kind(their_name));
        }
        Ok((ours, problems))
    }

    /// True when somebody else fills the indexes.
    pub fn is_foreign(&self) -> bool {
        matches!(self.form, Form::Foreign(_))
    }

    /// All of the indexes.
    fn pattern(&self) -> String {
        match &self.form {
            Form::Own => self.own_patterns().join(","),
            Form::Foreign(layout) => layout.everywhere(),
        }
    }

    /// The names of our indexes, and of no others: those of another service may begin with the same
    /// and go on with a word.
    fn own_patterns(&self) -> [String; 2] {
        [1, 2].map(|digit| format!("{}-{digit}*-*-*", self.options.prefix))
    }

    /// The index of the day of a moment.
    fn own_index(&self, moment: Timestamp) -> String {
        let day = day_of(moment).clamp(FIRST_DAY, LAST_DAY);
        format!("{}-{day}", self.options.prefix)
    }

    /// The day of an index of ours; `None` for any other index.
    fn day_of_own(&self, index: &str) -> Option<Date> {
        let day = index
            .strip_prefix(&self.options.prefix)?
            .strip_prefix('-')?;
        let date: Date = day.parse().ok()?;
        (date.to_string() == day).then_some(date)
    }

    /// The indexes in which a build's events can be.
    fn indexes_of(&self, build: &Build) -> String {
        match &self.form {
            Form::Own => self.pattern(),
            Form::Foreign(layout) => layout.of_build(build),
        }
    }

    /// Refuses to change what is not ours.
    fn writable(&self) -> Result<(), StoreError> {
        match self.form {
            Form::Own if self.options.read_only => {
                Err(StoreError::Setup("it was opened to read only".into()))
            }
            Form::Own => self.ready(),
            Form::Foreign(_) => Err(StoreError::Setup(
                "somebody else fills these indexes: whorl only reads them".into(),
            )),
        }
    }

    fn hidden_set(&self) -> MutexGuard<'_, BTreeSet<Hidden>> {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hidden(&self) -> Vec<Hidden> {
        self.hidden_set().iter().cloned().collect()
    }

    fn hide(&self, what: Hidden) {
        self.hidden_set().insert(what);
    }

    fn unhide(&self, what: &Hidden) {
        self.hidden_set().remove(what);
    }

    /// The moment at which a build's events change: from now on those of `append` are seen.
    fn exchange(&self, append: &str, build: &str) {
        let mut hidden = self.hidden_set();
        hidden.remove(&Hidden::Append(append.to_owned()));
        // What an earlier append of the build has left to clear away goes with this one.
        hidden.retain(|h| !matches!(h, Hidden::Others { build: b, .. } if b == build));
        hidden.insert(Hidden::Others {
            build: build.to_owned(),
            append: append.to_owned(),
        });
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, index: &str) -> bool {
        self.known().contains(index)
    }

    fn learn(&self, index: &str) {
        self.known().insert(index.to_owned());
    }

    /// Our indexes with their day, number of events and bytes.
    fn slices(&self) -> Result<Vec<(String, Date, u64, u64)>, StoreError> {
        let request = Request::get(format!("{}/_stats/docs,store", self.pattern()));
        let answer = self.client.call(&request)?;
        let mut all = Vec::new();
        for (index, stats) in answer["indices"].as_object().into_iter().flatten() {
            let day = match self.form {
                Form::Own => self.day_of_own(index),
                Form::Foreign(_) => Some(Date::default()),
            };
            let Some(day) = day else { continue };
            let number = |path: &str| stats.pointer(path).and_then(Value::as_u64).unwrap_or(0);
            all.push((
                index.clone(),
                day,
                number("/primaries/docs/count"),
                number("/primaries/store/size_in_bytes"),
            ));
        }
        Ok(all)
    }

    fn asked_health(&self) -> Result<Health, StoreError> {
        let request =
            Request::get(format!("_cluster/health/{}", self.pattern())).once(HEALTH_LIMIT);
        let answer = self.client.call(&request)?;
        let slices = self.slices()?;
        let mut problems = Vec::new();
        let state = match answer["status"].as_str() {
            Some("red") => {
                problems.push(format!(
                    "the cluster is red: shards of our indexes without a node: {}",
                    answer["unassigned_shards"]
                ));
                HealthState::Degraded
            }
            _ => HealthState::Ok,
        };
        Ok(Health {
            state,
            documents: slices.iter().map(|slice| slice.2).sum(),
            bytes: slices.iter().map(|slice| slice.3).sum(),
            slices: slices.len() as u64,
            problems,
        })
    }
}

impl LogStore for ElasticStore {
    fn append(
        &self,
        build: &Build,
        events: &mut dyn Iterator<Item = Event>,
    ) -> Result<u64, StoreError> {
        self.writable()?;
        self.write(build, events)
    }

    fn search(
        &self,
        request: &SearchRequest<'_>,
        _now: Timestamp,
    ) -> Result<SearchResult, StoreError> {
        self.ready()?;
        self.found(request)
    }

    fn count_by_field(
        &self,
        selection: &Selection<'_>,
        field: &str,
        limit: usize,
        _now: Timestamp,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        self.ready()?;
        let mut counts = self.counts(selection, self.form.name(field))?;
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.truncate(limit);
        Ok(counts)
    }

    fn histogram(
        &self,
        selection: &Selection<'_>,
        interval: u64,
        _now: Timestamp,
    ) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        self.ready()?;
        self.spans_of_time(selection, interval)
    }

    fn distinct_builds(
        &self,
        selection: &Selection<'_>,
        _now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        self.ready()?;
        let mut builds: Vec<String> = self
            .counts(selection, &self.form.build_field())?
            .into_iter()
            .map(|(build, _)| build)
            .collect();
        builds.sort_unstable();
        Ok(builds)
    }

    fn events_of(&self, build_uuid: &str) -> Result<Vec<Event>, StoreError> {
        self.ready()?;
        self.all_events(build_uuid)
    }

    fn delete_before(&self, limit: Timestamp) -> Result<u64, StoreError> {
        let first_kept = day_of(limit);
        let mut gone = 0;
        if let Form::Foreign(_) = self.form {
            return Ok(gone);
        }
        self.writable()?;
        for (index, day, events, _) in self.slices()? {
            if day < first_kept {
                self.client.call(&Request::delete(index.clone()))?;
                self.known().remove(&index);
                gone += events;
            }
        }
        Ok(gone)
    }

    fn health(&self) -> Health {
        let broken = self.client.trouble();
        self.asked_health().unwrap_or_else(|error| Health {
            state: HealthState::Down,
            documents: 0,
            bytes: 0,
            slices: 0,
            problems: vec![broken.unwrap_or_else(|| error.to_string())],
        })
    }
}
