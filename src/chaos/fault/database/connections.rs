//! `database-connections`.

use super::login::{Link, Login, Refusal, wait};
use super::{CONNECTIONS, PASSWORD_ENV, PASSWORD_FILE, URL, Work, name};
use crate::chaos::fault::helper::Holding;
use crate::chaos::fault::{FaultError, Ground, Parameters};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const PARAMETERS: [(&str, &str); 5] = [
    URL,
    PASSWORD_ENV,
    PASSWORD_FILE,
    (
        "count",
        "how many are taken at most; as many as there are when not given",
    ),
    ("leave", "how many are left to others; 0 when not given"),
];

/// More than any server has.
const MOST: u64 = 10_000;
/// How often to look whether somebody has given one back.
const AGAIN: Duration = Duration::from_millis(50);

/// A server that takes no more connections.
pub(in crate::chaos::fault) struct Connections;

/// Takes connections until there are enough, or no more.
async fn take(
    login: &Login,
    name: &str,
    links: &mut Vec<Link>,
    count: usize,
) -> Result<(), FaultError> {
    links.retain(|link| !link.task.is_finished());
    while links.len() < count {
        match login.connect(name).await {
            Ok(link) => links.push(link),
            Err(Refusal::Full) => return Ok(()),
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(())
}

/// Takes the connections and keeps them.
fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
    let plan = holding.plan;
    let login = Login::from_json(plan);
    let whole = |key: &str| usize::try_from(plan[key].as_u64().unwrap_or(0)).unwrap_or(0);
    let (count, leave) = (whole("count"), whole("leave"));
    let name = name(plan);
    wait(async {
        let mut links = Vec::new();
        take(&login, &name, &mut links, count).await?;
        links.truncate(links.len().saturating_sub(leave));
        if links.is_empty() {
            return Err(FaultError::Effect(format!(
                "{} has no connection that could be taken",
                login.place()
            )));
        }
        let count = if leave > 0 { links.len() } else { count };
        holding.ready();
        let keep = async {
            loop {
                sleep(AGAIN).await;
                // What others give back is ours; a server that is gone may come back.
                let _ = take(&login, &name, &mut links, count).await;
            }
        };
        let _: Result<(), _> = timeout(holding.left(), keep).await;
        Ok(())
    })
}

impl Work for Connections {
    const NAME: &'static str = CONNECTIONS;
    const ABOUT: &'static str =
        "takes the connections of a PostgreSQL server, so that others get none";
    const PARAMETERS: &'static [(&'static str, &'static str)] = &PARAMETERS;
    const UNDO: &'static str = "end the sessions that hold the connections";

    fn check(parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.whole("count", 1, MOST)?;
        parameters.whole("leave", 0, MOST).map(drop)
    }

    fn plan(
        parameters: &Parameters<'_>,
        _: &Ground<'_>,
        plan: &mut Value,
    ) -> Result<(), FaultError> {
        plan["count"] = json!(parameters.whole("count", 1, MOST)?.unwrap_or(MOST));
        plan["leave"] = json!(parameters.whole("leave", 0, MOST)?.unwrap_or(0));
        Ok(())
    }

    fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
        hold(holding)
    }

    fn in_words(plan: &Value, target: &str) -> String {
        format!("{target} had {} free connections", plan["leave"])
    }
}
