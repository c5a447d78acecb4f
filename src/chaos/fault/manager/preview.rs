//! What an experiment's faults are going to do, before anything is done.

use super::{Faults, Order, longest};
use crate::chaos::fault::{Fault, FaultError, Ground, Parameters, find, undo};
use crate::chaos::log::{Level, Log};
use crate::chaos::mask::Mask;
use crate::chaos::model;
use crate::chaos::py;
use crate::chaos::safety::{Planned, Refused, shown, statement};
use crate::chaos::substitute::{Names, substitute};
use serde_json::{Map, Value};

/// Whether an activity puts a fault in.
fn puts_in(activity: &Value) -> bool {
    let provider = &activity["provider"];
    provider["type"] == "fault" && provider.get("undo").is_none()
}

/// Every activity that may put a fault in, wherever it is written.
fn activities(experiment: &Value) -> Vec<&Value> {
    let lists = ["method", "rollbacks", "stop-conditions"];
    let lists = lists.iter().flat_map(|list| model::list(experiment, list));
    let probes = model::probes(experiment).iter();
    let settings = experiment["configuration"]
        .as_object()
        .into_iter()
        .flatten();
    lists
        .chain(probes)
        .chain(settings.map(|(_, value)| value))
        .filter(|activity| puts_in(activity))
        .collect()
}

impl Faults {
    /// Before anything is begun: says what faults will hit, and asks. With `dry` nothing is asked.
    pub(crate) fn begin(
        &self,
        experiment: &Value,
        names: Names<'_>,
        dry: bool,
        mask: &Mask,
        log: &dyn Log,
    ) -> Result<(), Refused> {
        let planned: Vec<Planned> = activities(experiment)
            .into_iter()
            .map(|activity| self.planned(activity, names))
            .collect();
        if planned.is_empty() {
            return Ok(());
        }
        if dry {
            let text = statement(&planned, self.consent.around());
            for line in text.lines() {
                log.log(Level::Info, line);
            }
            return Ok(());
        }
        let begun = self.consent.begin(&planned, mask);
        begun.map_err(|refused| match refused {
            refused if mask.is_empty() => refused,
            refused => Refused::Answer(mask.text(&refused.to_string())),
        })
    }

    /// What a dry run says in the place of a fault.
    pub(crate) fn shown(&self, activity: &Value, names: Names<'_>) -> Vec<String> {
        if activity["provider"]["type"] != "fault" {
            return Vec::new();
        }
        if puts_in(activity) {
            return shown(&self.planned(activity, names));
        }
        let which = py::text(&activity["provider"]["undo"]);
        vec![format!("Dry run: would take back what {which} has put in")]
    }

    fn planned(&self, activity: &Value, names: Names<'_>) -> Planned {
        let provider = substitute(&activity["provider"], names);
        let map = provider["arguments"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let order = Order {
            name: provider["fault"].as_str().unwrap_or_default(),
            arguments: &map,
            activity: activity["name"].as_str().unwrap_or_default(),
            longest: longest(&provider).unwrap_or_default(),
            seed: provider["seed"].as_u64().unwrap_or(self.seed),
            mask: &Mask::default(),
        };
        let mut planned = Planned {
            activity: order.activity.to_owned(),
            fault: order.name.to_owned(),
            targets: None,
            does: Vec::new(),
            undo: Vec::new(),
            seconds: order.longest,
            unknown: None,
        };
        match self.plan(&order) {
            Ok((fault, plan)) => {
                let steps = fault.steps(&plan);
                planned.targets = Some(fault.targets(&plan));
                planned.does = steps.does;
                planned.undo = steps.undo;
            }
            // It may be there by then.
            Err(error) => planned.unknown = Some(error.to_string()),
        }
        planned
    }

    /// Plans in a folder that is thrown away: what a plan keeps there is for `undo` only.
    fn plan(&self, order: &Order<'_>) -> Result<(&'static dyn Fault, Value), FaultError> {
        let fault = find(order.name)
            .ok_or_else(|| FaultError::Target(format!("unknown fault '{}'", order.name)))?;
        let folder = undo::sketch(&self.state).map_err(FaultError::io(&self.state))?;
        let arguments: &Map<String, Value> = order.arguments;
        let parameters = Parameters::new(fault.name(), arguments);
        fault.validate(&parameters)?;
        let ground = Ground {
            folder: folder.path(),
            id: 0,
            seed: order.seed,
            seconds: order.longest,
            program: self.program.as_deref(),
        };
        Ok((fault, fault.prepare(&parameters, &ground)?))
    }
}
