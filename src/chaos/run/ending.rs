//! What the end of method and hypothesis means for the rest of a run.

use super::{Runner, Status};
use crate::chaos::bell::Stop;
use crate::chaos::log::Level;
use crate::chaos::provider::Failure;
use serde_json::json;

/// How to go on.
pub(super) enum Ending {
    /// Rollbacks as their strategy says.
    Usual,
    /// A signal forbade rollbacks.
    WithoutRollbacks,
    /// Where the original tool ends with a traceback.
    Broken(String),
}

impl Runner<'_> {
    /// Says what ended the phases and notes it in the journal.
    pub(super) fn ended(&self, phases: Result<(), Failure>) -> Ending {
        let stop = match phases {
            Ok(()) => return Ending::Usual,
            Err(Failure::Failed(message) | Failure::Unexpected(message)) => {
                return Ending::Broken(message);
            }
            Err(Failure::Stopped(stop)) => stop,
        };
        self.journal.set_status(Status::Interrupted);
        match stop {
            Stop::Interrupt => {
                self.say(Level::Warning, "Received a termination signal (Ctrl-C)...");
                self.event("run-signal-exit", &json!({}));
            }
            Stop::Terminate => {
                self.say(
                    Level::Warning,
                    "Caught SIGTERM signal, interrupting experiment now",
                );
                self.say(Level::Critical, "SIGTERM signal received");
                self.event("run-interrupted", &json!({}));
            }
            Stop::Leave => {
                self.say(Level::Warning, "Received the exit signal: 20");
                self.event("run-signal-exit", &json!({}));
            }
            Stop::LeaveNow => {
                self.say(Level::Warning, "Received the exit signal: 30");
                self.say(Level::Warning, "Ignoring rollbacks as per signal");
                self.event("run-signal-exit", &json!({}));
                return Ending::WithoutRollbacks;
            }
            Stop::Control(message) => {
                self.say(Level::Critical, &message);
                self.event("run-interrupted", &json!({}));
            }
            Stop::Condition(name) => self.condition_met(&name),
        }
        Ending::Usual
    }

    fn condition_met(&self, name: &str) {
        let message = format!("Stop condition '{name}' is met, aborting the experiment now");
        self.say(Level::Critical, &message);
        let mut journal = self.journal.lock();
        journal.status = Some(Status::Aborted);
        journal.interruption = Some(json!({
            "kind": "stop-condition", "name": name, "reason": format!("stop condition '{name}' is met"),
        }));
        drop(journal);
        self.event("run-interrupted", &json!({"stop_condition": name}));
    }
}
