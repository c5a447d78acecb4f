//! From what is meant to a cluster's query, and from its answers back.
//!
//! A query's text goes as it is, or with the cluster's names of the fields; whatever else is asked
//! stands beside it and is never glued to it.

use super::document::{self, OWN};
use super::layout::Layout;
use crate::event::Event;
use crate::query::{Query, rename_fields};
use crate::store::fields::time_of;
use crate::store::{Filters, Selection, StoreError};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

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
        let term = |name: &str, value: &str| json!({"term": {format!("{OWN}.{name}"): value}});
        match self {
            Self::Append(append) => term("append", append),
            Self::Others { build, append } => json!({"bool": {
                "filter": [term("build", build)],
                "must_not": [term("append", append)],
            }}),
        }
    }
}

/// Who fills the indexes, and so what their documents look like.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// We do.
    Own,
    /// Somebody else does.
    Foreign(Layout),
}

impl Form {
    /// What the cluster calls a field that fingerprints name.
    pub(super) fn name<'a>(&'a self, field: &'a str) -> &'a str {
        match self {
            Self::Own => field,
            Self::Foreign(layout) => layout.name(field),
        }
    }

    /// The field that holds an event's build.
    pub(super) fn build_field(&self) -> String {
        match self {
            Self::Own => format!("{OWN}.build"),
            Self::Foreign(layout) => layout.name("build_uuid").to_owned(),
        }
    }

    /// The date field that holds an event's moment.
    pub(super) fn time_field(&self) -> String {
        match self {
            Self::Own => format!("{OWN}.time"),
            Self::Foreign(layout) => layout.name("@timestamp").to_owned(),
        }
    }

    /// The query of a fingerprint.
    pub(super) fn query_string(&self, query: &Query) -> Value {
        let text = match self {
            Self::Own => query.portable(),
            Self::Foreign(layout) => {
                let text = query.portable();
                let renamed = rename_fields(&text, |name| layout.names.get(name).cloned());
                // A query that was read once is read again.
                renamed.unwrap_or(text)
            }
        };
        json!({"query_string": {
            "query": text,
            "default_field": self.name("message"),
            "fuzzy_max_expansions": EXPANSIONS,
            // What cannot be asked of a number was refused when the query was read; Elasticsearch 7
            // also refuses expressions over numbers, which other clusters answer with nothing.
            "lenient": true,
        }})
    }

    /// What is meant by a selection.
    pub(super) fn selection(&self, selection: &Selection<'_>, hidden: &[Hidden]) -> Value {
        let query = selection.query.map(|query| self.query_string(query));
        let mut filter: Vec<Value> = query.into_iter().collect();
        let mut must_not: Vec<Value> = hidden.iter().map(Hidden::query).collect();
        self.filters(&selection.filters, &mut filter, &mut must_not);
        filter.extend(self.range(selection.from, selection.to));
        json!({"bool": {"filter": filter, "must_not": must_not}})
    }

    fn range(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> Option<Value> {
        let mut range = Map::new();
        for (bound, time) in [("gte", from), ("lt", to)] {
            let Some(time) = time else { continue };
            let value = match self {
                Self::Own => json!(time.as_microsecond()),
                Self::Foreign(_) => json!(time.to_string()),
            };
            range.insert(bound.into(), value);
        }
        let field = match self {
            Self::Own => format!("{OWN}.micros"),
            Self::Foreign(_) => self.time_field(),
        };
        (!range.is_empty()).then(|| json!({"range": {field: range}}))
    }

    fn filters(&self, filters: &Filters, filter: &mut Vec<Value>, must_not: &mut Vec<Value>) {
        if let Some(build) = &filters.build_uuid {
            filter.push(json!({"term": {self.build_field(): build}}));
        }
        match (filters.voting, self) {
            (Some(voting), Self::Own) => {
                filter.push(json!({"term": {format!("{OWN}.votes"): voting}}));
            }
            // What does not say that it does not vote, votes.
            (Some(voting), Self::Foreign(_)) => {
                let side = if voting { must_not } else { &mut *filter };
                side.push(json!({"term": {self.name("voting"): 0}}));
            }
            (None, _) => {}
        }
        for (name, value) in &filters.equal {
            filter.push(json!({"term": {self.name(name): value}}));
        }
    }

    /// The order of an answer: by moment, build and place in the log.
    pub(super) fn order(&self, newest_first: bool) -> Value {
        let word = if newest_first { "desc" } else { "asc" };
        let by = |field: &str, word: &str, kind: &str| json!({field: {"order": word, "unmapped_type": kind}});
        match self {
            Self::Own => json!([
                by(&format!("{OWN}.micros"), word, "long"),
                by(&self.build_field(), "asc", "keyword"),
                by(&format!("{OWN}.n"), "asc", "long"),
            ]),
            Self::Foreign(layout) => {
                let mut all = vec![
                    by(&self.time_field(), word, "date"),
                    by(&self.build_field(), "asc", "keyword"),
                ];
                all.extend(layout.order.iter().map(|field| by(field, "asc", "long")));
                Value::Array(all)
            }
        }
    }

    /// The order of one build's events, file by file as far as the index tells.
    pub(super) fn log_order(&self) -> Value {
        match self {
            Self::Own => json!([{format!("{OWN}.n"): {"order": "asc", "unmapped_type": "long"}}]),
            Self::Foreign(layout) => {
                let mut all = vec![
                    json!({self.name("filename"): {"order": "asc", "unmapped_type": "keyword", "missing": "_first"}}),
                    json!({self.time_field(): {"order": "asc", "unmapped_type": "date"}}),
                ];
                for field in &layout.order {
                    all.push(json!({field: {"order": "asc", "unmapped_type": "long"}}));
                }
                Value::Array(all)
            }
        }
    }

    /// The event of a document.
    pub(super) fn event(&self, source: &Value) -> Option<Event> {
        match self {
            Self::Own => document::event(source),
            Self::Foreign(layout) => foreign(source, layout),
        }
    }

    /// The build and the moment of a document.
    pub(super) fn build_and_time(&self, source: &Value) -> (String, Timestamp) {
        if let Self::Own = self {
            return document::build_and_time(source);
        }
        let event = self.event(source);
        let build = event.as_ref().and_then(|e| e.field("build_uuid"));
        let build = build.and_then(crate::store::fields::keyword_of);
        let time = event.as_ref().and_then(time_of);
        (build.unwrap_or_default(), time.unwrap_or_default())
    }
}

/// An event that somebody else indexed, with the names that fingerprints use.
fn foreign(source: &Value, layout: &Layout) -> Option<Event> {
    let mut event = Event::from_json(source.as_object()?);
    for (ours, theirs) in &layout.names {
        // `tags.keyword` is a way to index `tags`: the document has `tags`.
        let path = theirs.strip_suffix(".keyword").unwrap_or(theirs);
        if path == ours {
            continue;
        }
        if let Some(value) = event.own.get(path).cloned() {
            if ours == "message" {
                event.message = crate::store::fields::keyword_of(&value).unwrap_or_default();
            } else {
                event.own.set(ours, value);
            }
        }
    }
    if let Some(name) = event
        .field("filename")
        .and_then(crate::store::fields::keyword_of)
    {
        event.at.file = name.into();
    }
    event.at.lines = 1;
    Some(event)
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
        let query = Query::parse("a OR tags:b", &Schema::default()).unwrap();
        let meant = Selection {
            query: Some(&query),
            filters: Filters {
                build_uuid: Some("u".into()),
                voting: Some(true),
                equal: vec![("tags".into(), "console".into())],
            },
            from: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            to: None,
            ..Selection::default()
        };
        let hidden = [Hidden::Append("x".into())];
        let text = json!({"query_string": {
            "query": "a OR tags:b",
            "default_field": "message",
            "fuzzy_max_expansions": 1000,
            "lenient": true,
        }});
        let own = json!({"bool": {
            "filter": [
                text,
                {"term": {"whorl.build": "u"}},
                {"term": {"whorl.votes": true}},
                {"term": {"tags": "console"}},
                {"range": {"whorl.micros": {"gte": 1_767_225_600_000_000_i64}}},
            ],
            "must_not": [{"term": {"whorl.append": "x"}}],
        }});
        assert_eq!(Form::Own.selection(&meant, &hidden), own);
        let foreign = Form::Foreign(Layout::openstack()).selection(&meant, &[]);
        let filter = &foreign["bool"]["filter"];
        assert_eq!(filter[0]["query_string"]["query"], "a OR tags.keyword:b");
        assert_eq!(filter[1], json!({"term": {"build_uuid.keyword": "u"}}));
        assert_eq!(filter[2], json!({"term": {"tags.keyword": "console"}}));
        assert_eq!(
            filter[3],
            json!({"range": {"@timestamp": {"gte": "2026-01-01T00:00:00Z"}}})
        );
        assert_eq!(
            foreign["bool"]["must_not"],
            json!([{"term": {"voting": 0}}])
        );
    }

    #[test]
    fn another_index_gives_events_with_our_names() {
        let mut layout = Layout::openstack();
        layout.names.insert("message".into(), "log.text".into());
        let source = json!({"log": {"text": "a\nb"}, "tags": ["console"], "filename": "a/b.txt"});
        let event = foreign(&source, &layout).unwrap();
        assert_eq!(event.message, "a\nb");
        assert_eq!(&*event.at.file, "a/b.txt");
        assert!(event.field("tags").is_some());
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
