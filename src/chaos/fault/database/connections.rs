//! `database-connections`.

use super::login::{Link, Login, Refusal, wait};
use super::{CONNECTIONS, PASSWORD_ENV, PASSWORD_FILE, URL, let_go, name};
use crate::chaos::fault::helper::{self, Holding};
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::io::Write;
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

impl Fault for Connections {
    fn name(&self) -> &'static str {
        CONNECTIONS
    }

    fn about(&self) -> &'static str {
        "takes the connections of a PostgreSQL server, so that others get none"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        Login::read(parameters)?;
        parameters.whole("count", 1, MOST)?;
        parameters.whole("leave", 0, MOST).map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let mut plan = Login::read(parameters)?.to_json();
        plan["count"] = json!(parameters.whole("count", 1, MOST)?.unwrap_or(MOST));
        plan["leave"] = json!(parameters.whole("leave", 0, MOST)?.unwrap_or(0));
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
            "end the sessions that hold the connections",
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = Login::from_json(plan).place();
        Cause {
            fault: CONNECTIONS.into(),
            text: format!("{target} had {} free connections", plan["leave"]),
            target,
        }
    }
}
