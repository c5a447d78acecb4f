//! Faults that last for as long as a child of ours lives: ending the child takes them back.
//!
//! The child is told apart by a mark on its command line, and knows nothing but the run's folder and its
//! number: what it is to do stands in the journal. It ends by itself when the fault's time is over.

use super::proc::with_argument;
use super::undo::{Entry, Journal};
use super::{FaultError, Ground, clock, database, dns, network, proxy, tls};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a child says when the fault is in.
const READY: &str = "ready";
/// How long a child may take to die.
const DEATH: Duration = Duration::from_secs(2);

/// What tells the child of a fault from all other processes.
pub(super) fn mark(ground: &Ground<'_>) -> String {
    let run = ground.folder.file_name().unwrap_or_default();
    format!("--mark={}-{}", run.to_string_lossy(), ground.id)
}

/// Starts the child and waits until the fault is in.
pub(super) fn start(mark: &str, ground: &Ground<'_>) -> Result<(), FaultError> {
    let program = ground
        .program
        .ok_or_else(|| FaultError::Target("there is no program to start".into()))?;
    let mut child = Command::new(program)
        .args(["chaos", "hold", mark])
        .arg(format!("--id={}", ground.id))
        .arg(ground.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(FaultError::io(program))?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        // Who says nothing has died, which is told below.
        let _ = BufReader::new(out).read_line(&mut line);
    }
    // Somebody has to ask for its end, or it stays as a zombie.
    thread::spawn(move || child.wait());
    match line.trim_end() {
        READY => Ok(()),
        "" => Err(FaultError::Effect("the fault's child has died".into())),
        text => Err(FaultError::Effect(text.to_owned())),
    }
}

/// Ends the child, if there is any; on return there is none.
pub(super) fn end(mark: &str) -> Result<(), FaultError> {
    let deadline = Instant::now() + DEATH;
    loop {
        let mut left = with_argument(mark);
        left.retain(|seen| !matches!(seen.state(), Some('Z' | 'X') | None));
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(FaultError::Effect("the fault's child does not end".into()));
        }
        for seen in left {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(seen.pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// What a child knows.
pub(super) struct Holding<'a> {
    pub(super) folder: &'a Path,
    pub(super) entry: &'a Entry,
    say: &'a mut dyn Write,
}

impl Holding<'_> {
    /// Tells who waits that the fault is in.
    pub(super) fn ready(&mut self) {
        // Who waited may be dead: then somebody is about to end us.
        let _ = writeln!(self.say, "{READY}").and_then(|()| self.say.flush());
    }

    /// How long the fault is to last.
    pub(super) fn left(&self) -> Duration {
        Duration::try_from_secs_f64(self.entry.until - clock::uptime()).unwrap_or_default()
    }
}

/// What the child does: puts the fault of this number in and holds it until its time is over.
pub fn hold(folder: &Path, id: u64, say: &mut dyn Write) -> io::Result<()> {
    let journal = Journal::read(folder)?;
    let pending = journal.pending();
    // Who was started and killed before we came this far could not find us: the journal knows.
    let Some(entry) = pending.into_iter().find(|entry| entry.id == id) else {
        return Ok(());
    };
    let mut holding = Holding { folder, entry, say };
    let held = match entry.fault.as_str() {
        proxy::TCP | proxy::HTTP => proxy::hold(&mut holding),
        tls::NAME => tls::hold(&mut holding),
        network::DEGRADE => network::hold(&mut holding),
        dns::NAME => dns::hold(&mut holding),
        database::LOCK | database::CONNECTIONS | database::KILL => database::hold(&mut holding),
        other => Err(FaultError::Target(format!("nobody holds '{other}'"))),
    };
    if let Err(error) = held {
        let text = error.to_string().replace('\n', " ");
        // Nobody may be there to hear it.
        let _ = writeln!(holding.say, "{text}");
    }
    Ok(())
}
