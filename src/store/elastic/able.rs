//! What a cluster is able to do, asked of itself: version numbers tell it only of versions we know.

use super::ElasticStore;
use crate::store::StoreError;
use serde_json::json;

impl ElasticStore {
    /// Whether the complement `~` in an expression is one to the cluster, and no letter; `None` when
    /// there is no event by which to learn it.
    pub fn knows_complement(&self) -> Result<Option<bool>, StoreError> {
        let field = self.form.build_field();
        // No build is called so, so every build is in the complement.
        let complement = json!({"query_string": {"query": format!("{field}:/~(whorl)/")}});
        let some_build = json!({"exists": {"field": &field}});
        let answer = self.ask(&json!({
            "query": some_build,
            "size": 0,
            "track_total_hits": false,
            "terminate_after": 1,
            "aggs": {"of": {"filters": {"filters": {"builds": some_build, "found": complement}}}},
        }))?;
        let buckets = &answer["aggregations"]["of"]["buckets"];
        let count = |name: &str| buckets[name]["doc_count"].as_u64().unwrap_or(0);
        Ok((count("builds") > 0).then(|| count("found") > 0))
    }
}
