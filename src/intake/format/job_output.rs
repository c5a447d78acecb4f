//! `job-output.json`: each task of a build with its result on each host.

use crate::event::{Event, FieldValue, Location};
use crate::intake::loose::{moment, text};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

/// The file's name.
const NAME: &str = "job-output.json";
/// Most bytes of a file that is taken apart; a larger one is read as any other text.
pub(crate) const LARGEST: u64 = 32 << 20;
/// Most failures that are kept.
const MOST: usize = 1_000;
/// Most bytes of each output of a task that are kept: its end, where the reason is.
const OUTPUT: usize = 16 << 10;

/// A task that failed on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// `pre`, `run`, `post` or `cleanup`.
    pub phase: Option<String>,
    /// The playbook.
    pub playbook: Option<String>,
    /// The play.
    pub play: Option<String>,
    /// The role, where the task is one of a role.
    pub role: Option<String>,
    /// The task.
    pub task: Option<String>,
    /// The host.
    pub host: String,
    /// The module: `command`, `shell`, …
    pub action: Option<String>,
    /// The exit status of a command.
    pub rc: Option<i64>,
    /// What the module says.
    pub msg: Option<String>,
    /// The end of the standard output.
    pub stdout: Option<String>,
    /// The end of the standard error.
    pub stderr: Option<String>,
    /// True when the host could not be reached.
    pub unreachable: bool,
    /// True when it ended the playbook on this host; others were ignored or rescued.
    pub fatal: bool,
    /// When the task ended.
    pub ended: Option<String>,
}

/// What failed in a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failures {
    /// In the order of the run.
    pub all: Vec<Failure>,
    /// How many more there are.
    pub left_out: usize,
    /// How many tasks were run, on all hosts together.
    pub tasks: usize,
}

/// Reads a `job-output.json`; none if it is none.
pub fn failures(output: &Value) -> Option<Failures> {
    let playbooks = output.as_array()?;
    if !playbooks
        .iter()
        .all(|playbook| playbook["plays"].is_array())
    {
        return None;
    }
    let mut found = Failures::default();
    for playbook in playbooks {
        let begin = found.all.len();
        for play in playbook["plays"].as_array().into_iter().flatten() {
            for task in play["tasks"].as_array().into_iter().flatten() {
                found.task(playbook, play, task);
            }
        }
        mark_fatal(playbook, &mut found.all[begin..]);
    }
    Some(found)
}

/// True for a `job-output.json`, by the last part of its name without compression suffix.
pub(crate) fn is_named(base_name: &str) -> bool {
    base_name == NAME
}

/// The failures in the text of a `job-output.json` as events that stand where their tasks are named;
/// none if it is none.
pub(crate) fn events(text: &[u8], file: &str) -> Option<Vec<Event>> {
    let found = failures(&serde_json::from_slice(text).ok()?)?;
    let (file, mut at) = (Arc::from(file), Place::new(text));
    let place = |failure: &Failure| {
        let mut event = failure.event();
        if let Some(task) = &failure.task {
            at.forward(task);
        }
        event.at = Location {
            file: Arc::clone(&file),
            line: at.line,
            lines: 1,
            offset: at.offset as u64,
            length: at.length as u64,
        };
        event
    };
    Some(found.all.iter().map(place).collect())
}

/// A line, with how far it was looked at: all may stand in a single line of megabytes.
struct Place<'t> {
    text: &'t [u8],
    offset: usize,
    length: usize,
    line: u64,
    /// Where the last name stands.
    at: usize,
    name: String,
}

impl<'t> Place<'t> {
    fn new(text: &'t [u8]) -> Self {
        let mut first = Self {
            text,
            offset: 0,
            length: 0,
            line: 1,
            at: 0,
            name: String::new(),
        };
        first.measure();
        first
    }

    /// Goes to the next line in which the name of a task stands. Tasks are in the order of the file, so
    /// it is never sought from the beginning; one that is written otherwise leaves the place as it is.
    fn forward(&mut self, task: &str) {
        let name = serde_json::Value::from(task).to_string();
        if name == self.name {
            return;
        }
        let rest = &self.text[self.at..];
        let Some(found) = memchr::memmem::find(rest, name.as_bytes()) else {
            return;
        };
        let before = &rest[..found];
        self.line += memchr::memchr_iter(b'\n', before).count() as u64;
        if let Some(end) = memchr::memrchr(b'\n', before) {
            self.offset = self.at + end + 1;
            self.measure();
        }
        self.at += found;
        self.name = name;
    }

    fn measure(&mut self) {
        let rest = &self.text[self.offset..];
        self.length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    }
}

impl Failures {
    fn task(&mut self, playbook: &Value, play: &Value, task: &Value) {
        for (host, result) in task["hosts"].as_object().into_iter().flatten() {
            self.tasks += 1;
            if !(is_true(&result["failed"]) || is_true(&result["unreachable"])) {
                continue;
            }
            if self.all.len() >= MOST {
                self.left_out += 1;
                continue;
            }
            let around = Failure {
                phase: text(&playbook["phase"]),
                playbook: text(&playbook["playbook"]),
                play: text(&play["play"]["name"]),
                role: text(&task["role"]["name"]),
                task: text(&task["task"]["name"]),
                host: host.clone(),
                ended: text(&task["task"]["duration"]["end"]),
                ..Failure::default()
            };
            self.all.push(with_result(around, result));
        }
    }
}

fn with_result(around: Failure, result: &Value) -> Failure {
    // Of a loop the first item that failed has the reason.
    let items = result["results"].as_array();
    let item = items.and_then(|all| all.iter().find(|item| is_true(&item["failed"])));
    let reason = item.unwrap_or(result);
    Failure {
        action: text(&result["action"]),
        rc: reason["rc"].as_i64(),
        msg: end(&reason["msg"]).or_else(|| end(&result["censored"])),
        stdout: end(&reason["stdout"]),
        stderr: end(&reason["stderr"]),
        unreachable: is_true(&result["unreachable"]),
        ..around
    }
}

/// The last failure on a host that did not come through its playbook is the one that ended it.
fn mark_fatal(playbook: &Value, failures: &mut [Failure]) {
    let Some(stats) = playbook["stats"].as_object() else {
        return;
    };
    let mut ended = HashSet::new();
    for last in failures.iter_mut().rev() {
        if !ended.insert(last.host.as_str()) {
            continue;
        }
        let counts = stats.get(&last.host);
        let is_lost = |name| counts.is_some_and(|counts| counts[name].as_u64().unwrap_or(0) > 0);
        last.fatal |= is_lost("failures") || is_lost("unreachable");
    }
}

fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true)
}

/// The end of a text, from a line's beginning where it was cut.
fn end(value: &Value) -> Option<String> {
    let text = value
        .as_str()
        .map(str::trim_end)
        .filter(|text| !text.is_empty())?;
    let mut from = text.len().saturating_sub(OUTPUT);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let kept = &text[from..];
    let line = if from == 0 {
        None
    } else {
        kept.split_once('\n')
    };
    Some(line.map_or(kept, |(_, rest)| rest).to_owned())
}

impl Failure {
    /// The failure as one event of the build's log: what Ansible prints, with the facts as fields.
    pub fn event(&self) -> Event {
        let mut event = Event::from_message(self.to_message());
        let texts = [
            ("phase", &self.phase),
            ("playbook", &self.playbook),
            ("play", &self.play),
            ("role", &self.role),
            ("task", &self.task),
            ("action", &self.action),
            ("module", &self.action),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                event.own.set(name, FieldValue::text(value));
            }
        }
        event.own.set("host", FieldValue::text(&self.host));
        event
            .own
            .set("fatal", FieldValue::Integer(i64::from(self.fatal)));
        if let Some(rc) = self.rc {
            event.own.set("rc", FieldValue::Integer(rc));
        }
        let ended = self.ended.as_deref().map(|text| moment(&text.into()));
        if let Some(ended) = ended.flatten() {
            event
                .own
                .set("@timestamp", FieldValue::text(ended.to_string()));
        }
        event
    }

    /// What Ansible prints of it: the task, the host, and the reason.
    pub fn to_message(&self) -> String {
        let task = self.task.as_deref().unwrap_or("?");
        let role = self
            .role
            .as_ref()
            .map(|role| format!("{role} : "))
            .unwrap_or_default();
        let word = if self.unreachable {
            "UNREACHABLE"
        } else {
            "FAILED"
        };
        let rc = self.rc.map(|rc| format!(" rc={rc}")).unwrap_or_default();
        let mut message = format!("TASK [{role}{task}]\nfatal: [{}]: {word}!{rc}", self.host);
        for text in [&self.msg, &self.stdout, &self.stderr]
            .into_iter()
            .flatten()
        {
            // Writing to a text cannot fail.
            let _ = write!(message, "\n{text}");
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn output() -> Value {
        json!([
            {"phase": "pre", "playbook": "base/pre.yaml", "stats": {"node": {"failures": 0, "ignored": 1, "ok": 2}},
             "plays": [{"play": {"name": "all"}, "tasks": [
                {"task": {"name": "Look for a cache"}, "hosts": {"node": {"failed": true, "rc": 1, "action": "command", "stderr": "no cache\n"}}},
                {"task": {"name": "Go on"}, "hosts": {"node": {"changed": true, "rc": 0}}},
             ]}]},
            {"phase": "run", "playbook": "shop/run.yaml", "stats": {"node": {"failures": 1}, "other": {"unreachable": 1}},
             "plays": [{"play": {"name": "tests"}, "tasks": [
                {"task": {"name": "Install", "duration": {"end": "2026-01-02T03:04:05.678Z"}}, "role": {"name": "tools"}, "hosts": {
                    "node": {"failed": true, "action": "package", "msg": "All items completed", "results": [
                        {"item": "a", "failed": false}, {"item": "b", "failed": true, "rc": 100, "msg": "no package b"}]},
                    "other": {"unreachable": true, "msg": "timed out", "action": "package"},
                    "third": {"skipped": true}}},
             ]}]},
        ])
    }

    #[test]
    fn every_failure_is_found_with_its_reason() {
        let found = failures(&output()).unwrap();
        assert_eq!((found.all.len(), found.left_out, found.tasks), (3, 0, 5));
        let [ignored, install, lost] = &found.all[..] else {
            panic!("{found:?}")
        };
        assert_eq!(
            (ignored.phase.as_deref(), ignored.rc, ignored.fatal),
            (Some("pre"), Some(1), false)
        );
        assert_eq!(ignored.stderr.as_deref(), Some("no cache"));
        assert_eq!(
            (install.rc, install.msg.as_deref(), install.fatal),
            (Some(100), Some("no package b"), true)
        );
        assert_eq!(
            (lost.host.as_str(), lost.unreachable, lost.fatal),
            ("other", true, true)
        );
    }

    #[test]
    fn a_failure_is_an_event_that_queries_can_ask_for() {
        let found = failures(&output()).unwrap();
        let event = found.all[1].event();
        assert_eq!(
            event.message,
            "TASK [tools : Install]\nfatal: [node]: FAILED! rc=100\nno package b"
        );
        for (name, value) in [
            ("task", "Install"),
            ("role", "tools"),
            ("host", "node"),
            ("phase", "run"),
            ("@timestamp", "2026-01-02T03:04:05.678Z"),
        ] {
            assert_eq!(event.field(name), Some(&FieldValue::text(value)), "{name}");
        }
        assert_eq!(event.field("rc"), Some(&FieldValue::Integer(100)));
        assert_eq!(event.field("fatal"), Some(&FieldValue::Integer(1)));
    }

    #[test]
    fn long_output_is_cut_to_whole_lines_of_its_end() {
        let long = format!("{}\nlast line é\n", "x".repeat(OUTPUT));
        assert_eq!(end(&json!(long)).as_deref(), Some("last line é"));
        let one_line = "é".repeat(OUTPUT);
        assert!(end(&json!(one_line)).is_some_and(|text| text.len() <= OUTPUT));
        assert_eq!(end(&json!(" \n")), None);
    }

    #[test]
    fn what_is_no_job_output_is_none() {
        for other in [json!(null), json!({}), json!([{"uuid": "x"}]), json!([3])] {
            assert_eq!(failures(&other), None);
        }
        let odd = json!([{"plays": [3, {"tasks": 4}, {"tasks": [{"hosts": {"h": {"failed": "yes", "unreachable": true}}}]}], "stats": 3}]);
        assert_eq!(failures(&odd).unwrap().all.len(), 1);
    }
}
