//! What came of a run's activities.

use super::experiment;
use crate::chaos::measure::commands::Ended;
use crate::chaos::run::Journal;
use serde_json::{Map, Value};

/// What came of a run's activities.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// The test suite's word; nothing when it never ran.
    pub(super) result: Option<&'static str>,
    /// Why nobody can be judged by it.
    pub(super) why: Option<String>,
    /// The system was not well before anything was done to it.
    pub(super) baseline: bool,
}

impl Came {
    pub(super) fn unsure(why: impl Into<String>) -> Self {
        Self {
            why: Some(why.into()),
            ..Self::default()
        }
    }

    fn unwell(why: impl Into<String>) -> Self {
        Self {
            baseline: true,
            ..Self::unsure(why)
        }
    }

    /// What a run comes to when a command before the fault does not end well; nothing when that was
    /// because somebody interrupted.
    pub(super) fn without(what: &str, ended: &Ended) -> Option<Self> {
        match ended {
            Ended::Stopped(_) => None,
            Ended::Status(_) | Ended::Late => {
                let why = format!("the system's `{what}` {}", ended.in_words());
                Some(Self::unwell(why))
            }
        }
    }

    /// What a journal says of a run.
    pub(super) fn of(journal: &Journal, configuration: &Map<String, Value>) -> Self {
        let met = |state: &Value| state["steady_state_met"] == true;
        if journal.before.as_ref().is_some_and(|state| !met(state)) {
            return Self::unwell("the system was not well before the fault");
        }
        let mut came = Self::default();
        for entry in &journal.run {
            match entry["activity"]["name"].as_str() {
                Some(experiment::TESTS) => came.result = Some(result(entry)),
                Some(experiment::START) => {}
                _ => came.why = came.why.or(experiment::doubt(entry, configuration)),
            }
        }
        if came.result.is_none() && came.why.is_none() {
            came.why = Some("the tests were never begun".into());
        }
        came
    }
}

/// The test suite's word.
fn result(entry: &Value) -> &'static str {
    match (entry["status"].as_str(), entry["output"]["status"].as_i64()) {
        (Some("succeeded"), Some(0)) => "SUCCESS",
        (Some("succeeded"), _) => "FAILURE",
        _ => "TIMED_OUT",
    }
}
