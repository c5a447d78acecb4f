//! `memory-limit`: processes in a control group that has less memory than they need.

mod tree;

use super::helper;
use super::proc::Seen;
use super::process::{self, Choice};
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use nix::errno::Errno;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tree::Tree;
pub(super) use tree::{everywhere, members};

const PARAMETERS: [(&str, &str); 5] = [
    ("megabytes", "how much memory they may have"),
    ("pid", "the process"),
    ("name", "all processes of this name"),
    (
        "cgroup",
        "an existing control group, a path as in /proc/PID/cgroup or below /sys/fs/cgroup",
    ),
    (
        "intensity",
        "percent of the processes, chosen by the seed; 100 when not given",
    ),
];

/// Memory that ends.
pub(super) struct MemoryLimit;

/// The group that is limited.
fn group(plan: &Value) -> PathBuf {
    PathBuf::from(plan["group"].as_str().unwrap_or_default())
}

fn limit_file(plan: &Value) -> PathBuf {
    group(plan).join(plan["file"].as_str().unwrap_or_default())
}

fn write(path: &Path, text: &str) -> Result<(), FaultError> {
    fs::write(path, text).map_err(FaultError::io(path))
}

/// The processes and where each was.
fn homes(plan: &Value) -> Vec<(Seen, PathBuf)> {
    let items = plan["processes"].as_array().into_iter().flatten();
    let home = |item: &Value| Some((Seen::from_json(item)?, item["home"].as_str()?.into()));
    items.filter_map(home).collect()
}

/// Moves a process; false when it is gone.
fn move_to(group: &Path, pid: i32) -> Result<bool, FaultError> {
    let file = group.join("cgroup.procs");
    match fs::write(&file, pid.to_string()) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(false),
        Err(error) => Err(FaultError::io(&file)(error)),
    }
}

/// Moves everybody back and removes the group.
fn dissolve(plan: &Value) -> Result<String, FaultError> {
    let group = group(plan);
    let homes = homes(plan);
    // What they have started meanwhile goes where the first of them was.
    let first = homes
        .first()
        .map(|(_, home)| home.clone())
        .unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        // Who waits for memory can go on, and so be moved.
        if group.exists() {
            let _ = fs::write(
                limit_file(plan),
                plan["lifted"].as_str().unwrap_or_default(),
            );
        }
        for pid in members(&group) {
            let known = homes.iter().find(|(seen, _)| seen.pid == pid);
            move_to(known.map_or(&first, |(_, home)| home), pid)?;
        }
        match fs::remove_dir(&group) {
            Ok(()) => return Ok("the processes are back in their group".into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok("there is no such group any more".into());
            }
            Err(error) if Instant::now() > deadline => return Err(FaultError::io(&group)(error)),
            // Who was killed is still on the way out.
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

impl MemoryLimit {
    /// A group that is there gets another limit.
    fn existing(path: &str, limit: u64) -> Result<Value, FaultError> {
        let tree = Tree::memory()?;
        let group = tree.locate(path)?;
        let file = group.join(tree.limit());
        let before = fs::read_to_string(&file).map_err(FaultError::io(&file))?;
        Ok(json!({
            "group": group, "file": tree.limit(), "limit": limit, "before": before.trim(),
        }))
    }

    /// Processes get a group of their own.
    fn own(chosen: &[Seen], limit: u64, ground: &Ground<'_>) -> Result<Value, FaultError> {
        let tree = Tree::memory()?;
        let mut processes = Vec::new();
        for seen in chosen {
            let mut item = seen.to_json();
            item["home"] = json!(tree.home(seen.pid)?);
            processes.push(item);
        }
        let first = PathBuf::from(processes[0]["home"].as_str().unwrap_or_default());
        let group = tree
            .room_beside(&first)?
            .join(format!("whorl-{}", helper::name(ground)));
        Ok(json!({
            "group": group, "file": tree.limit(), "limit": limit, "lifted": tree.unlimited(),
            "processes": processes,
        }))
    }
}

impl Fault for MemoryLimit {
    fn name(&self) -> &'static str {
        "memory-limit"
    }

    fn about(&self) -> &'static str {
        "limits the memory of processes or a control group: who needs more is killed (OOM)"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn needs(&self) -> &'static str {
        "control groups with memory, version 1 or 2, that we may make"
    }

    fn check(&self) -> Result<(), String> {
        let tree = Tree::memory().map_err(|error| error.to_string())?;
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let home = tree.home(own).map_err(|error| error.to_string())?;
        let room = tree.room_beside(&home).map_err(|error| error.to_string())?;
        let group = room.join(format!("whorl-check-{own}"));
        fs::create_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
        let limited = fs::write(group.join(tree.limit()), (1u64 << 30).to_string());
        fs::remove_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
        limited.map_err(|error| format!("{}: {error}", tree.limit()))
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        if parameters.whole("megabytes", 1, 1 << 24)?.is_none() {
            return Err(parameters.missing("megabytes", "is missing"));
        }
        Choice::of(parameters).map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let limit = parameters.whole("megabytes", 1, 1 << 24)?.unwrap_or(1) << 20;
        match Choice::of(parameters)? {
            Choice::Cgroup(path) => Self::existing(path, limit),
            choice => {
                let chosen =
                    process::chosen(&choice, parameters.percent("intensity")?, ground.seed)?;
                Self::own(&chosen, limit, ground)
            }
        }
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let limit = plan["limit"].to_string();
        if plan.get("before").is_some() {
            return write(&limit_file(plan), &limit);
        }
        let group = group(plan);
        fs::create_dir(&group).map_err(FaultError::io(&group))?;
        write(&limit_file(plan), &limit)?;
        for (seen, _) in homes(plan) {
            if seen.state().is_none() || !move_to(&group, seen.pid)? {
                return Err(FaultError::Target(format!(
                    "{} ({}) is gone",
                    seen.name, seen.pid
                )));
            }
        }
        Ok(())
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        let Some(before) = plan.get("before").and_then(Value::as_str) else {
            return dissolve(plan);
        };
        let file = limit_file(plan);
        if !group(plan).exists() {
            return Ok("the group is gone".into());
        }
        write(&file, before)?;
        Ok(format!(
            "the limit of {} is {before} again",
            group(plan).display()
        ))
    }

    fn describe(&self, plan: &Value) -> Cause {
        let names: Vec<String> = homes(plan)
            .iter()
            .map(|(seen, _)| format!("{} ({})", seen.name, seen.pid))
            .collect();
        let target = match names.as_slice() {
            [] => group(plan).display().to_string(),
            names => names.join(", "),
        };
        let megabytes = plan["limit"].as_u64().unwrap_or(0) >> 20;
        Cause {
            fault: self.name().into(),
            text: format!("{target} had no more than {megabytes} MB of memory"),
            target,
        }
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        if plan.get("before").is_some() {
            return vec![Target::Cgroup(group(plan))];
        }
        let homes = homes(plan);
        homes
            .into_iter()
            .map(|(seen, _)| Target::Process {
                pid: seen.pid,
                name: seen.name,
            })
            .collect()
    }

    fn steps(&self, plan: &Value) -> Steps {
        let (group, file, limit) = (group(plan), limit_file(plan), &plan["limit"]);
        let (group, file) = (group.display(), file.display());
        if let Some(before) = plan.get("before").and_then(Value::as_str) {
            return Steps {
                does: vec![format!("echo {limit} > {file}")],
                undo: vec![format!("echo {before} > {file}")],
            };
        }
        let mut steps = Steps {
            does: vec![format!("mkdir {group}"), format!("echo {limit} > {file}")],
            undo: Vec::new(),
        };
        for (seen, home) in homes(plan) {
            let (pid, home) = (seen.pid, home.display());
            steps
                .does
                .push(format!("echo {pid} > {group}/cgroup.procs"));
            steps.undo.push(format!("echo {pid} > {home}/cgroup.procs"));
        }
        steps.undo.push(format!("rmdir {group}"));
        steps
    }
}
