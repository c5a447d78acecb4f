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

/// A proxy for whatever goes over TCP; one connection is one chance.
pub(super) struct Tcp;

/// A proxy that knows HTTP/1; one request is one chance.
pub(super) struct Http;

fn prepare(
    fault: &'static str,
    parameters: &Parameters<'_>,
    ground: &Ground<'_>,
) -> Result<Value, FaultError> {
    let plan = Plan::read(fault, parameters, ground)?;
    Ok(plan.settled()?.to_json())
}

fn apply(plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
    helper::start(plan["mark"].as_str().unwrap_or_default(), ground)
}

fn undo(plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError> {
    helper::end(plan["mark"].as_str().unwrap_or_default())?;
    let listen = plan["listen"].as_str().unwrap_or_default();
    let effects = Record::count(ground.folder, ground.id);
    Ok(format!(
        "the proxy at {listen} is gone, after {effects} effects"
    ))
}

fn describe(fault: &'static str, plan: &Value) -> Cause {
    let plan = Plan::from_json(plan);
    Cause {
        fault: fault.into(),
        target: plan.upstream.clone(),
        text: format!(
            "what goes to {} through {} {}",
            plan.upstream,
            plan.listen,
            plan.effects.in_words()
        ),
    }
}

impl Fault for Tcp {
    fn name(&self) -> &'static str {
        TCP
    }

    fn about(&self) -> &'static str {
        "listens and passes on, but delays, loses, resets, cuts off or slows down connections"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &plan::PARAMETERS[..plan::FOR_TCP]
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(self.parameters())?;
        Plan::check(TCP, parameters)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        prepare(TCP, parameters, ground)
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        apply(plan, ground)
    }

    fn undo(&self, plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError> {
        undo(plan, ground)
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
        vec![Target::Own(format!(
            "a proxy at {}",
            Plan::from_json(plan).listen
        ))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &self.describe(plan).text,
            "end the proxy: nobody listens there any more",
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        describe(TCP, plan)
    }
}

impl Fault for Http {
    fn name(&self) -> &'static str {
        HTTP
    }

    fn about(&self) -> &'static str {
        "the same for requests of HTTP/1, by path and method; answers with error statuses, too"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &plan::PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&plan::PARAMETERS)?;
        Plan::check(HTTP, parameters)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        prepare(HTTP, parameters, ground)
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        apply(plan, ground)
    }

    fn undo(&self, plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError> {
        undo(plan, ground)
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
        vec![Target::Own(format!(
            "a proxy at {}",
            Plan::from_json(plan).listen
        ))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &self.describe(plan).text,
            "end the proxy: nobody listens there any more",
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        describe(HTTP, plan)
    }
}
