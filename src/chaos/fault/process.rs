//! Processes stopped and killed, by pid, name or control group.

use super::cgroup::{everywhere, members};
use super::parameters::Dice;
use super::proc::Seen;
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How long a signal may take to show.
const EFFECT: Duration = Duration::from_secs(2);

const TARGETS: [(&str, &str); 4] = [
    ("pid", "the process"),
    ("name", "all processes of this name, but for those above us"),
    (
        "cgroup",
        "all processes of this control group and those below it: a path as in /proc/PID/cgroup, or below /sys/fs/cgroup",
    ),
    (
        "intensity",
        "percent of them, chosen by the seed; 100 when not given",
    ),
];

/// Which processes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    Pid(i32),
    Name(&'a str),
    Cgroup(&'a str),
}

impl<'a> Choice<'a> {
    pub(super) fn of(parameters: &Parameters<'a>) -> Result<Self, FaultError> {
        parameters.percent("intensity")?;
        let pid = parameters.whole("pid", 2, 1 << 22)?;
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        match (pid, parameters.text("name")?, parameters.text("cgroup")?) {
            (Some(pid), None, None) => Ok(Self::Pid(pid)),
            (None, Some(name), None) => Ok(Self::Name(name)),
            (None, None, Some(cgroup)) => Ok(Self::Cgroup(cgroup)),
            _ => Err(parameters.missing(
                "pid",
                "one of `pid`, `name` and `cgroup` is needed, and only one",
            )),
        }
    }
}

/// The processes that are meant, never ourselves or those above us.
pub(super) fn chosen(
    choice: &Choice<'_>,
    percent: u64,
    seed: u64,
) -> Result<Vec<Seen>, FaultError> {
    let mut found: Vec<Seen> = match choice {
        Choice::Pid(pid) => Seen::of(*pid).into_iter().collect(),
        Choice::Name(name) => Seen::named(name),
        Choice::Cgroup(path) => in_cgroup(path),
    };
    let above = super::proc::own_line();
    found.retain(|seen| !above.contains(&seen.pid) && !seen.is_ours());
    if found.is_empty() {
        return Err(FaultError::Target("there is no such process".into()));
    }
    Ok(Dice::new(seed).share(found, percent))
}

/// The processes of a control group, in whichever hierarchy it is, and of all groups below it.
fn in_cgroup(path: &str) -> Vec<Seen> {
    let mut found = Vec::new();
    let mut open = everywhere(path);
    while let Some(group) = open.pop() {
        found.extend(members(&group).into_iter().filter_map(Seen::of));
        let below = fs::read_dir(&group).into_iter().flatten().flatten();
        open.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    found.sort_by_key(|seen| (seen.start, seen.pid));
    found.dedup();
    found
}

/// All of them, for the question before the first fault.
fn hit(plan: &Value) -> Vec<Target> {
    let targets = targets(plan).into_iter();
    targets
        .map(|seen| Target::Process {
            pid: seen.pid,
            name: seen.name,
        })
        .collect()
}

/// A signal to each, and what follows.
fn signals(plan: &Value, signal: &str, undo: &str) -> Steps {
    let each = |signal: &str| -> Vec<String> {
        targets(plan)
            .iter()
            .map(|seen| format!("kill -{signal} {}", seen.pid))
            .collect()
    };
    let undo = if undo == "CONT" {
        each(undo)
    } else {
        vec![undo.to_owned()]
    };
    Steps {
        does: each(signal),
        undo,
    }
}

/// `process-stop`: SIGSTOP, taken back by SIGCONT.
pub(super) struct Stop;

/// `process-kill`: SIGKILL. What was killed stays so.
pub(super) struct Kill;

fn validate(parameters: &Parameters<'_>) -> Result<(), FaultError> {
    parameters.only(&TARGETS)?;
    Choice::of(parameters).map(drop)
}

fn prepare(parameters: &Parameters<'_>, ground: &Ground<'_>) -> Result<Value, FaultError> {
    let choice = Choice::of(parameters)?;
    let chosen = chosen(&choice, parameters.percent("intensity")?, ground.seed)?;
    let chosen: Vec<Value> = chosen.iter().map(Seen::to_json).collect();
    Ok(json!({"processes": chosen}))
}

fn targets(plan: &Value) -> Vec<Seen> {
    let items = plan["processes"].as_array();
    items
        .into_iter()
        .flatten()
        .filter_map(Seen::from_json)
        .collect()
}

fn describe(plan: &Value, fault: &str, done: &str) -> Cause {
    let targets = targets(plan);
    let target: Vec<String> = targets
        .iter()
        .map(|t| format!("{} ({})", t.name, t.pid))
        .collect();
    let target = target.join(", ");
    Cause {
        fault: fault.into(),
        text: format!("process {target} {done}"),
        target,
    }
}

/// Sends a signal to a process that is still the same.
fn send(target: &Seen, signal: Signal) -> Result<bool, FaultError> {
    if target.state().is_none() {
        return Ok(false);
    }
    match kill(Pid::from_raw(target.pid), signal) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(error) => Err(FaultError::Target(format!(
            "{signal} to {} ({}): {error}",
            target.name, target.pid
        ))),
    }
}

/// Waits until all targets are in a state.
fn until(
    targets: &[Seen],
    what: &str,
    holds: impl Fn(Option<char>) -> bool,
) -> Result<(), FaultError> {
    let deadline = Instant::now() + EFFECT;
    while let Some(target) = targets.iter().find(|target| !holds(target.state())) {
        if Instant::now() > deadline {
            return Err(FaultError::Effect(format!(
                "{} ({}) is not {what}",
                target.name, target.pid
            )));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

impl Fault for Stop {
    fn name(&self) -> &'static str {
        "process-stop"
    }

    fn about(&self) -> &'static str {
        "stops processes (SIGSTOP); they go on afterwards"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &TARGETS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        validate(parameters)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        prepare(parameters, ground)
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let targets = targets(plan);
        for target in &targets {
            if !send(target, Signal::SIGSTOP)? {
                return Err(FaultError::Target(format!(
                    "{} ({}) is gone",
                    target.name, target.pid
                )));
            }
        }
        until(&targets, "stopped", |state| {
            matches!(state, Some('T' | 't' | 'Z') | None)
        })
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        let targets = targets(plan);
        let mut gone = 0;
        for target in &targets {
            gone += usize::from(!send(target, Signal::SIGCONT)?);
        }
        until(&targets, "going on", |state| state != Some('T'))?;
        Ok(format!(
            "{} processes go on, {gone} are gone",
            targets.len() - gone
        ))
    }

    fn describe(&self, plan: &Value) -> Cause {
        describe(plan, self.name(), "was stopped")
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        hit(plan)
    }

    fn steps(&self, plan: &Value) -> Steps {
        signals(plan, "STOP", "CONT")
    }
}

impl Fault for Kill {
    fn name(&self) -> &'static str {
        "process-kill"
    }

    fn about(&self) -> &'static str {
        "kills processes (SIGKILL); nothing starts them again"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &TARGETS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        validate(parameters)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        prepare(parameters, ground)
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let targets = targets(plan);
        for target in &targets {
            send(target, Signal::SIGKILL)?;
        }
        until(&targets, "dead", |state| {
            matches!(state, Some('Z' | 'X') | None)
        })
    }

    fn undo(&self, _: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        Ok("what was killed stays so".into())
    }

    fn describe(&self, plan: &Value) -> Cause {
        describe(plan, self.name(), "was killed")
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        hit(plan)
    }

    fn steps(&self, plan: &Value) -> Steps {
        signals(plan, "KILL", "nothing: what was killed stays so")
    }
}
