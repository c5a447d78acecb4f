//! Experiments of a few activities, and what they put out.

use super::{Place, Ran};
use serde_json::{Value, json};

/// An action that puts a fault in, with seed 7.
pub(super) fn fault(name: &str, fault: &str, arguments: &Value) -> Value {
    seeded(name, fault, 7, arguments)
}

pub(super) fn seeded(name: &str, fault: &str, seed: u64, arguments: &Value) -> Value {
    json!({"type": "action", "name": name, "provider": {
        "type": "fault", "fault": fault, "arguments": arguments, "seed": seed}})
}

/// A probe that runs a line of shell.
pub(super) fn shell(name: &str, line: &str) -> Value {
    json!({"type": "probe", "name": name,
           "provider": {"type": "process", "path": "sh", "arguments": ["-c", line]}})
}

/// Writes an experiment of these activities: `e.json`.
pub(super) fn write(place: &Place, method: &[Value]) {
    let experiment = json!({"title": "t", "description": "d", "method": method});
    place.write("e.json", experiment.to_string());
}

/// Runs a method and gives what its activities put out.
pub(super) fn outputs(place: &Place, method: &[Value]) -> Vec<Value> {
    write(place, method);
    let ran = place.chaos(&["run", "e.json"]);
    put_out(place, &ran)
}

/// What the activities of a run put out that has just ended well, and left nothing.
pub(super) fn put_out(place: &Place, ran: &Ran) -> Vec<Value> {
    let journal = place.json("journal.json");
    let entries = journal["run"].as_array().unwrap();
    for entry in entries {
        assert_eq!(entry["status"], "succeeded", "{entry}\n{}", ran.err);
    }
    assert!(place.runs().is_empty(), "nothing is left written down");
    let outputs = entries.iter().map(|entry| entry["output"].clone());
    outputs.collect()
}
