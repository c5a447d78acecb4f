//! `job-output.json`: each task of a build with its result on each host.

use crate::event::{Event, FieldValue, Location, bounded};
use crate::intake::json::Part;
use crate::intake::loose::moment;
use serde_json::Number;
use std::collections::HashMap;
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
/// Most bytes of each name that are kept.
const NAME_LENGTH: usize = 1 << 10;

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
    /// Where the task is named, in bytes from the file's beginning; where it stands if it has no name.
    pub at: usize,
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

/// Reads a `job-output.json`; none if it is none. Of the text no more is kept than what it gives: a file
/// of many small values would take sixty times its size.
pub fn failures(output: &[u8]) -> Option<Failures> {
    let playbooks = Part::of(output).filter(|all| all.is_list())?;
    let (mut found, mut are_all) = (Failures::default(), true);
    playbooks.each_item(|playbook| are_all &= found.playbook(playbook));
    are_all.then_some(found)
}

/// True for a `job-output.json`, by the last part of its name without compression suffix.
pub(crate) fn is_named(base_name: &str) -> bool {
    base_name == NAME
}

/// The failures in the text of a `job-output.json` as events that stand where their tasks are named;
/// none if it is none.
pub(crate) fn events(text: &[u8], file: &str) -> Option<Vec<Event>> {
    let found = failures(text)?;
    let (file, mut place) = (Arc::from(file), Place::new(text));
    let event = |failure: Failure| {
        let mut event = failure.event();
        place.forward(failure.at);
        event.at = Location {
            file: Arc::clone(&file),
            line: place.line,
            lines: 1,
            offset: place.offset as u64,
            length: place.length as u64,
        };
        event
    };
    Some(found.all.into_iter().map(event).collect())
}

/// A line, with how far it was looked at: all may stand in a single line of megabytes.
struct Place<'t> {
    text: &'t [u8],
    offset: usize,
    length: usize,
    line: u64,
    /// What was asked for last.
    at: usize,
}

impl<'t> Place<'t> {
    fn new(text: &'t [u8]) -> Self {
        let mut first = Self {
            text,
            offset: 0,
            length: 0,
            line: 1,
            at: 0,
        };
        first.measure();
        first
    }

    /// Goes to the line of a byte. Tasks are in the order of the file, so it never goes back.
    fn forward(&mut self, to: usize) {
        let Some(before) = self.text.get(self.at..to) else {
            return;
        };
        self.line += memchr::memchr_iter(b'\n', before).count() as u64;
        if let Some(end) = memchr::memrchr(b'\n', before) {
            self.offset = self.at + end + 1;
            self.measure();
        }
        self.at = to;
    }

    fn measure(&mut self) {
        let rest = &self.text[self.offset..];
        self.length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    }
}

impl Failures {
    /// False if it is none. What is around tasks is read where one of them failed, after it.
    fn playbook(&mut self, playbook: Part<'_>) -> bool {
        let [phase, name, plays, stats] = playbook.members(["phase", "playbook", "plays", "stats"]);
        let Some(plays) = plays.filter(|plays| plays.is_list()) else {
            return false;
        };
        let begin = self.all.len();
        plays.each_item(|play| self.play(play));
        let failed = &mut self.all[begin..];
        if !failed.is_empty() {
            give(failed, phase.and_then(name_in), |one| &mut one.phase);
            give(failed, name.and_then(name_in), |one| &mut one.playbook);
            mark_fatal(stats, failed);
        }
        true
    }

    fn play(&mut self, play: Part<'_>) {
        let [of_play, tasks] = play.members(["play", "tasks"]);
        let Some(tasks) = tasks else { return };
        let begin = self.all.len();
        tasks.each_item(|task| self.task(task));
        let failed = &mut self.all[begin..];
        if !failed.is_empty() {
            give(failed, named(of_play), |one| &mut one.play);
        }
    }

    fn task(&mut self, task: Part<'_>) {
        let [hosts, role, of_task] = task.members(["hosts", "role", "task"]);
        let Some(hosts) = hosts else { return };
        let begin = self.all.len();
        hosts.each_member(|host, result| self.result(host, result));
        let failed = &mut self.all[begin..];
        if failed.is_empty() {
            return;
        }
        let [name, duration] = of_task.map_or([None; 2], |task| task.members(["name", "duration"]));
        let ended = duration.and_then(|duration| duration.member("end"));
        give(failed, named(role), |one| &mut one.role);
        give(failed, name.and_then(name_in), |one| &mut one.task);
        give(failed, ended.and_then(name_in), |one| &mut one.ended);
        for failure in failed {
            failure.at = name.unwrap_or(task).at;
        }
    }

    fn result(&mut self, host: &str, result: Part<'_>) {
        self.tasks += 1;
        let [failed, unreachable] = result.members(["failed", "unreachable"]).map(is_true);
        if !(failed || unreachable) {
            return;
        }
        if self.all.len() >= MOST {
            self.left_out += 1;
            return;
        }
        self.all.push(Failure {
            host: short(host).to_owned(),
            unreachable,
            ..reason(result)
        });
    }
}

/// Says the same of all.
fn give(
    failures: &mut [Failure],
    name: Option<String>,
    place: fn(&mut Failure) -> &mut Option<String>,
) {
    let Some(name) = name else { return };
    for failure in failures {
        *place(failure) = Some(name.clone());
    }
}

/// What a result says of why it failed.
fn reason(result: Part<'_>) -> Failure {
    let [action, censored, results] = result.members(["action", "censored", "results"]);
    // Of a loop the first item that failed has the reason.
    let mut item = None;
    if let Some(results) = results {
        results.each_item(|one| {
            if item.is_none() && is_true(one.member("failed")) {
                item = Some(one);
            }
        });
    }
    let inner = item.unwrap_or(result);
    let [rc, msg, stdout, stderr] = inner.members(["rc", "msg", "stdout", "stderr"]);
    Failure {
        action: action.and_then(name_in),
        rc: rc.and_then(Part::read),
        msg: msg.and_then(end).or_else(|| censored.and_then(end)),
        stdout: stdout.and_then(end),
        stderr: stderr.and_then(end),
        ..Failure::default()
    }
}

/// The last failure on a host that did not come through its playbook is the one that ended it.
fn mark_fatal(stats: Option<Part<'_>>, failures: &mut [Failure]) {
    let Some(stats) = stats else { return };
    let mut last = HashMap::new();
    for (at, failure) in failures.iter().enumerate() {
        last.insert(failure.host.clone(), at);
    }
    stats.each_member(|host, counts| {
        let Some(at) = last.get(short(host)) else {
            return;
        };
        let counts = counts.members(["failures", "unreachable"]);
        let is_more = |count: Part<'_>| count.read::<u64>().is_some_and(|count| count > 0);
        failures[*at].fatal = counts.into_iter().flatten().any(is_more);
    });
}

fn is_true(part: Option<Part<'_>>) -> bool {
    part.and_then(Part::read) == Some(true)
}

/// The `name` that something has.
fn named(part: Option<Part<'_>>) -> Option<String> {
    part?.member("name").and_then(name_in)
}

/// A text that is not empty, or a number as a text, as short as names are.
fn name_in(part: Part<'_>) -> Option<String> {
    if let Some(name) = part.text() {
        return Some(short(&name).to_owned()).filter(|name| !name.is_empty());
    }
    part.read::<Number>().map(|number| number.to_string())
}

/// The beginning of a name: each is in all failures that it has to do with.
fn short(name: &str) -> &str {
    bounded(name, NAME_LENGTH)
}

/// The end of a text, from a line's beginning where it was cut.
fn end(part: Part<'_>) -> Option<String> {
    let whole = part.text_end()?;
    let text = whole.trim_end();
    if text.is_empty() {
        return None;
    }
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
    use serde_json::{Value, json};

    fn failures_of(output: &Value) -> Option<Failures> {
        failures(&serde_json::to_vec(output).unwrap())
    }

    fn end_of(text: &str) -> Option<String> {
        end(Part::of(json!(text).to_string().as_bytes()).unwrap())
    }

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
        let found = failures_of(&output()).unwrap();
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
        let found = failures_of(&output()).unwrap();
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
        assert_eq!(end_of(&long).as_deref(), Some("last line é"));
        let one_line = "é".repeat(OUTPUT);
        assert!(end_of(&one_line).is_some_and(|text| text.len() <= OUTPUT));
        assert_eq!(end_of(" \n"), None);
    }

    #[test]
    fn what_is_no_job_output_is_none() {
        assert_eq!(failures(b"[{\"plays\": []}, {\"plays\": []"), None);
        for other in [
            json!(null),
            json!({}),
            json!([{"uuid": "x"}]),
            json!([3]),
            json!([{"plays": []}, {"plays": {}}]),
        ] {
            assert_eq!(failures_of(&other), None, "{other}");
        }
        let odd = json!([{"plays": [3, {"tasks": 4}, {"tasks": [{"hosts": {"h": {"failed": "yes", "unreachable": true}}}]}], "stats": 3}]);
        assert_eq!(failures_of(&odd).unwrap().all.len(), 1);
    }

    #[test]
    fn what_is_around_a_task_may_stand_before_or_behind_it() {
        let before = json!([{"stats": {"h": {"failures": 1}}, "phase": "run", "plays": [
            {"play": {"name": "all"}, "tasks": [
                {"task": {"name": "Go"}, "role": {"name": "r"}, "hosts": {"h": {"failed": true}}}]}]}]);
        let behind = json!([{"plays": [
            {"tasks": [
                {"hosts": {"h": {"failed": true}}, "role": {"name": "r"}, "task": {"name": "Go"}}],
             "play": {"name": "all"}}],
            "phase": "run", "stats": {"h": {"failures": 1}}}]);
        let expected = Failure {
            phase: Some("run".into()),
            play: Some("all".into()),
            role: Some("r".into()),
            task: Some("Go".into()),
            host: "h".into(),
            fatal: true,
            ..Failure::default()
        };
        for output in [before, behind] {
            let mut found = failures_of(&output).unwrap();
            let at = std::mem::take(&mut found.all[0].at);
            assert!(output.to_string()[at..].starts_with("\"Go\""), "{at}");
            assert_eq!(found.all, std::slice::from_ref(&expected));
        }
    }

    #[test]
    fn what_is_no_utf8_in_an_output_takes_nothing_else_away() {
        let text = br#"[{"plays": [{"tasks": [{"hosts": {"h": {"failed": true, "stdout": "why\nnot \udce9"}}}]}]}]"#;
        let found = failures(text).unwrap();
        let stdout = found.all[0].stdout.as_deref().unwrap();
        assert!(stdout.starts_with("why\nnot \u{fffd}"), "{stdout}");
    }

    #[test]
    fn long_names_are_cut_and_many_failures_counted() {
        let long = "é".repeat(1 << 16);
        let hosts: serde_json::Map<String, Value> = (0..MOST + 2)
            .map(|host| (format!("{host}"), json!({"failed": true, "action": long})))
            .collect();
        let playbook = json!([{"playbook": long, "stats": {"0": {"failures": 1}}, "plays": [
            {"play": {"name": long}, "tasks": [{"task": {"name": [long]}, "hosts": hosts}]}]}]);
        let found = failures_of(&playbook).unwrap();
        assert_eq!(
            (found.all.len(), found.left_out, found.tasks),
            (MOST, 2, MOST + 2)
        );
        let first = &found.all[0];
        for name in [&first.playbook, &first.play, &first.action] {
            assert_eq!(name.as_deref(), Some(&long[..NAME_LENGTH]));
        }
        assert_eq!((first.task.as_deref(), first.fatal), (None, true));
        assert!(!found.all[1].fatal);
    }
}
