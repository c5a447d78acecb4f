//! The question before the first fault.

use crate::chaos::safety::Ask;
use crate::cli::say::say;
use std::io::{self, BufRead, IsTerminal};

/// Shows the blast radius on standard error, and asks on the terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    /// The answer was given on the command line.
    pub(super) yes: bool,
}

impl Ask for Terminal {
    fn ask(&self, statement: &str) -> Result<bool, String> {
        let safe = |c: char| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        };
        let shown: String = statement.trim_end().chars().map(safe).collect();
        say(&shown);
        if self.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err("there is no terminal to ask on whether to go on; --yes says so".into());
        }
        say("Go on? Only \"yes\" does:");
        let mut line = String::new();
        io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        Ok(matches!(line.trim(), "y" | "yes"))
    }
}
