//! Children that do a fault's work for as long as it lasts.
//!
//! A child has a mark among its arguments, by which `undo` finds it with nothing but the plan. It reads
//! its plan from the undo journal, tells who started it that it has an effect, and ends by itself when
//! its time is over or the fault is taken back.

use super::proc::with_argument;
use super::undo::{self, Journal};
use super::{FaultError, Ground, clock, find};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a child may take to have an effect, and to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a child looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
const READY: &str = "ready";

/// The run and the fault's number in it, for names that tell ours from others.
pub(super) fn name(ground: &Ground<'_>) -> String {
    let run = ground.folder.file_name().unwrap_or_default().display();
    format!("{run}-{}", ground.id)
}

/// The argument by which a child is found again.
pub(super) fn mark(ground: &Ground<'_>) -> String {
    format!("--mark={}", name(ground))
}

/// Starts the fault's child and waits until it has an effect.
pub(super) fn start(mark: &str, ground: &Ground<'_>) -> Result<(), FaultError> {
    let program = ground
        .program
        .ok_or_else(|| FaultError::Target("there is no program to start".into()))?;
    let mut child = Command::new(program)
        .args(["chaos", "fault-child", mark])
        .arg(format!("--id={}", ground.id))
        .arg(ground.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(FaultError::io(program))?;
    let said = child.stdout.take();
    // Somebody has to ask for its end, or it stays as a zombie.
    thread::spawn(move || child.wait());
    match said.and_then(first_line) {
        Some(line) if line == READY => Ok(()),
        Some(line) if !line.is_empty() => Err(FaultError::Effect(line)),
        _ => Err(FaultError::Effect(
            "the fault's child ended before it had an effect".into(),
        )),
    }
}

/// The first line, if it comes in time.
fn first_line(from: ChildStdout) -> Option<String> {
    let (send, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        // An error leaves the line empty, which says enough.
        let _ = BufReader::new(from).read_line(&mut line);
        let _ = send.send(line.trim_end().to_owned());
    });
    heard.recv_timeout(PATIENCE).ok()
}

/// Ends the children that have a mark. True when there were any.
pub(super) fn end(mark: &str) -> Result<bool, FaultError> {
    let deadline = Instant::now() + PATIENCE;
    let mut any = false;
    loop {
        let mut left = with_argument(mark);
        left.retain(|seen| !matches!(seen.state(), Some('Z' | 'X') | None));
        if left.is_empty() {
            return Ok(any);
        }
        if Instant::now() > deadline {
            return Err(FaultError::Effect(
                "a child of the fault does not end".into(),
            ));
        }
        any = true;
        for seen in left {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(seen.pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Says that there is an effect.
pub(super) fn ready(say: &mut dyn Write) {
    // Who does not hear it is dead, and the child will be ended or end by itself.
    let _ = writeln!(say, "{READY}").and_then(|()| say.flush());
}

/// Whether a child is still wanted. Looking costs a read of the journal, so it is done now and then.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    folder: PathBuf,
    id: u64,
    until: f64,
}

impl Wanted {
    pub(super) fn new(ground: &Ground<'_>) -> Self {
        let until = clock::uptime() + ground.seconds;
        Self {
            folder: ground.folder.to_owned(),
            id: ground.id,
            until,
        }
    }

    pub(super) fn still(&self) -> bool {
        clock::uptime() < self.until && undo::is_pending(&self.folder, self.id)
    }

    /// Waits until it is not wanted any more.
    pub(super) fn wait(&self) {
        while self.still() {
            thread::sleep(LOOK);
        }
    }
}

/// A fault that lasts as long as its child: what that knows.
pub(super) struct Holding<'a> {
    /// The fault's name.
    pub(super) fault: &'static str,
    pub(super) plan: &'a Value,
    pub(super) ground: &'a Ground<'a>,
    until: Instant,
    say: &'a mut dyn Write,
}

impl<'a> Holding<'a> {
    pub(super) fn new(
        fault: &'static str,
        plan: &'a Value,
        ground: &'a Ground<'a>,
        say: &'a mut dyn Write,
    ) -> Self {
        let left = Duration::try_from_secs_f64(ground.seconds).unwrap_or_default();
        Self {
            fault,
            plan,
            ground,
            until: Instant::now() + left,
            say,
        }
    }

    /// Tells who waits that the fault is in.
    pub(super) fn ready(&mut self) {
        ready(self.say);
    }

    /// How long the fault is to last.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// What the child does: the work of a fault that the journal knows.
pub fn work(folder: &Path, id: u64, say: &mut dyn Write) -> Result<(), FaultError> {
    let journal = Journal::read(folder).map_err(FaultError::io(folder))?;
    let pending = journal.pending();
    // Who was started and comes too late has nothing to do.
    let Some(entry) = pending.into_iter().find(|entry| entry.id == id) else {
        return Ok(());
    };
    let fault = find(&entry.fault)
        .ok_or_else(|| FaultError::Target(format!("there is no fault '{}'", entry.fault)))?;
    let ground = Ground {
        folder,
        id,
        seed: entry.seed,
        seconds: entry.until - clock::uptime(),
        program: None,
    };
    let done = fault.work(&entry.plan, &ground, say);
    if let Err(error) = &done {
        let line = error.to_string().replace('\n', " ");
        let _ = writeln!(say, "{line}").and_then(|()| say.flush());
    }
    done
}

/// The mark in a plan.
pub(super) fn mark_in(plan: &Value) -> &str {
    plan["mark"].as_str().unwrap_or_default()
}
