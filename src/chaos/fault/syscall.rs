//! `syscall-error`: system calls of a running process that fail or take long, by `strace`.
//!
//! When strace ends, however it does, the kernel lets the process go on as it was.

use super::proc::{Seen, with_argument};
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PARAMETERS: [(&str, &str); 6] = [
    ("pid", "the process; its children and threads too"),
    ("calls", "the system calls: openat, or fsync,fdatasync"),
    ("error", "how they fail: ENOSPC, EIO, EMFILE …"),
    ("delay", "milliseconds that they take longer"),
    (
        "every",
        "only every so many-th call of a thread, from one that the seed decides",
    ),
    ("path", "only calls that concern this file"),
];

/// How long attaching and detaching may take.
const EFFECT: Duration = Duration::from_secs(5);

/// System calls that fail.
pub(super) struct Syscall;

fn word<'a>(parameters: &Parameters<'a>, key: &str) -> Result<Option<&'a str>, FaultError> {
    let text = parameters.text(key)?;
    let fine = |text: &&str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ',';
        text.chars().all(fine)
    };
    match text {
        Some(text) if !fine(&text) => Err(parameters.missing(key, "must be names, with commas")),
        text => Ok(text),
    }
}

/// What strace is told to inject.
fn injection(parameters: &Parameters<'_>, seed: u64) -> Result<String, FaultError> {
    let calls = word(parameters, "calls")?
        .ok_or_else(|| parameters.missing("calls", "must name system calls"))?;
    let (error, delay) = (
        word(parameters, "error")?,
        parameters.whole("delay", 1, 3_600_000)?,
    );
    if error.is_none() && delay.is_none() {
        return Err(parameters.missing("error", "`error` or `delay` is needed"));
    }
    let mut text = format!("inject={calls}");
    if let Some(error) = error {
        text += &[":error=", error].concat();
    }
    if let Some(delay) = delay {
        text += ":delay_enter=";
        text += &(delay * 1000).to_string();
    }
    if let Some(every) = parameters.whole("every", 1, 65_535)? {
        let when = format!(":when={}+{every}", 1 + seed % every);
        text += &when;
    }
    Ok(text)
}

fn pid(parameters: &Parameters<'_>) -> Result<i32, FaultError> {
    let pid = parameters.whole("pid", 2, 1 << 22)?;
    let pid = pid.and_then(|pid| i32::try_from(pid).ok());
    pid.ok_or_else(|| parameters.missing("pid", "is missing"))
}

/// The process that traces another one, if any does.
fn tracer(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|pid| *pid != 0)
}

/// The processes that write this log: strace, and what ends it when its time is over.
fn tracing(log: &str) -> Vec<Seen> {
    let mut found = with_argument(log);
    found.retain(|seen| !matches!(seen.state(), Some('Z' | 'X') | None));
    found
}

fn start(plan: &Value) -> Result<(), FaultError> {
    let text = |key: &str| plan[key].as_str().unwrap_or_default().to_owned();
    let mut command = Command::new("timeout");
    command
        .arg("--signal=KILL")
        .arg(plan["seconds"].to_string())
        .args(["strace", "-f", "-q", "-o", &text("log")])
        .args(["-e", &text("trace"), "-e", &text("injection")]);
    if let Some(path) = plan["path"].as_str() {
        command.args(["-P", path]);
    }
    let mut child = command
        .args(["-p", &plan["process"]["pid"].to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(FaultError::io(Path::new("timeout")))?;
    // Somebody has to ask for its end, or it stays as a zombie.
    thread::spawn(move || child.wait());
    Ok(())
}

impl Fault for Syscall {
    fn name(&self) -> &'static str {
        "syscall-error"
    }

    fn about(&self) -> &'static str {
        "lets system calls of a running process fail, or take long"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn needs(&self) -> &'static str {
        "strace, and the right to trace the process"
    }

    fn check(&self) -> Result<(), String> {
        let ran = Command::new("strace")
            .args([
                "-o",
                "/dev/null",
                "-e",
                "inject=chdir:error=EIO",
                "sh",
                "-c",
                "cd /",
            ])
            .stderr(Stdio::null())
            .status();
        match ran {
            Ok(status) if status.code().is_some_and(|code| code != 0) => Ok(()),
            Ok(_) => Err("strace injects nothing".into()),
            Err(error) => Err(format!("strace: {error}")),
        }
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        pid(parameters)?;
        injection(parameters, 0)?;
        let path = parameters.has("path").then(|| parameters.path("path"));
        path.transpose().map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let seen = Seen::of(pid(parameters)?);
        let seen = seen.ok_or_else(|| FaultError::Target("there is no such process".into()))?;
        if let Some(tracer) = tracer(seen.pid) {
            let text = format!("{} ({}) is traced by {tracer}", seen.name, seen.pid);
            return Err(FaultError::Target(text));
        }
        let path = parameters.has("path").then(|| parameters.path("path"));
        let calls = word(parameters, "calls")?.unwrap_or_default();
        Ok(json!({
            "process": seen.to_json(),
            "trace": format!("trace={calls}"),
            "injection": injection(parameters, ground.seed)?,
            "path": path.transpose()?,
            "seconds": ground.seconds,
            "log": ground.folder.join(format!("calls-{}.txt", ground.id)),
        }))
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let seen = Seen::from_json(&plan["process"]);
        let seen = seen.filter(|seen| seen.state().is_some());
        let seen = seen.ok_or_else(|| FaultError::Target("the process is gone".into()))?;
        start(plan)?;
        let deadline = Instant::now() + EFFECT;
        while tracer(seen.pid).is_none() {
            if Instant::now() > deadline {
                return Err(FaultError::Effect(format!(
                    "strace cannot trace {} ({})",
                    seen.name, seen.pid
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        let log = plan["log"].as_str().unwrap_or_default();
        let deadline = Instant::now() + EFFECT;
        loop {
            let left = tracing(log);
            if left.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                return Err(FaultError::Effect("strace does not end".into()));
            }
            for seen in left {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(seen.pid), Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(5));
        }
        let text = fs::read(log).unwrap_or_default();
        let hit = memchr::memmem::find_iter(&text, b"(INJECTED)").count();
        let late = memchr::memmem::find_iter(&text, b"(DELAYED)").count();
        Ok(format!(
            "system calls are as before; {hit} failed and {late} were late"
        ))
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        let process = &plan["process"];
        let pid = process["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok());
        vec![Target::Process {
            pid: pid.unwrap_or_default(),
            name: process["name"].as_str().unwrap_or_default().to_owned(),
        }]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &format!(
                "strace -f -p {} -e {}",
                plan["process"]["pid"],
                plan["injection"].as_str().unwrap_or_default()
            ),
            "end strace: the process goes on as before",
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        let process = &plan["process"];
        let name = process["name"].as_str().unwrap_or_default();
        let target = format!("{name} ({})", process["pid"]);
        let what = plan["injection"].as_str().unwrap_or_default();
        let what = what.trim_start_matches("inject=");
        Cause {
            fault: self.name().into(),
            text: format!("system calls of {target} were disturbed: {what}"),
            target,
        }
    }
}
