//! The journal of a run.

use crate::chaos::mask::Mask;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// To its end.
    Completed,
    /// A probe of the hypothesis failed, or the first deviation ended it.
    Failed,
    /// Something unexpected, or a stop condition.
    Aborted,
    /// A signal or a control.
    Interrupted,
}

impl Status {
    /// As the journal has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What was done and seen.
#[derive(Debug, Clone)]
pub struct Journal {
    experiment: Value,
    /// How it ended.
    pub status: Option<Status>,
    /// The hypothesis no longer held.
    pub deviated: bool,
    /// The hypothesis before the method.
    pub before: Option<Value>,
    /// The hypothesis after the method.
    pub after: Option<Value>,
    /// The hypothesis while the method ran.
    pub during: Vec<Value>,
    /// The method's activities, in the order in which they began.
    pub run: Vec<Value>,
    /// The rollbacks.
    pub rollbacks: Vec<Value>,
    /// What ended it early.
    pub interruption: Option<Value>,
    start: String,
    end: Option<String>,
    duration: f64,
    begun: bool,
    mask: Mask,
}

/// A list of the journal.
#[derive(Debug, Clone, Copy)]
pub(super) enum List {
    Run,
    Rollbacks,
}

impl Journal {
    /// The whole journal, without secrets.
    pub fn to_json(&self) -> Value {
        self.mask.value(&self.state())
    }

    /// The experiment that was run.
    pub(in crate::chaos) fn experiment(&self) -> &Value {
        &self.experiment
    }

    /// What controls are shown, who know the secrets anyway.
    fn state(&self) -> Value {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("chaoslib-version", json!("1.45.1"));
        put("whorl-version", json!(env!("CARGO_PKG_VERSION")));
        put("platform", json!(platform()));
        put("node", json!(node()));
        put("experiment", self.experiment.clone());
        put("start", json!(self.start));
        put("status", json!(self.status.map(Status::name)));
        put("deviated", json!(self.deviated));
        put(
            "steady_states",
            json!({"before": self.before, "after": self.after, "during": self.during}),
        );
        put("run", json!(self.run));
        put("rollbacks", json!(self.rollbacks));
        if let Some(end) = &self.end {
            put("end", json!(end));
            put("duration", json!(self.duration));
        }
        if let Some(interruption) = &self.interruption {
            put("interruption", interruption.clone());
        }
        Value::Object(map)
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn platform() -> String {
    format!(
        "Linux-{}-{}",
        read("/proc/sys/kernel/osrelease"),
        std::env::consts::ARCH
    )
}

fn node() -> String {
    read("/proc/sys/kernel/hostname")
}

/// The time as the journal writes it.
pub(super) fn now() -> String {
    Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00")
        .to_string()
}

/// A journal that several threads write.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Journal>,
    begin: Instant,
}

impl Shared {
    pub(super) fn new(experiment: &Value, mask: Mask) -> Self {
        Self {
            inner: Mutex::new(Journal {
                experiment: experiment.clone(),
                status: None,
                deviated: false,
                before: None,
                after: None,
                during: Vec::new(),
                run: Vec::new(),
                rollbacks: Vec::new(),
                interruption: None,
                start: now(),
                end: None,
                duration: 0.0,
                begun: false,
                mask,
            }),
            begin: Instant::now(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Journal> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Option<Status> {
        self.lock().status
    }

    pub(super) fn set_status(&self, status: Status) {
        self.lock().status = Some(status);
    }

    pub(super) fn begin_method(&self) {
        self.lock().begun = true;
    }

    pub(super) fn method_begun(&self) -> bool {
        self.lock().begun
    }

    /// Adds an entry and gives its place.
    pub(super) fn push(&self, list: List, entry: Value) -> usize {
        let mut journal = self.lock();
        let entries = entries(&mut journal, list);
        entries.push(entry);
        entries.len() - 1
    }

    pub(super) fn update(&self, list: List, place: usize, entry: &Value) {
        let mut journal = self.lock();
        if let Some(there) = entries(&mut journal, list).get_mut(place) {
            *there = entry.clone();
        }
    }

    /// A run that nothing has ended early has completed.
    pub(super) fn settle(&self) {
        self.lock().status.get_or_insert(Status::Completed);
    }

    pub(super) fn verdict(&self) -> (&'static str, bool) {
        let journal = self.lock();
        (
            journal.status.map_or("completed", Status::name),
            journal.deviated,
        )
    }

    pub(super) fn end(&self, signal: Option<&str>) {
        let mut journal = self.lock();
        journal.end = Some(now());
        journal.duration = self.begin.elapsed().as_secs_f64();
        let interrupted = journal.status == Some(Status::Interrupted);
        if let Some(signal) = signal.filter(|_| interrupted && journal.interruption.is_none()) {
            journal.interruption = Some(json!({
                "kind": "signal", "name": signal, "reason": format!("received {signal}"),
            }));
        }
    }

    pub(super) fn to_json(&self) -> Value {
        self.lock().state()
    }

    /// What may be told of a value.
    pub(super) fn mask(&self, value: &Value) -> Value {
        self.lock().mask.value(value)
    }

    pub(super) fn into_inner(self) -> Journal {
        self.inner
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn entries(journal: &mut Journal, list: List) -> &mut Vec<Value> {
    match list {
        List::Run => &mut journal.run,
        List::Rollbacks => &mut journal.rollbacks,
    }
}
