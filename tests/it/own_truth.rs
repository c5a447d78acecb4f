//! The query language against what a real OpenSearch answered (see `tests/truth/README.md`).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use whorl::event::Event;
use whorl::query::{Document, Query, Schema};

#[derive(Deserialize)]
pub(crate) struct Question {
    id: String,
    pub(crate) query: String,
}

/// Either the numbers of the events that match, or why the server refused the query.
#[derive(Deserialize)]
pub(crate) struct Answer {
    id: String,
    pub(crate) hits: Option<Vec<usize>>,
    error: Option<String>,
}

fn lines<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/truth")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}: {line}")))
        .collect()
}

/// The matching events, or why the query was refused.
fn ask(query: &str, schema: &Schema, documents: &[Document<'_>]) -> Result<Vec<usize>, String> {
    let now = jiff::Timestamp::now();
    let query = Query::parse(query, schema).map_err(|e| e.to_string())?;
    let hits = documents.iter().enumerate();
    Ok(hits
        .filter(|(_, document)| query.matches(document, now))
        .map(|(number, _)| number)
        .collect())
}

/// One line on how our answer differs from the server's.
fn difference(ours: &Result<Vec<usize>, String>, theirs: &Answer) -> Option<String> {
    match (ours, &theirs.hits) {
        (Err(_), None) => None,
        (Err(why), Some(hits)) => Some(format!("we refuse ({why}), it finds {}", hits.len())),
        (Ok(hits), None) => {
            let why = theirs.error.as_deref().unwrap_or("no reason");
            Some(format!("we find {}, it refuses ({why})", hits.len()))
        }
        (Ok(ours), Some(theirs)) if ours == theirs => None,
        (Ok(ours), Some(theirs)) => {
            let only = |a: &[usize], b: &[usize]| -> Vec<usize> {
                a.iter().copied().filter(|n| !b.contains(n)).collect()
            };
            let (more, less) = (only(ours, theirs), only(theirs, ours));
            Some(format!("only we find {more:?}, only it finds {less:?}"))
        }
    }
}

pub(crate) fn events() -> Vec<Event> {
    let objects: Vec<Map<String, Value>> = lines("events.jsonl");
    objects.iter().map(Event::from_json).collect()
}

/// Every question with its recorded answer.
pub(crate) fn recorded() -> Vec<(Question, Answer)> {
    let questions: Vec<Question> = lines("queries.jsonl");
    let mut answers: BTreeMap<String, Answer> = lines("answers.jsonl")
        .into_iter()
        .map(|answer: Answer| (answer.id.clone(), answer))
        .collect();
    assert!(questions.len() >= 300, "the truth has lost its queries");
    assert_eq!(questions.len(), answers.len(), "record the answers again");
    let with_answer = |question: Question| {
        let answer = answers.remove(&question.id).expect("an answer");
        (question, answer)
    };
    questions.into_iter().map(with_answer).collect()
}

#[test]
fn a_real_cluster_gives_the_same_answers() {
    let events = events();
    let schema = Schema::infer(events.iter());
    let documents: Vec<Document<'_>> = events.iter().map(Document::new).collect();
    let recorded = recorded();
    let mut differences = Vec::new();
    for (question, answer) in &recorded {
        let ours = ask(&question.query, &schema, &documents);
        if let Some(how) = difference(&ours, answer) {
            let shown: String = question.query.chars().take(120).collect();
            differences.push(format!("{} {shown:?}: {how}", question.id));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} answers differ:\n{}",
        differences.len(),
        recorded.len(),
        differences.join("\n")
    );
}

#[test]
fn a_real_cluster_finds_the_same_words() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/truth/words.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut wrong = Vec::new();
    for line in text.lines() {
        let recorded: serde_json::Value = serde_json::from_str(line).unwrap();
        let expected: Vec<String> = serde_json::from_value(recorded["tokens"].clone()).unwrap();
        let asked = recorded["text"].as_str().unwrap();
        let found: Vec<String> = whorl::query::analyser::analyse(asked)
            .map(|word| word.text.into_owned())
            .collect();
        if found != expected {
            wrong.push(format!("{asked:?}: expected {expected:?}, found {found:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
