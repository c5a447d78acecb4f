//! Activities and their providers.

use super::{Problem, Validator, hints};
use crate::chaos::bell::{Bell, Ear};
use crate::chaos::child::Patience;
use crate::chaos::fault::{ALL, Faults};
use crate::chaos::place::KeyPath;
use crate::chaos::python::NoAnswer;
use crate::chaos::{model, py};
use serde_json::{Value, json};
use std::sync::Arc;

/// The providers there are; the last one is ours.
const PROVIDERS: [&str; 4] = ["python", "process", "http", "fault"];

/// Whether an activity can be run.
pub(super) fn activity(
    validator: &Validator<'_>,
    activity: &Value,
    path: &KeyPath,
) -> Result<(), Problem> {
    if !py::truth(activity) {
        return Err(Problem::invalid(path, "empty activity is no activity"));
    }
    if !activity.is_object() {
        return Err(Problem::broken(path, "an activity is a mapping"));
    }
    if let Some(reference) = activity.get("ref").filter(|reference| !reference.is_null()) {
        return match reference.as_str() {
            Some(name) if !name.is_empty() => Ok(()),
            _ => Err(Problem::invalid(
                &path.key("ref"),
                "reference to activity must be non-empty strings",
            )),
        };
    }
    kind(activity, path)?;
    let provider = activity
        .get("provider")
        .filter(|provider| py::truth(provider));
    let Some(provider) = provider else {
        return Err(Problem::invalid(
            &path.key("provider"),
            "an activity requires a provider",
        ));
    };
    let below = path.key("provider");
    let provider_type = provider_type(provider, &below)?;
    timing(activity, path)?;
    match provider_type {
        "python" => python(validator, activity, &below),
        "process" => process(validator, activity, &below),
        "http" => http(provider, &below),
        _ => fault(provider, &below),
    }
}

fn kind(activity: &Value, path: &KeyPath) -> Result<(), Problem> {
    let kind = activity.get("type").filter(|kind| py::truth(kind));
    let Some(kind) = kind else {
        return Err(
            Problem::invalid(&path.key("type"), "an activity must have a type")
                .suggest("write `type: probe` or `type: action`"),
        );
    };
    if kind != "probe" && kind != "action" {
        let message = format!("'{}' is not a supported activity type", py::text(kind));
        return Err(Problem::invalid(&path.key("type"), message)
            .suggest("write `type: probe` or `type: action`"));
    }
    if !py::truth_of(activity.get("name")) {
        return Err(Problem::invalid(
            &path.key("name"),
            "an activity must have a name",
        ));
    }
    Ok(())
}

fn provider_type<'a>(provider: &'a Value, path: &KeyPath) -> Result<&'a str, Problem> {
    if !provider.is_object() {
        return Err(Problem::broken(path, "a provider is a mapping"));
    }
    let kind = provider.get("type").filter(|kind| py::truth(kind));
    let path = path.key("type");
    let Some(kind) = kind else {
        return Err(Problem::invalid(&path, "a provider must have a type")
            .suggest(format!("write one of {}", PROVIDERS.join(", "))));
    };
    if let Some(known) = kind.as_str().filter(|kind| PROVIDERS.contains(kind)) {
        return Ok(known);
    }
    let text = py::text(kind);
    let problem = Problem::invalid(&path, format!("unknown provider type '{text}'"));
    Err(match hints::nearest(&text, PROVIDERS.into_iter()) {
        Some(near) => problem.suggest(format!("did you mean `{near}`?")),
        None => problem.suggest(format!("write one of {}", PROVIDERS.join(", "))),
    })
}

fn timing(activity: &Value, path: &KeyPath) -> Result<(), Problem> {
    let timeout = activity.get("timeout").filter(|timeout| !timeout.is_null());
    if timeout.is_some_and(|timeout| !timeout.is_number() && !timeout.is_boolean()) {
        return Err(Problem::invalid(
            &path.key("timeout"),
            "activity timeout must be a number",
        ));
    }
    if let Some(pauses) = activity.get("pauses").filter(|pauses| !pauses.is_null()) {
        let path = path.key("pauses");
        if !pauses.is_object() {
            return Err(Problem::broken(
                &path,
                "pauses are a mapping of `before` and `after`",
            ));
        }
        for when in ["before", "after"] {
            let text = pauses.get(when).and_then(Value::as_str);
            if text.is_some_and(|text| !(text.starts_with("${") && text.ends_with('}'))) {
                let message = format!(
                    "activity {when} pause must be a number or a pattern to a variable from the \
                     configuration or secrets"
                );
                return Err(Problem::invalid(&path.key(when), message)
                    .suggest("write a number of seconds, or \"${name}\""));
            }
        }
    }
    match activity.get("background") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(_) => Err(Problem::invalid(
            &path.key("background"),
            "activity background must be a boolean",
        )),
    }
}

fn process(validator: &Validator<'_>, activity: &Value, path: &KeyPath) -> Result<(), Problem> {
    let at = path.key("path");
    let written = activity["provider"]
        .get("path")
        .filter(|path| py::truth(path));
    let Some(written) = written else {
        return Err(Problem::invalid(&at, "a process activity must have a path"));
    };
    let Some(text) = written.as_str() else {
        return Err(Problem::broken(&at, "the path of a process is a text"));
    };
    if validator.environment.which(text).is_some() {
        return Ok(());
    }
    let name = py::text(&activity["name"]);
    let problem = Problem::invalid(
        &at,
        format!("path '{text}' cannot be found, in activity '{name}'"),
    );
    Err(match text.split_once(' ') {
        Some((program, arguments)) if validator.environment.which(program).is_some() => problem
            .suggest(format!(
                "write `path: {program}` and `arguments: {arguments:?}`"
            )),
        _ => problem.suggest("install it, add its folder to PATH, or write its whole path"),
    })
}

fn http(provider: &Value, path: &KeyPath) -> Result<(), Problem> {
    if !py::truth_of(provider.get("url")) {
        return Err(Problem::invalid(
            &path.key("url"),
            "a HTTP activity must have a URL",
        ));
    }
    let headers = provider.get("headers").filter(|headers| py::truth(headers));
    if headers.is_some_and(|headers| !headers.is_object()) {
        let message = "a HTTP activities expect headers as a mapping";
        return Err(Problem::invalid(&path.key("headers"), message));
    }
    Ok(())
}

fn fault(provider: &Value, path: &KeyPath) -> Result<(), Problem> {
    Faults::validate(provider).map_err(|(key, message)| {
        let problem = Problem::invalid(&path.key(&key), message);
        if key != "fault" {
            return problem;
        }
        let names: Vec<&str> = ALL.iter().map(|fault| fault.name()).collect();
        let written = provider["fault"].as_str().unwrap_or_default();
        match hints::nearest(written, names.iter().copied()) {
            Some(near) => problem.suggest(format!("did you mean `{near}`?")),
            None => problem.suggest(format!("known are {}", names.join(", "))),
        }
    })
}

fn python(validator: &Validator<'_>, activity: &Value, path: &KeyPath) -> Result<(), Problem> {
    let provider = &activity["provider"];
    for (key, message) in [
        ("module", "a Python activity must have a module path"),
        ("func", "a Python activity must have a function name"),
    ] {
        if !py::truth_of(provider.get(key)) {
            return Err(Problem::invalid(&path.key(key), message));
        }
    }
    let answer = validator.python_says(activity);
    let message = |key: &str| answer.get(key).and_then(Value::as_str);
    if let Some(broken) = message("broken") {
        return Err(Problem::broken(path, broken));
    }
    message("invalid").map_or(Ok(()), |message| {
        let key = if message.starts_with("could not find") {
            "module"
        } else if message.starts_with("The python module") {
            "func"
        } else {
            "arguments"
        };
        let problem = Problem::invalid(&path.key(key), message);
        Err(if key == "module" {
            problem.suggest(
                "set PYTHONPATH to the folder of the module, or choose another Python by --python",
            )
        } else {
            problem
        })
    })
}

impl Validator<'_> {
    /// What Python says of a function and its arguments; all are asked at once.
    fn python_says(&self, activity: &Value) -> Value {
        let answers = self.answers.get_or_init(|| self.ask_python(activity));
        let found = answers.iter().find(|(asked, _)| asked == activity);
        found.map(|(_, answer)| answer.clone()).unwrap_or_default()
    }

    fn ask_python(&self, first: &Value) -> Vec<(Value, Value)> {
        let mut asked: Vec<Value> = model::all(self.experiment)
            .flat_map(|activity| [activity, &activity["tolerance"]])
            .chain(model::list(self.experiment, "stop-conditions"))
            .filter(|activity| callable(activity))
            .cloned()
            .collect();
        if !asked.contains(first) {
            asked.push(first.clone());
        }
        let patience = Patience {
            bell: Arc::new(Bell::default()),
            ear: Ear::Main,
            timeout: None,
        };
        let request = json!({"kind": "validate", "activities": asked});
        let answers = match self.python.ask(&request, self.environment, &patience) {
            Ok(answer) => answer["results"].as_array().cloned().unwrap_or_default(),
            Err(why) => {
                let why = match why {
                    NoAnswer::Broken(why) => why,
                    NoAnswer::Ended(end) => format!("{end:?}"),
                };
                vec![json!({"broken": why}); asked.len()]
            }
        };
        asked.into_iter().zip(answers).collect()
    }
}

fn callable(activity: &Value) -> bool {
    let provider = &activity["provider"];
    provider["type"] == "python" && provider["module"].is_string() && provider["func"].is_string()
}
