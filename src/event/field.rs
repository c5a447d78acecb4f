//! Field values and field maps.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The value of one field of an event. Dates travel as text and are read by the query room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number (`voting`, `build_change` from some sources).
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A string: an exact keyword for every field but `message`.
    Text(Arc<str>),
    /// Several values (`tags`); a condition holds when one of them meets it.
    Many(Vec<FieldValue>),
}

impl FieldValue {
    /// The single values of this one: itself, or all values of a list, nested lists flattened.
    pub fn values(&self) -> Vec<&FieldValue> {
        match self {
            Self::Many(all) => all.iter().flat_map(FieldValue::values).collect(),
            one => vec![one],
        }
    }

    /// A text value.
    pub fn text(value: impl AsRef<str>) -> Self {
        Self::Text(Arc::from(value.as_ref()))
    }

    /// Reads a JSON value; `null` and objects have no field value.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        use serde_json::Value;
        match value {
            Value::Null | Value::Object(_) => None,
            Value::Bool(b) => Some(Self::Bool(*b)),
            Value::Number(n) => n
                .as_i64()
                .map(Self::Integer)
                .or_else(|| n.as_f64().map(Self::Float)),
            Value::String(s) => Some(Self::text(s)),
            Value::Array(all) => Some(Self::Many(all.iter().filter_map(Self::from_json).collect())),
        }
    }
}

/// Fields by name, in the order of the names.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(BTreeMap<Arc<str>, FieldValue>);

impl Fields {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.0.get(name)
    }

    /// Sets `name`, replacing what was there.
    pub fn set(&mut self, name: impl AsRef<str>, value: FieldValue) {
        self.0.insert(Arc::from(name.as_ref()), value);
    }

    /// As [`Fields::set`], with a name that is shared already.
    pub fn put(&mut self, name: Arc<str>, value: FieldValue) {
        self.0.insert(name, value);
    }

    /// Adds one value to what `name` has, making a list of it when needed.
    pub fn add(&mut self, name: &str, value: FieldValue) {
        let merged = match self.0.remove(name) {
            None => value,
            Some(old) if old == value => old,
            Some(FieldValue::Many(mut all)) => {
                if !all.contains(&value) {
                    all.push(value);
                }
                FieldValue::Many(all)
            }
            Some(old) => FieldValue::Many(vec![old, value]),
        };
        self.0.insert(Arc::from(name), merged);
    }

    /// Names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// True when there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, FieldValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a str, FieldValue)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(n, v)| (Arc::from(n), v)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_makes_a_list_without_doubles() {
        let mut fields = Fields::default();
        for tag in ["console", "console.html", "console"] {
            fields.add("tags", FieldValue::text(tag));
        }
        let tags = fields.get("tags").unwrap();
        assert_eq!(
            tags.values(),
            [
                &FieldValue::text("console"),
                &FieldValue::text("console.html")
            ]
        );
    }

    #[test]
    fn json_numbers_keep_their_kind() {
        let value = serde_json::json!([1, 1.5, "x", null, true]);
        let kinds = FieldValue::from_json(&value).unwrap();
        assert_eq!(
            kinds,
            FieldValue::Many(vec![
                FieldValue::Integer(1),
                FieldValue::Float(1.5),
                FieldValue::text("x"),
                FieldValue::Bool(true)
            ])
        );
    }
}
