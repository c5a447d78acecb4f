//! `secrets`: literals, environment variables, Vault.

use super::{SettingError, variable, vault};
use crate::chaos::env::Environment;
use serde_json::{Map, Value};

/// Loads what is declared, scope by scope; `outside` stands in for declared keys.
pub fn load_secrets(
    declared: &Map<String, Value>,
    configuration: &Map<String, Value>,
    outside: &Map<String, Value>,
    environment: &Environment,
) -> Result<Map<String, Value>, SettingError> {
    let mut loaded = Map::new();
    for (key, value) in declared {
        let given = outside.get(key).filter(|given| !given.is_null());
        let value = match (value.as_object(), given) {
            (None, _) => value.clone(),
            (Some(_), Some(given)) => given.clone(),
            (Some(scope), None) => match value.get("type").and_then(Value::as_str) {
                Some("env") => from_environment(key, value, environment)?,
                Some("vault") => vault::read(value, configuration)
                    .map_err(|message| SettingError::invalid(key, message))?,
                _ => Value::Object(load_secrets(
                    scope,
                    configuration,
                    &Map::new(),
                    environment,
                )?),
            },
        };
        loaded.insert(key.clone(), value);
    }
    Ok(loaded)
}

fn from_environment(
    key: &str,
    definition: &Value,
    environment: &Environment,
) -> Result<Value, SettingError> {
    let name = variable(key, definition)?;
    environment.get(name).map(Value::from).ok_or_else(|| {
        SettingError::invalid(
            key,
            format!("Secrets make reference to an environment key that does not exist: {name}"),
        )
    })
}
