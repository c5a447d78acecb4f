//! Children: started in a process group of their own, so that all of it can be ended.

use super::bell::{Bell, Ear, Slot, Stop, Waited};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What a child said and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// Its exit code, or the negative number of the signal that ended it.
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum ChildEnd {
    /// It did not start.
    Start(io::Error),
    /// It took too long.
    Late,
    /// The run is to end.
    Stopped(Stop),
}

/// Who waits for a child, and how.
#[derive(Clone)]
pub(crate) struct Patience {
    pub(crate) bell: Arc<Bell>,
    pub(crate) ear: Ear,
    pub(crate) timeout: Option<Duration>,
}

/// What a process of ours beside this one says when it is up.
pub(crate) const READY: &str = "ready";

/// Starts a process of ours that acts when its input ends, and waits until it is up. `name` is for errors.
pub(crate) fn beside(command: &mut Command, name: &str) -> io::Result<(Child, ChildStdin)> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // What is typed at the terminal is not for it.
        .process_group(0)
        .spawn()?;
    let (to, from) = (child.stdin.take(), child.stdout.take());
    let mut line = String::new();
    if let Some(from) = from {
        BufReader::new(from).read_line(&mut line)?;
    }
    match to {
        Some(to) if line.trim_end() == READY => Ok((child, to)),
        _ => {
            // It ends when its input does, or has ended.
            let _ = child.kill();
            let _ = child.wait();
            Err(io::Error::other(format!("the {name} did not start")))
        }
    }
}

/// Runs a child to its end; whatever is left of its group when time is up or the run is to end is killed.
pub(crate) fn run(
    mut command: Command,
    input: Option<Vec<u8>>,
    patience: &Patience,
) -> Result<Output, ChildEnd> {
    let stdin = match &input {
        Some(_) => Stdio::piped(),
        // A group in the background may not read from the terminal: it would be stopped.
        None if io::stdin().is_terminal() => Stdio::null(),
        None => Stdio::inherit(),
    };
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().map_err(ChildEnd::Start)?;
    let group = group_of(&child);
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // A child that does not read is no failure of ours.
        thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let slot = Arc::new(Slot::default());
    collect(child, Arc::clone(&slot), Arc::clone(&patience.bell));
    let deadline = patience
        .timeout
        .and_then(|time| Instant::now().checked_add(time));
    match patience.bell.wait(deadline, patience.ear, || slot.take()) {
        Waited::Ready(output) => output.map_err(ChildEnd::Start),
        Waited::Late => {
            kill(group);
            Err(ChildEnd::Late)
        }
        Waited::Stopped(stop) => {
            kill(group);
            Err(ChildEnd::Stopped(stop))
        }
    }
}

pub(crate) fn group_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().map(Pid::from_raw)
}

/// Ends a whole process group.
pub(crate) fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        // It may have ended by itself.
        let _ = killpg(group, Signal::SIGKILL);
    }
}

/// Reads what the child says, waits for its end and puts both into the slot.
fn collect(mut child: Child, slot: Arc<Slot<io::Result<Output>>>, bell: Arc<Bell>) {
    thread::spawn(move || {
        let stdout = child
            .stdout
            .take()
            .map(|out| thread::spawn(move || all_of(out)));
        let stderr = child.stderr.take().map(all_of).unwrap_or_default();
        let stdout = stdout
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default();
        let output = child.wait().map(|status| Output {
            status: code(status),
            stdout,
            stderr,
        });
        slot.put(output);
        bell.poke();
    });
}

fn all_of(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error is still what the child said.
    let _ = from.read_to_end(&mut bytes);
    bytes
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| -signal))
        .unwrap_or(-1)
}

/// Text of a child: UTF-8, or each byte its character when it is not.
pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().iter().map(|b| char::from(*b)).collect())
}
