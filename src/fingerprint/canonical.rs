//! One text for all fingerprints of the same meaning.

use super::{Condition, Fingerprint};
use crate::query::{Clause, Kind, Node, Occur, Query};

/// The meaning of condition, `none` and scope; equal texts mean the same.
pub(super) fn of(fingerprint: &Fingerprint) -> String {
    let sorted = |queries: &[Query]| {
        let mut all: Vec<String> = queries.iter().map(|q| node(q.root())).collect();
        all.sort();
        all
    };
    let condition = match &fingerprint.condition {
        Condition::Query(query) => format!("query {}", node(query.root())),
        Condition::Pattern(pattern) => {
            format!("pattern {} {:?}", pattern.regex, pattern.files)
        }
        Condition::AllAny { all, any } => format!("all {:?} any {:?}", sorted(all), sorted(any)),
        Condition::Sequence { queries, within } => {
            let texts: Vec<_> = queries.iter().map(|q| node(q.root())).collect();
            format!("sequence {texts:?} {within:?}")
        }
    };
    let none = sorted(&fingerprint.none);
    format!(
        "{condition} none {none:?} {}",
        fingerprint.scope.canonical()
    )
}

fn node(node: &Node) -> String {
    match &node.kind {
        Kind::Bool(clauses) => group(clauses),
        Kind::Boost(inner, _) => self::node(inner),
        leaf => format!("{leaf:?}"),
    }
}

/// Order, doubles, nesting of `AND` and optional clauses beside required ones change nothing.
fn group(clauses: &[Clause]) -> String {
    let required = clauses.iter().any(|c| c.occur == Occur::Must);
    let mut parts = Vec::new();
    for clause in clauses {
        match clause.occur {
            Occur::Must => must(&clause.node, &mut parts),
            Occur::MustNot => parts.push(format!("-{}", node(&clause.node))),
            Occur::Should if required => {}
            Occur::Should => parts.push(format!("~{}", node(&clause.node))),
        }
    }
    parts.sort();
    parts.dedup();
    match parts.as_slice() {
        [one] if !one.starts_with('-') => one[1..].to_owned(),
        _ => format!("({})", parts.join(" ")),
    }
}

fn must(inner: &Node, parts: &mut Vec<String>) {
    match &inner.kind {
        Kind::Bool(clauses) if clauses.iter().all(|c| c.occur == Occur::Must) => {
            for clause in clauses {
                must(&clause.node, parts);
            }
        }
        _ => parts.push(format!("+{}", node(inner))),
    }
}
