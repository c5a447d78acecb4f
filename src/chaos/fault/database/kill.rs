//! `database-kill`.

use super::login::{Login, text, wait};
use super::{KILL, PASSWORD_ENV, PASSWORD_FILE, URL, Work, name};
use crate::chaos::fault::helper::{self, Holding};
use crate::chaos::fault::parameters::Dice;
use crate::chaos::fault::{FaultError, Ground, Parameters};
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const PARAMETERS: [(&str, &str); 7] = [
    URL,
    PASSWORD_ENV,
    PASSWORD_FILE,
    ("role", "only sessions of this role"),
    ("application", "only sessions of this application_name"),
    (
        "intensity",
        "percent of them, chosen by the seed; 100 when not given",
    ),
    (
        "every",
        "milliseconds: again and again, also those that come later; once when not given",
    ),
];

/// How long the server may take to end a session.
const EFFECT: Duration = Duration::from_secs(5);

/// Sessions that the server ends.
pub(in crate::chaos::fault) struct Kill;

/// The sessions that are meant, the oldest first; never our own.
fn sessions(plan: &Value) -> String {
    let only = |column: &str, key: &str| {
        let value = plan[key].as_str();
        value.map_or_else(String::new, |value| {
            format!(" AND {column} = {}", text(value))
        })
    };
    format!(
        "SELECT pid || ' ' || backend_start FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND application_name NOT LIKE 'whorl %'{}{} ORDER BY backend_start, pid",
        only("usename", "role"),
        only("application_name", "application")
    )
}

/// Ends sessions that are still the same.
fn ending(sessions: &[String]) -> String {
    let sessions: Vec<String> = sessions.iter().map(|session| text(session)).collect();
    let list = sessions.join(", ");
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE pid || ' ' || backend_start IN ({list})"
    )
}

/// Ends sessions again and again.
fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
    let plan = holding.plan;
    let login = Login::from_json(plan);
    let every = Duration::from_millis(plan["every"].as_u64().unwrap_or(1000));
    let percent = plan["intensity"].as_u64().unwrap_or(100);
    let mut dice = Dice::new(holding.ground.seed);
    let name = name(plan);
    wait(async {
        let link = login.connect(&name).await?;
        link.ask(&sessions(plan)).await?;
        holding.ready();
        let again = async {
            loop {
                let found = link.ask(&sessions(plan)).await.unwrap_or_default();
                let chosen = dice.share(found.clone(), percent);
                if !chosen.is_empty() {
                    // Who has gone by itself need not be ended.
                    let _ = link.ask(&ending(&chosen)).await;
                }
                sleep(every).await;
            }
        };
        let _: Result<(), _> = timeout(holding.left(), again).await;
        Ok(())
    })
}

fn once(plan: &Value) -> Result<(), FaultError> {
    let login = Login::from_json(plan);
    let items = plan["sessions"].as_array();
    let chosen: Vec<String> = items
        .into_iter()
        .flatten()
        .filter_map(|session| session.as_str().map(str::to_owned))
        .collect();
    let deadline = Instant::now() + EFFECT;
    while !login.ask(&ending(&chosen))?.is_empty() {
        if Instant::now() > deadline {
            return Err(FaultError::Effect("a session does not end".into()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

impl Work for Kill {
    const NAME: &'static str = KILL;
    const ABOUT: &'static str = "ends sessions of a PostgreSQL database, once or again and again";
    const PARAMETERS: &'static [(&'static str, &'static str)] = &PARAMETERS;
    const UNDO: &'static str = "nothing: who was cut off comes back by itself";

    fn check(parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.text("role")?;
        parameters.text("application")?;
        parameters.whole("every", 10, 3_600_000)?;
        parameters.percent("intensity").map(drop)
    }

    fn plan(
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
        plan: &mut Value,
    ) -> Result<(), FaultError> {
        plan["role"] = json!(parameters.text("role")?);
        plan["application"] = json!(parameters.text("application")?);
        plan["intensity"] = json!(parameters.percent("intensity")?);
        plan["every"] = json!(parameters.whole("every", 10, 3_600_000)?);
        if plan["every"].is_null() {
            let found = Login::from_json(plan).ask(&sessions(plan))?;
            if found.is_empty() {
                return Err(FaultError::Target("there is no such session".into()));
            }
            let percent = parameters.percent("intensity")?;
            plan["sessions"] = json!(Dice::new(ground.seed).share(found, percent));
        }
        Ok(())
    }

    fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
        hold(holding)
    }

    fn apply(plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        if plan["every"].is_null() {
            return once(plan);
        }
        helper::start(helper::mark_in(plan), ground)
    }

    fn undo(plan: &Value) -> Result<String, FaultError> {
        helper::end(helper::mark_in(plan))?;
        Ok("no more sessions are ended; what was ended stays so".into())
    }

    fn in_words(_: &Value, target: &str) -> String {
        format!("sessions of {target} were ended")
    }
}
