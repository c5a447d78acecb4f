//! Where another server's query language differs from that of OpenSearch 2, on which the truth was
//! recorded: named classes of queries, each a function of the query's text.

use serde_json::Value;
use std::collections::BTreeSet;
use url::Url;

/// The servers whose languages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// OpenSearch 2 (Lucene 9).
    OpenSearch2,
    /// OpenSearch 3 (Lucene 10).
    OpenSearch3,
    /// Elasticsearch 7.17 (Lucene 8).
    Elasticsearch7,
    /// Elasticsearch 8 (Lucene 9).
    Elasticsearch8,
}

const EARLY: &str = "Elasticsearch reads negative numbers otherwise as moments";
const COMPLEMENT: &str = "Lucene 10 has no complement in an expression";

/// What the server at an address is, by what its nodes say: not every server answers `GET /`.
pub(crate) fn server(url: &Url) -> Server {
    let url = url.join("_nodes/http").unwrap();
    let answer: Value = reqwest::blocking::get(url).unwrap().json().unwrap();
    let nodes = answer["nodes"].as_object().unwrap();
    let version = nodes.values().next().unwrap()["version"].as_str().unwrap();
    match version.split('.').next().unwrap() {
        "2" => Server::OpenSearch2,
        "3" => Server::OpenSearch3,
        "7" => Server::Elasticsearch7,
        "8" => Server::Elasticsearch8,
        _ => panic!("what language has {version}?"),
    }
}

/// The class of queries that the server answers differently, if the query is of one.
pub(crate) fn class(server: Server, query: &str) -> Option<&'static str> {
    let holds = |class: &&&str| match **class {
        EARLY => is_early(query),
        _ => expressions(query).into_iter().any(|e| e.contains('~')),
    };
    classes(server).iter().find(holds).copied()
}

/// All such classes of a server.
pub(crate) fn classes(server: Server) -> BTreeSet<&'static str> {
    match server {
        Server::OpenSearch2 => BTreeSet::new(),
        Server::OpenSearch3 => [COMPLEMENT].into(),
        Server::Elasticsearch7 | Server::Elasticsearch8 => [EARLY].into(),
    }
}

/// The regular expressions in a query's text, without their slashes.
fn expressions(query: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut begin, mut quoted, mut escaped) = (None, false, false);
    for (at, c) in query.char_indices() {
        match (c, begin) {
            _ if escaped => escaped = false,
            ('\\', _) => escaped = true,
            ('"', None) => quoted = !quoted,
            ('/', None) if !quoted => begin = Some(at + 1),
            ('/', Some(from)) => {
                found.push(&query[from..at]);
                begin = None;
            }
            _ => {}
        }
    }
    found
}

/// A condition on a moment that is a negative number.
fn is_early(query: &str) -> bool {
    let Some(bounds) = query.strip_prefix("@timestamp:") else {
        return false;
    };
    let bounds: Vec<char> = bounds.chars().filter(|c| *c != '\\').collect();
    (0..bounds.len()).any(|at| {
        let after_nothing = at == 0 || !bounds[at - 1].is_alphanumeric();
        let before_number = bounds.get(at + 1).is_some_and(char::is_ascii_digit);
        bounds[at] == '-' && after_nothing && before_number
    })
}

#[test]
fn classes_are_told_by_the_text_alone() {
    let seven = |query| class(Server::Elasticsearch7, query);
    assert_eq!(seven("@timestamp:[-1 TO 0]"), Some(EARLY));
    assert_eq!(seven("@timestamp:\\-1"), Some(EARLY));
    assert_eq!(seven("@timestamp:[2026-01-01 TO 2026-01-02]"), None);
    assert_eq!(seven("/~a/ OR number:\\-1"), None);
    let three = |query| class(Server::OpenSearch3, query);
    assert_eq!(three("k:/~a/ AND b"), Some(COMPLEMENT));
    assert_eq!(three("a~1 OR \"/~a/\" OR \\/~a\\/"), None);
    assert_eq!(class(Server::OpenSearch2, "/~a/"), None);
}
