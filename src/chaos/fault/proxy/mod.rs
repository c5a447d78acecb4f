//! `tcp-proxy` and `http-proxy`: a proxy between a program and what it talks to, which needs no rights.
//!
//! In: connections. Out: the same, with a share of them delayed, lost, reset, cut off or answered with
//! an error. Which ones depends on the seed and on the how many-th of its kind one is, and on nothing
//! else. Every effect is written down before anybody can see it.

mod flow;
mod head;
mod lot;
mod plan;
mod serve;

use super::helper::{self, Holding};
use super::record::Record;
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use plan::Plan;
pub(super) use plan::{listen, settled, upstream};
use serde_json::Value;
use std::io::Write;

pub(super) const TCP: &str = "tcp-proxy";
pub(super) const HTTP: &str = "http-proxy";

/// A proxy that does harm.
pub(super) enum Proxy {
    /// For whatever goes over TCP; one connection is one chance.
    Tcp,
    /// One that knows HTTP/1; one request is one chance.
    Http,
}

impl Fault for Proxy {
    fn name(&self) -> &'static str {
        match self {
            Self::Tcp => TCP,
            Self::Http => HTTP,
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Self::Tcp => {
                "listens and passes on, but delays, loses, resets, cuts off or slows down connections"
            }
            Self::Http => {
                "the same for requests of HTTP/1, by path and method; answers with error statuses, too"
            }
        }
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Tcp => &plan::PARAMETERS[..plan::FOR_TCP],
            Self::Http => &plan::PARAMETERS,
        }
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(self.parameters())?;
        Plan::check(self.name(), parameters)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let plan = Plan::read(self.name(), parameters, ground)?;
        Ok(plan.settled()?.to_json())
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        helper::start(helper::mark_in(plan), ground)
    }

    fn undo(&self, plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError> {
        helper::end(helper::mark_in(plan))?;
        let listen = plan["listen"].as_str().unwrap_or_default();
        let effects = Record::count(ground.folder, ground.id);
        Ok(format!(
            "the proxy at {listen} is gone, after {effects} effects"
        ))
    }

    fn work(
        &self,
        plan: &Value,
        ground: &Ground<'_>,
        say: &mut dyn Write,
    ) -> Result<(), FaultError> {
        serve::hold(&mut Holding::new(self.name(), plan, ground, say))
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        let listen = Plan::from_json(plan).listen;
        vec![Target::Own(format!("a proxy at {listen}"))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &self.describe(plan).text,
            "end the proxy: nobody listens there any more",
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        let plan = Plan::from_json(plan);
        Cause {
            fault: self.name().into(),
            target: plan.upstream.clone(),
            text: format!(
                "what goes to {} through {} {}",
                plan.upstream,
                plan.listen,
                plan.effects.in_words()
            ),
        }
    }
}
