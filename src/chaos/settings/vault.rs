//! Secrets from Vault, by its HTTP interface.

use serde_json::{Map, Value, json};
use std::time::Duration;

/// Reads one secret: its whole payload, or one key of it.
pub(super) fn read(
    definition: &Value,
    configuration: &Map<String, Value>,
) -> Result<Value, String> {
    let Some(path) = definition.get("path").and_then(Value::as_str) else {
        // The original tool warns when it validates and goes on without a secret.
        return Ok(json!({}));
    };
    let text = |key: &str| configuration.get(key).and_then(Value::as_str);
    let address =
        text("vault_addr").ok_or("Vault secrets need `vault_addr` in the configuration")?;
    let address = address.trim_end_matches('/');
    let mount = text("vault_secrets_mount_point").unwrap_or("secret");
    let version = configuration
        .get("vault_kv_version")
        .map(crate::chaos::py::text);
    let first = version.as_deref() == Some("1");
    let url = if first {
        format!("{address}/v1/{mount}/{path}")
    } else {
        format!("{address}/v1/{mount}/data/{path}")
    };
    let client = reqwest::blocking::Client::builder()
        .timeout(Duration::from_secs(30))
        .build()
        .map_err(|error| error.to_string())?;
    let token = token(&client, address, configuration)?;
    let answer = client.get(url).header("X-Vault-Token", token).send();
    let payload = json_of(answer)?;
    let data = if first {
        &payload["data"]
    } else {
        &payload["data"]["data"]
    };
    match definition.get("key").and_then(Value::as_str) {
        None => Ok(data.clone()),
        Some(key) => data
            .get(key)
            .cloned()
            .ok_or_else(|| format!("Vault has no key '{key}' at '{path}'")),
    }
}

/// The token itself, or one for a role.
fn token(
    client: &reqwest::blocking::Client,
    address: &str,
    configuration: &Map<String, Value>,
) -> Result<String, String> {
    let text = |key: &str| configuration.get(key).and_then(Value::as_str);
    if let Some(token) = text("vault_token") {
        return Ok(token.to_owned());
    }
    let (path, body) =
        if let (Some(role), Some(secret)) = (text("vault_role_id"), text("vault_role_secret")) {
            (
                "auth/approle/login".to_owned(),
                json!({"role_id": role, "secret_id": secret}),
            )
        } else if let Some(role) = text("vault_sa_role") {
            let file = text("vault_sa_token_path").filter(|path| !path.is_empty());
            let file = file.unwrap_or("/var/run/secrets/kubernetes.io/serviceaccount/token");
            let jwt = std::fs::read_to_string(file)
                .map_err(|_| format!("Failed to get service account token at: {file}"))?;
            let mount = text("vault_k8s_mount_point").unwrap_or("kubernetes");
            (
                format!("auth/{mount}/login"),
                json!({"role": role, "jwt": jwt}),
            )
        } else {
            return Err("Vault secrets need `vault_token` or a role in the configuration".into());
        };
    let answer = client
        .post(format!("{address}/v1/{path}"))
        .json(&body)
        .send();
    let answer =
        json_of(answer).map_err(|e| format!("Failed to connect to Vault with the AppRole: {e}"))?;
    answer["auth"]["client_token"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| "Vault gave no token".into())
}

fn json_of(answer: reqwest::Result<reqwest::blocking::Response>) -> Result<Value, String> {
    let answer = answer.and_then(reqwest::blocking::Response::error_for_status);
    answer
        .and_then(reqwest::blocking::Response::json)
        .map_err(|error| format!("Vault: {}", error.without_url()))
}
