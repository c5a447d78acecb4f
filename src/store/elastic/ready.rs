//! What a cluster has of many builds, asked in one request.

use super::ElasticStore;
use super::request::Hidden;
use crate::query::Query;
use crate::store::StoreError;
use serde_json::{Map, Value, json};

/// File names of one build that are told.
const FILES: usize = 500;

/// What the indexes have of one build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    /// Number of its events.
    pub events: u64,
    /// Whether the query finds one of them.
    pub found: bool,
    /// The names of its files.
    pub files: Vec<String>,
}

impl ElasticStore {
    /// What the indexes have of each build, in the order of the builds.
    pub fn presence(
        &self,
        builds: &[String],
        query: Option<&Query>,
    ) -> Result<Vec<Presence>, StoreError> {
        if builds.is_empty() {
            return Ok(Vec::new());
        }
        let field = self.form.build_field();
        let filters: Map<String, Value> = builds
            .iter()
            .enumerate()
            .map(|(n, build)| (n.to_string(), json!({"term": {&field: build}})))
            .collect();
        let mut of_each = json!({
            "files": {"terms": {"field": self.form.name("filename"), "size": FILES}},
        });
        if let Some(query) = query {
            of_each["found"] = json!({"filter": self.form.query_string(query)});
        }
        let hidden: Vec<Value> = self.hidden().iter().map(Hidden::query).collect();
        let body = json!({
            "query": {"bool": {"filter": [{"terms": {&field: builds}}], "must_not": hidden}},
            "size": 0,
            "track_total_hits": false,
            "aggs": {"builds": {"filters": {"filters": filters}, "aggs": of_each}},
        });
        let answer = self.ask(&body)?;
        let buckets = &answer["aggregations"]["builds"]["buckets"];
        let read = |n: usize| presence(&buckets[n.to_string()]);
        Ok((0..builds.len()).map(read).collect())
    }
}

fn presence(bucket: &Value) -> Presence {
    let files = bucket["files"]["buckets"].as_array();
    let names = files
        .into_iter()
        .flatten()
        .filter_map(|b| b["key"].as_str());
    Presence {
        events: bucket["doc_count"].as_u64().unwrap_or(0),
        found: bucket["found"]["doc_count"].as_u64().unwrap_or(0) > 0,
        files: names.map(str::to_owned).collect(),
    }
}
