//! One build in few requests: its events, how many of them each query finds, and where.

use super::ElasticStore;
use super::client::Request;
use super::request::{total, whole};
use crate::event::{Build, Event};
use crate::query::Query;
use crate::store::{Filters, Selection, StoreError};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

/// Events of the first answer. Most builds have no more; of a larger one they are moved in vain when
/// the cluster then counts.
const FIRST_PAGE: usize = 4_000;
/// Events of every further answer: what a cluster's default window allows.
const PAGE: usize = 10_000;
/// Queries of one request. A cluster reads thousands, but a body must stay within its limit.
const QUERIES: usize = 1_000;
/// Bytes of the queries of one request.
const QUERY_BYTES: usize = 8 << 20;

/// A query with the name by which its caller knows it.
pub type Named<'q> = (&'q str, &'q Query);

/// What a cluster has of one build.
#[derive(Debug)]
pub struct BuildView<'s> {
    store: &'s ElasticStore,
    build: &'s Build,
    requests: Cell<u64>,
}

/// One page of a build's events, in the order of the log.
#[derive(Debug)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Number of the build's events.
    pub total: u64,
    after: Value,
}

/// How many events of the build each query finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The numbers by the queries' names.
    pub hits: BTreeMap<String, u64>,
    /// The queries that the cluster does not read, and why.
    pub refused: Vec<(String, String)>,
}

impl ElasticStore {
    /// Looks at one build.
    pub fn view<'s>(&'s self, build: &'s Build) -> BuildView<'s> {
        BuildView {
            store: self,
            build,
            requests: Cell::new(0),
        }
    }
}

impl BuildView<'_> {
    /// Requests so far, repetitions not counted.
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// The first page of the build's events, or the one after `before`.
    pub fn page(&self, before: Option<&Page>) -> Result<Page, StoreError> {
        let mut body = json!({
            "query": self.meant(),
            "size": if before.is_some() { PAGE } else { FIRST_PAGE },
            "sort": self.store.form.log_order(),
            "track_total_hits": true,
        });
        if let Some(before) = before {
            body["search_after"] = before.after.clone();
        }
        let answer = self.search(&body)?;
        let hits = answer["hits"]["hits"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let events = hits
            .iter()
            .filter_map(|hit| self.store.form.event(&hit["_source"]));
        Ok(Page {
            events: events.collect(),
            total: total(&answer)?,
            after: hits.last().map_or(Value::Null, |hit| hit["sort"].clone()),
        })
    }

    /// One event of the build.
    pub fn sample(&self) -> Result<Option<Event>, StoreError> {
        let body = json!({"query": self.meant(), "size": 1, "track_total_hits": false});
        let answer = self.search(&body)?;
        Ok(self.store.form.event(&answer["hits"]["hits"][0]["_source"]))
    }

    /// Counts for many queries in one request. One that the cluster does not read is found by
    /// halving, so that the others are still counted.
    pub fn counts(&self, queries: &[Named<'_>]) -> Result<Counts, StoreError> {
        let queries = self.texts(queries);
        let mut counts = Counts::default();
        let mut parts = split(&queries);
        while let Some(part) = parts.pop() {
            let filters: Map<String, Value> = part.iter().cloned().collect();
            let body = json!({
                "query": self.meant(),
                "size": 0,
                "track_total_hits": false,
                "aggs": {"queries": {"filters": {"filters": filters}}},
            });
            match self.search(&body) {
                Ok(answer) => {
                    for (name, bucket) in buckets(&answer) {
                        let count = bucket["doc_count"].as_u64().unwrap_or(0);
                        counts.hits.insert(name.clone(), count);
                    }
                }
                Err(StoreError::Refused {
                    status: 400,
                    message,
                }) => match part {
                    [] => {}
                    [(name, _)] => counts.refused.push((name.clone(), message)),
                    more => parts.extend([&more[..more.len() / 2], &more[more.len() / 2..]]),
                },
                Err(error) => return Err(error),
            }
        }
        counts.refused.sort();
        Ok(counts)
    }

    /// The first `count` events of each query and its last one, in the order of the log, each once.
    pub fn places(&self, queries: &[Named<'_>], count: usize) -> Result<Vec<Event>, StoreError> {
        let mut found: Vec<(Value, Event)> = Vec::new();
        let mut seen = HashSet::new();
        for part in split(&self.texts(queries)) {
            let answer = self.search(&self.places_body(part, count))?;
            for (_, bucket) in buckets(&answer) {
                for side in ["first", "last"] {
                    let hits = bucket[side]["hits"]["hits"].as_array();
                    for hit in hits.into_iter().flatten() {
                        let place = format!("{}/{}", hit["_index"], hit["_id"]);
                        let event = self.store.form.event(&hit["_source"]);
                        if let (true, Some(event)) = (seen.insert(place), event) {
                            found.push((hit["sort"].clone(), event));
                        }
                    }
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| compare(a, b));
        Ok(found.into_iter().map(|(_, event)| event).collect())
    }

    fn places_body(&self, queries: &[(String, Value)], count: usize) -> Value {
        let order = self.store.form.log_order();
        let filters: Map<String, Value> = queries.iter().cloned().collect();
        json!({
            "query": self.meant(),
            "size": 0,
            "track_total_hits": false,
            "aggs": {"queries": {
                "filters": {"filters": filters},
                "aggs": {
                    "first": {"top_hits": {"size": count, "sort": order}},
                    "last": {"top_hits": {"size": 1, "sort": reversed(&order)}},
                },
            }},
        })
    }

    fn texts(&self, queries: &[Named<'_>]) -> Vec<(String, Value)> {
        let text =
            |(name, query): &Named<'_>| ((*name).to_owned(), self.store.form.query_string(query));
        queries.iter().map(text).collect()
    }

    fn meant(&self) -> Value {
        let selection = Selection {
            filters: Filters {
                build_uuid: Some(self.build.uuid.clone()),
                ..Filters::default()
            },
            ..Selection::default()
        };
        self.store.form.selection(&selection, &self.store.hidden())
    }

    fn search(&self, body: &Value) -> Result<Value, StoreError> {
        self.requests.set(self.requests.get() + 1);
        let request = Request::post(format!("{}/_search", self.store.indexes_of(self.build)))
            .with("ignore_unavailable", true)
            .with("allow_no_indices", true)
            .with("allow_partial_search_results", false)
            .json(body);
        let answer = self.store.client.call(&request)?;
        whole(&answer)?;
        Ok(answer)
    }
}

pub(super) fn buckets(answer: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let all = answer["aggregations"]["queries"]["buckets"].as_object();
    all.into_iter().flatten()
}

/// The queries in parts that one request can hold.
fn split(queries: &[(String, Value)]) -> Vec<&[(String, Value)]> {
    let mut parts = Vec::new();
    let mut rest = queries;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take(QUERIES).take_while(|(name, query)| {
            bytes += name.len() + query.to_string().len();
            bytes <= QUERY_BYTES
        });
        let many = fitting.count();
        let (part, later) = rest.split_at(many.max(1));
        parts.push(part);
        rest = later;
    }
    parts
}

fn reversed(order: &Value) -> Value {
    let mut order = order.clone();
    for field in order.as_array_mut().into_iter().flatten() {
        for (_, how) in field.as_object_mut().into_iter().flatten() {
            how["order"] = json!("desc");
            if how.get("missing").is_some() {
                how["missing"] = json!("_last");
            }
        }
    }
    order
}

/// Compares the sort values of two hits.
fn compare(a: &Value, b: &Value) -> Ordering {
    let values = |v: &Value| v.as_array().cloned().unwrap_or_default();
    for (a, b) in values(a).iter().zip(&values(b)) {
        let order = match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_str().cmp(&b.as_str()),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_within_their_limits() {
        let few = |n: usize| -> Vec<(String, Value)> {
            (0..n).map(|n| (n.to_string(), json!({"q": n}))).collect()
        };
        let lengths = |queries: &[(String, Value)]| -> Vec<usize> {
            split(queries).iter().map(|part| part.len()).collect()
        };
        assert_eq!(lengths(&few(0)), [0; 0]);
        assert_eq!(lengths(&few(1_000)), [1_000]);
        assert_eq!(lengths(&few(2_500)), [1_000, 1_000, 500]);
        let large = vec![("x".to_owned(), json!("y".repeat(QUERY_BYTES / 2))); 3];
        assert_eq!(lengths(&large), [1, 1, 1]);
    }

    #[test]
    fn the_last_is_the_first_of_the_reverse() {
        let order = json!([{"n": {"order": "asc", "missing": "_first"}}]);
        assert_eq!(
            reversed(&order),
            json!([{"n": {"order": "desc", "missing": "_last"}}])
        );
        assert_eq!(compare(&json!(["a", 2]), &json!(["a", 10])), Ordering::Less);
    }
}
