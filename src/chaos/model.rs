//! Finding one's way in an experiment.

use serde_json::Value;

/// The activities of a list in an experiment.
pub(crate) fn list<'a>(experiment: &'a Value, key: &str) -> &'a [Value] {
    experiment
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The probes of the hypothesis.
pub(crate) fn probes(experiment: &Value) -> &[Value] {
    experiment
        .get("steady-state-hypothesis")
        .map_or(&[], |hypothesis| list(hypothesis, "probes"))
}

/// Everything that can be referred to: of two with one name the later one is meant, and probes of the
/// hypothesis come after the method.
fn referable(experiment: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    list(experiment, "method").iter().chain(probes(experiment))
}

/// The activity of a name.
pub(crate) fn lookup<'a>(experiment: &'a Value, name: &str) -> Option<&'a Value> {
    referable(experiment)
        .rev()
        .find(|activity| activity["name"] == name)
}

/// The names of everything that can be referred to.
pub(crate) fn names(experiment: &Value) -> Vec<String> {
    let names = referable(experiment).filter_map(|activity| activity["name"].as_str());
    names.map(str::to_owned).collect()
}

/// All activities: of the hypothesis, the method, the rollbacks.
pub(crate) fn all(experiment: &Value) -> impl Iterator<Item = &Value> {
    probes(experiment)
        .iter()
        .chain(list(experiment, "method"))
        .chain(list(experiment, "rollbacks"))
}
