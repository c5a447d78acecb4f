//! Asking a cluster for events and counts, as many pages as it takes.

use super::ElasticStore;
use super::client::Request;
use super::request::{total, whole};
use crate::event::Event;
use crate::query::Document;
use crate::store::{Filters, SearchRequest, SearchResult, Selection, StoreError, StoredHit};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Hits of one request; a cluster's default window allows no more.
const PAGE: usize = 5_000;
/// Values of one request for counts.
const VALUES: usize = 5_000;

impl ElasticStore {
    /// A search over all of our indexes, or those that exist.
    pub(super) fn ask(&self, body: &Value) -> Result<Value, StoreError> {
        let request = Request::post(format!("{}/_search", self.pattern()))
            .with("ignore_unavailable", true)
            .with("allow_no_indices", true)
            .with("allow_partial_search_results", false)
            .json(body);
        let answer = self.client.call(&request)?;
        whole(&answer)?;
        Ok(answer)
    }

    pub(super) fn found(&self, request: &SearchRequest<'_>) -> Result<SearchResult, StoreError> {
        let query = self.form.selection(&request.selection, &self.hidden());
        let mut result = SearchResult::default();
        let (mut skip, mut after) = (request.offset, Value::Null);
        loop {
            let left = request.limit.saturating_sub(result.hits.len());
            let size = skip.saturating_add(left).min(PAGE);
            let mut body = json!({
                "query": query,
                "size": size,
                "sort": self.form.order(request.newest_first),
                "track_total_hits": after.is_null(),
                // What is only skipped need not come.
                "_source": skip < size,
            });
            if !after.is_null() {
                body["search_after"] = after;
            }
            let answer = self.ask(&body)?;
            if body.get("search_after").is_none() {
                result.total = total(&answer)?;
            }
            let hits = answer["hits"]["hits"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let kept = hits.iter().skip(skip).take(left);
            for hit in kept {
                result.hits.extend(self.stored(&hit["_source"], request));
            }
            skip = skip.saturating_sub(hits.len());
            let done = result.hits.len() >= request.limit && skip == 0;
            match hits.last() {
                Some(last) if hits.len() == size && size > 0 && !done => {
                    after = last["sort"].clone();
                }
                _ => return Ok(result),
            }
        }
    }

    pub(super) fn counts(
        &self,
        meant: &Selection<'_>,
        field: &str,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let mut all = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut composite = json!({
                "size": VALUES,
                "sources": [{"value": {"terms": {"field": field}}}],
            });
            if !after.is_null() {
                composite["after"] = after;
            }
            let body = json!({
                "query": self.form.selection(meant, &self.hidden()),
                "size": 0,
                "aggs": {"values": {"composite": composite}},
            });
            let answer = self.ask(&body)?;
            let values = &answer["aggregations"]["values"];
            let buckets = values["buckets"].as_array().cloned().unwrap_or_default();
            for bucket in &buckets {
                let count = bucket["doc_count"].as_u64().unwrap_or(0);
                all.push((text(&bucket["key"]["value"]), count));
            }
            after = values["after_key"].clone();
            if buckets.len() < VALUES || after.is_null() {
                return Ok(all);
            }
        }
    }

    pub(super) fn spans_of_time(
        &self,
        meant: &Selection<'_>,
        interval: u64,
    ) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        let body = json!({
            "query": self.form.selection(meant, &self.hidden()),
            "size": 0,
            "aggs": {"times": {"date_histogram": {
                "field": self.form.time_field(),
                "fixed_interval": format!("{}s", interval.max(1)),
                "min_doc_count": 1,
            }}},
        });
        let answer = self.ask(&body)?;
        let buckets = answer["aggregations"]["times"]["buckets"].as_array();
        let spans = buckets.into_iter().flatten().filter_map(|bucket| {
            let time = Timestamp::from_millisecond(bucket["key"].as_i64()?).ok()?;
            Some((time, bucket["doc_count"].as_u64()?))
        });
        Ok(spans.collect())
    }

    /// All events of a build, in their order.
    pub(super) fn all_events(&self, build: &str) -> Result<Vec<Event>, StoreError> {
        let meant = Selection {
            filters: Filters {
                build_uuid: Some(build.to_owned()),
                ..Filters::default()
            },
            ..Selection::default()
        };
        let query = self.form.selection(&meant, &self.hidden());
        let mut events = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut body = json!({
                "query": query,
                "size": PAGE,
                "sort": self.form.log_order(),
                "track_total_hits": false,
            });
            if !after.is_null() {
                body["search_after"] = after;
            }
            let answer = self.ask(&body)?;
            let hits = answer["hits"]["hits"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            events.extend(
                hits.iter()
                    .filter_map(|hit| self.form.event(&hit["_source"])),
            );
            match hits.last() {
                Some(last) if hits.len() == PAGE => after = last["sort"].clone(),
                _ => return Ok(events),
            }
        }
    }

    fn stored(&self, source: &Value, request: &SearchRequest<'_>) -> Option<StoredHit> {
        let event = self.form.event(source)?;
        let (build_uuid, time) = self.form.build_and_time(source);
        let spans = match request.selection.query {
            Some(query) if request.highlight => query.spans(&Document::new(&event)),
            _ => Vec::new(),
        };
        Some(StoredHit {
            event,
            build_uuid,
            time,
            spans,
        })
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
