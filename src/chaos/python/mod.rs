//! Python: functions and controls run in a `python3` child that takes and gives JSON.

mod host;

pub(crate) use host::Host;

use super::child::{self, ChildEnd, Patience};
use super::env::Environment;
use serde_json::Value;
use std::process::Command;

/// What the child runs.
const SCRIPT: &str = include_str!("child.py");

/// How Python is started.
#[derive(Debug, Clone)]
pub struct Python {
    program: String,
}

/// Why Python gave no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// There is no Python, or it broke: why.
    Broken(String),
    /// It took too long or the run is to end.
    Ended(ChildEnd),
}

impl Default for Python {
    fn default() -> Self {
        Self::new("python3")
    }
}

impl Python {
    /// Python under a name or path.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
        }
    }

    fn command(&self, environment: &Environment) -> Result<Command, String> {
        let found = environment.which(&self.program);
        let path = found.ok_or_else(|| format!("'{}' cannot be found", self.program))?;
        let mut command = Command::new(path);
        command.args(["-c", SCRIPT]);
        environment.give(&mut command);
        Ok(command)
    }

    /// Asks one question in a child of its own.
    pub(crate) fn ask(
        &self,
        request: &Value,
        environment: &Environment,
        patience: &Patience,
    ) -> Result<Value, NoAnswer> {
        let command = self.command(environment).map_err(NoAnswer::Broken)?;
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        let output = child::run(command, Some(line), patience).map_err(NoAnswer::Ended)?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = child::text(output.stderr);
            let last = said.trim_end().lines().last().unwrap_or("nothing");
            NoAnswer::Broken(format!(
                "{} ended with status {}: {last}",
                self.program, output.status
            ))
        })
    }
}
