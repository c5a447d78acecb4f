//! Values of `secrets` do not get into what is kept: journals, events, logs.

use crate::chaos::log::{Level, Log};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "*****";

/// Shorter values are masked only where they are all that is said: anywhere else they would be part of
/// words that are no secrets.
const SHORTEST: usize = 4;

/// What is not to be said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mask {
    /// Anywhere in a text, the longest first.
    inside: Vec<String>,
    /// Only as the whole text.
    whole: Vec<String>,
}

impl Mask {
    /// All values, however deep they lie.
    pub(crate) fn of(secrets: &Map<String, Value>) -> Self {
        let mut mask = Self::default();
        secrets.values().for_each(|value| mask.add(value));
        mask.inside
            .sort_by_key(|text| std::cmp::Reverse(text.len()));
        mask.inside.dedup();
        mask
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::Object(map) => map.values().for_each(|value| self.add(value)),
            Value::Array(items) => items.iter().for_each(|value| self.add(value)),
            Value::String(text) => self.add_text(text),
            Value::Number(number) => self.add_text(&number.to_string()),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn add_text(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if text.chars().count() < SHORTEST {
            self.whole.push(text.to_owned());
            return;
        }
        // As it stands in JSON, in addresses and forms, in a header.
        let json = Value::from(text).to_string();
        let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let address = form.replace('+', "%20");
        let code = BASE64_STANDARD.encode(text);
        let forms = [
            text.to_owned(),
            json[1..json.len() - 1].to_owned(),
            form,
            address,
            code,
        ];
        for form in forms {
            if !self.inside.contains(&form) {
                self.inside.push(form);
            }
        }
    }

    /// Whether there is anything that is not to be said.
    pub(crate) fn is_empty(&self) -> bool {
        self.inside.is_empty() && self.whole.is_empty()
    }

    /// A text without secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        if self.whole.iter().any(|secret| text.trim() == secret) {
            return MASK.into();
        }
        let mut text = text.to_owned();
        for secret in &self.inside {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MASK);
            }
        }
        text
    }

    /// A value without secrets, in its keys neither.
    pub(crate) fn value(&self, value: &Value) -> Value {
        if self.is_empty() {
            return value.clone();
        }
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Number(number) => {
                let text = number.to_string();
                let masked = self.text(&text);
                if masked == text {
                    value.clone()
                } else {
                    Value::String(masked)
                }
            }
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| (self.text(key), self.value(value)))
                .collect(),
            Value::Bool(_) | Value::Null => value.clone(),
        }
    }

    /// Whether a value says a secret.
    pub(crate) fn tells(&self, value: &Value) -> bool {
        !self.is_empty() && self.value(value) != *value
    }
}

/// A log that says no secrets.
pub(crate) struct MaskedLog {
    pub(crate) inner: Arc<dyn Log>,
    pub(crate) mask: Mask,
}

impl Log for MaskedLog {
    fn log(&self, level: Level, message: &str) {
        self.inner.log(level, &self.mask.text(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mask() -> Mask {
        let secrets =
            json!({"a": {"token": "s3cr\"t pass", "pin": 73914, "tiny": "ab", "on": true}});
        Mask::of(secrets.as_object().unwrap())
    }

    #[test]
    fn secrets_are_masked_in_every_form() {
        let mask = mask();
        let code = BASE64_STANDARD.encode("s3cr\"t pass");
        for text in [
            "x s3cr\"t pass y".to_owned(),
            r#"{"p": "s3cr\"t pass"}"#.to_owned(),
            "GET /?p=s3cr%22t+pass".to_owned(),
            "GET /s3cr%22t%20pass".to_owned(),
            format!("Basic {code}"),
            "pin 73914.".to_owned(),
        ] {
            let masked = mask.text(&text);
            assert!(masked.contains(MASK), "{text} -> {masked}");
            assert!(
                !masked.contains("s3cr") && !masked.contains("73914"),
                "{masked}"
            );
        }
        assert_eq!(
            mask.value(&json!({"s3cr\"t pass": [73914, "ab", "about", true]})),
            json!({MASK: [MASK, MASK, "about", true]})
        );
    }

    #[test]
    fn what_is_no_secret_stays() {
        let value = json!({"text": "about a token", "n": 7, "none": null, "f": 1.5});
        assert_eq!(mask().value(&value), value);
        assert!(!mask().tells(&value));
        assert!(mask().tells(&json!("73914")));
    }
}
