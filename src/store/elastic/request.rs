//! From what is meant to a cluster's query, and from its answers back.

use super::document::OWN;
use crate::query::Query;
use crate::store::{Filters, Selection, StoreError};
use serde_json::{Value, json};

/// Words that a fuzzy or wildcard word may stand for. The default of 50 makes the answer depend on
/// what else is in the index; the cluster's own limit on clauses is the next bound.
const EXPANSIONS: u32 = 1000;

/// Events that are in the index and must not be seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hidden {
    /// What this append has written: it has not ended.
    Append(String),
    /// What other appends than this wrote for the build: they are being removed.
    Others {
        /// The build.
        build: String,
        /// Its append that counts.
        append: String,
    },
}

impl Hidden {
    pub(super) fn query(&self) -> Value {
        match self {
            Self::Append(append) => term("append", append),
            Self::Others { build, append } => json!({"bool": {
                "filter": [term("build", build)],
                "must_not": [term("append", append)],
            }}),
        }
    }
}

fn term(name: &str, value: &str) -> Value {
    json!({"term": {format!("{OWN}.{name}"): value}})
}

/// The query of a fingerprint. Its text goes as it is; whatever else is asked stands beside it.
pub(super) fn query_string(query: &Query) -> Value {
    json!({"query_string": {
        "query": query.source(),
        "default_field": "message",
        "fuzzy_max_expansions": EXPANSIONS,
    }})
}

/// What is meant by a selection.
pub(super) fn selection(selection: &Selection<'_>, hidden: &[Hidden]) -> Value {
    let mut filter: Vec<Value> = selection.query.map(query_string).into_iter().collect();
    let mut must_not: Vec<Value> = hidden.iter().map(Hidden::query).collect();
    filters(&selection.filters, &mut filter);
    let mut range = serde_json::Map::new();
    for (bound, time) in [("gte", selection.from), ("lt", selection.to)] {
        if let Some(time) = time {
            range.insert(bound.into(), json!(time.as_microsecond()));
        }
    }
    if !range.is_empty() {
        filter.push(json!({"range": {format!("{OWN}.micros"): range}}));
    }
    must_not.sort_by_key(Value::to_string);
    json!({"bool": {"filter": filter, "must_not": must_not}})
}

fn filters(filters: &Filters, into: &mut Vec<Value>) {
    if let Some(build) = &filters.build_uuid {
        into.push(term("build", build));
    }
    if let Some(voting) = filters.voting {
        into.push(json!({"term": {format!("{OWN}.votes"): voting}}));
    }
    for (name, value) in &filters.equal {
        into.push(json!({"term": {name: value}}));
    }
}

/// The order of an answer: by moment, build and place in the log.
pub(super) fn order(newest_first: bool) -> Value {
    let word = if newest_first { "desc" } else { "asc" };
    json!([
        {format!("{OWN}.micros"): {"order": word, "unmapped_type": "long"}},
        {format!("{OWN}.build"): {"order": "asc", "unmapped_type": "keyword"}},
        {format!("{OWN}.n"): {"order": "asc", "unmapped_type": "long"}},
    ])
}

/// The number of all hits, when the cluster counted them.
pub(super) fn total(answer: &Value) -> Result<u64, StoreError> {
    let total = &answer["hits"]["total"];
    let exact = total["relation"] == "eq";
    total["value"]
        .as_u64()
        .filter(|_| exact)
        .ok_or_else(|| StoreError::Index(format!("the cluster did not count the hits: {total}")))
}

/// Refuses an answer that is not whole.
pub(super) fn whole(answer: &Value) -> Result<(), StoreError> {
    let failed = answer["_shards"]["failed"].as_u64().unwrap_or(0);
    if failed == 0 && answer["timed_out"] != json!(true) {
        return Ok(());
    }
    let reason = &answer["_shards"]["failures"][0]["reason"]["reason"];
    Err(StoreError::Unavailable(format!(
        "the cluster answered in part only: {failed} of {} shards failed: {}",
        answer["_shards"]["total"],
        reason.as_str().unwrap_or("no reason given, or out of time")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Schema;

    #[test]
    fn a_query_is_never_glued_to_its_conditions() {
        let query = Query::parse("a OR b", &Schema::default()).unwrap();
        let meant = Selection {
            query: Some(&query),
            filters: Filters {
                build_uuid: Some("u".into()),
                voting: Some(true),
                equal: vec![("tags".into(), "console".into())],
            },
            from: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            to: None,
        };
        let hidden = [Hidden::Append("x".into())];
        insta::assert_json_snapshot!(selection(&meant, &hidden), @r#""#);
    }

    #[test]
    fn an_answer_in_part_is_none() {
        let part = json!({"timed_out": false, "_shards": {"total": 2, "failed": 1,
            "failures": [{"reason": {"reason": "node left"}}]}});
        let error = whole(&part).unwrap_err().to_string();
        assert!(error.contains("1 of 2 shards failed: node left"), "{error}");
        assert!(whole(&json!({"timed_out": true})).is_err());
        assert!(whole(&json!({"_shards": {"failed": 0}})).is_ok());
    }
}
