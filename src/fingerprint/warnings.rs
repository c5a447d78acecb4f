//! Warnings about one query: what probably means something else than its writer meant.

use super::exact::problem;
use super::examples::field_of;
use super::rewrite::{Rewriter, glued};
use crate::query::{Clause, Kind, Node, Occur, Operator, Query, Schema};

/// Stands in a suggestion for the words that only the writer can know.
pub(super) const PLACEHOLDER: &str = "words that only this bug writes";

/// A finding in the text of a query.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) offset: usize,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The whole query as it should be, with all findings repaired.
    pub(super) suggestion: Option<String>,
}

/// All warnings about one query; `main` is false for those of `none`.
pub(super) fn check_query(query: &Query, schema: &Schema, main: bool) -> Vec<Finding> {
    let mut found = findings(query, schema, main);
    if found.is_empty() {
        return found;
    }
    let better = Rewriter {
        query,
        schema,
        main,
        bare: None,
    }
    .repaired();
    // A suggestion that would be warned of itself, or refused, is none.
    let better = better.filter(|text| {
        Query::parse(text, schema).is_ok_and(|query| findings(&query, schema, main).is_empty())
    });
    for finding in &mut found {
        finding.suggestion.clone_from(&better);
    }
    found
}

fn findings(query: &Query, schema: &Schema, main: bool) -> Vec<Finding> {
    let mut checks = Checks {
        text: query.source(),
        schema,
        found: Vec::new(),
    };
    checks.dropped(query);
    checks.node(query.root(), true);
    if main {
        checks.whole(query);
    }
    checks.found
}

struct Checks<'a> {
    text: &'a str,
    schema: &'a Schema,
    found: Vec<Finding>,
}

impl Checks<'_> {
    fn warn(&mut self, offset: usize, code: &'static str, message: impl Into<String>) {
        self.found.push(Finding {
            offset: self.begin(offset),
            code,
            message: message.into(),
            suggestion: None,
        });
    }

    /// Where a clause begins: at its field's name, if that stands before it.
    fn begin(&self, offset: usize) -> usize {
        let head = self.text.get(..offset).unwrap_or_default().trim_end();
        let Some(name) = head.strip_suffix(':') else {
            return offset;
        };
        let ends = |c: char| c.is_whitespace() || "()+-!".contains(c);
        name.rfind(ends).map_or(0, |at| at + 1)
    }

    fn dropped(&mut self, query: &Query) {
        let mut last = None;
        for span in query.dropped() {
            // `"a "''",))"` is one slip: the quotes inside were meant as text.
            let glued = last.replace(span.end) == Some(span.start);
            if glued {
                continue;
            }
            let before = self.text[..span.start].chars().next_back();
            let message = if before == Some('"') {
                "an unescaped quote ends the phrase before this, and nothing of this text is a word: \
                 it asks for nothing; a quote inside a phrase is written `\\\"`"
            } else {
                "nothing of this text is a word, so the clause asks for nothing and vanishes"
            };
            self.warn(span.start, "empty-phrase", message);
        }
    }

    fn whole(&mut self, query: &Query) {
        let root = query.root();
        let at = root.span.start;
        if forbids_all(root) {
            self.warn(at, "matches-nothing", "this query matches no event at all");
        } else if matches!(root.kind, Kind::Nothing) {
            if query.dropped().is_empty() {
                self.warn(at, "matches-nothing", "this query matches no event at all");
            }
        } else if matches_all(root) {
            let message = "this query matches every event of every build";
            self.warn(at, "matches-everything", message);
        } else if only_not(root) {
            // Said by `group`.
        } else if let Some(node) = without_message(root) {
            let message = if node.span == root.span {
                "no clause asks for `message`: every line of the files that it names is a hit"
            } else {
                "this alternative does not ask for `message`: every line of the files that it names \
                 is a hit, whatever the other clauses say"
            };
            self.warn(node.span.start, "no-message-clause", message);
        }
    }

    fn node(&mut self, node: &Node, top: bool) {
        match &node.kind {
            Kind::Bool(clauses) => self.group(node, clauses, top),
            Kind::Boost(inner, _) => self.node(inner, top),
            _ => {
                if let Some(problem) = problem(self.schema, node) {
                    self.warn(node.span.start, problem.code, problem.message);
                }
            }
        }
    }

    fn group(&mut self, node: &Node, clauses: &[Clause], top: bool) {
        if only_not(node) && top && !forbids_all(node) {
            let message = "only NOT: this matches every event but a few";
            self.warn(node.span.start, "only-not", message);
        }
        let has = |operator| clauses.iter().any(|c| c.operator == operator);
        let required = clauses.iter().any(|c| c.occur == Occur::Must);
        let mut gaps = clauses.windows(2).filter(|pair| self.no_operator(pair));
        let gap = gaps.next().map(|pair| pair[1].node.span.start);
        // `a NOT b AND c`: nothing is missing but an AND that would make `a` count.
        let idle = clauses
            .iter()
            .find(|c| required && c.occur == Occur::Should);
        if has(Operator::And) && has(Operator::Or) {
            self.mixed(clauses);
        } else if let Some(offset) = gap.or(idle.map(|c| c.node.span.start)) {
            self.missing(offset, clauses);
        }
        for clause in clauses {
            // `a AND (NOT b)` is a plain `a AND NOT b`; `NOT (NOT b)` and `a OR (NOT b)` are not.
            let harmless = clause.occur == Occur::Must && required && clauses.len() > 1;
            self.node(&clause.node, !harmless);
        }
    }

    /// `AND` and `OR` in one group: says which clauses do not count.
    fn mixed(&mut self, clauses: &[Clause]) {
        let idle = clauses.iter().find(|c| c.occur == Occur::Should);
        let either = clauses.iter().find(|c| c.operator == Operator::Or);
        let message = if idle.is_some() {
            "AND and OR side by side: AND makes both its neighbours required, and beside them this \
             clause does not count; put parentheses round what belongs together"
        } else {
            "AND and OR side by side: AND makes both its neighbours required, so all of these are \
             and OR changes nothing; put parentheses round what belongs together"
        };
        if let Some(clause) = idle.or(either) {
            self.warn(clause.node.span.start, "mixed-and-or", message);
        }
    }

    fn missing(&mut self, offset: usize, clauses: &[Clause]) {
        let cut = clauses.windows(2).any(glued);
        let slash = self.text[..offset].ends_with('/');
        let required = clauses.iter().any(|c| c.occur == Occur::Must);
        let message = match (cut, required) {
            (true, _) if slash => {
                "`/` outside quotes begins and ends a regular expression, and what follows it is \
                 another clause"
            }
            (true, false) => {
                "this text is cut into words, and without quotes any one of them is enough"
            }
            (_, true) => {
                "no operator between two clauses: the one without AND is optional and does not count"
            }
            (false, false) => "no operator between two clauses: this is read as OR",
        };
        self.warn(offset, "missing-operator", message);
    }

    /// Two neighbours of which the second has neither an operator nor a sign before it.
    fn no_operator(&self, pair: &[Clause]) -> bool {
        let (before, clause) = (&pair[0], &pair[1]);
        if clause.operator != Operator::None || clause.occur == Occur::MustNot {
            return false;
        }
        let gap = self.text.get(before.node.span.end..clause.node.span.start);
        !gap.unwrap_or_default().contains('+')
    }
}

pub(super) fn matches_all(node: &Node) -> bool {
    match &node.kind {
        Kind::All => true,
        Kind::Exists(field) => field == "message",
        Kind::Wildcard { field, pattern } => field == "message" && only_stars(pattern),
        Kind::Regex { field, pattern } => field == "message" && matches!(&**pattern, ".*" | ".+"),
        Kind::Boost(inner, _) => matches_all(inner),
        Kind::Bool(clauses) => {
            let of = |occur| clauses.iter().filter(move |c| c.occur == occur);
            if of(Occur::MustNot).next().is_some() {
                return false;
            }
            if of(Occur::Must).next().is_some() {
                return of(Occur::Must).all(|c| matches_all(&c.node));
            }
            of(Occur::Should).any(|c| matches_all(&c.node))
        }
        _ => false,
    }
}

/// `a AND NOT *:*`.
fn forbids_all(node: &Node) -> bool {
    let Kind::Bool(clauses) = &node.kind else {
        return false;
    };
    let mut forbidden = clauses.iter().filter(|c| c.occur == Occur::MustNot);
    forbidden.any(|c| matches_all(&c.node))
}

/// `*`, `**`, `*?`: at least one word of any kind.
fn only_stars(pattern: &str) -> bool {
    pattern.contains('*')
        && pattern.chars().filter(|c| *c == '?').count() < 2
        && pattern.chars().all(|c| matches!(c, '*' | '?'))
}

/// True when a group has nothing but prohibited clauses.
pub(super) fn only_not(node: &Node) -> bool {
    match &node.kind {
        Kind::Boost(inner, _) => only_not(inner),
        Kind::Bool(clauses) => {
            let idle = |c: &Clause| c.occur == Occur::MustNot || matches!(c.node.kind, Kind::All);
            clauses.iter().all(idle) && clauses.iter().any(|c| c.occur == Occur::MustNot)
        }
        _ => false,
    }
}

/// The part of a query by which an event can match whatever its message is.
pub(super) fn without_message(node: &Node) -> Option<&Node> {
    match &node.kind {
        Kind::Boost(inner, _) => without_message(inner),
        Kind::Bool(clauses) => {
            let of = |occur| clauses.iter().filter(move |c| c.occur == occur);
            if of(Occur::Must).next().is_some() {
                let asks = of(Occur::Must).any(|c| without_message(&c.node).is_none());
                return (!asks).then_some(node);
            }
            // Each once: what is nested would be looked at twice as often on each level.
            let free = of(Occur::Should).map(|c| without_message(&c.node));
            let free: Vec<Option<&Node>> = free.collect();
            let first = free.iter().copied().flatten().next()?;
            let all = free.iter().all(Option::is_some);
            Some(if all { node } else { first })
        }
        leaf => (field_of(leaf) != Some("message")).then_some(node),
    }
}
