//! Processes stopped and killed, by pid or name.

use super::parameters::Dice;
use super::proc::Seen;
use super::{Cause, Fault, FaultError, Ground, Parameters};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

/// How long a signal may take to show.
const EFFECT: Duration = Duration::from_secs(2);

const TARGETS: [(&str, &str); 3] = [
    ("pid", "the process"),
    ("name", "all processes of this name"),
    (
        "intensity",
        "percent of them, chosen by the seed; 100 when not given",
    ),
];

/// `process-stop`: SIGSTOP, taken back by SIGCONT.
pub(super) struct Stop;

/// `process-kill`: SIGKILL. What was killed stays so.
pub(super) struct Kill;

fn validate(parameters: &Parameters<'_>) -> Result<(), FaultError> {
    parameters.only(&TARGETS)?;
    let pid = parameters.whole("pid", 2, 1 << 22)?;
    let name = parameters.text("name")?;
    parameters.percent("intensity")?;
    if pid.is_some() == name.is_some() {
        return Err(parameters.missing("pid", "either `pid` or `name` is needed, not both"));
    }
    Ok(())
}

fn prepare(parameters: &Parameters<'_>, ground: &Ground<'_>) -> Result<Value, FaultError> {
    validate(parameters)?;
    let found = match (
        parameters.whole("pid", 2, 1 << 22)?,
        parameters.text("name")?,
    ) {
        (Some(pid), _) => i32::try_from(pid)
            .ok()
            .and_then(Seen::of)
            .into_iter()
            .collect(),
        (None, Some(name)) => Seen::named(name),
        (None, None) => Vec::new(),
    };
    if found.is_empty() {
        return Err(FaultError::Target("there is no such process".into()));
    }
    let chosen = Dice::new(ground.seed).share(found, parameters.percent("intensity")?);
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
}
