//! What faults may hit, who allows it, and who is asked before the first one.
//!
//! In: what each fault is going to hit, the process's surroundings, what the command line allows. Out:
//! a yes, or why not. Invariant: nothing is put in before [`Consent::permit`] said yes to every target.

mod consent;
mod surroundings;
mod target;

pub use consent::{Ask, Consent, Refused, Rules};
pub use surroundings::Surroundings;
pub use target::{Listed, Target, listed_in};

use std::fmt::Write;

/// A fault that is going to be put in, as far as that is known beforehand.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The activity.
    pub activity: String,
    /// The fault's name.
    pub fault: String,
    /// What it will hit; nothing when that is known only later.
    pub targets: Option<Vec<Target>>,
    /// What is done, a step each.
    pub does: Vec<String>,
    /// How that is taken back.
    pub undo: Vec<String>,
    /// For how many seconds at most.
    pub seconds: f64,
    /// Why it is not known what it will hit.
    pub unknown: Option<String>,
}

/// The blast radius in words.
pub fn statement(planned: &[Planned], around: &Surroundings) -> String {
    let number = planned.len();
    let faults = if number == 1 { "fault" } else { "faults" };
    let mut text = format!("This experiment puts in {number} {faults}, {around}:\n");
    for one in planned {
        let seconds = one.seconds;
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            "  {} ({}), for at most {seconds} s",
            one.activity, one.fault
        );
        match (&one.targets, &one.unknown) {
            (Some(targets), _) => {
                for target in targets {
                    let _ = writeln!(text, "    hits {target}");
                }
            }
            (None, why) => {
                let why = why.as_deref().unwrap_or_default();
                let _ = writeln!(
                    text,
                    "    what it hits is known only when its turn comes ({why})"
                );
            }
        }
    }
    text
}

/// What a dry run shows of a fault.
pub fn shown(planned: &Planned) -> Vec<String> {
    let mut lines = vec![format!(
        "Dry run: fault {} of {} is not put in",
        planned.fault, planned.activity
    )];
    if let Some(why) = &planned.unknown {
        lines.push(format!("  cannot be planned yet: {why}"));
    }
    let targets = planned.targets.iter().flatten();
    lines.extend(targets.map(|target| format!("  would hit: {target}")));
    lines.extend(
        planned
            .does
            .iter()
            .map(|step| format!("  would do: {step}")),
    );
    lines.extend(planned.undo.iter().map(|step| format!("  undo: {step}")));
    lines
}
