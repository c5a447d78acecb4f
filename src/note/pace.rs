//! When a channel may be told something: quiet hours, a rate, and one digest of what was held back.

use super::route::{Happening, Held, Pace, Quiet, digest_of, said_when};
use crate::state::Note;
use jiff::Timestamp;
use std::collections::VecDeque;

/// Moments that are remembered at most.
const REMEMBERED: usize = 1_000;

/// When a channel is told nothing.
#[derive(Debug, Clone)]
pub struct Restraint {
    /// Its quiet hours.
    pub quiet: Quiet,
    /// How much it hears.
    pub pace: Option<Pace>,
    /// Where people read what was held back.
    pub link: String,
}

/// What was said, and whether something waits because of the restraint.
#[derive(Debug, Default)]
pub(super) struct Restrained {
    said: VecDeque<Timestamp>,
    held: bool,
}

impl Restrained {
    /// When the next note may be said: `now`, or later. None when never.
    pub(super) fn when(&self, by: &Restraint, now: Timestamp) -> Option<Timestamp> {
        let said: Vec<Timestamp> = self.said.iter().copied().collect();
        said_when(&said, &by.quiet, by.pace, now)
    }

    /// Something is due and waits.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// True when what is due was held back and is said as one. Asking ends the holding.
    pub(super) fn releases(&mut self) -> bool {
        std::mem::take(&mut self.held)
    }

    /// Something was said.
    pub(super) fn spoke(&mut self, now: Timestamp) {
        self.said.push_back(now);
        while self.said.len() > REMEMBERED {
            self.said.pop_front();
        }
    }
}

/// One note that stands for several: it has the number of the first.
pub(super) fn digest(notes: &[Note], link: &str) -> Option<Note> {
    let held: Vec<Held> = notes.iter().map(held).collect();
    let mut one = notes.first()?.clone();
    one.text = digest_of(&held, link);
    one.kind = "digest".into();
    Some(one)
}

fn held(note: &Note) -> Held {
    let bugs = note.json["bugs"].as_array();
    let names = bugs.into_iter().flatten().filter_map(|bug| {
        let name = bug["bug"]["name"].as_str();
        name.map(str::to_owned)
    });
    let bugs: Vec<String> = names.collect();
    Held {
        note: note.id,
        happening: match note.kind.as_str() {
            "unexplained" => Happening::Unmatched,
            "late-log" => Happening::LateLog,
            "outage-begun" | "outage-over" => Happening::Outage,
            "returned-bug" => Happening::ReturnedBug,
            _ => Happening::Matched,
        },
        // What belongs to no verdict may still be about a build.
        build: note
            .build
            .clone()
            .or_else(|| note.json["build"].as_str().map(str::to_owned))
            .unwrap_or_default(),
        bugs,
        at: note.created_at,
    }
}
