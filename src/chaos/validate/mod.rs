//! Whether an experiment can be run: the original tool's rules, in its order and words.
//!
//! In: an experiment. Out: nothing, or the first thing that is wrong with it, with the key where it is.

mod activity;
mod controls;
mod deprecated;
mod hints;
mod hypothesis;

pub(crate) use hints::nearest;
pub use hints::{Hint, hints};
pub use hypothesis::tolerance;

use super::env::Environment;
use super::log::{Level, Log};
use super::place::KeyPath;
use super::py;
use super::python::Python;
use super::settings::{SettingError, load_configuration, load_secrets};
use serde_json::{Map, Value};

/// What is wrong with an experiment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What the original tool says, where it says something.
    pub message: String,
    /// The original tool does not report it: it ends with a traceback.
    pub broken: bool,
    /// Where it is.
    pub path: KeyPath,
    /// What to do about it.
    pub suggestion: Option<String>,
}

impl Problem {
    fn invalid(path: &KeyPath, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            broken: false,
            path: path.clone(),
            suggestion: None,
        }
    }

    fn broken(path: &KeyPath, message: impl Into<String>) -> Self {
        Self {
            broken: true,
            ..Self::invalid(path, message)
        }
    }

    #[must_use]
    fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

/// What validation works with.
pub struct Validator<'a> {
    environment: &'a Environment,
    python: &'a Python,
    /// What Python says of each function, asked for once.
    answers: std::cell::OnceCell<Vec<(Value, Value)>>,
    experiment: &'a Value,
}

impl<'a> Validator<'a> {
    /// For one experiment.
    pub fn new(experiment: &'a Value, environment: &'a Environment, python: &'a Python) -> Self {
        Self {
            environment,
            python,
            answers: std::cell::OnceCell::new(),
            experiment,
        }
    }

    /// Looks at all of it, with the log lines that people know.
    pub fn experiment(&self, log: &dyn Log) -> Result<(), Problem> {
        if py::truth(self.experiment) {
            self.shape()?;
        }
        log.log(Level::Info, "Validating the experiment's syntax");
        let result = self.checked(log);
        match &result {
            Ok(()) => log.log(Level::Info, "Experiment looks valid"),
            Err(problem) if !problem.broken => log.log(Level::Error, &problem.message),
            Err(_) => {}
        }
        result
    }

    /// Looks at one activity.
    pub fn activity(&self, activity: &Value) -> Result<(), Problem> {
        activity::activity(self, activity, &KeyPath::top())
    }

    /// What the original tool stumbles over before it says anything.
    fn shape(&self) -> Result<(), Problem> {
        let top = KeyPath::top();
        let Some(map) = self.experiment.as_object() else {
            return Err(Problem::broken(&top, "an experiment is a mapping"));
        };
        activities_in(map, "method", &top)?;
        let Some(hypothesis) = map.get("steady-state-hypothesis") else {
            return Ok(());
        };
        let path = top.key("steady-state-hypothesis");
        let Some(hypothesis) = hypothesis.as_object() else {
            return Err(Problem::broken(
                &path,
                "a hypothesis is a mapping with a title and probes",
            )
            .suggest("leave the key out when there is no hypothesis"));
        };
        activities_in(hypothesis, "probes", &path)
    }

    fn checked(&self, log: &dyn Log) -> Result<(), Problem> {
        let top = KeyPath::top();
        let Some(map) = self.experiment.as_object().filter(|map| !map.is_empty()) else {
            return Err(Problem::invalid(
                &top,
                "an empty experiment is not an experiment",
            ));
        };
        for key in ["title", "description"] {
            if !py::truth_of(map.get(key)) {
                return Err(Problem::invalid(
                    &top.key(key),
                    format!("experiment requires a {key}"),
                )
                .suggest(format!("add `{key}: …` at the top of the experiment")));
            }
        }
        tags(map)?;
        extensions(map)?;
        self.settings(map)?;
        hypothesis::hypothesis(self, map)?;
        self.method(map)?;
        self.rollbacks(map)?;
        self.stop_conditions(map)?;
        deprecated::warn(self.experiment, log);
        controls::controls(self, map, log)
    }

    fn settings(&self, map: &Map<String, Value>) -> Result<(), Problem> {
        let top = KeyPath::top();
        let empty = Map::new();
        let part = |key: &str| match map.get(key) {
            None => Ok(&empty),
            Some(Value::Object(map)) => Ok(map),
            Some(_) => Err(Problem::broken(
                &top.key(key),
                format!("`{key}` must be a mapping"),
            )),
        };
        let configuration = load_configuration(part("configuration")?, &empty, self.environment)
            .map_err(|error| setting(&top.key("configuration"), error))?;
        load_secrets(part("secrets")?, &configuration, &empty, self.environment)
            .map_err(|error| setting(&top.key("secrets"), error))?;
        Ok(())
    }

    fn method(&self, map: &Map<String, Value>) -> Result<(), Problem> {
        let path = KeyPath::top().key("method");
        let Some(method) = map.get("method") else {
            return Err(Problem::invalid(
                &path,
                "an experiment requires a method, which can be empty for only checking steady \
                 state hypothesis ",
            )
            .suggest("add `method: []`"));
        };
        for (n, activity) in method.as_array().into_iter().flatten().enumerate() {
            let path = path.item(n);
            activity::activity(self, activity, &path)?;
            let reference = activity.get("ref").and_then(Value::as_str);
            if let Some(name) = reference.filter(|name| !name.is_empty()) {
                self.referenced(name, &path.key("ref"))?;
            }
        }
        Ok(())
    }

    fn referenced(&self, name: &str, path: &KeyPath) -> Result<(), Problem> {
        if super::model::lookup(self.experiment, name).is_some() {
            return Ok(());
        }
        let message = format!("referenced activity '{name}' could not be found in the experiment");
        let problem = Problem::invalid(path, message);
        let known = super::model::names(self.experiment);
        Err(
            match hints::nearest(name, known.iter().map(String::as_str)) {
                Some(near) => problem.suggest(format!("did you mean `{near}`?")),
                None => problem,
            },
        )
    }

    fn rollbacks(&self, map: &Map<String, Value>) -> Result<(), Problem> {
        let path = KeyPath::top().key("rollbacks");
        let Some(rollbacks) = map.get("rollbacks") else {
            return Ok(());
        };
        let Some(rollbacks) = rollbacks.as_array() else {
            return Err(Problem::broken(
                &path,
                "rollbacks must be a list of activities",
            ));
        };
        for (n, activity) in rollbacks.iter().enumerate() {
            activity::activity(self, activity, &path.item(n))?;
        }
        Ok(())
    }

    /// Ours: probes with a tolerance that are watched all the time.
    fn stop_conditions(&self, map: &Map<String, Value>) -> Result<(), Problem> {
        let path = KeyPath::top().key("stop-conditions");
        let Some(conditions) = map.get("stop-conditions") else {
            return Ok(());
        };
        let Some(conditions) = conditions.as_array() else {
            return Err(Problem::invalid(
                &path,
                "stop-conditions must be a list of probes",
            ));
        };
        for (n, probe) in conditions.iter().enumerate() {
            hypothesis::probe(self, probe, &path.item(n))?;
        }
        Ok(())
    }
}

fn setting(path: &KeyPath, error: SettingError) -> Problem {
    match error {
        SettingError::Invalid { message, key } => Problem::invalid(&path.key(&key), message)
            .suggest("set the variable, or give a `default`"),
        SettingError::Broken { message, key } => Problem::broken(&path.key(&key), message),
    }
}

fn activities_in(map: &Map<String, Value>, key: &str, path: &KeyPath) -> Result<(), Problem> {
    let path = path.key(key);
    match map.get(key) {
        None => Ok(()),
        Some(Value::Array(items)) => {
            let odd = items.iter().position(|item| !item.is_object());
            odd.map_or(Ok(()), |n| {
                Err(Problem::broken(&path.item(n), "an activity is a mapping"))
            })
        }
        Some(_) => Err(
            Problem::broken(&path, format!("`{key}` must be a list of activities"))
                .suggest(format!("write `{key}: []` when there are none")),
        ),
    }
}

fn tags(map: &Map<String, Value>) -> Result<(), Problem> {
    let path = KeyPath::top().key("tags");
    let Some(tags) = map.get("tags").filter(|tags| py::truth(tags)) else {
        return Ok(());
    };
    let items = match tags {
        Value::Array(items) => items,
        Value::String(_) | Value::Object(_) => return Ok(()),
        _ => return Err(Problem::broken(&path, "tags must be a list of texts")),
    };
    let odd = items
        .iter()
        .position(|tag| tag.as_str().is_none_or(str::is_empty));
    odd.map_or(Ok(()), |n| {
        Err(Problem::invalid(
            &path.item(n),
            "experiment tags must be a non-empty string",
        ))
    })
}

fn extensions(map: &Map<String, Value>) -> Result<(), Problem> {
    let path = KeyPath::top().key("extensions");
    let Some(extensions) = map
        .get("extensions")
        .filter(|extensions| py::truth(extensions))
    else {
        return Ok(());
    };
    let Some(extensions) = extensions.as_array() else {
        return Err(Problem::broken(&path, "extensions must be a list"));
    };
    for (n, extension) in extensions.iter().enumerate() {
        let path = path.item(n);
        if !extension.is_object() {
            return Err(Problem::broken(
                &path,
                "an extension is a mapping with a name",
            ));
        }
        match extension.get("name").filter(|name| py::truth(name)) {
            Some(Value::String(name)) if !name.trim().is_empty() => {}
            Some(name) if !name.is_string() => {
                return Err(Problem::broken(
                    &path.key("name"),
                    "the name of an extension is a text",
                ));
            }
            _ => {
                let message = "All extensions require a non-empty name";
                return Err(Problem::invalid(&path.key("name"), message));
            }
        }
    }
    Ok(())
}
