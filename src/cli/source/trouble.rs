//! What was not understood, and how it is told.

use super::super::say::say;
use crate::event::is_deceptive;
use std::process::ExitCode;

/// How many things that were not understood are shown; all are counted.
const SHOWN: usize = 20;
/// Not everything was understood.
const INCOMPLETE: u8 = 4;

/// What was not understood: the first of it to be shown, all of it counted.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    shown: Vec<String>,
    count: usize,
}

impl Troubles {
    /// Counts one thing, and keeps it to be shown if it is one of the first.
    pub(super) fn add(&mut self, what: impl std::fmt::Display) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(safe(&what.to_string()));
        }
    }

    /// Counts things that are not shown.
    pub(super) fn add_unseen(&mut self, count: usize) {
        self.count += count;
    }

    /// Says all of it, and gives the exit code.
    pub(super) fn tell(&self, file: &str) -> ExitCode {
        if self.count == 0 {
            return ExitCode::SUCCESS;
        }
        for line in &self.shown {
            say(format_args!("not understood: {line}"));
        }
        if self.count > self.shown.len() {
            say(format_args!(
                "not understood: {} more",
                self.count - self.shown.len()
            ));
        }
        let things = if self.count == 1 {
            "thing was"
        } else {
            "things were"
        };
        say(format_args!(
            "{file}: {} {things} not understood",
            self.count
        ));
        ExitCode::from(INCOMPLETE)
    }
}

/// One line without characters that a terminal would obey.
fn safe(text: &str) -> String {
    let shown = |c: char| if is_deceptive(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
