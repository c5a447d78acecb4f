//! Processes, told apart by pid and start time: a pid alone may be somebody else's by now.

use serde_json::{Value, json};
use std::fs;

/// A process that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) pid: i32,
    pub(super) start: u64,
    pub(super) name: String,
}

/// The fields of `/proc/PID/stat` after the name, which may hold anything.
fn stat(pid: i32) -> Option<(String, Vec<String>)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (begin, end) = (text.find('(')?, text.rfind(')')?);
    let rest = text[end + 1..].split_whitespace().map(str::to_owned);
    Some((text[begin + 1..end].to_owned(), rest.collect()))
}

impl Seen {
    /// The process of a pid.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let (name, fields) = stat(pid)?;
        let start = fields.get(19)?.parse().ok()?;
        Some(Self { pid, start, name })
    }

    /// The processes whose name, or whose program's base name, is this. Never ourselves.
    pub(super) fn named(name: &str) -> Vec<Self> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let mut found: Vec<Self> = all()
            .into_iter()
            .filter(|pid| *pid != own)
            .filter_map(Self::of)
            .filter(|seen| seen.name == name || program(seen.pid).is_some_and(|p| p == name))
            .collect();
        found.sort_by_key(|seen| (seen.start, seen.pid));
        found
    }

    /// The letter of its state; nothing when it is gone or another process has its pid.
    pub(super) fn state(&self) -> Option<char> {
        let (_, fields) = stat(self.pid)?;
        let same = fields
            .get(19)
            .is_some_and(|start| *start == self.start.to_string());
        same.then(|| fields.first()?.chars().next())?
    }

    /// Whether it is a child of a run, which keeps its faults.
    pub(super) fn is_ours(&self) -> bool {
        let line = command_line(self.pid).unwrap_or_default();
        let mut words = line.split('\0').skip(1);
        words.next() == Some("chaos")
            && matches!(words.next(), Some("watchdog" | "fault-child" | "stress"))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"pid": self.pid, "start": self.start, "name": self.name})
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            pid: i32::try_from(value["pid"].as_i64()?).ok()?,
            start: value["start"].as_u64()?,
            name: value["name"].as_str()?.to_owned(),
        })
    }
}

/// The base name of what a process runs, as it was started.
fn program(pid: i32) -> Option<String> {
    let line = command_line(pid)?;
    let first = line.split('\0').next()?;
    first.rsplit('/').next().map(str::to_owned)
}

fn command_line(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The processes that have this text as one of their arguments.
pub(super) fn with_argument(argument: &str) -> Vec<Seen> {
    all()
        .into_iter()
        .filter(|pid| {
            command_line(*pid).is_some_and(|line| line.split('\0').any(|a| a == argument))
        })
        .filter_map(Seen::of)
        .collect()
}

/// Ourselves, who has started us, who has started that one, and so on.
pub(super) fn own_line() -> Vec<i32> {
    let mut line = Vec::new();
    let mut next = i32::try_from(std::process::id()).ok();
    while let Some(pid) = next.filter(|pid| *pid > 0 && !line.contains(pid)) {
        line.push(pid);
        next = stat(pid).and_then(|(_, fields)| fields.get(1)?.parse().ok());
    }
    line
}

fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}
