//! A run of an experiment: hypothesis, method, hypothesis, rollbacks.
//!
//! In: an experiment, its settings, tools. Out: a journal. Invariants: rollbacks and faults are dealt
//! with however the run ends; what several threads say goes into the journal in the order in which
//! activities began.

mod activity;
mod ending;
mod hypothesis;
mod journal;
mod method;
mod options;
mod rollbacks;

pub use journal::{Journal, Status};
pub use options::{Dry, HypothesisStrategy, Options};

use super::bell::{Bell, Ear};
use super::control::Controls;
use super::env::Environment;
use super::events::Events;
use super::fault::Faults;
use super::log::{Level, Log};
use super::mask::{Mask, MaskedLog};
use super::provider::{Call, Failure, Tools, call};
use super::python::Python;
use super::settings::{SettingError, Variables, dynamic, load_configuration, load_secrets};
use super::signals::FirstSignal;
use super::substitute::{Names, substitute};
use super::{model, py};
use ending::Ending;
use hypothesis::Flag;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// What a run works with.
pub struct Means {
    /// Where log lines go.
    pub log: Arc<dyn Log>,
    /// What interrupts it.
    pub bell: Arc<Bell>,
    /// Which signal came first.
    pub signals: Arc<FirstSignal>,
    /// The environment, with what files of variables added.
    pub environment: Environment,
    /// How Python is started.
    pub python: Python,
    /// Where faults are written down.
    pub faults: Faults,
    /// Where events go.
    pub events: Option<Events>,
    /// Controls that hold for every experiment.
    pub controls: Vec<Value>,
}

/// A run that could not even begin, or broke off where the original tool ends with a traceback.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A value could not be loaded.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Its faults are not allowed. Nothing was begun.
    #[error(transparent)]
    Refused(#[from] super::safety::Refused),
    /// Something in the experiment cannot be done. What was begun was rolled back.
    #[error("{message}")]
    Broken {
        /// What is wrong.
        message: String,
        /// What was done until then, when the method had begun.
        journal: Option<Box<Journal>>,
    },
}

/// A run that is going on.
struct Runner<'a> {
    experiment: Value,
    options: &'a Options,
    configuration: Map<String, Value>,
    secrets: Map<String, Value>,
    tools: Tools,
    signals: Arc<FirstSignal>,
    controls: Controls,
    events: Option<Events>,
    journal: journal::Shared,
    /// The end of the continuous hypothesis has not been said yet.
    unsaid: Flag,
}

/// Runs an experiment that was validated.
pub fn run(
    experiment: Value,
    options: &Options,
    variables: &Variables,
    means: Means,
) -> Result<Journal, RunError> {
    if !experiment.is_object() {
        return Err(RunError::Broken {
            message: "an experiment is a mapping".into(),
            journal: None,
        });
    }
    let tools = Tools {
        log: means.log,
        bell: means.bell,
        environment: Arc::new(means.environment),
        python: Arc::new(means.python),
        faults: Arc::new(means.faults),
    };
    let (configuration, secrets) = settings(&experiment, variables, &tools)?;
    let mask = Mask::of(&secrets);
    let tools = masked(tools, &mask);
    let mut experiment = experiment;
    let title = substitute(&experiment["title"], Names::new(&configuration, &secrets));
    experiment["title"] = title;
    let dry = options.dry.union(Dry::of(&experiment["dry"]));
    experiment["dry"] = dry.to_json();
    let options = &Options {
        dry,
        ..options.clone()
    };
    let names = Names::new(&configuration, &secrets);
    tools
        .faults
        .begin(&experiment, names, dry.actions, &mask, &*tools.log)?;
    let controls = Controls::new(
        &experiment,
        means.controls,
        Arc::clone(&tools.python),
        Arc::clone(&tools.environment),
    );
    let runner = Runner {
        journal: journal::Shared::new(&experiment, mask),
        experiment,
        options,
        configuration,
        secrets,
        tools,
        signals: means.signals,
        controls,
        events: means.events,
        unsaid: Flag::default(),
    };
    runner.run()
}

/// Tools whose log says no secrets.
fn masked(tools: Tools, mask: &Mask) -> Tools {
    if mask.is_empty() {
        return tools;
    }
    let inner = Arc::clone(&tools.log);
    let mask = mask.clone();
    Tools {
        log: Arc::new(MaskedLog { inner, mask }),
        ..tools
    }
}

/// Configuration and secrets.
type Settings = (Map<String, Value>, Map<String, Value>);

/// Loads configuration and secrets, and asks the probes among them.
fn settings(
    experiment: &Value,
    variables: &Variables,
    tools: &Tools,
) -> Result<Settings, SettingError> {
    let part = |key: &str| {
        experiment
            .get(key)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let environment = &tools.environment;
    let loaded = load_configuration(
        &part("configuration"),
        &variables.configuration,
        environment,
    )?;
    let secrets = load_secrets(&part("secrets"), &loaded, &variables.secrets, environment)?;
    let configuration = dynamic(loaded, &*tools.log, |probe, known| {
        call(&Call {
            activity: probe,
            configuration: known,
            secrets: &secrets,
            tools,
            ear: Ear::Background,
        })
        .map_err(|failure| format!("{failure:?}"))
    });
    Ok((configuration, secrets))
}

impl Runner<'_> {
    fn say(&self, level: Level, message: &str) {
        self.tools.log.log(level, message);
    }

    fn event(&self, kind: &str, fields: &Value) {
        if let Some(events) = &self.events {
            events.emit(kind, &self.journal.mask(fields));
        }
    }

    fn names(&self) -> Names<'_> {
        Names::new(&self.configuration, &self.secrets)
    }

    fn run(self) -> Result<Journal, RunError> {
        let title = py::text(&self.experiment["title"]);
        self.say(Level::Info, &format!("Running experiment: {title}"));
        self.event("run-started", &json!({"title": self.experiment["title"]}));
        if let Some(dry) = self.options.dry.name() {
            self.say(
                Level::Warning,
                &format!("Running experiment with dry {dry}"),
            );
        }
        self.controls.configure(&self.configuration, &self.secrets);
        let strategy = self.options.hypothesis;
        self.say(
            Level::Info,
            &format!("Steady-state strategy: {}", strategy.name()),
        );
        self.say(
            Level::Info,
            &format!("Rollbacks strategy: {}", self.options.rollbacks),
        );
        let hypothesis = self.has_hypothesis();
        let ending = self.ended(self.phases(hypothesis));
        if self.unsaid.is_up() {
            self.continuous_is_over();
        }
        let broken = self.finish(&ending);
        self.controls.clean_up();
        let (status, deviated) = self.journal.verdict();
        self.event(
            "run-finished",
            &json!({"status": status, "deviated": deviated}),
        );
        match broken {
            None => Ok(self.journal.into_inner()),
            Some(message) => {
                let begun = self.journal.method_begun();
                let journal = Box::new(self.journal.into_inner());
                Err(RunError::Broken {
                    message,
                    journal: begun.then_some(journal),
                })
            }
        }
    }

    fn has_hypothesis(&self) -> bool {
        if self.options.hypothesis == HypothesisStrategy::Skip {
            self.say(Level::Info, "Skipping Steady-State Hypothesis as requested");
            return false;
        }
        let there = !model::probes(&self.experiment).is_empty();
        if !there {
            self.say(
                Level::Info,
                "No steady state hypothesis defined. That's ok, just exploring.",
            );
        }
        there
    }

    /// Everything up to the rollbacks.
    fn phases(&self, hypothesis: bool) -> Result<(), Failure> {
        let strategy = self.options.hypothesis;
        self.controls
            .before(&self.at("experiment", &self.experiment))?;
        if hypothesis && strategy.before() && !self.hypothesis_before()? {
            return Ok(());
        }
        let method = self.method(hypothesis && strategy.during())?;
        let ended = matches!(
            self.journal.status(),
            Some(Status::Interrupted | Status::Aborted)
        );
        if method && !ended && hypothesis && strategy.after() {
            self.hypothesis_after()?;
        }
        Ok(())
    }

    /// Rollbacks, faults, the last words. Gives what broke the run.
    fn finish(&self, ending: &Ending) -> Option<String> {
        let mut broken = None;
        match ending {
            // Nothing was begun, so there is nothing to be rolled back.
            Ending::Broken(message) if !self.journal.method_begun() => {
                broken = Some(message.clone());
            }
            Ending::Broken(message) => {
                self.journal.set_status(Status::Aborted);
                broken = Some(message.clone());
                self.rollbacks("always", true);
            }
            Ending::WithoutRollbacks => {}
            Ending::Usual => {
                let strategy = self.options.rollbacks.clone();
                broken = self.rollbacks(&strategy, false);
            }
        }
        self.tools.faults.finish(&*self.tools.log);
        if broken.is_none() {
            self.last_words();
        }
        self.journal.end(self.signals.name());
        broken
    }

    fn last_words(&self) {
        self.journal.settle();
        let (status, deviated) = self.journal.verdict();
        let word = if deviated { "deviated" } else { status };
        self.say(
            Level::Info,
            &format!("Experiment ended with status: {word}"),
        );
        if deviated {
            self.say(
                Level::Info,
                "The steady-state has deviated, a weakness may have been discovered",
            );
        }
        let state = self.journal.to_json();
        self.controls
            .after(&self.at("experiment", &self.experiment), &state);
    }

    /// Where controls are called.
    fn at<'c>(&'c self, level: &'static str, context: &'c Value) -> super::control::At<'c> {
        super::control::At {
            level,
            context,
            configuration: &self.configuration,
            secrets: &self.secrets,
        }
    }
}

/// Where the undo journals of runs are kept when nobody says otherwise.
pub fn default_state_folder(environment: &Environment) -> PathBuf {
    let set = |key: &str| {
        environment
            .get(key)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("WHORL_CHAOS_STATE")
        .or_else(|| set("XDG_STATE_HOME").map(|folder| folder.join("whorl/chaos")))
        .or_else(|| set("HOME").map(|folder| folder.join(".local/state/whorl/chaos")))
        .unwrap_or_else(|| PathBuf::from("/var/tmp/whorl-chaos"))
}
