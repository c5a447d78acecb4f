//! One build in few requests: its events, how many of them each query finds, and where.

use super::ElasticStore;
use super::client::Request;
use super::request::{total, whole};
use crate::event::{Build, Event};
use crate::matcher::Needed;
use crate::query::Query;
use crate::store::{Filters, Selection, StoreError};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Events of one answer: what a cluster's default window allows.
const PAGE: u64 = 10_000;
/// Queries of one request. A cluster reads thousands, but a body must stay within its limit.
const QUERIES: usize = 1_000;
/// Bytes of the queries of one request.
const QUERY_BYTES: usize = 8 << 20;
/// Words of one list. A cluster takes 65,536 unless it is told otherwise.
const WORDS: usize = 1_000;
/// Words or pairs beyond which one request would be too large.
const WORDS_IN_ALL: usize = 50_000;
/// Lists of pairs; each is two clauses, and a cluster may take no more than 1,024 in all.
const GROUPS: usize = 128;

/// Requests among which the queries of one build are divided, sent at the same time: a cluster gives
/// one request one thread for each shard, and a build's events are mostly in one or two.
const AT_ONCE: usize = 2;
/// Fewer queries than this are not worth a second request.
const WORTH_ONE: usize = 50;

/// A query with the name by which its caller knows it.
pub type Named<'q> = (&'q str, &'q Query);

/// What a cluster has of one build.
#[derive(Debug)]
pub struct BuildView<'s> {
    store: &'s ElasticStore,
    build: &'s Build,
    requests: AtomicU64,
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

/// How many events of the build each query finds, and some of them.
#[derive(Debug, Default, PartialEq)]
pub struct Counts {
    /// The numbers by the queries' names.
    pub hits: BTreeMap<String, u64>,
    /// The queries that the cluster does not read, and why.
    pub refused: Vec<(String, String)>,
    /// The events that were asked for, in the order of the log, each once.
    pub events: Vec<Event>,
}

/// What the requests for one part of the queries have brought.
#[derive(Default)]
struct Tally {
    hits: BTreeMap<String, u64>,
    refused: Vec<(String, String)>,
    /// Events with their values in the order of the log, by their places in the cluster.
    found: BTreeMap<String, (Value, Event)>,
}

impl ElasticStore {
    /// What the cluster calls a field that fingerprints name.
    pub fn name_of<'a>(&'a self, field: &'a str) -> &'a str {
        self.form.name(field)
    }

    /// Looks at one build.
    pub fn view<'s>(&'s self, build: &'s Build) -> BuildView<'s> {
        BuildView {
            store: self,
            build,
            requests: AtomicU64::new(0),
        }
    }
}

impl BuildView<'_> {
    /// Requests so far, repetitions not counted.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Whether the index cuts messages into words as we do, so that it can be asked for words.
    pub fn splits_words(&self) -> bool {
        self.store.splits_words.load(Relaxed)
    }

    /// Number of the build's events, and of those whose message bears one of the words or pairs; the
    /// latter only when the cluster can say.
    pub fn measure(&self, words: &[Needed]) -> Result<(u64, Option<u64>), StoreError> {
        let mut body = json!({"query": self.meant(None), "size": 0, "track_total_hits": true});
        if words.is_empty() || words.len() > WORDS_IN_ALL {
            return Ok((total(&self.search(&body)?)?, None));
        }
        body["aggs"] = json!({"bearing": {"filter": self.bearing(words)}});
        match self.search(&body) {
            Ok(answer) => Ok((
                total(&answer)?,
                answer["aggregations"]["bearing"]["doc_count"].as_u64(),
            )),
            // Limits on words can be lower than they usually are.
            Err(StoreError::Refused { status: 400, .. }) => self.measure(&[]),
            Err(error) => Err(error),
        }
    }

    /// The first page of the build's events, or of those whose message bears one of the words, at
    /// most `most` of them, or the one after `before`.
    pub fn page(
        &self,
        before: Option<&Page>,
        most: u64,
        words: Option<&[Needed]>,
    ) -> Result<Page, StoreError> {
        let mut body = json!({
            "query": self.meant(words),
            "size": most.min(PAGE),
            "sort": self.store.form.log_order(),
            "track_total_hits": true,
        });
        if let Some(before) = before {
            body["search_after"] = before.after.clone();
        }
        let mut answer = self.search(&body)?;
        // Megabytes: taken out and not copied.
        let Value::Array(hits) = answer["hits"]["hits"].take() else {
            return Err(StoreError::Index("the cluster's answer has no hits".into()));
        };
        let events = hits
            .iter()
            .filter_map(|hit| self.store.form.event(&hit["_source"]));
        Ok(Page {
            events: events.collect(),
            total: total(&answer)?,
            after: hits.last().map_or(Value::Null, |hit| hit["sort"].clone()),
        })
    }

    /// One event of the build, and how many there are.
    pub fn sample(&self) -> Result<(Option<Event>, u64), StoreError> {
        let body = json!({"query": self.meant(None), "size": 1, "track_total_hits": true});
        let answer = self.search(&body)?;
        let event = self.store.form.event(&answer["hits"]["hits"][0]["_source"]);
        Ok((event, total(&answer)?))
    }

    /// Counts for many queries, and the first `shown` events of each and its last one (none when
    /// `shown` is 0), in as few requests as their size allows; they run at the same time.
    pub fn counts(&self, queries: &[Named<'_>], shown: usize) -> Result<Counts, StoreError> {
        let queries = self.texts(queries);
        let parts = AT_ONCE.min(queries.len() / WORTH_ONE).max(1);
        let parts = queries.chunks(queries.len().div_ceil(parts).max(1));
        let tallies: Vec<Result<Tally, StoreError>> = std::thread::scope(|scope| {
            let asked: Vec<_> = parts
                .map(|part| scope.spawn(move || self.tally(part, shown)))
                .collect();
            let gone = |_| Err(StoreError::Unavailable("a request was broken off".into()));
            asked
                .into_iter()
                .map(|one| one.join().unwrap_or_else(gone))
                .collect()
        });
        let mut all = Tally::default();
        for tally in tallies {
            let tally = tally?;
            all.hits.extend(tally.hits);
            all.refused.extend(tally.refused);
            all.found.extend(tally.found);
        }
        all.refused.sort();
        let mut found: Vec<(Value, Event)> = all.found.into_values().collect();
        found.sort_by(|(a, _), (b, _)| compare(a, b));
        Ok(Counts {
            hits: all.hits,
            refused: all.refused,
            events: found.into_iter().map(|(_, event)| event).collect(),
        })
    }

    /// One part of the queries. One that the cluster does not read is found by halving, so that the
    /// others are still counted.
    fn tally(&self, queries: &[(String, Value)], shown: usize) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        let mut parts = split(queries);
        while let Some(part) = parts.pop() {
            match self.search(&self.counting(part, shown)) {
                Ok(answer) => self.add(&mut tally, &answer),
                Err(StoreError::Refused {
                    status: 400,
                    message,
                }) => match part {
                    [] => {}
                    [(name, _)] => tally.refused.push((name.clone(), message)),
                    more => parts.extend([&more[..more.len() / 2], &more[more.len() / 2..]]),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(tally)
    }

    fn add(&self, tally: &mut Tally, answer: &Value) {
        for (name, bucket) in buckets(answer) {
            let count = bucket["doc_count"].as_u64().unwrap_or(0);
            tally.hits.insert(name.clone(), count);
            let hits = ["first", "last"].map(|side| bucket[side]["hits"]["hits"].as_array());
            for hit in hits.into_iter().flatten().flatten() {
                let place = format!("{}/{}", hit["_index"], hit["_id"]);
                if tally.found.contains_key(&place) {
                    continue;
                }
                if let Some(event) = self.store.form.event(&hit["_source"]) {
                    tally.found.insert(place, (hit["sort"].clone(), event));
                }
            }
        }
    }

    fn counting(&self, queries: &[(String, Value)], shown: usize) -> Value {
        let filters: Map<String, Value> = queries.iter().cloned().collect();
        let mut asked = json!({"filters": {"filters": filters}});
        if shown > 0 {
            let order = self.store.form.log_order();
            asked["aggs"] = json!({
                "first": {"top_hits": {"size": shown, "sort": order}},
                "last": {"top_hits": {"size": 1, "sort": reversed(&order)}},
            });
        }
        json!({
            "query": self.meant(None),
            "size": 0,
            "track_total_hits": false,
            "aggs": {"queries": asked},
        })
    }

    fn texts(&self, queries: &[Named<'_>]) -> Vec<(String, Value)> {
        let text =
            |(name, query): &Named<'_>| ((*name).to_owned(), self.store.form.query_string(query));
        queries.iter().map(text).collect()
    }

    /// Messages with at least one of what is needed. A list of words is one clause, however long, and
    /// clauses are limited: so pairs are asked for as a word of one list and a word of another. They
    /// come in order, so that those of a list have their first word in common where they can.
    fn bearing(&self, needed: &[Needed]) -> Value {
        let field = self.store.form.name("message");
        let terms = |words: Vec<&String>| json!({"terms": {field: words}});
        let (single, pairs): (Vec<&Needed>, Vec<&Needed>) =
            needed.iter().partition(|n| n.len() < 2);
        let words: Vec<&String> = single.into_iter().flatten().collect();
        let lists = words.chunks(WORDS).map(|some| terms(some.to_vec()));
        let group = pairs.len().div_ceil(GROUPS).max(1);
        let groups = pairs.chunks(group).map(|some| {
            let sides = [0, 1].map(|n| terms(some.iter().map(|pair| &pair[n]).collect()));
            json!({"bool": {"filter": sides}})
        });
        let should: Vec<Value> = lists.chain(groups).collect();
        json!({"bool": {"should": should, "minimum_should_match": 1}})
    }

    fn meant(&self, words: Option<&[Needed]>) -> Value {
        let selection = Selection {
            filters: Filters {
                build_uuid: Some(self.build.uuid.clone()),
                ..Filters::default()
            },
            ..Selection::default()
        };
        let mut meant = self.store.form.selection(&selection, &self.store.hidden());
        if let (Some(words), Some(filter)) = (words, meant["bool"]["filter"].as_array_mut()) {
            filter.push(self.bearing(words));
        }
        meant
    }

    fn search(&self, body: &Value) -> Result<Value, StoreError> {
        self.requests.fetch_add(1, Relaxed);
        let request = Request::post(format!("{}/_search", self.store.indexes_of(self.build)))
            .with("ignore_unavailable", true)
            .with("allow_no_indices", true)
            .with("allow_partial_search_results", false)
            // Nobody asks this again: what others have asked there is worth more.
            .with("request_cache", false)
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
