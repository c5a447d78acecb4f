//! The builds that an index has heard of, found without any other source of events.

use super::ElasticStore;
use crate::event::Event;
use crate::store::{Selection, StoreError};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Builds of one request.
const BUILDS: usize = 500;
/// Requests of one round; what is left comes in the next one.
const ROUNDS: usize = 20;

/// A build that the index has events of.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundBuild {
    /// Its name.
    pub uuid: String,
    /// The moment of its last event.
    pub last: Timestamp,
    /// One of its events, whose fields say what the build is.
    pub event: Event,
}

impl ElasticStore {
    /// The builds that have an event at or after `from`, at most 10,000 of them; false when there
    /// are more.
    pub fn discover(&self, from: Timestamp) -> Result<(Vec<FoundBuild>, bool), StoreError> {
        let meant = Selection {
            from: Some(from),
            ..Selection::default()
        };
        let query = self.form.selection(&meant, &self.hidden());
        let mut found = Vec::new();
        let mut after = Value::Null;
        for _ in 0..ROUNDS {
            let mut composite = json!({
                "size": BUILDS,
                "sources": [{"build": {"terms": {"field": self.form.build_field()}}}],
            });
            if !after.is_null() {
                composite["after"] = after;
            }
            let answer = self.ask(&json!({
                "query": query,
                "size": 0,
                "track_total_hits": false,
                "aggs": {"builds": {
                    "composite": composite,
                    "aggs": {
                        "last": {"max": {"field": self.form.time_field()}},
                        "one": {"top_hits": {"size": 1}},
                    },
                }},
            }))?;
            let builds = &answer["aggregations"]["builds"];
            let buckets = builds["buckets"].as_array().cloned().unwrap_or_default();
            found.extend(buckets.iter().filter_map(|bucket| self.found_build(bucket)));
            after = builds["after_key"].clone();
            if buckets.len() < BUILDS || after.is_null() {
                return Ok((found, true));
            }
        }
        Ok((found, false))
    }

    fn found_build(&self, bucket: &Value) -> Option<FoundBuild> {
        let millis = bucket["last"]["value"].as_f64()?;
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of our time")]
        let last = Timestamp::from_millisecond(millis as i64).ok()?;
        Some(FoundBuild {
            uuid: bucket["key"]["build"].as_str()?.to_owned(),
            last,
            event: self
                .form
                .event(&bucket["one"]["hits"]["hits"][0]["_source"])?,
        })
    }
}
