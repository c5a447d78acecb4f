//! Many queries over a span of time: which builds there are, and which of them each query finds.
//!
//! No event is moved: builds are told by a `composite` aggregation, page by page; those that a query
//! finds by `terms` below one `filters` aggregation over many queries. A list that was cut short is
//! asked for again with more room and at last page by page, so every answer is the exact set.

use super::ElasticStore;
use super::client::Request;
use super::look::{Named, buckets};
use super::request::{Form, whole};
use crate::event::Build;
use crate::query::{FieldKind, Schema};
use crate::store::{Selection, StoreError};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Builds of one page.
const BUILDS: usize = 2_000;
/// Buckets of one answer. A cluster's own limit is 65,535.
const BUCKETS: usize = 50_000;
/// Queries of one request at first.
const QUERIES: usize = 250;
/// Queries of one request of those that find many builds.
const FEW: usize = 5;
/// How long the cluster may think about one request before it is asked for less at once.
const THINK: Duration = Duration::from_secs(4);
/// How long one request may take in all.
const LIMIT: Duration = Duration::from_secs(5);
/// Facts of a build that scopes and verdicts need.
const FACTS: [&str; 6] = [
    "build_status",
    "build_name",
    "build_queue",
    "project",
    "build_branch",
    "voting",
];

/// A span of time, its end left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from: Timestamp,
    /// The moment after its last.
    pub to: Timestamp,
}

/// What a survey has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Requests, repetitions not counted.
    pub requests: u64,
    /// The longest that one took.
    pub slowest: Duration,
}

/// Which builds each query finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Finds {
    /// Names of builds by the name of the query; exact.
    pub builds: BTreeMap<String, BTreeSet<String>>,
    /// The queries that the cluster does not read, and why.
    pub refused: Vec<(String, String)>,
}

/// Why a span was not surveyed.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// It took too long; a shorter span may be asked for.
    #[error("the cluster took too long for {0:?}")]
    TooMuch(Span),
    /// The cluster does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks about one span.
#[derive(Debug)]
pub struct Survey<'s> {
    store: &'s ElasticStore,
    span: Span,
    effort: Effort,
}

type Text = (String, Value);

impl ElasticStore {
    /// Asks about a span of time, by the moments of the events.
    pub fn survey(&self, span: Span) -> Survey<'_> {
        Survey {
            store: self,
            span,
            effort: Effort::default(),
        }
    }
}

impl Survey<'_> {
    /// What it has cost so far.
    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// The builds that have an event in the span, by name, with what these events say of them; each
    /// ended at its last event in the span.
    pub fn builds(&mut self, schema: &Schema) -> Result<Vec<Build>, SurveyError> {
        let form = &self.store.form;
        let mut sources = vec![json!({"build_uuid": {"terms": {"field": form.build_field()}}})];
        let exact = |name: &&&str| {
            let kind = schema.kind(name);
            kind != FieldKind::Text && kind != FieldKind::Unmapped
        };
        sources.extend(FACTS.iter().filter(exact).map(
            |name| json!({*name: {"terms": {"field": form.name(name), "missing_bucket": true}}}),
        ));
        let mut found: BTreeMap<String, Build> = BTreeMap::new();
        let mut after = Value::Null;
        loop {
            let mut composite = json!({"size": BUILDS, "sources": sources});
            if !after.is_null() {
                composite["after"] = after;
            }
            let last = json!({"max": {"field": self.store.form.time_field()}});
            let aggs = json!({"builds": {"composite": composite, "aggs": {"last": last}}});
            let answer = self.ask(&aggs)?;
            let page = &answer["aggregations"]["builds"];
            let rows = page["buckets"].as_array().map_or(&[][..], Vec::as_slice);
            for row in rows {
                learn(&mut found, row);
            }
            after = page["after_key"].clone();
            if rows.len() < BUILDS || after.is_null() {
                return Ok(found.into_values().collect());
            }
        }
    }

    /// The builds that each query finds in the span.
    pub fn finds(&mut self, queries: &[Named<'_>]) -> Result<Finds, SurveyError> {
        let form = &self.store.form;
        let text = |(name, query): &Named<'_>| ((*name).to_owned(), form.query_string(query));
        let texts: Vec<Text> = queries.iter().map(text).collect();
        let mut finds = Finds::default();
        let many = self.round(&texts, QUERIES, &mut finds)?;
        let most = self.round(&many, FEW, &mut finds)?;
        for query in most {
            let builds = self.paged(&query.1)?;
            finds.builds.insert(query.0, builds);
        }
        finds.refused.sort();
        Ok(finds)
    }

    /// Asks for all, `at_once` in one request; returns those that find more builds than there is
    /// room for in one answer. A query that the cluster does not read is found by halving.
    fn round(
        &mut self,
        all: &[Text],
        at_once: usize,
        finds: &mut Finds,
    ) -> Result<Vec<Text>, SurveyError> {
        let (mut left, room) = (Vec::new(), BUCKETS / at_once - 1);
        let mut parts: Vec<&[Text]> = all.chunks(at_once).collect();
        while let Some(part) = parts.pop() {
            let answer = match self.ask(&self.below(part, room)) {
                Ok(answer) => answer,
                Err(SurveyError::Store(StoreError::Refused {
                    status: 400,
                    message,
                })) => {
                    match part {
                        [] => {}
                        [(name, _)] => finds.refused.push((name.clone(), message)),
                        more => parts.extend(halves(more)),
                    }
                    continue;
                }
                Err(SurveyError::TooMuch(_)) if part.len() > 1 => {
                    parts.extend(halves(part));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (name, bucket) in buckets(&answer) {
                if bucket["builds"]["sum_other_doc_count"].as_u64() == Some(0) {
                    finds.builds.insert(name.clone(), names(&bucket["builds"]));
                } else {
                    left.extend(part.iter().find(|(n, _)| n == name).cloned());
                }
            }
        }
        Ok(left)
    }

    fn below(&self, part: &[Text], room: usize) -> Value {
        let filters: Map<String, Value> = part.iter().cloned().collect();
        let terms = json!({"field": self.store.form.build_field(), "size": room});
        json!({"queries": {
            "filters": {"filters": filters},
            "aggs": {"builds": {"terms": terms}},
        }})
    }

    /// The builds that one query finds, page by page.
    fn paged(&mut self, query: &Value) -> Result<BTreeSet<String>, SurveyError> {
        let mut found = BTreeSet::new();
        let mut after = Value::Null;
        loop {
            let source = json!({"build": {"terms": {"field": self.store.form.build_field()}}});
            let mut composite = json!({"size": BUILDS, "sources": [source]});
            if !after.is_null() {
                composite["after"] = after;
            }
            let answer = self.ask_for(Some(query), &json!({"builds": {"composite": composite}}))?;
            let page = &answer["aggregations"]["builds"];
            let rows = page["buckets"].as_array().map_or(&[][..], Vec::as_slice);
            let uuids = rows.iter().filter_map(|row| row["key"]["build"].as_str());
            found.extend(uuids.map(str::to_owned));
            after = page["after_key"].clone();
            if rows.len() < BUILDS || after.is_null() {
                return Ok(found);
            }
        }
    }

    fn ask(&mut self, aggs: &Value) -> Result<Value, SurveyError> {
        self.ask_for(None, aggs)
    }

    /// One request. It is not repeated: the next report asks again.
    fn ask_for(&mut self, query: Option<&Value>, aggs: &Value) -> Result<Value, SurveyError> {
        let store = self.store;
        let meant = Selection {
            from: Some(self.span.from),
            to: Some(self.span.to),
            ..Selection::default()
        };
        let mut meant = store.form.selection(&meant, &store.hidden());
        if let (Some(query), Some(filter)) = (query, meant["bool"]["filter"].as_array_mut()) {
            filter.push(query.clone());
        }
        let indexes = match &store.form {
            Form::Own => store.pattern(),
            Form::Foreign(layout) => layout.between(self.span.from, self.span.to),
        };
        let request = Request::post(format!("{indexes}/_search"))
            .with("ignore_unavailable", true)
            .with("allow_no_indices", true)
            .with("allow_partial_search_results", false)
            .once(LIMIT)
            .json(&json!({
                "query": meant,
                "size": 0,
                "track_total_hits": false,
                "timeout": format!("{}ms", THINK.as_millis()),
                "aggs": aggs,
            }));
        let begun = Instant::now();
        let answer = store.client.call(&request);
        let took = begun.elapsed();
        self.effort.requests += 1;
        self.effort.slowest = self.effort.slowest.max(took);
        let answer = match answer {
            Ok(answer) if answer["timed_out"] == json!(true) => {
                return Err(SurveyError::TooMuch(self.span));
            }
            Err(StoreError::Unavailable(_)) if took >= LIMIT => {
                return Err(SurveyError::TooMuch(self.span));
            }
            answer => answer?,
        };
        whole(&answer)?;
        Ok(answer)
    }
}

fn halves(part: &[Text]) -> [&[Text]; 2] {
    let (a, b) = part.split_at(part.len() / 2);
    [a, b]
}

fn names(terms: &Value) -> BTreeSet<String> {
    let rows = terms["buckets"].as_array();
    let keys = rows.into_iter().flatten().filter_map(|b| b["key"].as_str());
    keys.map(str::to_owned).collect()
}

/// Takes one row of builds: the facts of one build can come in several.
fn learn(found: &mut BTreeMap<String, Build>, row: &Value) {
    let Some(uuid) = row["key"]["build_uuid"].as_str() else {
        return;
    };
    let build = found
        .entry(uuid.to_owned())
        .or_insert_with(|| Build::new(uuid));
    for name in FACTS {
        match &row["key"][name] {
            Value::Null => {}
            Value::String(text) => build.set_field(name, text),
            other => build.set_field(name, &other.to_string()),
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of our time")]
    let last = row["last"]["value"].as_f64().map(|millis| millis as i64);
    let last = last.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    build.finished = build.finished.max(last);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_a_build_come_together_from_several_rows() {
        let mut found = BTreeMap::new();
        let row = |status: Value, voting: Value, last: i64| {
            json!({
                "key": {"build_uuid": "u", "build_status": status, "voting": voting},
                "doc_count": 3, "last": {"value": last},
            })
        };
        learn(&mut found, &row(Value::Null, json!(0), 2_000));
        learn(&mut found, &row(json!("FAILURE"), Value::Null, 1_000));
        learn(&mut found, &json!({"key": {"build_uuid": null}}));
        let build = &found["u"];
        assert!(build.failed() && !build.votes());
        assert_eq!(build.finished, Timestamp::from_second(2).ok());
        assert_eq!(found.len(), 1);
    }
}
