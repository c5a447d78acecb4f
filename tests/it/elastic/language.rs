//! Where another server's query language differs from that of OpenSearch 2, on which the truth was
//! recorded: named classes of queries, each a function of the query's text.

use serde_json::Value;
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

const CLASSES: &str =
    "Lucene 8 knows no \\d, \\w, \\s in an expression: it takes the letter itself";
const CAPITALS: &str = "Elasticsearch does not lower the case of an expression over words";
const EARLY: &str = "Elasticsearch reads negative numbers otherwise as moments";
const EDITS: &str = "Elasticsearch 8 refuses a fuzzy word with other than 0, 1 or 2 edits";
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
    let any = |test: fn(&str) -> bool| expressions(query).into_iter().any(test);
    match server {
        Server::OpenSearch3 => any(|e| e.contains('~')).then_some(COMPLEMENT),
        Server::Elasticsearch7 if any(has_class) => Some(CLASSES),
        Server::Elasticsearch8 if has_odd_edits(query) => Some(EDITS),
        Server::Elasticsearch7 | Server::Elasticsearch8 if any(has_capital) => Some(CAPITALS),
        Server::Elasticsearch7 | Server::Elasticsearch8 if is_early(query) => Some(EARLY),
        _ => None,
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

fn has_class(expression: &str) -> bool {
    let mut chars = expression.chars();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next().is_some_and(|next| "dDwWsS".contains(next)) {
            return true;
        }
    }
    false
}

fn has_capital(expression: &str) -> bool {
    expression.chars().any(char::is_uppercase)
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

/// A word with `~` and a number that is not 0, 1 or 2; after a phrase the number is its slop.
fn has_odd_edits(query: &str) -> bool {
    query.match_indices('~').any(|(at, _)| {
        let number: String = query[at + 1..]
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        let of_word = query[..at].ends_with(char::is_alphanumeric);
        of_word && !matches!(number.as_str(), "" | "0" | "1" | "2")
    })
}

#[test]
fn classes_are_told_by_the_text_alone() {
    let seven = |query| class(Server::Elasticsearch7, query);
    assert_eq!(seven("a:/x\\d/ AND b"), Some(CLASSES));
    assert_eq!(seven("/x\\\\d/"), None);
    assert_eq!(seven("\"/A/\" OR \\/A\\/"), None);
    assert_eq!(seven("/A/"), Some(CAPITALS));
    assert_eq!(seven("@timestamp:[-1 TO 0]"), Some(EARLY));
    assert_eq!(seven("@timestamp:[2026-01-01 TO 2026-01-02]"), None);
    let eight = |query| class(Server::Elasticsearch8, query);
    assert_eq!(eight("/\\d/"), None);
    assert_eq!(eight("/\\D/"), Some(CAPITALS));
    assert_eq!(eight("a~3"), Some(EDITS));
    assert_eq!(eight("a~0.5^2"), Some(EDITS));
    assert_eq!(eight("a~1 OR \"a b\"~3 OR a~"), None);
    assert_eq!(class(Server::OpenSearch3, "/~a/"), Some(COMPLEMENT));
    assert_eq!(class(Server::OpenSearch3, "a~1"), None);
    assert_eq!(class(Server::OpenSearch2, "/~A\\d/"), None);
}
