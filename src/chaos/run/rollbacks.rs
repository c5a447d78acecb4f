//! The rollbacks.

use super::activity::How;
use super::journal::List;
use super::method::Running;
use super::{Runner, Status};
use crate::chaos::bell::{Ear, Stop};
use crate::chaos::log::Level;
use crate::chaos::provider::Failure;
use crate::chaos::{model, py};
use serde_json::{Value, json};
use std::thread::{self, Scope};

impl Runner<'_> {
    /// Plays the rollbacks when the strategy says so. Gives what broke them; the others are played
    /// nevertheless. After something `broken` nothing is said of the strategy.
    pub(super) fn rollbacks(&self, strategy: &str, broken: bool) -> Option<String> {
        if !broken && !self.wanted(strategy) {
            return None;
        }
        self.event("rollbacks-started", &json!({}));
        self.say(Level::Info, "Let's rollback...");
        let result = self.controlled();
        let mut message = None;
        match result {
            Ok(()) => {}
            Err(Failure::Stopped(stop)) => self.left_over(&stop),
            Err(Failure::Failed(why) | Failure::Unexpected(why)) => {
                self.journal.set_status(Status::Aborted);
                message = Some(why);
            }
        }
        self.event("rollbacks-completed", &json!({}));
        message
    }

    fn wanted(&self, strategy: &str) -> bool {
        let (status, deviated) = {
            let journal = self.journal.lock();
            (journal.status, journal.deviated)
        };
        match strategy {
            "always" => {
                self.say(
                    Level::Warning,
                    "Rollbacks were explicitly requested to be played",
                );
                true
            }
            "never" => {
                self.say(
                    Level::Warning,
                    "Rollbacks were explicitly requested to not be played",
                );
                false
            }
            "default" => !matches!(status, Some(Status::Failed | Status::Interrupted)),
            "deviated" if deviated => {
                self.say(
                    Level::Warning,
                    "Rollbacks will be played only because the experiment deviated",
                );
                true
            }
            "deviated" => {
                self.say(
                    Level::Warning,
                    "Rollbacks were explicitely requested to be played only if the experiment \
                     deviated. Since this is not the case, we will not play them.",
                );
                false
            }
            _ => false,
        }
    }

    fn left_over(&self, stop: &Stop) {
        self.journal.set_status(Status::Interrupted);
        match stop {
            Stop::Terminate => {
                self.say(
                    Level::Warning,
                    "Caught SIGTERM signal, interrupting experiment now",
                );
                self.say(Level::Critical, "SIGTERM signal received");
            }
            Stop::Control(message) => self.say(Level::Critical, message),
            _ => self.say(
                Level::Warning,
                "Received an exit signal.Terminating now without running the remaining rollbacks.",
            ),
        }
    }

    fn controlled(&self) -> Result<(), Failure> {
        let at = self.at("rollback", &self.experiment);
        self.controls.before(&at)?;
        let result = self.play_rollbacks();
        let state = json!(self.journal.lock().rollbacks);
        self.controls.after_one(&at, &state)?;
        result
    }

    fn play_rollbacks(&self) -> Result<(), Failure> {
        let rollbacks = model::list(&self.experiment, "rollbacks");
        if rollbacks.is_empty() {
            self.say(Level::Info, "No declared rollbacks, let's move on.");
        }
        let running = Running::default();
        thread::scope(|scope| {
            let mut broken = None;
            for activity in rollbacks {
                let name = py::text(activity.get("name").unwrap_or(&Value::Null));
                self.say(Level::Info, &format!("Rollback: {name}"));
                match self.rollback(scope, &running, activity) {
                    Ok(()) => {}
                    Err(stopped @ Failure::Stopped(_)) => return Err(stopped),
                    // The next one may still help.
                    Err(other) => broken = broken.or(Some(other)),
                }
            }
            self.background_ended(&running)?;
            broken.map_or(Ok(()), Err)
        })
    }

    fn rollback<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        running: &'env Running,
        activity: &'env Value,
    ) -> Result<(), Failure> {
        if py::truth(&activity["background"]) {
            self.in_background(scope, running, activity, List::Rollbacks);
            return Ok(());
        }
        let how = How {
            list: Some(List::Rollbacks),
            ..How::looking(Ear::Main)
        };
        self.activity(activity, how).map(drop)
    }
}
