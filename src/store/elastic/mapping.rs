//! How fields are indexed: from our schema to a cluster's mapping, and back.

use super::document::OWN;
use crate::query::{FieldKind, Schema};
use serde_json::{Map, Value, json};

/// Fields that one index may have; beyond it the cluster refuses documents with new ones.
const FIELDS: u32 = 5000;

/// The settings and mappings of our own indexes.
pub(super) fn own_index(schema: &Schema, shards: u32) -> Value {
    json!({
        "settings": {
            "index.number_of_shards": shards,
            "index.auto_expand_replicas": "0-1",
            "index.mapping.total_fields.limit": FIELDS,
            "index.max_regex_length": 32_000,
            "index.codec": "best_compression",
            // Appends make themselves visible.
            "index.refresh_interval": "30s",
        },
        "mappings": mappings(schema),
    })
}

fn mappings(schema: &Schema) -> Value {
    let mut properties = Map::new();
    for (name, kind) in schema.fields() {
        properties.insert(name.into(), property(kind));
    }
    properties.insert(
        OWN.into(),
        json!({
            "dynamic": false,
            "properties": {
                "build": {"type": "keyword"},
                "append": {"type": "keyword"},
                "n": {"type": "long"},
                "time": {"type": "date", "format": "strict_date_optional_time"},
                "micros": {"type": "long"},
                "votes": {"type": "boolean"},
                "file": {"type": "keyword"},
            },
        }),
    );
    let unlisted = schema.kind("");
    json!({
        "dynamic": unlisted != FieldKind::Unmapped,
        "date_detection": false,
        "numeric_detection": false,
        // Every other field is an exact keyword, whatever its first value looks like.
        "dynamic_templates": [
            {"keywords": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}},
            {"wholes": {"match_mapping_type": "long", "mapping": {"type": "keyword"}}},
            {"fractions": {"match_mapping_type": "double", "mapping": {"type": "keyword"}}},
            {"booleans": {"match_mapping_type": "boolean", "mapping": {"type": "keyword"}}},
        ],
        "properties": properties,
    })
}

fn property(kind: FieldKind) -> Value {
    match kind {
        FieldKind::Text => json!({"type": "text", "analyzer": "standard"}),
        FieldKind::Keyword => json!({"type": "keyword"}),
        // A value that is none of its kind is kept and not indexed, instead of losing the event.
        FieldKind::Integer => json!({"type": "integer", "ignore_malformed": true}),
        FieldKind::Long => json!({"type": "long", "ignore_malformed": true}),
        FieldKind::Float => json!({"type": "float", "ignore_malformed": true}),
        FieldKind::Date => json!({"type": "date", "ignore_malformed": true}),
        FieldKind::Boolean => json!({"type": "boolean"}),
        FieldKind::Unmapped => json!({"type": "object", "enabled": false}),
    }
}

/// Reads the answer to `GET /INDEX/_mapping` for several indexes: what kinds the fields have, and
/// what is said of fields whose kinds differ between them. Names that no index has do not exist.
pub(super) fn read(answer: &Value) -> (Schema, Vec<String>) {
    let mut schema = Schema::default();
    for name in ["message", "@timestamp", "voting"] {
        schema.set(name, FieldKind::Unmapped);
    }
    schema.close();
    let mut seen: Map<String, Value> = Map::new();
    let mut problems = Vec::new();
    for (index, body) in answer.as_object().into_iter().flatten() {
        let mut found = Vec::new();
        properties(&body["mappings"]["properties"], "", &mut found);
        for (name, kind, word) in found {
            let before = seen.insert(name.clone(), json!(word));
            if before.as_ref().is_some_and(|b| *b != json!(word)) {
                problems.push(format!(
                    "field {name} is {word} in {index} and {} in another index",
                    before.as_ref().and_then(Value::as_str).unwrap_or_default()
                ));
            }
            schema.set(&name, kind);
        }
    }
    problems.sort();
    problems.dedup();
    (schema, problems)
}

fn properties(value: &Value, prefix: &str, found: &mut Vec<(String, FieldKind, String)>) {
    for (name, field) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        properties(&field["properties"], &format!("{name}."), found);
        properties(&field["fields"], &format!("{name}."), found);
        if let Some(word) = field["type"].as_str()
            && let Some(kind) = kind_of(word, field)
        {
            found.push((name, kind, word.to_owned()));
        }
    }
}

/// Whether all indexes that have the field cut it into words as the standard analyser does.
pub(super) fn splits_words(answer: &Value, field: &str) -> bool {
    let pointer = field.replace('.', "/properties/");
    let below = field
        .rsplit_once('.')
        .map(|(whole, part)| format!("{}/fields/{part}", whole.replace('.', "/properties/")));
    let paths: Vec<String> = std::iter::once(pointer).chain(below).collect();
    let (mut found, mut all) = (false, true);
    for (_, body) in answer.as_object().into_iter().flatten() {
        let properties = &body["mappings"]["properties"];
        let at = |path: &String| properties.pointer(&format!("/{path}"));
        let Some(field) = paths.iter().find_map(at) else {
            continue;
        };
        let analyser = field["analyzer"].as_str().unwrap_or("standard");
        let kind = field["type"].as_str().and_then(|word| kind_of(word, field));
        all &= kind == Some(FieldKind::Text) && analyser == "standard";
        found = true;
    }
    found && all
}

fn kind_of(word: &str, field: &Value) -> Option<FieldKind> {
    if field["index"] == json!(false) || field["enabled"] == json!(false) {
        return Some(FieldKind::Unmapped);
    }
    Some(match word {
        "text" | "match_only_text" => FieldKind::Text,
        "keyword" | "constant_keyword" | "wildcard" | "ip" => FieldKind::Keyword,
        "byte" | "short" | "integer" => FieldKind::Integer,
        "long" | "unsigned_long" => FieldKind::Long,
        "float" | "double" | "half_float" | "scaled_float" => FieldKind::Float,
        "date" | "date_nanos" => FieldKind::Date,
        "boolean" => FieldKind::Boolean,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let mut schema = Schema::default();
        schema.set("a.b", FieldKind::Boolean);
        let answer = json!({"i": own_index(&schema, 1)});
        let (found, problems) = read(&answer);
        assert_eq!(problems, [""; 0]);
        for (name, kind) in schema.fields() {
            assert_eq!(found.kind(name), kind, "{name}");
        }
        assert_eq!(found.kind("never.heard.of"), FieldKind::Unmapped);
    }

    #[test]
    fn other_analysers_are_seen() {
        let with = |message: Value| {
            let plain = json!({"mappings": {"properties": {"message": {"type": "text"}}}});
            let log = json!({"properties": {"text": message, "raw": {"type": "keyword", "fields":
                {"cut": {"type": "match_only_text"}}}}});
            let other = json!({"mappings": {"properties": {"message": message, "log": log}}});
            json!({"a": plain, "b": other, "c": {"mappings": {}}})
        };
        let plain = with(json!({"type": "text"}));
        let named = with(json!({"type": "text", "analyzer": "standard"}));
        for field in ["message", "log.text", "log.raw.cut"] {
            assert!(
                splits_words(&plain, field) && splits_words(&named, field),
                "{field}"
            );
        }
        assert!(!splits_words(&plain, "log.raw"));
        for other in [
            json!({"type": "text", "analyzer": "english"}),
            json!({"type": "keyword"}),
            json!({"type": "text", "index": false}),
        ] {
            assert!(!splits_words(&with(other.clone()), "message"), "{other}");
            assert!(!splits_words(&with(other), "log.text"));
        }
    }

    #[test]
    fn the_usual_dynamic_mapping_is_understood() {
        let answer = json!({
            "logstash-1": {"mappings": {"properties": {
                "tags": {"type": "text", "fields": {"keyword": {"type": "keyword"}}},
                "geo": {"properties": {"ip": {"type": "ip"}}},
                "voting": {"type": "long"},
            }}},
            "logstash-2": {"mappings": {"properties": {"voting": {"type": "keyword"}}}},
        });
        let (schema, problems) = read(&answer);
        assert_eq!(schema.kind("tags"), FieldKind::Text);
        assert_eq!(schema.kind("tags.keyword"), FieldKind::Keyword);
        assert_eq!(schema.kind("geo.ip"), FieldKind::Keyword);
        assert_eq!(schema.kind("message"), FieldKind::Unmapped);
        assert_eq!(
            problems,
            ["field voting is keyword in logstash-2 and long in another index"]
        );
    }
}
