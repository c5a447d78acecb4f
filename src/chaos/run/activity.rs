//! One activity: controls, pauses, the call, its entry in the journal.

use super::Runner;
use super::hypothesis::Flag;
use super::journal::{List, now};
use crate::chaos::bell::{Bell, Ear};
use crate::chaos::events::bounded;
use crate::chaos::log::Level;
use crate::chaos::provider::{Call, Failure, call, seconds};
use crate::chaos::substitute::substitute;
use crate::chaos::{model, py};
use serde_json::{Value, json};
use std::time::Instant;

/// How an activity is run.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    /// The journal's list that its entry goes into, from its beginning.
    pub(super) list: Option<List>,
    pub(super) ear: Ear,
    /// Raised as soon as it was announced, for whoever lets it begin before going on.
    pub(super) begun: Option<&'a Flag>,
}

impl How<'_> {
    /// The run's main thread, without an entry in a list.
    pub(super) fn looking(ear: Ear) -> Self {
        Self {
            list: None,
            ear,
            begun: None,
        }
    }

    fn begin(self, bell: &Bell) {
        if let Some(begun) = self.begun {
            begun.raise(bell);
        }
    }
}

impl Runner<'_> {
    /// Runs an activity and gives its entry. What it fails with is in the entry; an error is something
    /// that ends more than the activity.
    pub(super) fn activity(&self, activity: &Value, how: How<'_>) -> Result<Value, Failure> {
        let reference = activity.get("ref").filter(|reference| py::truth(reference));
        let activity = match reference {
            None => activity,
            Some(name) => {
                let found = name
                    .as_str()
                    .and_then(|name| model::lookup(&self.experiment, name));
                found.ok_or_else(|| {
                    let name = py::text(name);
                    Failure::Unexpected(format!("could not find referenced activity '{name}'"))
                })?
            }
        };
        let at = self.at("activity", activity);
        self.controls.before(&at)?;
        let result = self.between_controls(activity, how);
        let state = result.as_ref().ok();
        self.controls
            .after_one(&at, state.unwrap_or(&Value::Null))?;
        result
    }

    fn between_controls(&self, activity: &Value, how: How<'_>) -> Result<Value, Failure> {
        let own = super::Dry::of(&activity["dry"]);
        let dry = self.options.dry.union(own);
        let is_dry = dry.skips(activity);
        let no_pause = dry.pauses || is_dry;
        let pauses = substitute(&activity["pauses"], self.names());
        self.pause(&pauses["before"], "before next", no_pause, how)?;
        self.announce(activity);
        let mut entry = json!({"activity": activity, "output": null, "start": now()});
        let place = how
            .list
            .map(|list| (list, self.journal.push(list, entry.clone())));
        how.begin(&self.tools.bell);
        let result = self.timed(activity, is_dry, how, &mut entry);
        if let Some((list, place)) = place {
            self.journal.update(list, place, &entry);
        }
        self.event("activity-completed", &completed(activity, &entry));
        result?;
        self.pause(&pauses["after"], "after", no_pause, how)?;
        Ok(entry)
    }

    fn announce(&self, activity: &Value) {
        let kind = title_case(activity["type"].as_str().unwrap_or_default());
        let name = py::text(&activity["name"]);
        let background = py::truth(&activity["background"]);
        let where_ = if background { " [in background]" } else { "" };
        self.say(Level::Info, &format!("{kind}: {name}{where_}"));
        self.event(
            "activity-started",
            &json!({"name": activity["name"], "activity_type": activity["type"], "background": background}),
        );
    }

    /// Calls the provider and fills the entry.
    fn timed(
        &self,
        activity: &Value,
        is_dry: bool,
        how: How<'_>,
        entry: &mut Value,
    ) -> Result<(), Failure> {
        let begin = Instant::now();
        let result = if is_dry {
            self.say_what_is_not_done(activity);
            Ok(Value::Null)
        } else {
            call(&self.call(activity, how.ear))
        };
        let result = match result {
            Ok(output) => {
                entry["output"] = output;
                entry["status"] = json!("succeeded");
                Ok(())
            }
            Err(Failure::Failed(message)) => {
                entry["status"] = json!("failed");
                let line = format!("chaoslib.exceptions.ActivityFailed: {message}\n");
                entry["exception"] = json!([line]);
                self.say(Level::Error, &format!("  => failed: {message}"));
                Ok(())
            }
            Err(other) => Err(other),
        };
        entry["end"] = json!(now());
        entry["duration"] = json!(begin.elapsed().as_secs_f64());
        result
    }

    /// What a fault would do, and how that would be taken back.
    fn say_what_is_not_done(&self, activity: &Value) {
        for line in self.tools.faults.shown(activity, self.names()) {
            self.say(Level::Info, &line);
        }
    }

    pub(super) fn call<'c>(&'c self, activity: &'c Value, ear: Ear) -> Call<'c> {
        Call {
            activity,
            configuration: &self.configuration,
            secrets: &self.secrets,
            tools: &self.tools,
            ear,
        }
    }

    fn pause(&self, time: &Value, when: &str, skip: bool, how: How<'_>) -> Result<(), Failure> {
        if !py::truth(time) {
            return Ok(());
        }
        let text = py::text(time);
        self.say(
            Level::Info,
            &format!("Pausing {when} activity for {text}s..."),
        );
        how.begin(&self.tools.bell);
        if skip {
            return Ok(());
        }
        if time.as_f64().is_some_and(|time| time < 0.0) {
            return Err(Failure::Unexpected(
                "sleep length must be non-negative".into(),
            ));
        }
        let Some(time) = seconds(time)? else {
            return Ok(());
        };
        self.tools
            .bell
            .sleep(time, how.ear)
            .map_err(Failure::Stopped)
    }
}

/// What the events say of an activity that ended.
fn completed(activity: &Value, entry: &Value) -> Value {
    let mut fields = json!({
        "name": activity["name"],
        "activity_type": activity["type"],
        "status": entry.get("status"),
        "duration": entry["duration"],
    });
    bounded(&entry["output"], &mut fields);
    if let Some(lines) = entry.get("exception").and_then(Value::as_array) {
        let text: String = lines.iter().filter_map(Value::as_str).collect();
        fields["error"] = json!(text.trim());
    }
    fields
}

/// `action` as log lines begin with it.
fn title_case(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first
        .into_iter()
        .chain(chars.map(|c| c.to_ascii_lowercase()))
        .collect()
}
