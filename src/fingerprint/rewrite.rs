//! A whole query written again so that it says what was meant: every operator spelled out, groups in
//! parentheses, conditions that can never hold replaced, what says nothing left out.
//!
//! Without anything to repair the result means exactly what the query means. What was meant is a
//! guess only where the query itself mixes operators: then `AND` binds closer than `OR`, as most people
//! read it, but a condition on another field (`tags`, `build_name`) that stands once beside several
//! alternatives is taken as meant for all of them.

use super::exact::{problem, quoted};
use super::examples::field_of;
use super::warnings::{PLACEHOLDER, matches_all, only_not, without_message};
use crate::query::{Clause, Kind, Node, Occur, Operator, Query, Schema};
use std::ops::Range;

/// Writes one query again.
pub(super) struct Rewriter<'a> {
    pub(super) query: &'a Query,
    pub(super) schema: &'a Schema,
    /// False for a query of `none`, which need not ask for `message`.
    pub(super) main: bool,
    /// A part that gets words to ask for.
    pub(super) bare: Option<Range<usize>>,
}

/// A written part and what may stand beside it without parentheses.
#[derive(Debug, Clone)]
struct Text {
    text: String,
    joint: Joint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    Single,
    And,
    Or,
}

/// A clause, or words side by side that the analyser cut apart.
struct Item {
    text: Text,
    occur: Occur,
    operator: Operator,
    /// It asks for another field than `message`.
    filter: bool,
    group: bool,
}

impl Rewriter<'_> {
    /// The repaired query; `None` where a part of it cannot be written.
    pub(super) fn repaired(&self) -> Option<String> {
        let root = self.query.root();
        if matches!(root.kind, Kind::Nothing) || self.main && matches_all(root) {
            return Some(words().text);
        }
        let written = self.node(root)?;
        if self.main && only_not(root) {
            return Some(all_of([words(), written]).text);
        }
        if !self.main || self.bare.is_some() {
            return Some(written.text);
        }
        self.asking(written.text)
    }

    /// The text with words to ask for in each part that asks for no message.
    fn asking(&self, mut text: String) -> Option<String> {
        // A query has few alternatives; the number only makes sure of an end.
        for _ in 0..16 {
            let query = Query::parse(&text, self.schema).ok()?;
            let Some(part) = without_message(query.root()) else {
                break;
            };
            let again = Rewriter {
                query: &query,
                schema: self.schema,
                main: self.main,
                bare: Some(part.span.clone()),
            };
            text = again.repaired()?;
        }
        Some(text)
    }

    fn node(&self, node: &Node) -> Option<Text> {
        let written = self.bare_node(node)?;
        if self.bare.as_ref() == Some(&node.span) {
            return Some(all_of([words(), written]));
        }
        Some(written)
    }

    fn bare_node(&self, node: &Node) -> Option<Text> {
        match &node.kind {
            Kind::Bool(clauses) => self.group(node, clauses),
            // A boost changes the order of results, never whether something matches.
            Kind::Boost(inner, _) => self.node(inner),
            _ => self.leaf(node).map(single),
        }
    }

    fn leaf(&self, node: &Node) -> Option<String> {
        if let Some(problem) = problem(self.schema, node) {
            return Some(problem.better);
        }
        let Some(field) = field_of(&node.kind) else {
            return matches!(node.kind, Kind::All).then(|| "*:*".to_owned());
        };
        let name = escaped(field);
        let slice = self.query.source().get(node.span.clone())?;
        let as_written = format!("{name}:{slice}");
        if self.means(&as_written, &node.kind) {
            return Some(as_written);
        }
        let from_kind = match &node.kind {
            Kind::Term { value, .. } => quoted(&name, value),
            Kind::Phrase { words, slop, .. } => {
                let words: Vec<&str> = words.iter().map(|(_, word)| word.as_str()).collect();
                let slop = if *slop == 0 {
                    String::new()
                } else {
                    format!("~{slop}")
                };
                format!("{}{slop}", quoted(&name, &words.join(" ")))
            }
            Kind::Exists(_) => format!("_exists_:{name}"),
            Kind::Wildcard { pattern, .. } => format!("{name}:{pattern}"),
            _ => return None,
        };
        self.means(&from_kind, &node.kind).then_some(from_kind)
    }

    fn means(&self, text: &str, kind: &Kind) -> bool {
        Query::parse(text, self.schema).is_ok_and(|query| query.root().kind == *kind)
    }

    fn group(&self, node: &Node, clauses: &[Clause]) -> Option<Text> {
        let mut items = self.items(node, clauses)?;
        if only_not(node) {
            return Some(all_of(items.into_iter().map(|item| item.text)));
        }
        let has = |operator| items.iter().any(|item| item.operator == operator);
        if has(Operator::And) && has(Operator::Or) {
            return Some(mixed(items));
        }
        if has(Operator::And) {
            // A clause that only lacks its AND was meant to count.
            let optional = items.iter_mut().filter(|item| item.occur == Occur::Should);
            optional.for_each(|item| item.occur = Occur::Must);
        }
        Some(plain(items))
    }

    /// The items of a group, each with an operator: a missing one is `OR` between the values of a
    /// field group and where one field cannot have both values, else `AND`.
    fn items(&self, node: &Node, clauses: &[Clause]) -> Option<Vec<Item>> {
        let alternatives = self.alternatives(node, clauses);
        let mut items: Vec<Item> = Vec::new();
        let mut rest = clauses;
        while let Some(first) = rest.first() {
            let run = 1 + rest.windows(2).take_while(|pair| glued(pair)).count();
            let mut item = self.item(&rest[..run], first)?;
            rest = &rest[run..];
            let bare = item.operator == Operator::None && item.occur != Occur::MustNot;
            if !items.is_empty() && bare {
                item.operator = if alternatives {
                    Operator::Or
                } else {
                    Operator::And
                };
            }
            items.push(item);
        }
        Some(items)
    }

    fn item(&self, run: &[Clause], first: &Clause) -> Option<Item> {
        let last = run.last().unwrap_or(first);
        let text = if run.len() > 1 {
            let field = field_of(&first.node.kind)?;
            let slice = first.node.span.start..last.node.span.end;
            let slice = self.query.source().get(slice)?;
            single(format!("{}:\"{slice}\"", escaped(field)))
        } else {
            self.member(first)?
        };
        let filter = without_message(&first.node).is_some_and(|free| free.span == first.node.span);
        Some(Item {
            text,
            // `AND` behind a text that was cut apart binds only its last part.
            occur: last.occur,
            operator: first.operator,
            filter: filter && first.occur != Occur::MustNot,
            group: matches!(first.node.kind, Kind::Bool(_)),
        })
    }

    /// One clause with its `NOT`.
    fn member(&self, clause: &Clause) -> Option<Text> {
        let written = self.node(&clause.node)?;
        if clause.occur == Occur::MustNot {
            return Some(Text {
                text: format!("NOT {}", wrapped(&written)),
                joint: Joint::And,
            });
        }
        // An alternative that only forbids needs something that must be there.
        if only_not(&clause.node) && clause.occur == Occur::Should {
            return Some(all_of([single(quoted("message", PLACEHOLDER)), written]));
        }
        Some(written)
    }

    /// Whether clauses without an operator are alternatives.
    fn alternatives(&self, node: &Node, clauses: &[Clause]) -> bool {
        let mut fields = clauses.iter().map(|c| field_of(&c.node.kind));
        let Some(Some(field)) = fields.next() else {
            return false;
        };
        let only = |c: &Clause| c.operator != Operator::And && c.occur == Occur::Should;
        if !fields.all(|other| other == Some(field)) || !clauses.iter().all(only) {
            return false;
        }
        let before = &self.query.source()[..node.span.start];
        let before = before.trim_end();
        let field_group = before
            .strip_suffix('(')
            .is_some_and(|rest| rest.trim_end().ends_with(':'));
        field_group || !matches!(field, "message" | "tags")
    }
}

/// Words that the analyser cut out of one text, or a text that a `/` broke off.
pub(super) fn glued(pair: &[Clause]) -> bool {
    let (before, after) = (&pair[0].node, &pair[1].node);
    let broken =
        before.span.end == after.span.start && (is_expression(before) || is_expression(after));
    before.span == after.span || broken
}

fn is_expression(node: &Node) -> bool {
    matches!(node.kind, Kind::Regex { .. })
}

/// What only the writer can say.
fn words() -> Text {
    single(quoted("message", PLACEHOLDER))
}

fn single(text: String) -> Text {
    Text {
        text,
        joint: Joint::Single,
    }
}

fn wrapped(part: &Text) -> String {
    match part.joint {
        Joint::Single => part.text.clone(),
        _ => format!("({})", part.text),
    }
}

/// The parts under `AND`; without repeats.
fn all_of(parts: impl IntoIterator<Item = Text>) -> Text {
    join(&parts.into_iter().collect::<Vec<_>>(), Joint::And, " AND ")
}

fn any_of(parts: impl IntoIterator<Item = Text>) -> Text {
    join(&parts.into_iter().collect::<Vec<_>>(), Joint::Or, " OR ")
}

fn join(parts: &[Text], joint: Joint, word: &str) -> Text {
    let mut texts: Vec<String> = Vec::new();
    if let [one] = parts {
        return one.clone();
    }
    // What asks for everything asks for nothing; what forbids everything cannot be meant.
    let idle = |part: &Text| joint == Joint::And && matches!(&*part.text, "*:*" | "NOT *:*");
    for part in parts.iter().filter(|part| !idle(part)) {
        let text = if part.joint == joint {
            part.text.clone()
        } else {
            wrapped(part)
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    if texts.is_empty() {
        return single("*:*".to_owned());
    }
    Text {
        joint: if texts.len() == 1 {
            Joint::Single
        } else {
            joint
        },
        text: texts.join(word),
    }
}

/// A group as Lucene reads it: the required clauses, or one of the others, and none of the forbidden.
fn plain(items: Vec<Item>) -> Text {
    let mut required = Vec::new();
    let mut optional = Vec::new();
    let mut forbidden = Vec::new();
    for item in items {
        match item.occur {
            Occur::Must => required.push(item.text),
            Occur::Should => optional.push(item.text),
            Occur::MustNot => forbidden.push(item.text),
        }
    }
    if required.is_empty() && !optional.is_empty() {
        required.push(any_of(optional));
    }
    required.extend(forbidden);
    all_of(required)
}

/// A group that mixes operators, as it was probably meant.
fn mixed(items: Vec<Item>) -> Text {
    let mut forbidden = Vec::new();
    let mut runs: Vec<Vec<Item>> = Vec::new();
    for item in items {
        match (item.operator, runs.last_mut()) {
            (Operator::And, Some(run)) => run.push(item),
            // What is forbidden beside alternatives is forbidden for all of them.
            _ if item.occur == Occur::MustNot => forbidden.push(item.text),
            _ => runs.push(vec![item]),
        }
    }
    let (before, after) = shared(&mut runs);
    let runs = runs
        .into_iter()
        .map(|run| all_of(run.into_iter().map(|item| item.text)));
    let mut parts = before;
    parts.push(any_of(runs));
    parts.extend(after);
    parts.extend(forbidden);
    all_of(parts)
}

/// Takes out of the first or the last alternative what is meant for all: conditions on other fields,
/// where no other alternative has any of its own, or on the message, where the others ask for none.
fn shared(runs: &mut [Vec<Item>]) -> (Vec<Text>, Vec<Text>) {
    let filters = |run: &Vec<Item>| run.iter().filter(|item| item.filter).count();
    let with: Vec<usize> = (0..runs.len()).filter(|n| filters(&runs[*n]) > 0).collect();
    let asking: Vec<usize> = (0..runs.len())
        .filter(|n| filters(&runs[*n]) < runs[*n].len())
        .collect();
    let last = runs.len().saturating_sub(1);
    match (with.as_slice(), asking.as_slice()) {
        _ if runs.len() < 2 => (Vec::new(), Vec::new()),
        // `a AND job:x OR job:y`, `job:x OR job:y AND a`: the fields are the alternatives.
        (all, [0]) if all.len() == runs.len() => (take(&mut runs[0], false), Vec::new()),
        (all, [one]) if all.len() == runs.len() && *one == last => {
            (Vec::new(), take(&mut runs[last], false))
        }
        ([one], _) if runs[*one].iter().all(|item| item.filter) => (Vec::new(), Vec::new()),
        ([0], _) if runs[0][0].filter => (take(&mut runs[0], true), Vec::new()),
        // `(a) OR (b) AND c AND tags:d`: the groups are the alternatives, the rest is for both.
        ([one], _) if *one == last && runs[last][0].group => {
            let rest = runs[last].split_off(1);
            (Vec::new(), rest.into_iter().map(|item| item.text).collect())
        }
        ([one], _) if *one == last && !runs[last][0].filter => {
            (Vec::new(), take(&mut runs[last], true))
        }
        _ => (Vec::new(), Vec::new()),
    }
}

/// Takes the conditions on other fields, or all but those, out of an alternative.
fn take(run: &mut Vec<Item>, filters: bool) -> Vec<Text> {
    let parts = std::mem::take(run);
    let (out, stay): (Vec<Item>, Vec<Item>) =
        parts.into_iter().partition(|item| item.filter == filters);
    *run = stay;
    out.into_iter().map(|item| item.text).collect()
}

/// A field's name as it is written in a query.
fn escaped(field: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_.@".contains(c);
    let parts = field.chars().map(|c| {
        if plain(c) {
            c.to_string()
        } else {
            format!("\\{c}")
        }
    });
    parts.collect()
}

#[cfg(test)]
mod tests;
