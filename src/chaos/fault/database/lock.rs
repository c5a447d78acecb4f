//! `database-lock`.

use super::login::{Login, identifier, wait};
use super::{LOCK, PASSWORD_ENV, PASSWORD_FILE, URL, let_go, name};
use crate::chaos::fault::helper::{self, Holding};
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::io::Write;
use tokio::time::timeout;

const PARAMETERS: [(&str, &str); 5] = [
    URL,
    PASSWORD_ENV,
    PASSWORD_FILE,
    (
        "table",
        "the table, with its schema if need be: public.builds",
    ),
    (
        "mode",
        "access exclusive (as when not given): nobody reads or writes; exclusive: nobody writes",
    ),
];

/// A table that others have to wait for.
pub(in crate::chaos::fault) struct Lock;

fn mode(parameters: &Parameters<'_>) -> Result<&'static str, FaultError> {
    let mode = parameters.one_of("mode", &["access exclusive", "exclusive"])?;
    Ok(mode.unwrap_or("access exclusive"))
}

fn table(parameters: &Parameters<'_>) -> Result<String, FaultError> {
    let table = parameters.text("table")?;
    table
        .map(str::to_owned)
        .ok_or_else(|| parameters.missing("table", "is missing"))
}

fn quoted(table: &str) -> String {
    let parts: Vec<String> = table.split('.').map(identifier).collect();
    parts.join(".")
}

/// Takes the lock and keeps it.
fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
    let plan = holding.plan;
    let login = Login::from_json(plan);
    let table = quoted(plan["table"].as_str().unwrap_or_default());
    let mode = plan["mode"].as_str().unwrap_or_default().to_uppercase();
    // Should we hang, the server ends it.
    let longest = holding.left().as_millis() + 1000;
    wait(async {
        let link = login.connect(&name(plan)).await?;
        link.ask(&format!(
            "SET idle_in_transaction_session_timeout = {longest}; SET lock_timeout = '8s'; \
             BEGIN; LOCK TABLE {table} IN {mode} MODE"
        ))
        .await?;
        holding.ready();
        // Over early only when the server ends the connection.
        let _ = timeout(holding.left(), link.task).await;
        Ok(())
    })
}

impl Fault for Lock {
    fn name(&self) -> &'static str {
        LOCK
    }

    fn about(&self) -> &'static str {
        "holds a lock on a table of a PostgreSQL database"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        Login::read(parameters)?;
        mode(parameters)?;
        table(parameters).map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let mut plan = Login::read(parameters)?.to_json();
        plan["table"] = json!(table(parameters)?);
        plan["mode"] = json!(mode(parameters)?);
        plan["mark"] = json!(helper::mark(ground));
        Ok(plan)
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        helper::start(helper::mark_in(plan), ground)
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        let_go(plan)
    }

    fn work(
        &self,
        plan: &Value,
        ground: &Ground<'_>,
        say: &mut dyn Write,
    ) -> Result<(), FaultError> {
        hold(&mut Holding::new(self.name(), plan, ground, say))
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Host(Login::from_json(plan).host())]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &self.describe(plan).text,
            "end the session that holds the lock",
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = Login::from_json(plan).place();
        let (table, mode) = (&plan["table"], &plan["mode"]);
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Cause {
            fault: LOCK.into(),
            text: format!(
                "table {} of {target} was locked ({})",
                word(table),
                word(mode)
            ),
            target,
        }
    }
}
