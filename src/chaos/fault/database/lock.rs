//! `database-lock`.

use super::login::{Login, identifier, wait};
use super::{LOCK, PASSWORD_ENV, PASSWORD_FILE, URL, Work, name};
use crate::chaos::fault::helper::Holding;
use crate::chaos::fault::{FaultError, Ground, Parameters};
use serde_json::{Value, json};
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

impl Work for Lock {
    const NAME: &'static str = LOCK;
    const ABOUT: &'static str = "holds a lock on a table of a PostgreSQL database";
    const PARAMETERS: &'static [(&'static str, &'static str)] = &PARAMETERS;
    const UNDO: &'static str = "end the session that holds the lock";

    fn check(parameters: &Parameters<'_>) -> Result<(), FaultError> {
        mode(parameters)?;
        table(parameters).map(drop)
    }

    fn plan(
        parameters: &Parameters<'_>,
        _: &Ground<'_>,
        plan: &mut Value,
    ) -> Result<(), FaultError> {
        plan["table"] = json!(table(parameters)?);
        plan["mode"] = json!(mode(parameters)?);
        Ok(())
    }

    fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
        hold(holding)
    }

    fn in_words(plan: &Value, target: &str) -> String {
        let word = |key: &str| plan[key].as_str().unwrap_or_default();
        let (table, mode) = (word("table"), word("mode"));
        format!("table {table} of {target} was locked ({mode})")
    }
}
