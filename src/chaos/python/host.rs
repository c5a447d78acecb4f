//! A Python child that stays: controls keep what they know from one hook to the next.

use super::Python;
use crate::chaos::env::Environment;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// The child and the two ways to it.
#[derive(Debug)]
pub(crate) struct Host {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Host {
    /// Starts the child.
    pub(crate) fn start(python: &Python, environment: &Environment) -> Result<Self, String> {
        let mut command = python.command(environment)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let to = child.stdin.take();
        let from = child.stdout.take().ok_or("the child has no output")?;
        Ok(Self {
            child,
            to,
            from: BufReader::new(from),
        })
    }

    /// Asks a question and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Value) -> io::Result<Value> {
        let to = self.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(to, "{request}")?;
        to.flush()?;
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(io::Error::from)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Without input the child ends; it is waited for so that nothing is left of it.
        self.to = None;
        let _ = self.child.wait();
    }
}
