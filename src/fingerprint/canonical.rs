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

pub(super) fn node(node: &Node) -> String {
    match &node.kind {
        Kind::Bool(clauses) => group(clauses),
        Kind::Boost(inner, _) => self::node(inner),
        leaf => format!("{leaf:?}"),
    }
}

/// Order, doubles, nesting of `AND` in `AND` and of `OR` in `OR`, and optional clauses beside
/// required ones change nothing.
fn group(clauses: &[Clause]) -> String {
    let of = |occur| clauses.iter().filter(move |c| c.occur == occur);
    let mut parts = Vec::new();
    of(Occur::Must).for_each(|c| must(&c.node, &mut parts));
    if of(Occur::Must).next().is_some() {
        // `*:*` asks for nothing beside anything else.
        if parts.is_empty() {
            parts.push("+All".to_owned());
        }
    } else {
        let mut either = Vec::new();
        of(Occur::Should).for_each(|c| should(&c.node, &mut either));
        either.sort();
        either.dedup();
        match either.as_slice() {
            [] => {}
            [one] => parts.push(format!("+{}", &one[1..])),
            many if of(Occur::MustNot).next().is_none() => return format!("({})", many.join(" ")),
            many => parts.push(format!("+({})", many.join(" "))),
        }
    }
    of(Occur::MustNot).for_each(|c| parts.push(format!("-{}", node(&c.node))));
    parts.sort();
    parts.dedup();
    match parts.as_slice() {
        [one] if !one.starts_with('-') => one[1..].to_owned(),
        _ => format!("({})", parts.join(" ")),
    }
}

fn must(inner: &Node, parts: &mut Vec<String>) {
    match &inner.kind {
        Kind::All => {}
        Kind::Boost(inner, _) => must(inner, parts),
        Kind::Bool(clauses) if clauses.iter().all(|c| c.occur != Occur::Should) => {
            for clause in clauses {
                if clause.occur == Occur::Must {
                    must(&clause.node, parts);
                } else {
                    parts.push(format!("-{}", node(&clause.node)));
                }
            }
        }
        Kind::Bool(clauses) => match clauses.as_slice() {
            [one] if one.occur == Occur::Should => must(&one.node, parts),
            _ => parts.push(format!("+{}", group(clauses))),
        },
        _ => parts.push(format!("+{}", node(inner))),
    }
}

fn should(inner: &Node, parts: &mut Vec<String>) {
    match &inner.kind {
        Kind::Boost(inner, _) => should(inner, parts),
        Kind::Bool(clauses) if clauses.iter().all(|c| c.occur == Occur::Should) => {
            for clause in clauses {
                should(&clause.node, parts);
            }
        }
        _ => parts.push(format!("~{}", node(inner))),
    }
}
