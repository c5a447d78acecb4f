//! What a run came to, in words that keep apart what one exit code mixes up.

use super::run::{Journal, Status};
use serde::Serialize;
use serde_json::{Value, json};

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// `passed`, `deviated`, `baseline-not-met`, `probe-error`, `aborted`, `interrupted`, `error`.
    pub outcome: &'static str,
    /// Whether that answers the question that the experiment asked.
    pub conclusive: bool,
    /// In a sentence.
    pub verdict: String,
    /// What weakens it.
    pub warnings: Vec<&'static str>,
}

/// Exit codes of `--strict`.
pub const NOT_NORMAL: u8 = 3;
/// An action failed.
pub const ACTION_FAILED: u8 = 4;
/// There was nothing to judge by.
pub const NOTHING_JUDGED: u8 = 5;

fn not_met(state: &Value) -> bool {
    state["steady_state_met"] == false
}

fn failed(entries: &[Value]) -> bool {
    entries.iter().any(|entry| entry["status"] == "failed")
}

fn joined(phases: &[&str]) -> String {
    match phases {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A run that could not begin.
pub fn error(stage: &str) -> Outcome {
    Outcome {
        outcome: "error",
        conclusive: false,
        verdict: format!("The experiment could not be run: {stage} failed."),
        warnings: Vec::new(),
    }
}

impl Outcome {
    /// From a journal, by fixed precedence.
    pub fn of(journal: &Journal) -> Self {
        let outcome = classify(journal);
        let warnings = warnings(journal);
        let weak = [
            "dry-run",
            "no-steady-state-hypothesis",
            "method-activity-failed",
        ];
        let answers = outcome == "passed" || outcome == "deviated";
        Self {
            outcome,
            conclusive: answers && !warnings.iter().any(|warning| weak.contains(warning)),
            verdict: verdict(outcome, journal),
            warnings,
        }
    }
}

fn states(journal: &Journal) -> impl Iterator<Item = &Value> {
    journal
        .before
        .iter()
        .chain(&journal.during)
        .chain(&journal.after)
}

fn classify(journal: &Journal) -> &'static str {
    match journal.status {
        Some(Status::Interrupted) => return "interrupted",
        Some(Status::Aborted) => return "aborted",
        _ => {}
    }
    let mut probes =
        states(journal).flat_map(|state| state["probes"].as_array().into_iter().flatten());
    if probes.any(|probe| probe["status"] != "succeeded") {
        return "probe-error";
    }
    if journal.before.as_ref().is_some_and(not_met) {
        return "baseline-not-met";
    }
    if deviated(journal).is_empty() {
        "passed"
    } else {
        "deviated"
    }
}

fn deviated(journal: &Journal) -> Vec<&'static str> {
    let mut phases = Vec::new();
    if journal.during.iter().any(not_met) {
        phases.push("during");
    }
    if journal.after.as_ref().is_some_and(not_met) {
        phases.push("after");
    }
    phases
}

fn verdict(outcome: &str, journal: &Journal) -> String {
    match outcome {
        "passed" => {
            let phases = [
                ("before", journal.before.is_some()),
                ("during", !journal.during.is_empty()),
                ("after", journal.after.is_some()),
            ];
            let phases: Vec<&str> = phases
                .iter()
                .filter(|(_, seen)| *seen)
                .map(|(name, _)| *name)
                .collect();
            if phases.is_empty() {
                return "The run completed without evaluating a steady state.".into();
            }
            format!("The steady state held {} the method.", joined(&phases))
        }
        "deviated" => {
            let phases = joined(&deviated(journal));
            if journal.before.is_none() {
                return format!(
                    "The steady state did not hold {phases} the method, no baseline was evaluated before it."
                );
            }
            format!("The steady state held before the method but not {phases} it.")
        }
        "baseline-not-met" => {
            "The steady state did not hold before the method, nothing was injected.".into()
        }
        "probe-error" => {
            "A steady-state probe could not be executed, its tolerance could not be evaluated."
                .into()
        }
        "aborted" => match reason(journal, "stop-condition") {
            Some(reason) => format!("The run was aborted: {reason}."),
            None => "The method ran into an unexpected error, the run was aborted.".into(),
        },
        _ => match reason(journal, "signal") {
            Some(reason) => format!("The run was interrupted before it completed: {reason}"),
            None => "The run was interrupted before it completed.".into(),
        },
    }
}

fn reason<'a>(journal: &'a Journal, kind: &str) -> Option<&'a str> {
    let interruption = journal.interruption.as_ref()?;
    (interruption["kind"] == kind).then(|| interruption["reason"].as_str())?
}

fn warnings(journal: &Journal) -> Vec<&'static str> {
    let experiment = journal.experiment();
    let declared = super::model::list(experiment, "rollbacks").len();
    let no_probes = super::model::probes(experiment).is_empty();
    [
        (!experiment["dry"].is_null(), "dry-run"),
        (no_probes, "no-steady-state-hypothesis"),
        (failed(&journal.run), "method-activity-failed"),
        (journal.rollbacks.len() < declared, "rollbacks-not-played"),
        (failed(&journal.rollbacks), "rollback-failed"),
    ]
    .into_iter()
    .filter_map(|(holds, warning)| holds.then_some(warning))
    .collect()
}

/// The exit code: that of the original tool, or of `strict` where that one says 0 and hides something.
pub fn exit_code(journal: &Journal, strict: bool) -> u8 {
    let interrupted = matches!(journal.status, Some(Status::Interrupted | Status::Aborted));
    if strict && !interrupted && journal.before.as_ref().is_some_and(not_met) {
        return NOT_NORMAL;
    }
    if journal.deviated || journal.status != Some(Status::Completed) {
        return 1;
    }
    let action =
        |entry: &&Value| entry["activity"]["type"] == "action" && entry["status"] == "failed";
    if strict && journal.run.iter().any(|entry| action(&entry)) {
        return ACTION_FAILED;
    }
    let judged = states(journal).next().is_some();
    if strict && !judged {
        return NOTHING_JUDGED;
    }
    0
}

impl Outcome {
    /// As it is written to `--result FILE`.
    pub fn to_json(&self) -> Value {
        json!({
            "outcome": self.outcome,
            "conclusive": self.conclusive,
            "verdict": self.verdict,
            "warnings": self.warnings,
        })
    }
}
