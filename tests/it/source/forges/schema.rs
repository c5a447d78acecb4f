//! `docs/sources/webhook.schema.json` says what the webhook takes: both are asked about the same
//! messages.

use super::{Place, SECRET, fixture, post, send};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use whorl::source::webhook::{Settings, Webhook};

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sources/webhook.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What JSON Schema 2020-12 says of the keywords that are used; others are an error, so that nothing
/// in the schema stays without effect.
fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let all = schema.as_object().unwrap();
    all.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "title" | "description" | "$defs" | "format" => true,
        "$ref" => {
            let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
            valid(root, root.pointer(pointer).unwrap(), value)
        }
        "const" => rule == value,
        "type" => match rule {
            Value::Array(types) => types.iter().any(|one| is(one, value)),
            one => is(one, value),
        },
        "oneOf" => {
            let ways = rule.as_array().unwrap().iter();
            ways.filter(|way| valid(root, way, value)).count() == 1
        }
        "minLength" | "maxLength" => value.as_str().is_none_or(|text| {
            let (length, limit) = (text.chars().count() as u64, rule.as_u64().unwrap());
            if keyword == "minLength" {
                length >= limit
            } else {
                length <= limit
            }
        }),
        "pattern" => value.as_str().is_none_or(|text| {
            regex::Regex::new(rule.as_str().unwrap())
                .unwrap()
                .is_match(text)
        }),
        "minItems" => value
            .as_array()
            .is_none_or(|all| all.len() as u64 >= rule.as_u64().unwrap()),
        "maxItems" => value
            .as_array()
            .is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap()),
        "items" => value
            .as_array()
            .is_none_or(|all| all.iter().all(|one| valid(root, rule, one))),
        "required" => value.as_object().is_none_or(|object| {
            let mut names = rule.as_array().unwrap().iter();
            names.all(|name| object.contains_key(name.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|object| {
            let mut known = rule.as_object().unwrap().iter();
            known.all(|(name, rule)| object.get(name).is_none_or(|one| valid(root, rule, one)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = schema["properties"].as_object();
            let mut others = object
                .iter()
                .filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
            others.all(|(_, one)| rule.is_object() && valid(root, rule, one))
        }),
        other => panic!("the keyword {other} is not tested"),
    })
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

async fn taken(message: &Value) -> (u16, String) {
    let place = Place::new();
    let routes = Arc::new(Webhook::new(Settings {
        name: "farm".into(),
        secret: SECRET.into(),
        folder: place.folder(),
        keep: Duration::from_secs(3600),
    }))
    .routes(place.desk.clone());
    let (time, body) = (
        jiff::Timestamp::now().as_second().to_string(),
        message.to_string(),
    );
    let signature = super::signature(format!("{time}.{body}").as_bytes());
    let headers = [
        ("x-whorl-timestamp", time.as_str()),
        ("x-whorl-signature-256", &signature),
    ];
    let told = send(&routes, post(&headers, body)).await;
    (told.status.as_u16(), told.text)
}

fn with(build: &Value, logs: &Value) -> Value {
    json!({"version": 1, "builds": [{"build": build, "logs": logs}]})
}

#[tokio::test]
async fn valid_messages_are_valid_and_taken() {
    let schema = schema();
    let plain = json!({"uuid": "u", "result": "FAILURE"});
    let full = json!({
        "uuid": "a-B_9.x", "job": "unit", "result": "FAILURE", "pipeline": "gate", "project": "p", "branch": null,
        "change": 17, "patchset": "2", "commit": "abc", "voting": false, "log_url": "https://h/ü",
        "node_provider": "cloud", "started": "2026-01-02T03:04:05Z", "finished": "2026-01-02T03:04:06.5Z",
        "failed_tests": ["a", "b"], "extra": {"rack": "r1", "n": 1, "list": ["x", 2]},
    });
    let messages = [
        fixture("webhook-message.json"),
        json!({"version": 1}),
        json!({"version": 1, "builds": [], "patchsets": [{"project": "p", "change": "1", "patchset": "2"}]}),
        json!({"version": 1, "builds": [{"build": full}]}),
        with(&plain, &json!({"root": {"url": "http://h:8080/x/"}})),
        with(
            &plain,
            &json!({"file": {"url": "https://h/x", "name": "console.txt"}}),
        ),
        with(&plain, &json!({"inline": [{"name": "ü.txt", "text": "✓"}]})),
        with(&plain, &Value::Null),
    ];
    for message in &messages {
        assert!(valid(&schema, &schema, message), "{message}");
        let (status, text) = taken(message).await;
        assert_eq!(status, 200, "{message}: {text}");
    }
}

#[tokio::test]
async fn invalid_messages_are_invalid_and_refused() {
    let schema = schema();
    let plain = json!({"uuid": "u", "result": "FAILURE"});
    let file = |n: usize| json!({"name": format!("{n}.txt"), "text": ""});
    let many: Vec<Value> = (0..21).map(file).collect();
    let messages = [
        json!(null),
        json!({"builds": []}),
        json!({"version": "1"}),
        json!({"version": 2}),
        json!({"version": 1, "build": []}),
        json!({"version": 1, "builds": {}}),
        json!({"version": 1, "builds": [{}]}),
        json!({"version": 1, "builds": [{"build": {"uuid": "u"}}]}),
        json!({"version": 1, "builds": [{"build": plain, "log": null}]}),
        json!({"version": 1, "builds": vec![json!({"build": plain}); 501]}),
        json!({"version": 1, "patchsets": [{"project": "p", "change": "1"}]}),
        json!({"version": 1, "patchsets": [{"project": "p", "change": "1", "patchset": ""}]}),
        with(&json!({"uuid": "", "result": "F"}), &Value::Null),
        with(&json!({"uuid": ".u", "result": "F"}), &Value::Null),
        with(&json!({"uuid": "ü", "result": "F"}), &Value::Null),
        with(&json!({"uuid": "u", "result": ""}), &Value::Null),
        with(
            &json!({"uuid": "u", "result": "F", "change": 1.5}),
            &Value::Null,
        ),
        with(
            &json!({"uuid": "u", "result": "F", "voting": "no"}),
            &Value::Null,
        ),
        with(
            &json!({"uuid": "u", "result": "F", "colour": 1}),
            &Value::Null,
        ),
        with(&plain, &json!({})),
        with(&plain, &json!({"root": {"url": "ftp://h/"}})),
        with(&plain, &json!({"root": {"url": "https://a:b@h/"}})),
        with(
            &plain,
            &json!({"root": {"url": "https://h/"}, "inline": []}),
        ),
        with(&plain, &json!({"file": {"url": "https://h/"}})),
        with(
            &plain,
            &json!({"file": {"url": "https://h/", "name": "/etc/passwd"}}),
        ),
        with(&plain, &json!({"inline": []})),
        with(&plain, &json!({"inline": many})),
    ];
    for message in &messages {
        let shown: String = message.to_string().chars().take(200).collect();
        assert!(!valid(&schema, &schema, message), "{shown}");
        let (status, _) = taken(message).await;
        assert_eq!(status, 400, "{shown}");
    }
}
