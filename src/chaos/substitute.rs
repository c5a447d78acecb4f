//! `${name}` in an experiment: Python's `string.Template` over configuration and secrets.
//!
//! In: a value, the configuration, the secrets. Out: the value with names replaced. A text that is
//! one `${name}` and nothing else becomes the value itself, in its type.

use super::py;
use serde_json::{Map, Value};

/// What names stand for: the configuration first, then the second level of the secrets.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    configuration: &'a Map<String, Value>,
    secrets: &'a Map<String, Value>,
}

impl<'a> Names<'a> {
    /// Names from a configuration and scopes of secrets.
    pub fn new(configuration: &'a Map<String, Value>, secrets: &'a Map<String, Value>) -> Self {
        Self {
            configuration,
            secrets,
        }
    }

    /// Whether there is anything to replace by: some places are left alone when there is not.
    pub(crate) fn any(&self) -> bool {
        !self.configuration.is_empty() || !self.secrets.is_empty()
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        let scopes = self.secrets.values().filter_map(Value::as_object);
        self.configuration
            .get(name)
            .or_else(|| scopes.into_iter().find_map(|scope| scope.get(name)))
    }
}

/// Replaces names in a value, down to its leaves. Keys stay as they are.
pub fn substitute(data: &Value, names: Names<'_>) -> Value {
    match data {
        Value::String(text) if !text.is_empty() => in_text(text, names),
        Value::Array(items) => items.iter().map(|item| substitute(item, names)).collect(),
        Value::Object(map) if py::as_bytes(data).is_none() => {
            let fields = map.iter();
            Value::Object(
                fields
                    .map(|(key, value)| (key.clone(), substitute(value, names)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

fn in_text(text: &str, names: Names<'_>) -> Value {
    let whole = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|name| identifier(name) == name.len() && !name.is_empty());
    if let Some(value) = whole.and_then(|name| names.get(name)) {
        return value.clone();
    }
    Value::String(in_template(text, names))
}

/// How many bytes of an identifier the text begins with.
fn identifier(text: &str) -> usize {
    let mut bytes = text.bytes();
    match bytes.next() {
        Some(b'_' | b'a'..=b'z' | b'A'..=b'Z') => {}
        _ => return 0,
    }
    1 + bytes
        .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
        .count()
}

/// `Template.safe_substitute`: unknown names and stray dollars stay as written, `$$` is one dollar.
fn in_template(text: &str, names: Names<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some((written, name)) = reference(rest) else {
            out.push('$');
            continue;
        };
        if let Some(value) = names.get(name) {
            out.push_str(&py::text(value));
        } else {
            out.push('$');
            out.push_str(written);
        }
        rest = &rest[written.len()..];
    }
    out.push_str(rest);
    out
}

/// What follows a dollar: as written and its name.
fn reference(rest: &str) -> Option<(&str, &str)> {
    let plain = identifier(rest);
    if plain > 0 {
        return Some((&rest[..plain], &rest[..plain]));
    }
    let inner = rest.strip_prefix('{')?;
    let length = identifier(inner);
    (length > 0 && inner[length..].starts_with('}'))
        .then(|| (&rest[..length + 2], &inner[..length]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(data: &Value) -> Value {
        let configuration = json!({"n": 3, "name": "Jane", "list": [1, true], "_x": null});
        let secrets = json!({"scope": {"name": "Joe", "token": "t"}, "flat": "text"});
        substitute(
            data,
            Names::new(
                configuration.as_object().unwrap(),
                secrets.as_object().unwrap(),
            ),
        )
    }

    #[test]
    fn one_reference_keeps_its_type_and_text_does_not() {
        assert_eq!(with(&json!("${n}")), json!(3));
        assert_eq!(with(&json!("$n")), json!("3"));
        assert_eq!(with(&json!("a ${list}")), json!("a [1, True]"));
        assert_eq!(with(&json!("${_x}")), json!(null));
        assert_eq!(
            with(&json!(["${name}", {"k": "$token"}])),
            json!(["Jane", {"k": "t"}])
        );
    }

    #[test]
    fn what_is_unknown_stays() {
        for text in ["${no}", "$no", "$", "${", "${1}", "a$1", "${n x}"] {
            assert_eq!(with(&json!(text)), json!(text));
        }
        assert_eq!(with(&json!("$$n $${n}")), json!("$n ${n}"));
    }
}
