//! The hypothesis: before, during and after the method.

use super::activity::How;
use super::{Runner, Status};
use crate::chaos::bell::{Bell, Ear, Waited};
use crate::chaos::events::bounded;
use crate::chaos::log::Level;
use crate::chaos::provider::{Failure, call};
use crate::chaos::substitute::substitute;
use crate::chaos::tolerance::{NotApplicable, within};
use crate::chaos::{model, py};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whether a look at the hypothesis found it met.
fn met(state: &Value) -> bool {
    state["steady_state_met"] == true
}

fn last_probe(state: &Value) -> String {
    let probes = state["probes"].as_array();
    let last = probes.and_then(|probes| probes.last());
    last.map_or_else(String::new, |probe| py::text(&probe["activity"]["name"]))
}

impl Runner<'_> {
    /// True when the method may begin.
    pub(super) fn hypothesis_before(&self) -> Result<bool, Failure> {
        self.event("hypothesis-started", &json!({"phase": "before"}));
        let state = self.hypothesis(Ear::Main)?;
        self.completed("before", &state);
        self.journal.lock().before = Some(state.clone());
        if !met(&state) {
            self.not_met(&state);
        }
        Ok(met(&state))
    }

    pub(super) fn hypothesis_after(&self) -> Result<(), Failure> {
        self.event("hypothesis-started", &json!({"phase": "after"}));
        let state = self.hypothesis(Ear::Main)?;
        self.completed("after", &state);
        self.journal.lock().after = Some(state.clone());
        if !met(&state) {
            self.journal.lock().deviated = true;
            self.not_met(&state);
        }
        Ok(())
    }

    fn not_met(&self, state: &Value) {
        let mut probes = state["probes"].as_array().into_iter().flatten();
        let failed = probes.any(|probe| probe["status"] != "succeeded");
        self.journal.set_status(if failed {
            Status::Failed
        } else {
            Status::Completed
        });
        let name = last_probe(state);
        self.say(
            Level::Critical,
            &format!("Steady state probe '{name}' is not in the given tolerance so failing this experiment"),
        );
    }

    fn completed(&self, phase: &str, state: &Value) {
        self.event("hypothesis-completed", &told(phase, state));
    }

    /// One look: up to the first probe that fails or is out of tolerance.
    pub(super) fn hypothesis(&self, ear: Ear) -> Result<Value, Failure> {
        let hypothesis = &self.experiment["steady-state-hypothesis"];
        let title = py::text(&hypothesis["title"]);
        self.say(Level::Info, &format!("Steady state hypothesis: {title}"));
        let at = self.at("hypothesis", hypothesis);
        self.controls.before(&at)?;
        let result = self.look(ear);
        let state = result.as_ref().ok();
        self.controls
            .after_one(&at, state.unwrap_or(&Value::Null))?;
        result
    }

    fn look(&self, ear: Ear) -> Result<Value, Failure> {
        let mut probes: Vec<Value> = Vec::new();
        for activity in model::probes(&self.experiment) {
            let mut entry = self.activity(activity, How::looking(ear))?;
            let held = if entry["status"] == "failed" {
                self.say(
                    Level::Warning,
                    "Probe terminated unexpectedly, so its tolerance could not be validated",
                );
                false
            } else if self.options.dry.probes {
                true
            } else {
                self.within(activity, &entry["output"], ear)?
            };
            entry["tolerance_met"] = json!(held);
            probes.push(entry);
            if !held {
                return Ok(json!({"steady_state_met": false, "probes": probes}));
            }
        }
        self.say(Level::Info, "Steady state hypothesis is met!");
        Ok(json!({"steady_state_met": true, "probes": probes}))
    }

    /// Whether an output is within the tolerance of its probe.
    pub(super) fn within(
        &self,
        activity: &Value,
        output: &Value,
        ear: Ear,
    ) -> Result<bool, Failure> {
        let tolerance = match &activity["tolerance"] {
            text @ Value::String(_) => substitute(text, self.names()),
            other => other.clone(),
        };
        let mut stopped = None;
        let mut ask = |probe: &Value| {
            let mut probe = probe.clone();
            let arguments = probe.pointer("/provider/arguments").unwrap_or(&Value::Null);
            if !probe["provider"].is_object() || !(arguments.is_object() || arguments.is_null()) {
                return Err(NotApplicable(
                    "the arguments of a probe must be a mapping".into(),
                ));
            }
            probe["provider"]["arguments"]["value"] = output.clone();
            match call(&self.call(&probe, ear)) {
                Ok(answer) => Ok(py::truth(&answer)),
                Err(Failure::Failed(_)) => Ok(false),
                Err(Failure::Unexpected(message)) => Err(NotApplicable(message)),
                Err(Failure::Stopped(stop)) => {
                    stopped = Some(stop);
                    Ok(false)
                }
            }
        };
        let held = within(&tolerance, output, self.names(), &mut ask);
        if let Some(stop) = stopped {
            return Err(Failure::Stopped(stop));
        }
        let name = py::text(&activity["name"]);
        held.map_err(|error| Failure::Unexpected(format!("probe '{name}': {error}")))
    }

    /// Looks again and again until `over`.
    pub(super) fn continuously(&self, over: &Flag, looked: &Flag) {
        let frequency = self.options.frequency;
        self.event(
            "hypothesis-started",
            &json!({"phase": "during", "frequency": frequency}),
        );
        let every = py::float_text(frequency);
        self.say(
            Level::Info,
            &format!("Executing the steady-state hypothesis continuously every {every} seconds"),
        );
        if let Err(failure) = self.looks(over, looked) {
            let (status, message) = match failure {
                Failure::Stopped(stop) => (Status::Interrupted, format!("{stop:?}")),
                Failure::Failed(message) | Failure::Unexpected(message) => {
                    (Status::Aborted, message)
                }
            };
            self.journal.set_status(status);
            self.say(Level::Critical, &message);
        }
        if self.journal.status() == Some(Status::Interrupted) {
            // What interrupted the run is said first.
            self.unsaid.raise(&self.tools.bell);
        } else {
            self.continuous_is_over();
        }
    }

    pub(super) fn continuous_is_over(&self) {
        self.say(Level::Info, "Continuous steady state hypothesis terminated");
    }

    fn looks(&self, over: &Flag, looked: &Flag) -> Result<(), Failure> {
        let pause = Duration::try_from_secs_f64(self.options.frequency).unwrap_or(Duration::ZERO);
        let (mut iteration, mut unmet) = (0u32, 0u32);
        loop {
            let ended = matches!(
                self.journal.status(),
                Some(Status::Failed | Status::Interrupted | Status::Aborted)
            );
            if over.is_up() || ended {
                return Ok(());
            }
            iteration += 1;
            let state = self.hypothesis(Ear::Background)?;
            let mut fields = told("during", &state);
            fields["iteration"] = json!(iteration);
            self.event("hypothesis-completed", &fields);
            looked.raise(&self.tools.bell);
            let held = met(&state);
            let name = last_probe(&state);
            self.journal.lock().during.push(state);
            if !held {
                unmet += 1;
                let message =
                    format!("Continuous steady state probe '{name}' is not in the given tolerance");
                self.say(Level::Warning, &message);
                if self.options.fail_fast {
                    self.fail_fast(f64::from(unmet * 100) / f64::from(iteration));
                    return Ok(());
                }
            }
            over.wait(&self.tools.bell, pause);
        }
    }

    fn fail_fast(&self, share: f64) {
        let message =
            format!("Terminating immediately the experiment after {share:.1}% hypothesis deviated");
        self.say(Level::Info, &message);
        self.journal.set_status(Status::Failed);
    }
}

fn told(phase: &str, state: &Value) -> Value {
    let probes = state["probes"].as_array().into_iter().flatten();
    let probes: Vec<Value> = probes
        .map(|probe| {
            let mut fields = json!({
                "name": probe["activity"]["name"],
                "status": probe["status"],
                "tolerance_met": probe["tolerance_met"],
            });
            bounded(&probe["output"], &mut fields);
            fields
        })
        .collect();
    json!({"phase": phase, "met": state["steady_state_met"], "probes": probes})
}

/// Says to another thread that it is over.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn is_up(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn raise(&self, bell: &Bell) {
        self.0.store(true, Ordering::SeqCst);
        bell.poke();
    }

    pub(super) fn wait(&self, bell: &Bell, time: Duration) {
        let deadline = Instant::now().checked_add(time);
        // However waiting ends, who waits looks for itself.
        let _: Waited<()> = bell.wait(deadline, Ear::Background, || self.is_up().then_some(()));
    }
}
