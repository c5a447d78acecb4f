//! The method, with what runs beside it: background activities, the hypothesis, stop conditions.

use super::activity::How;
use super::hypothesis::Flag;
use super::journal::List;
use super::{Runner, Status};
use crate::chaos::bell::{Ear, Stop, Waited};
use crate::chaos::log::Level;
use crate::chaos::provider::Failure;
use crate::chaos::{model, py};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

/// So long the method waits for the first look during it.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// How many activities run in the background.
#[derive(Default)]
pub(super) struct Running(AtomicUsize);

impl Runner<'_> {
    /// Plays the method. True when it came to its end, so that the hypothesis is to be looked at.
    pub(super) fn method(&self, during: bool) -> Result<bool, Failure> {
        let (over, looked) = (Flag::default(), Flag::default());
        let played = thread::scope(|scope| {
            if during {
                scope.spawn(|| self.continuously(&over, &looked));
                // The first look is at what was there before the method, unless it takes long.
                looked.wait(&self.tools.bell, FIRST_LOOK);
            }
            self.watch_conditions(scope, &over);
            let played = self.play();
            if let Err(Failure::Stopped(_)) = &played {
                // Before the other threads are waited for: they look at it.
                self.journal
                    .lock()
                    .status
                    .get_or_insert(Status::Interrupted);
            }
            over.raise(&self.tools.bell);
            played
        });
        match played {
            Ok(()) => Ok(true),
            Err(stopped @ Failure::Stopped(_)) => Err(stopped),
            Err(Failure::Failed(message) | Failure::Unexpected(message)) => {
                self.journal.set_status(Status::Aborted);
                self.event("method-completed", &json!({}));
                self.say(
                    Level::Critical,
                    "Experiment ran into an un expected fatal error, aborting now.",
                );
                self.say(Level::Debug, &message);
                self.journal.lock().interruption =
                    Some(json!({"kind": "error", "name": null, "reason": message}));
                Ok(false)
            }
        }
    }

    fn play(&self) -> Result<(), Failure> {
        self.say(Level::Info, "Playing your experiment's method now...");
        self.event("method-started", &json!({}));
        self.journal.begin_method();
        let at = self.at("method", &self.experiment);
        self.controls.before(&at)?;
        let result = self.activities();
        let state = json!(self.journal.lock().run);
        self.controls.after_one(&at, &state)?;
        match &result {
            Ok(()) | Err(Failure::Stopped(Stop::Control(_) | Stop::Terminate)) => {
                self.event("method-completed", &json!({}));
            }
            Err(_) => {}
        }
        result
    }

    fn activities(&self) -> Result<(), Failure> {
        let method = model::list(&self.experiment, "method");
        if method.is_empty() {
            self.say(Level::Info, "No declared activities, let's move on.");
        }
        let running = Running::default();
        thread::scope(|scope| {
            let result = self.one_by_one(scope, &running, method);
            let hard = matches!(&result, Err(Failure::Stopped(Stop::LeaveNow)));
            if hard {
                return result;
            }
            self.background_ended(&running).and(result)
        })
    }

    fn one_by_one<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        running: &'env Running,
        method: &'env [Value],
    ) -> Result<(), Failure> {
        for activity in method {
            self.tools.bell.check(Ear::Main).map_err(Failure::Stopped)?;
            if py::truth(&activity["background"]) {
                self.in_background(scope, running, activity, List::Run);
            } else {
                let how = How {
                    list: Some(List::Run),
                    ..How::looking(Ear::Main)
                };
                self.activity(activity, how)?;
            }
            if matches!(
                self.journal.status(),
                Some(Status::Aborted | Status::Failed | Status::Interrupted)
            ) {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn in_background<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        running: &'env Running,
        activity: &'env Value,
        list: List,
    ) {
        running.0.fetch_add(1, Ordering::SeqCst);
        let begun = Arc::new(Flag::default());
        let flag = Arc::clone(&begun);
        scope.spawn(move || {
            let how = How {
                list: Some(list),
                begun: Some(&flag),
                ..How::looking(Ear::Background)
            };
            // Its entry says how it ended; nothing more hangs on it.
            let _ = self.activity(activity, how);
            running.0.fetch_sub(1, Ordering::SeqCst);
            flag.raise(&self.tools.bell);
        });
        // Activities begin in the order in which they are written.
        begun.wait(&self.tools.bell, Duration::from_secs(5));
    }

    /// Waits for background activities, unless the run is to end.
    pub(super) fn background_ended(&self, running: &Running) -> Result<(), Failure> {
        let none = || (running.0.load(Ordering::SeqCst) == 0).then_some(());
        match self.tools.bell.wait(None, Ear::Main, none) {
            Waited::Stopped(stop) => Err(Failure::Stopped(stop)),
            Waited::Ready(()) | Waited::Late => Ok(()),
        }
    }

    /// Ours: each probe of `stop-conditions` is asked again and again; out of tolerance, it ends the run.
    fn watch_conditions<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        over: &'env Flag,
    ) {
        if self.options.dry.probes {
            return;
        }
        for probe in model::list(&self.experiment, "stop-conditions") {
            scope.spawn(move || self.watch(probe, over));
        }
    }

    fn watch(&self, probe: &Value, over: &Flag) {
        let every = probe["frequency"].as_f64().unwrap_or(1.0);
        let pause = Duration::try_from_secs_f64(every).unwrap_or(Duration::from_secs(1));
        while !over.is_up() {
            let output = crate::chaos::provider::call(&self.call(probe, Ear::Background));
            let held = match output {
                Ok(output) => self.within(probe, &output, Ear::Background),
                // What cannot be asked is not known to be well.
                Err(Failure::Failed(_) | Failure::Unexpected(_)) => Ok(false),
                Err(stopped) => Err(stopped),
            };
            match held {
                Ok(true) => {}
                Err(Failure::Stopped(_)) => return,
                _ if over.is_up() => return,
                _ => {
                    let name = py::text(&probe["name"]);
                    return self.tools.bell.ring(Stop::Condition(name));
                }
            }
            over.wait(&self.tools.bell, pause);
        }
    }
}
