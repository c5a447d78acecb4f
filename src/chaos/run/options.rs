//! How an experiment is to be run.

use serde_json::{Value, json};
use std::str::FromStr;

/// When the hypothesis is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HypothesisStrategy {
    /// Before and after the method.
    #[default]
    Default,
    /// Only before.
    Before,
    /// Only after.
    After,
    /// Only while the method runs.
    During,
    /// Before, during and after.
    Continuous,
    /// Not at all.
    Skip,
}

impl HypothesisStrategy {
    /// As the log has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Before => "before-method-only",
            Self::After => "after-method-only",
            Self::During => "during-method-only",
            Self::Continuous => "continuous",
            Self::Skip => "skip",
        }
    }

    pub(super) fn before(self) -> bool {
        matches!(self, Self::Default | Self::Before | Self::Continuous)
    }

    pub(super) fn during(self) -> bool {
        matches!(self, Self::During | Self::Continuous)
    }

    pub(super) fn after(self) -> bool {
        matches!(self, Self::Default | Self::After | Self::Continuous)
    }
}

impl FromStr for HypothesisStrategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "default" => Self::Default,
            "before-method-only" => Self::Before,
            "after-method-only" => Self::After,
            "during-method-only" => Self::During,
            "continuously" | "continously" => Self::Continuous,
            "skip" => Self::Skip,
            _ => {
                return Err(format!(
                    "unknown hypothesis strategy '{text}'; known are default, before-method-only, \
                     after-method-only, during-method-only, continuously, skip"
                ));
            }
        })
    }
}

/// What is not really done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dry {
    pub(super) probes: bool,
    pub(in crate::chaos) actions: bool,
    pub(super) pauses: bool,
}

impl Dry {
    /// From a word; anything else is nothing.
    pub fn of(word: &Value) -> Self {
        let word = word.as_str().unwrap_or_default();
        Self {
            probes: matches!(word, "probes" | "activities"),
            actions: matches!(word, "actions" | "activities"),
            pauses: word == "pause",
        }
    }

    /// What either of two does not do.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            probes: self.probes || other.probes,
            actions: self.actions || other.actions,
            pauses: self.pauses || other.pauses,
        }
    }

    /// The word for it.
    pub fn name(self) -> Option<&'static str> {
        match (self.probes, self.actions, self.pauses) {
            (true, true, _) => Some("activities"),
            (true, false, _) => Some("probes"),
            (false, true, _) => Some("actions"),
            (false, false, true) => Some("pause"),
            (false, false, false) => None,
        }
    }

    pub(super) fn to_json(self) -> Value {
        json!(self.name())
    }

    pub(super) fn skips(self, activity: &Value) -> bool {
        match activity["type"].as_str() {
            Some("action") => self.actions,
            _ => self.probes,
        }
    }
}

/// How an experiment is to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// When the hypothesis is looked at.
    pub hypothesis: HypothesisStrategy,
    /// When rollbacks are played: `default`, `always`, `never`, `deviated`.
    pub rollbacks: String,
    /// Seconds between two looks while the method runs.
    pub frequency: f64,
    /// End the method when a look during it was not met.
    pub fail_fast: bool,
    /// What is not really done.
    pub dry: Dry,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hypothesis: HypothesisStrategy::Default,
            rollbacks: "default".into(),
            frequency: 1.0,
            fail_fast: false,
            dry: Dry::default(),
        }
    }
}

impl Options {
    /// Strategies: those of the command line, else those of the experiment, else those of the settings.
    /// An experiment that sets one of the two resets the other one.
    pub fn strategies(
        &mut self,
        experiment: &Value,
        settings: &Value,
        hypothesis: Option<&str>,
        rollbacks: Option<&str>,
    ) -> Result<(), String> {
        let runtime = experiment
            .get("runtime")
            .filter(|runtime| crate::chaos::py::truth(runtime));
        let runtime = runtime.or_else(|| settings.get("runtime"));
        let from = |key: &str| {
            runtime
                .and_then(|r| r.get(key))
                .and_then(|s| s.get("strategy"))
                .and_then(Value::as_str)
        };
        let hypothesis = hypothesis
            .or_else(|| from("hypothesis"))
            .unwrap_or("default");
        self.hypothesis = hypothesis.parse()?;
        let rollbacks = rollbacks.or_else(|| from("rollbacks"));
        self.rollbacks = rollbacks.unwrap_or("default").into();
        Ok(())
    }
}
