//! Faults of a `PostgreSQL` server, done by what its users can do to each other: no rights on its machine.
//!
//! What can be held open is held by a child: the server ends it when the child's connections do, and by
//! a time-out of its own when the child hangs. Passwords are named, never written down.

mod connections;
mod kill;
mod lock;
mod login;
mod timeout;

pub(super) use connections::Connections;
pub(super) use kill::Kill;
pub(super) use lock::Lock;
pub(super) use timeout::Timeout;

use super::helper::{self, Holding};
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use login::Login;
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

pub(super) const LOCK: &str = "database-lock";
pub(super) const CONNECTIONS: &str = "database-connections";
pub(super) const TIMEOUT: &str = "database-timeout";
pub(super) const KILL: &str = "database-kill";

const URL: (&str, &str) = (
    "url",
    "postgres://user@host:port/database, without a password",
);
const PASSWORD_ENV: (&str, &str) = (
    "password-env",
    "the environment variable that has the password",
);
const PASSWORD_FILE: (&str, &str) = ("password-file", "the file that has it");

/// How long the server may take to see that our connections are gone.
const GONE: Duration = Duration::from_secs(5);

/// What a child does to a server for as long as the fault lasts.
pub(super) trait Work: Sync {
    /// What experiments call it.
    const NAME: &'static str;
    /// One line for people.
    const ABOUT: &'static str;
    /// Parameters beside those of the login, too.
    const PARAMETERS: &'static [(&'static str, &'static str)];
    /// How it is taken back, for people.
    const UNDO: &'static str;

    /// Whether its own parameters make sense.
    fn check(parameters: &Parameters<'_>) -> Result<(), FaultError>;

    /// Adds what it needs to the plan, which has the login and the child's mark.
    fn plan(
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
        plan: &mut Value,
    ) -> Result<(), FaultError>;

    /// What the child does.
    fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError>;

    /// Puts it in.
    fn apply(plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        helper::start(helper::mark_in(plan), ground)
    }

    /// Takes it back.
    fn undo(plan: &Value) -> Result<String, FaultError> {
        let_go(plan)
    }

    /// What was done to the server of this address.
    fn in_words(plan: &Value, target: &str) -> String;
}

/// Such work as a fault.
pub(super) struct Held<W>(pub(super) W);

impl<W: Work> Fault for Held<W> {
    fn name(&self) -> &'static str {
        W::NAME
    }

    fn about(&self) -> &'static str {
        W::ABOUT
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        W::PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(W::PARAMETERS)?;
        Login::read(parameters)?;
        W::check(parameters)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let mut plan = Login::read(parameters)?.to_json();
        plan["mark"] = json!(helper::mark(ground));
        W::plan(parameters, ground, &mut plan)?;
        Ok(plan)
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        W::apply(plan, ground)
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        W::undo(plan)
    }

    fn work(
        &self,
        plan: &Value,
        ground: &Ground<'_>,
        say: &mut dyn Write,
    ) -> Result<(), FaultError> {
        W::hold(&mut Holding::new(self.name(), plan, ground, say))
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Host(Login::from_json(plan).host())]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(&self.describe(plan).text, W::UNDO)
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = Login::from_json(plan).place();
        Cause {
            fault: W::NAME.into(),
            text: W::in_words(plan, &target),
            target,
        }
    }
}

/// The name by which the server knows our connections.
fn name(plan: &Value) -> String {
    let mark = helper::mark_in(plan);
    format!("whorl {}", mark.trim_start_matches("--mark="))
}

/// Ends the child and makes sure that the server has let go, as far as it lets us look.
fn let_go(plan: &Value) -> Result<String, FaultError> {
    helper::end(helper::mark_in(plan))?;
    let login = Login::from_json(plan);
    let deadline = Instant::now() + GONE;
    loop {
        match login.ask(&left_over(plan)) {
            Ok(rows) if rows.is_empty() => return Ok("the server has let go".into()),
            Ok(_) if Instant::now() > deadline => {
                return Err(FaultError::Effect(format!(
                    "{} still has our connections",
                    login.place()
                )));
            }
            Ok(_) => std::thread::sleep(Duration::from_millis(20)),
            // The connections are closed: that is all that is needed, and a server may be gone.
            Err(error) => return Ok(format!("our connections are closed ({error})")),
        }
    }
}

/// Ends what the server still has of ours, and says what there was.
fn left_over(plan: &Value) -> String {
    let name = login::text(&name(plan));
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = {name} AND pid <> pg_backend_pid()"
    )
}
