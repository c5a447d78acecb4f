//! What still works, but should be written otherwise.

use crate::chaos::log::{Level, Log};
use crate::chaos::model;
use serde_json::Value;

/// Warns once of each.
pub(super) fn warn(experiment: &Value, log: &dyn Log) {
    let mapping = |activity: &Value| {
        activity["provider"]["type"] == "process" && activity["provider"]["arguments"].is_object()
    };
    if model::all(experiment).any(mapping) {
        log.log(
            Level::Warning,
            "Process arguments should now be a list to keep the ordering of the arguments. \
             Dictionary arguments are deprecated for process activities.",
        );
    }
    let scopes = experiment.get("secrets").and_then(Value::as_object);
    let secrets = scopes.into_iter().flat_map(|map| map.values());
    for secret in secrets
        .filter_map(Value::as_object)
        .flat_map(|scope| scope.values())
    {
        if secret["type"] == "vault" && secret.get("key").is_some() && secret.get("path").is_none()
        {
            log.log(
                Level::Warning,
                "Vault secrets must now specify the `path` property. The `key` property is now a \
                 key of a Vault secret rather than the actual path. For instance: \
                 {'my-key': {'type': 'vault', 'key': 'foo'}} now becomes: \
                 {'my-key': {'type': 'vault', 'path': 'foo'}}",
            );
        }
    }
}
