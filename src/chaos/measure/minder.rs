//! The minder: a process beside the measurement that ends the system under test when the measurement
//! itself cannot any more.
//!
//! It knows of the measurement's death by the end of its standard input, which no signal can suppress.
//! Then it runs the plan's `stop`, and kills whatever still has the run's folder in its environment, with
//! its process group.

use super::commands;
use crate::chaos::bell::Bell;
use crate::chaos::child::{READY, beside};
use crate::chaos::env::Environment;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::{Pid, getpgid, getpgrp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command};
use std::thread;
use std::time::{Duration, Instant};

/// The variable by which processes of a run are known.
pub(super) const MARK: &str = "WHORL_DIR";
/// How long what was killed may take to be gone.
const GONE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// What is to be done for a run whose measurement has died.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// The plan's `stop`.
    pub(super) stop: Vec<String>,
    /// What the run's commands are told.
    pub(super) variables: BTreeMap<String, String>,
    /// Where it goes what they say.
    pub(super) output: PathBuf,
    /// Seconds that `stop` may take.
    pub(super) limit: f64,
}

/// The way to the minder.
#[derive(Debug)]
pub(super) struct Minder {
    program: PathBuf,
    running: Option<(Child, ChildStdin)>,
}

impl Minder {
    /// Starts one.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            running: Some(spawn(program)?),
        })
    }

    /// From now on it has a run to mind, or none. One that has died is replaced first.
    pub(super) fn mind(&mut self, task: Option<&Task>) -> io::Result<()> {
        let line = serde_json::to_string(&task)?;
        if let Some((_, to)) = &mut self.running
            && writeln!(to, "{line}").and_then(|()| to.flush()).is_ok()
        {
            return Ok(());
        }
        self.end();
        let (_, to) = self.running.insert(spawn(&self.program)?);
        writeln!(to, "{line}")?;
        to.flush()
    }

    fn end(&mut self) {
        if let Some((mut child, to)) = self.running.take() {
            drop(to);
            // It has nothing to mind any more, or is dead.
            let _ = child.wait();
        }
    }
}

impl Drop for Minder {
    fn drop(&mut self) {
        // What is left by an early end is for it to do.
        self.end();
    }
}

fn spawn(program: &Path) -> io::Result<(Child, ChildStdin)> {
    let mut command = Command::new(program);
    beside(command.args(["chaos", "minder"]), "minder")
}

/// What the minder does: listens until its input ends, and then ends the last run that it was told of.
pub fn minder(input: impl BufRead, say: &mut dyn Write) -> io::Result<()> {
    // Who ends the measurement ends it by its own process.
    SigSet::all().thread_block()?;
    // Who does not hear it may be dead already: then there is nothing to mind.
    let _ = writeln!(say, "{READY}").and_then(|()| say.flush());
    let mut last: Option<Task> = None;
    for line in input.lines() {
        // A line that was cut by death says nothing.
        let Ok(line) = line else { break };
        if let Ok(task) = serde_json::from_str(&line) {
            last = task;
        }
    }
    // Children must not inherit that they cannot be ended.
    SigSet::empty().thread_set_mask()?;
    last.map_or(Ok(()), |task| end(&task))
}

fn end(task: &Task) -> io::Result<()> {
    // What is still starting may start more after it.
    let mut again = true;
    while again {
        stop(task)?;
        again = kill_all(task);
    }
    Ok(())
}

fn stop(task: &Task) -> io::Result<()> {
    let mut environment = Environment::default();
    for (name, value) in &task.variables {
        environment.set(name, value);
    }
    let deaf = Bell::default();
    // What it does not end is killed.
    let ended = commands::run(&task.stop, &environment, &task.output, task.limit, &deaf);
    ended.map(drop).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Kills what has the run's folder in its environment, and the groups of it. True when there was any.
fn kill_all(task: &Task) -> bool {
    let Some(folder) = task.variables.get(MARK) else {
        return false;
    };
    let mark = format!("{MARK}={folder}");
    let deadline = Instant::now() + GONE;
    let mut any = false;
    loop {
        let found = marked(&mark);
        if found.is_empty() || Instant::now() > deadline {
            return any && found.is_empty();
        }
        any = true;
        let own = getpgrp();
        let groups: BTreeSet<Pid> = found
            .iter()
            .filter_map(|pid| getpgid(Some(*pid)).ok())
            .filter(|group| *group != own)
            .collect();
        for group in groups {
            // It may have ended by itself.
            let _ = killpg(group, Signal::SIGKILL);
        }
        for pid in found {
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(LOOK);
    }
}

/// Living processes with this in their environment.
fn marked(mark: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        // Zombies have none.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|one| one == mark.as_bytes())
    };
    pids.filter(has).map(Pid::from_raw).collect()
}
