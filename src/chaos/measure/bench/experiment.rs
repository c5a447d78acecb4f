//! The experiment that a run is.

use crate::chaos::env::Environment;
use crate::chaos::measure::keep::Keeper;
use crate::chaos::measure::minder::MARK;
use crate::chaos::measure::plan::{At, FaultPlan, Plan};
use crate::chaos::source::{Access, load};
use crate::chaos::substitute::Names;
use crate::chaos::tolerance::within;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

/// The activity that starts the system, where that comes after the fault.
pub(super) const START: &str = "whorl-starts-the-system";
/// The activity that runs the tests.
pub(super) const TESTS: &str = "whorl-runs-the-tests";

/// Sends what a command says to the console log; tests are not run on what did not start.
const SCRIPT: &str = r#"#!/bin/sh
kind=$1 console=$2 mark=$3
shift 3
if [ "$kind" = start ]; then
    : > "$mark"
    "$@" >> "$console" 2>&1 < /dev/null || exit
    rm "$mark"
    exit 0
fi
[ ! -e "$mark" ] || exit 1
exec "$@" >> "$console" 2>&1 < /dev/null
"#;

/// Where a run happens.
#[derive(Debug, Default)]
pub(super) struct Place {
    name: String,
    seed: u64,
    pub(super) dir: PathBuf,
    pub(super) logs: PathBuf,
    pub(super) shared: PathBuf,
    pub(super) console: PathBuf,
    /// What is said by commands that are no part of the build.
    pub(super) aside: PathBuf,
}

impl Place {
    pub(super) fn new(name: String, keeper: &Keeper, seed: u64, plan: &Plan) -> Self {
        let dir = keeper.work(&name);
        let logs = dir.join("logs");
        Self {
            console: logs.join(&plan.system.console),
            aside: dir.join("system.log"),
            shared: keeper.shared(),
            name,
            seed,
            logs,
            dir,
        }
    }

    fn script(&self) -> String {
        self.dir.join("whorl-run.sh").display().to_string()
    }

    /// What commands are told by their environment.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let all = [
            (MARK, self.dir.display().to_string()),
            ("WHORL_LOGS", self.logs.display().to_string()),
            ("WHORL_SHARED", self.shared.display().to_string()),
            ("WHORL_SEED", self.seed.to_string()),
            ("WHORL_RUN", self.name.clone()),
        ];
        all.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The same, over our own.
    pub(super) fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        for (name, value) in self.variables() {
            environment.set(&name, &value);
        }
        environment
    }

    /// What activities are told by `${name}`: the fault's own, ours, and what the system says of itself.
    pub(super) fn configuration(&self, fault: Option<&FaultPlan>) -> Map<String, Value> {
        let mut map = fault
            .map(|fault| fault.configuration.clone())
            .unwrap_or_default();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("dir", json!(self.dir));
        put("logs", json!(self.logs));
        put("shared", json!(self.shared));
        put("seed", json!(self.seed));
        put("chance", json!(chance(self.seed, &self.name)));
        let facts = fs::read(self.dir.join("facts.json")).unwrap_or_default();
        let facts: Map<String, Value> = serde_json::from_slice(&facts).unwrap_or_default();
        map.extend(facts);
        map
    }
}

/// From 0 to 1, by the seed and the name.
fn chance(seed: u64, name: &str) -> f64 {
    let mut hash = seed ^ 0x9E37_79B9_7F4A_7C15;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    hash ^= hash >> 31;
    hash = hash.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (hash >> 40) as f64 / (1u64 << 24) as f64
}

pub(super) fn write_script(place: &Place) -> io::Result<()> {
    fs::write(place.dir.join("whorl-run.sh"), SCRIPT)
}

/// The experiment of a fault, or of a control run.
pub(super) fn of(plan: &Plan, fault: Option<&FaultPlan>, place: &Place) -> Result<Value, String> {
    let system = &plan.system;
    let mut method = Vec::new();
    let mut rollbacks = Vec::new();
    if let Some(fault) = fault {
        if let Some(path) = &fault.experiment {
            let source = load(&path.display().to_string(), &Access::default());
            let source = source.map_err(|error| error.to_string())?;
            method.extend(list(&source.value, "method"));
            rollbacks.extend(list(&source.value, "rollbacks"));
        }
        method.extend(fault.method.iter().cloned());
        method.extend(fault.verify.iter().cloned());
        rollbacks.extend(fault.rollbacks.iter().cloned());
    }
    let started = fault.is_some_and(|fault| fault.at == At::Test);
    if !started && !system.start.is_empty() {
        method.push(command(START, "start", &system.start, plan, place));
    }
    method.push(command(TESTS, "test", &system.test, plan, place));
    let mut whole = json!({
        "title": format!("{}: {}", plan.title, fault.map_or(super::CONTROL, |fault| &fault.name)),
        "description": fault.and_then(|fault| fault.cause.as_deref()).unwrap_or("One run of a measurement."),
        "method": method,
        "rollbacks": rollbacks,
    });
    if started && !system.healthy.is_empty() {
        whole["steady-state-hypothesis"] =
            json!({"title": "The system is well", "probes": system.healthy});
    }
    Ok(whole)
}

fn list(experiment: &Value, key: &str) -> Vec<Value> {
    experiment[key].as_array().cloned().unwrap_or_default()
}

fn command(name: &str, kind: &str, words: &[String], plan: &Plan, place: &Place) -> Value {
    let mark = place.dir.join("did-not-start");
    let mut arguments = vec![
        json!(place.script()),
        json!(kind),
        json!(place.console),
        json!(mark),
    ];
    arguments.extend(words.iter().map(|word| json!(word)));
    json!({
        "type": "action",
        "name": name,
        "provider": {
            "type": "process", "path": "/bin/sh", "arguments": arguments,
            "timeout": plan.system.time_limit,
        },
    })
}

/// Why it is not sure that an activity did what it was to do.
pub(super) fn doubt(entry: &Value, configuration: &Map<String, Value>) -> Option<String> {
    let activity = &entry["activity"];
    let name = activity["name"].as_str().unwrap_or("an activity");
    if entry["status"] != "succeeded" {
        let lines = entry["exception"].as_array().into_iter().flatten();
        let said: String = lines.filter_map(Value::as_str).collect();
        let said = said
            .trim()
            .lines()
            .last()
            .unwrap_or("it did not end")
            .to_owned();
        return Some(format!("{name}: {said}"));
    }
    let output = &entry["output"];
    if let Some(tolerance) = activity.get("tolerance") {
        let secrets = Map::new();
        let names = Names::new(configuration, &secrets);
        let held = within(tolerance, output, names, &mut |_| Ok(false));
        return (!held.unwrap_or(false)).then(|| format!("{name}: not within its tolerance"));
    }
    let process = activity["provider"]["type"] == "process";
    let status = output["status"].as_i64();
    (process && status != Some(0)).then(|| {
        let said = output["stderr"].as_str().unwrap_or_default().trim();
        let said = said.lines().last().unwrap_or_default();
        format!("{name}: ended with status {}: {said}", status.unwrap_or(-1))
    })
}
