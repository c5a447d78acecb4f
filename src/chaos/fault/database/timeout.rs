//! `database-timeout`.

use super::login::{Login, identifier, text};
use super::{PASSWORD_ENV, PASSWORD_FILE, TIMEOUT, URL};
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use serde_json::{Value, json};

const PARAMETERS: [(&str, &str); 6] = [
    URL,
    PASSWORD_ENV,
    PASSWORD_FILE,
    ("timeout", "milliseconds that a statement may take"),
    ("role", "only for this role; for all when not given"),
    (
        "reconnect",
        "yes: sessions are ended, so that they come back with the time-out; else only new ones have it",
    ),
];

const HOUR: u64 = 3_600_000;

/// Statements that are cancelled when they take too long.
pub(in crate::chaos::fault) struct Timeout;

/// `ALTER …` up to what is altered.
fn alter(login: &Login, role: Option<&str>) -> String {
    let database = identifier(&login.database());
    match role {
        Some(role) => format!("ALTER ROLE {} IN DATABASE {database}", identifier(role)),
        None => format!("ALTER DATABASE {database}"),
    }
}

/// What the time-out is set to, for the database or the role in it.
fn current(login: &Login, role: Option<&str>) -> Result<Option<String>, FaultError> {
    let database = text(&login.database());
    let role = role.map_or_else(
        || "0".to_owned(),
        |role| format!("(SELECT oid FROM pg_roles WHERE rolname = {})", text(role)),
    );
    let rows = login.ask(&format!(
        "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = {role} \
         AND setdatabase = (SELECT oid FROM pg_database WHERE datname = {database})"
    ))?;
    let value = |row: &String| row.strip_prefix("statement_timeout=").map(str::to_owned);
    Ok(rows.iter().find_map(value))
}

fn milliseconds(parameters: &Parameters<'_>) -> Result<u64, FaultError> {
    let given = parameters.whole("timeout", 1, HOUR)?;
    given.ok_or_else(|| parameters.missing("timeout", "is missing"))
}

impl Fault for Timeout {
    fn name(&self) -> &'static str {
        TIMEOUT
    }

    fn about(&self) -> &'static str {
        "lets a PostgreSQL database cancel the statements of new sessions after a time"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        Login::read(parameters)?;
        parameters.one_of("reconnect", &["yes", "no"])?;
        parameters.text("role")?;
        milliseconds(parameters).map(drop)
    }

    fn prepare(&self, parameters: &Parameters<'_>, _: &Ground<'_>) -> Result<Value, FaultError> {
        let login = Login::read(parameters)?;
        let role = parameters.text("role")?;
        let mut plan = login.to_json();
        plan["role"] = json!(role);
        plan["timeout"] = json!(format!("{}ms", milliseconds(parameters)?));
        plan["earlier"] = json!(current(&login, role)?);
        plan["reconnect"] = json!(parameters.one_of("reconnect", &["yes", "no"])? == Some("yes"));
        Ok(plan)
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let login = Login::from_json(plan);
        let role = plan["role"].as_str();
        let timeout = plan["timeout"].as_str().unwrap_or_default();
        let alter = alter(&login, role);
        login.ask(&format!(
            "{alter} SET statement_timeout = {}",
            text(timeout)
        ))?;
        if current(&login, role)?.as_deref() != Some(timeout) {
            return Err(FaultError::Effect("the time-out is not set".into()));
        }
        if plan["reconnect"] == true {
            end_sessions(&login, role)?;
        }
        Ok(())
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        let login = Login::from_json(plan);
        let role = plan["role"].as_str();
        if login.gone() {
            return Ok("the database is gone".into());
        }
        let now = current(&login, role)?;
        if now.as_deref() != plan["timeout"].as_str() {
            return Ok("the time-out was not set, or somebody has set another".into());
        }
        let alter = alter(&login, role);
        let earlier = plan["earlier"].as_str();
        let to = earlier.map_or_else(
            || "RESET statement_timeout".to_owned(),
            |earlier| format!("SET statement_timeout = {}", text(earlier)),
        );
        login.ask(&format!("{alter} {to}"))?;
        if plan["reconnect"] == true {
            end_sessions(&login, role)?;
        }
        Ok(format!(
            "statements may take {} again",
            earlier.unwrap_or("as long as they need")
        ))
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Host(Login::from_json(plan).host())]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &self.describe(plan).text,
            "set the time back to what it was, and end the sessions that have the new one",
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = Login::from_json(plan).place();
        let timeout = plan["timeout"].as_str().unwrap_or_default();
        Cause {
            fault: TIMEOUT.into(),
            text: format!("statements in {target} were cancelled after {timeout}"),
            target,
        }
    }
}

/// Ends the sessions that have the earlier setting.
fn end_sessions(login: &Login, role: Option<&str>) -> Result<(), FaultError> {
    let only = role.map_or_else(String::new, |role| format!("AND usename = {}", text(role)));
    login.ask(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() {only}"
    ))?;
    Ok(())
}
