//! The commands of the system under test.

use crate::chaos::bell::{Bell, Ear, Stop};
use crate::chaos::env::Environment;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often to look whether a command has ended.
const LOOK: Duration = Duration::from_millis(10);

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, with this status; none for a signal.
    Status(Option<i32>),
    /// It took too long, and was killed.
    Late,
    /// Somebody wants the measurement to end; it was killed.
    Stopped(Stop),
}

impl Ended {
    pub(super) fn well(&self) -> bool {
        *self == Self::Status(Some(0))
    }

    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Status(Some(status)) => format!("ended with status {status}"),
            Self::Status(None) => "was ended by a signal".into(),
            Self::Late => "took too long".into(),
            Self::Stopped(_) => "was interrupted".into(),
        }
    }
}

/// Runs a command in a process group of its own; what it says is added to `output`.
pub(super) fn run(
    words: &[String],
    environment: &Environment,
    output: &Path,
    limit: f64,
    bell: &Bell,
) -> io::Result<Ended> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(Ended::Status(Some(0)));
    };
    let file = OpenOptions::new().create(true).append(true).open(output)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0);
    environment.give(&mut command);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{program}: {error}"));
    let mut child = command.spawn().map_err(named)?;
    let limit = Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX);
    let begin = Instant::now();
    let early = loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Status(status.code()));
        }
        if begin.elapsed() > limit {
            break Ended::Late;
        }
        if let Err(stop) = bell.sleep(LOOK, Ear::Main) {
            break Ended::Stopped(stop);
        }
    };
    // It may have ended this moment.
    let _ = killpg(
        Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX)),
        Signal::SIGKILL,
    );
    child.wait()?;
    Ok(early)
}
