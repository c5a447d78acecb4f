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

use super::FaultError;
use super::helper;
use login::Login;
use serde_json::Value;
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
