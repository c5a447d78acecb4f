//! The query language against the answers of a real cluster that are kept beside the checkout.

use flate2::read::GzDecoder;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use whorl::event::Event;
use whorl::query::{Document, Query, Schema};

/// The shared conformance data, when this checkout has it beside itself.
pub(crate) fn conformance() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no conformance data at {}", folder.display());
    None
}

pub(crate) fn gzip_json_lines(path: &Path) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let reader = BufReader::new(GzDecoder::new(File::open(path).unwrap()));
    reader
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

#[test]
fn every_answer_equals_the_clusters() {
    let Some(folder) = conformance() else { return };
    let events: Vec<Event> = gzip_json_lines(&folder.join("query/events.jsonl.gz"))
        .iter()
        .map(Event::from_json)
        .collect();
    let documents: Vec<Document<'_>> = events.iter().map(Document::new).collect();
    let schema = Schema::infer(&events);
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut wrong = Vec::new();
    let (mut hits_seen, mut refusals) = (0, 0);
    for truth in gzip_json_lines(&folder.join("query/truth.jsonl.gz")) {
        let text = truth["query"].as_str().unwrap();
        let expected: Option<BTreeSet<usize>> = truth.get("hits").map(|hits| {
            let numbers = hits.as_array().unwrap().iter();
            numbers
                .map(|n| usize::try_from(n.as_u64().unwrap()).unwrap())
                .collect()
        });
        let found: Option<BTreeSet<usize>> = Query::parse(text, &schema).ok().map(|query| {
            (0..documents.len())
                .filter(|&n| query.matches(&documents[n], now))
                .collect()
        });
        hits_seen += expected.as_ref().map_or(0, BTreeSet::len);
        refusals += usize::from(expected.is_none());
        if expected != found {
            let count = |set: &Option<BTreeSet<usize>>| {
                set.as_ref()
                    .map_or("refused".into(), |s| s.len().to_string())
            };
            wrong.push(format!(
                "{} {text:?}: expected {}, found {}",
                truth["id"],
                count(&expected),
                count(&found)
            ));
        }
    }
    println!("{hits_seen} hits and {refusals} refusals compared");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
