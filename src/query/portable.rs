//! The text of a query as every version of a cluster reads it.
//!
//! OpenSearch 2 (Lucene 9) is the reference. Lucene 8 takes `\d` in an expression for the letter d,
//! Elasticsearch does not lower the case of expressions over words, and its version 8 refuses fuzzy
//! words with other than 0, 1 or 2 edits. What is meant is known here, so it can be said in full.

use super::{Kind, Node, Query};
use std::collections::BTreeMap;
use std::ops::Range;

impl Query {
    /// The text with expressions and edits written so that every version of a cluster takes them
    /// as the reference does. What no text can say (the complement `~` in an expression, which
    /// Lucene 10 does not have) stays as it is.
    pub fn portable(&self) -> String {
        let mut found = BTreeMap::new();
        rewritten(self.root(), self.source(), &mut found);
        let mut out = String::with_capacity(self.source().len());
        let mut copied = 0;
        for ((from, to), text) in found {
            // Fields that mean different things by the same text: it cannot be said for all.
            let Some(text) = text else { continue };
            out.push_str(&self.source()[copied..from]);
            out.push_str(&text);
            copied = to;
        }
        out.push_str(&self.source()[copied..]);
        out
    }
}

impl Query {
    /// True when an expression in it has the complement `~`.
    pub fn has_complement(&self) -> bool {
        let mut rest = vec![self.root()];
        while let Some(node) = rest.pop() {
            match &node.kind {
                Kind::Bool(clauses) => rest.extend(clauses.iter().map(|clause| &clause.node)),
                Kind::Boost(inner, _) => rest.push(inner),
                Kind::Regex { pattern, .. } if has_operator(pattern, '~') => return true,
                _ => {}
            }
        }
        false
    }
}

/// True when the character stands in the expression and means more than itself.
fn has_operator(pattern: &str, operator: char) -> bool {
    let (mut in_class, mut in_quotes) = (false, false);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if !in_quotes => drop(chars.next()),
            '"' if !in_class => in_quotes = !in_quotes,
            '[' if !in_quotes => in_class = true,
            ']' if !in_quotes => in_class = false,
            _ if c == operator && !in_class && !in_quotes => return true,
            _ => {}
        }
    }
    false
}

type Found = BTreeMap<(usize, usize), Option<String>>;

fn rewritten(node: &Node, source: &str, found: &mut Found) {
    let Range { start, end } = node.span.clone();
    let text = match &node.kind {
        Kind::Bool(clauses) => {
            for clause in clauses {
                rewritten(&clause.node, source, found);
            }
            return;
        }
        Kind::Boost(inner, _) => return rewritten(inner, source, found),
        Kind::Regex { pattern, .. } => expression(pattern).unwrap_or_else(|| pattern.clone()),
        Kind::Fuzzy { distance, .. } => {
            let Some((word, edits)) = source[start..end].rsplit_once('~') else {
                return;
            };
            if edits.parse::<f32>().is_err() {
                return;
            }
            format!("{word}~{distance}")
        }
        _ => return,
    };
    let text = match node.kind {
        Kind::Regex { .. } => format!("/{text}/"),
        _ => text,
    };
    let same = found
        .entry((start, end))
        .or_insert_with(|| Some(text.clone()));
    if same.as_ref() != Some(&text) {
        *same = None;
    }
}

/// The expression without the short names of classes; `None` where they cannot be said otherwise.
fn expression(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let (mut in_class, mut in_quotes) = (false, false);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if !in_quotes => match chars.next() {
                Some(name) if members(name).is_some() => {
                    let negated = name.is_uppercase();
                    let members = members(name)?;
                    match (in_class, negated) {
                        (true, true) => return None,
                        (true, false) => out.push_str(members),
                        (false, true) => out.extend(["[^", members, "]"]),
                        (false, false) => out.extend(["[", members, "]"]),
                    }
                }
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            _ => {
                match c {
                    '"' if !in_class => in_quotes = !in_quotes,
                    '[' if !in_quotes => in_class = true,
                    ']' if !in_quotes => in_class = false,
                    _ => {}
                }
                out.push(c);
            }
        }
    }
    Some(out)
}

/// What a class's short name stands for. Each ends with a span, so that a `-` behind it is itself.
fn members(name: char) -> Option<&'static str> {
    match name.to_ascii_lowercase() {
        'd' => Some("0-9"),
        'w' => Some("_A-Za-z0-9"),
        's' => Some(" \r\t-\n"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Schema;

    fn portable(text: &str) -> String {
        Query::parse(text, &Schema::default()).unwrap().portable()
    }

    #[test]
    fn expressions_are_said_in_full() {
        assert_eq!(portable("/Req-\\d+/ AND x"), "/req-[0-9]+/ AND x");
        assert_eq!(
            portable("k:/A\\D[\\w.]\\/\\\\d/"),
            "k:/A[^0-9][_A-Za-z0-9.]\\/\\\\d/"
        );
        assert_eq!(portable("k:/[\\D]/"), "k:/[\\D]/");
        assert_eq!(
            portable("k:(/\\d/ OR \"/\\d/\")"),
            "k:(/[0-9]/ OR \"/\\d/\")"
        );
        assert_eq!(portable("(/A/)^2 x"), "(/a/)^2 x");
    }

    #[test]
    fn a_complement_is_an_operator_and_no_letter() {
        let has = |text: &str| {
            let query = Query::parse(text, &Schema::default());
            query.unwrap().has_complement()
        };
        assert!(has("/~(foo)/"));
        assert!(has("a AND (b OR k:/x~y/)^2"));
        for without in ["/a\\~b/", "/[~]/", "/\"~\"/", "word~ \"a b\"~2 k:\"/~x/\""] {
            assert!(!has(without), "{without}");
        }
    }

    #[test]
    fn edits_are_whole() {
        assert_eq!(portable("error~0.5 é~3 b"), "error~0 é~2 b");
        assert_eq!(portable("a~ b~1 \"a b\"~7"), "a~ b~1 \"a b\"~7");
        assert_eq!(portable("x~1.5^2"), "x~1^2");
    }

    #[test]
    fn what_is_said_means_the_same() {
        for text in ["/Req-\\d+/", "k:/A\\D[\\w.]/", "error~0.5", "a OR -b~3"] {
            let again = portable(&portable(text));
            assert_eq!(again, portable(text));
        }
    }
}
