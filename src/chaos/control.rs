//! Controls: functions that are told what a run is about to do and what it has done.
//!
//! In: declarations, moments of a run. Out: calls of Python functions; at most a wish to end the run.
//! What a control changes in what it is shown stays with it.

use super::bell::Stop;
use super::env::Environment;
use super::provider::Failure;
use super::py;
use super::python::{Host, Python};
use super::substitute::{Names, substitute};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// A moment of a run.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    /// `experiment`, `hypothesis`, `method`, `rollback`, `activity`.
    pub(crate) level: &'static str,
    /// What it is about.
    pub(crate) context: &'a Value,
    pub(crate) configuration: &'a Map<String, Value>,
    pub(crate) secrets: &'a Map<String, Value>,
}

/// All controls of a run.
pub(crate) struct Controls {
    experiment: Value,
    global: Vec<Value>,
    top: Vec<Value>,
    python: Arc<Python>,
    environment: Arc<Environment>,
    /// Started when the first control is called.
    host: Mutex<Option<Host>>,
    any: bool,
}

fn list(of: &Value) -> Vec<Value> {
    of.get("controls")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

impl Controls {
    pub(crate) fn new(
        experiment: &Value,
        global: Vec<Value>,
        python: Arc<Python>,
        environment: Arc<Environment>,
    ) -> Self {
        let own = super::model::all(experiment).any(|activity| !list(activity).is_empty());
        let top = list(experiment);
        let hypothesis = !list(&experiment["steady-state-hypothesis"]).is_empty();
        Self {
            any: own || hypothesis || !top.is_empty() || !global.is_empty(),
            experiment: experiment.clone(),
            global,
            top,
            python,
            environment,
            host: Mutex::new(None),
        }
    }

    /// Asks the Python child; nothing when it cannot be asked, which never fails a run.
    fn ask(&self, request: &Value) -> Option<Value> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if host.is_none() {
            *host = Host::start(&self.python, &self.environment).ok();
        }
        host.as_mut()?.ask(request).ok()
    }

    /// Every control once, by its name.
    fn each(&self) -> Vec<Value> {
        let mut each: Vec<Value> = self.global.clone();
        let of_activities = super::model::all(&self.experiment).flat_map(list);
        let all = self
            .top
            .iter()
            .cloned()
            .chain(list(&self.experiment["steady-state-hypothesis"]));
        for control in all.chain(of_activities) {
            let known = each.iter().any(|other| other["name"] == control["name"]);
            if !known && py::truth(&control["name"]) {
                each.push(control);
            }
        }
        each
    }

    /// `configure_control` of every control.
    pub(crate) fn configure(
        &self,
        configuration: &Map<String, Value>,
        secrets: &Map<String, Value>,
    ) {
        if !self.any {
            return;
        }
        for control in self.each() {
            self.hook(
                &control,
                "configure_control",
                &json!({}),
                &json!({
                    "experiment": self.experiment,
                    "configuration": configuration,
                    "secrets": secrets,
                    "settings": null,
                    "event_registry": null,
                }),
                &control["provider"]["arguments"],
            );
        }
    }

    /// `cleanup_control` of every control; the child ends.
    pub(crate) fn clean_up(&self) {
        if self.any {
            for control in self.each() {
                self.hook(
                    &control,
                    "cleanup_control",
                    &json!({}),
                    &json!({}),
                    &Value::Null,
                );
            }
        }
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        *host = None;
    }

    fn hook(
        &self,
        control: &Value,
        hook: &str,
        given: &Value,
        offered: &Value,
        arguments: &Value,
    ) -> Option<Value> {
        let provider = &control["provider"];
        if provider["type"] != "python" {
            return None;
        }
        self.ask(&json!({
            "kind": "control", "module": provider["module"], "hook": hook,
            "given": given, "offered": offered, "arguments": arguments,
        }))
    }

    /// Controls that are called before something.
    pub(crate) fn before(&self, at: &At<'_>) -> Result<(), Failure> {
        self.apply(at, "before", &Value::Null)
    }

    /// Controls that are called after something.
    pub(crate) fn after_one(&self, at: &At<'_>, state: &Value) -> Result<(), Failure> {
        self.apply(at, "after", state)
    }

    /// Controls that are called at the very end, when nothing is left to be ended.
    pub(crate) fn after(&self, at: &At<'_>, state: &Value) {
        // Whatever they want, the run is over.
        let _ = self.apply(at, "after", state);
    }

    fn apply(&self, at: &At<'_>, scope: &str, state: &Value) -> Result<(), Failure> {
        if !self.any {
            return Ok(());
        }
        for control in self.of(at) {
            let wanted = control.get("scope").filter(|wanted| py::truth(wanted));
            if wanted.is_some_and(|wanted| wanted != scope) {
                continue;
            }
            let names = Names::new(at.configuration, at.secrets);
            let mut arguments = control["provider"]["arguments"].clone();
            if names.any() {
                arguments = substitute(&arguments, names);
            }
            let offered = json!({
                "secrets": at.secrets,
                "configuration": at.configuration,
                "state": state,
                "experiment": self.experiment,
                "extensions": self.experiment.get("extensions"),
                "settings": null,
            });
            let hook = format!("{scope}_{}_control", at.level);
            let answer = self.hook(
                &control,
                &hook,
                &json!({"context": at.context}),
                &offered,
                &arguments,
            );
            let wish = answer
                .as_ref()
                .and_then(|answer| answer.get("interrupt"))
                .and_then(Value::as_str);
            if let Some(wish) = wish {
                return Err(Failure::Stopped(Stop::Control(wish.to_owned())));
            }
        }
        Ok(())
    }

    /// The controls of a moment: those of the settings, of the experiment unless they are not automatic,
    /// and its own.
    fn of(&self, at: &At<'_>) -> Vec<Value> {
        let automatic = |control: &&Value| control.get("automatic").is_none_or(py::truth);
        let top = || self.top.iter().filter(automatic).cloned();
        if at.level == "experiment" {
            return self.global.iter().chain(&self.top).cloned().collect();
        }
        let mut own = self.global.clone();
        if at.level != "method" && at.level != "rollback" {
            own.extend(list(at.context));
        }
        if own.is_empty() || at.level == "method" || at.level == "rollback" {
            return own.into_iter().chain(top()).collect();
        }
        let mut all: Vec<Value> = top()
            .filter(|control| !own.iter().any(|other| other["name"] == control["name"]))
            .collect();
        for control in own {
            match control.get("ref") {
                Some(name) => all.extend(self.top.iter().find(|top| top["name"] == *name).cloned()),
                None => all.push(control),
            }
        }
        all
    }
}
