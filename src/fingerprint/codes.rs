//! One sentence for each kind of finding, for tools that list them.

/// Every kind of finding with what it says.
const CODES: [(&str, &str); 34] = [
    ("bad-bug", "The bug is named in a form that is not known"),
    ("bad-date", "A day or moment cannot be read"),
    ("bad-glob", "A glob is not well formed"),
    ("bad-pattern", "A regular expression is not well formed"),
    ("bad-query", "A query cannot be read"),
    ("bad-retry", "A number of reruns is out of range"),
    ("bad-within", "A distance is no number of lines"),
    ("duplicate-id", "Two files have the same id"),
    ("duplicate-key", "A key is given twice"),
    ("empty-file", "The file holds no fingerprint"),
    ("empty-list", "A list of queries is empty"),
    ("empty-phrase", "A clause has no words and vanishes"),
    (
        "example-does-not-match",
        "An example that must match does not",
    ),
    ("example-matches", "An example that must not match does"),
    ("matches-everything", "The condition matches every event"),
    ("matches-nothing", "The query matches no event"),
    ("missing-directory", "A directory is not there"),
    (
        "missing-operator",
        "Two clauses have no operator between them",
    ),
    ("mixed-and-or", "AND and OR stand side by side"),
    (
        "never-matches-keyword",
        "A condition on an exact field never holds",
    ),
    ("never-matches-word", "A condition on one word never holds"),
    ("no-condition", "The file has no condition"),
    ("no-message-clause", "A query does not ask for the message"),
    ("only-not", "A query only says what must not be there"),
    ("same-meaning", "Two fingerprints mean the same"),
    (
        "several-conditions",
        "The file has more than one main condition",
    ),
    ("several-documents", "The file holds several documents"),
    ("stray-key", "A key means nothing without another one"),
    (
        "test-ids-need-results",
        "The failed tests must be known for this key",
    ),
    (
        "too-complex",
        "The file is nested or repeated beyond what is read",
    ),
    ("unknown-key", "A key is not known"),
    ("unreadable", "A file or folder cannot be read as text"),
    ("wrong-type", "A value has the wrong type"),
    ("yaml-syntax", "The file is no YAML"),
];

/// What a kind of finding says; the code itself where it has no sentence.
pub fn summary(code: &str) -> &str {
    let known = CODES.iter().find(|(name, _)| *name == code);
    known.map_or(code, |(_, sentence)| sentence)
}
