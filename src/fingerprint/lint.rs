//! Lint: what cannot be right, and what probably means something else than its writer meant.

use super::diagnostic::{Diagnostic, Severity};
use super::examples::{field_of, sees};
use super::parse::Parsed;
use super::place::{Place, locate};
use super::set::{read_root, read_source};
use super::{Condition, Fingerprint, canonical};
use crate::query::{Clause, FieldKind, Kind, Node, Occur, Operator, Query, Schema};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything that lint found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LintReport {
    /// Number of files looked at.
    pub files: usize,
    /// The findings in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

impl LintReport {
    /// True when a finding is an error.
    pub fn has_errors(&self) -> bool {
        let mut all = self.diagnostics.iter();
        all.any(|found| found.severity == Severity::Error)
    }
}

/// Checks every fingerprint file below the roots.
pub fn lint(roots: &[PathBuf]) -> LintReport {
    let schema = Schema::default();
    let mut report = LintReport::default();
    let mut seen = Seen::default();
    for root in roots {
        let Some(sources) = read_root(root) else {
            let file = root.display().to_string();
            let message = "the fingerprint directory is not there or cannot be read";
            let found = Diagnostic::whole(&file, "missing-directory", message);
            report.diagnostics.push(found);
            continue;
        };
        for source in &sources {
            report.files += 1;
            match read_source(source, &schema) {
                Err(found) => report.diagnostics.extend(found),
                Ok((parsed, text)) => {
                    let file = source.path.display().to_string();
                    let page = Page { file: &file, text };
                    page.check(&parsed, &schema, &mut report.diagnostics);
                    seen.check(&page, &parsed, &mut report.diagnostics);
                }
            }
        }
    }
    let key = |d: &Diagnostic| (d.file.clone(), d.line, d.column);
    report.diagnostics.sort_by_key(key);
    report
}

/// What earlier files said.
#[derive(Default)]
struct Seen {
    ids: BTreeMap<String, String>,
    meanings: BTreeMap<String, String>,
}

impl Seen {
    fn check(&mut self, page: &Page<'_>, parsed: &Parsed, found: &mut Vec<Diagnostic>) {
        let id = &parsed.fingerprint.id;
        if let Some(other) = self.ids.insert(id.clone(), page.file.to_owned()) {
            let message = format!("the id `{id}` is already taken by {other}");
            found.push(page.at((1, 1), "duplicate-id", message));
        }
        let meaning = canonical::of(&parsed.fingerprint);
        if let Some(other) = self.meanings.get(&meaning) {
            let place = parsed.places.first().copied().unwrap_or((1, 1));
            let message = format!("this fingerprint means the same as `{other}`");
            let finding = page.at(place, "same-meaning", message).warning();
            found.push(finding.suggest(format!("keep one of `{other}` and `{id}`")));
            return;
        }
        self.meanings.insert(meaning, id.clone());
    }
}

struct Page<'a> {
    file: &'a str,
    text: &'a str,
}

impl Page<'_> {
    fn at(&self, place: Place, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.file, self.text, place, code, message)
    }

    fn check(&self, parsed: &Parsed, schema: &Schema, found: &mut Vec<Diagnostic>) {
        let fingerprint = &parsed.fingerprint;
        self.examples(parsed, found);
        if let Condition::Pattern(pattern) = &fingerprint.condition
            && pattern.regex.is_match("")
        {
            {
                let place = parsed.places.first().copied().unwrap_or((1, 1));
                let message =
                    "this expression also matches an empty text, so it matches every event";
                let finding = self.at(place, "matches-everything", message).warning();
                found.push(finding.suggest("an expression that needs at least one character"));
            }
        }
        let main = fingerprint.condition.queries().count();
        let places = &parsed.places[parsed.places.len() - fingerprint.queries().count()..];
        for (number, (query, place)) in fingerprint.queries().zip(places).enumerate() {
            for finding in check_query(query, schema, number < main) {
                let (line, column) = locate(self.text, *place, query.source(), finding.offset);
                let diagnostic = self.at((line, column), finding.code, finding.message);
                found.push(diagnostic.warning().suggest(finding.suggestion));
            }
        }
    }

    fn examples(&self, parsed: &Parsed, found: &mut Vec<Diagnostic>) {
        let fingerprint: &Fingerprint = &parsed.fingerprint;
        let [must, must_not] = &parsed.examples;
        for (text, place) in fingerprint.examples.matches.iter().zip(must) {
            if !sees(fingerprint, text) {
                let message = "this example must match, but the fingerprint does not match it";
                found.push(self.at(*place, "example-does-not-match", message));
            }
        }
        for (text, place) in fingerprint.examples.no_match.iter().zip(must_not) {
            if sees(fingerprint, text) {
                let message = "this example must not match, but the fingerprint matches it";
                found.push(self.at(*place, "example-matches", message));
            }
        }
    }
}

/// A finding in the text of a query.
struct Finding {
    offset: usize,
    code: &'static str,
    message: String,
    suggestion: String,
}

/// All warnings about one query; `main` is false for those of `none`.
fn check_query(query: &Query, schema: &Schema, main: bool) -> Vec<Finding> {
    let mut checks = Checks {
        text: query.source(),
        schema,
        found: Vec::new(),
    };
    checks.dropped(query);
    checks.node(query.root(), true);
    if main {
        checks.whole(query.root());
    }
    checks.found
}

struct Checks<'a> {
    text: &'a str,
    schema: &'a Schema,
    found: Vec<Finding>,
}

impl Checks<'_> {
    fn warn(&mut self, offset: usize, code: &'static str, message: &str, suggestion: &str) {
        self.found.push(Finding {
            offset,
            code,
            message: message.to_owned(),
            suggestion: suggestion.to_owned(),
        });
    }

    fn slice(&self, node: &Node) -> &str {
        self.text.get(node.span.clone()).unwrap_or_default()
    }

    fn dropped(&mut self, query: &Query) {
        for span in query.dropped() {
            self.warn(
                span.start,
                "empty-phrase",
                "nothing of this text is a word, so the condition vanishes",
                "remove it, or quote text that has letters or digits",
            );
        }
    }

    fn whole(&mut self, root: &Node) {
        if matches_all(root) {
            let message = "this query matches every event of every build";
            let suggestion = "message:\"words that only this bug writes\"";
            self.warn(root.span.start, "matches-everything", message, suggestion);
        } else if !asks_message(root) && !only_not(root) {
            let message =
                "no clause asks for `message`: every line of the files that it names is a hit";
            let suggestion = format!(
                "message:\"words that only this bug writes\" AND ({})",
                self.text.trim()
            );
            self.warn(root.span.start, "no-message-clause", message, &suggestion);
        }
    }

    fn node(&mut self, node: &Node, top: bool) {
        match &node.kind {
            Kind::Bool(clauses) => self.group(node, clauses, top),
            Kind::Boost(inner, _) => self.node(inner, top),
            leaf => self.keyword(node, leaf),
        }
    }

    fn group(&mut self, node: &Node, clauses: &[Clause], top: bool) {
        if only_not(node) && top {
            let message = "only NOT: this matches every event but a few";
            let suggestion = format!("message:\"what must be there\" AND {}", self.text.trim());
            self.warn(node.span.start, "only-not", message, &suggestion);
        }
        let has = |operator| clauses.iter().any(|c| c.operator == operator);
        if has(Operator::And) && has(Operator::Or) {
            self.mixed(node, clauses);
        }
        for pair in clauses.windows(2) {
            self.operator(&pair[0], &pair[1]);
        }
        let required = clauses.iter().any(|c| c.occur == Occur::Must);
        for clause in clauses {
            // `a AND (NOT b)` is a plain `a AND NOT b`; `NOT (NOT b)` and `a OR (NOT b)` are not.
            let harmless = clause.occur == Occur::Must && required && clauses.len() > 1;
            self.node(&clause.node, !harmless);
        }
    }

    fn mixed(&mut self, node: &Node, clauses: &[Clause]) {
        let message = "AND and OR side by side: AND makes both its neighbours required and OR then \
                       only adds optional clauses, so the alternatives do not count";
        let suggestion = self
            .parenthesised(clauses)
            .unwrap_or_else(|| "put parentheses around the clauses that belong together".into());
        self.warn(node.span.start, "mixed-and-or", message, &suggestion);
    }

    /// The group with the usual reading made visible: `a AND b OR c` as `(a AND b) OR c`.
    fn parenthesised(&self, clauses: &[Clause]) -> Option<String> {
        let mut runs: Vec<Vec<String>> = Vec::new();
        for (i, clause) in clauses.iter().enumerate() {
            let start = match i {
                0 => clause.node.span.start,
                _ => clauses[i - 1].node.span.end,
            };
            let lead = self.text.get(start..clause.node.span.start)?;
            // What stands between two clauses: the operator, then NOT, a sign, a field, a parenthesis.
            let lead = lead.trim_start_matches([' ', '\n', ')']);
            let lead = ["AND", "OR", "&&", "||"]
                .iter()
                .find_map(|word| lead.strip_prefix(word))
                .unwrap_or(lead);
            let text = format!("{}{}", lead.trim_start(), self.slice(&clause.node));
            if text.matches('(').count() != text.matches(')').count() {
                return None;
            }
            match (clause.operator, runs.last_mut()) {
                (Operator::And, Some(run)) => run.push(text),
                _ => runs.push(vec![text]),
            }
        }
        let runs = runs.into_iter().map(|run| match run.as_slice() {
            [one] => one.clone(),
            many => format!("({})", many.join(" AND ")),
        });
        Some(runs.collect::<Vec<_>>().join(" OR "))
    }

    fn operator(&mut self, before: &Clause, clause: &Clause) {
        if clause.operator != Operator::None || clause.occur == Occur::MustNot {
            return;
        }
        let gap = before.node.span.end..clause.node.span.start;
        let gap = self.text.get(gap).unwrap_or_default();
        if gap.contains('+') || self.slice(&clause.node).starts_with('+') {
            return;
        }
        let message =
            "no operator between two clauses: this is read as OR, or as optional beside AND";
        let (left, right) = (self.slice(&before.node), self.slice(&clause.node));
        let suggestion = format!("{left} AND {right}, or {left} OR {right}");
        self.warn(
            clause.node.span.start,
            "missing-operator",
            message,
            &suggestion,
        );
    }

    /// Values that no event has in a field that is compared exactly.
    fn keyword(&mut self, node: &Node, leaf: &Kind) {
        let Some(field) = field_of(leaf) else { return };
        if self.schema.kind(field) != FieldKind::Keyword {
            return;
        }
        let (Kind::Term { value, .. } | Kind::Wildcard { pattern: value, .. }) = leaf else {
            return;
        };
        let known = ["message", "@timestamp", "voting"].iter().copied();
        let known = known.chain(KEYWORDS.iter().copied());
        let mut same = known.filter(|name| name.eq_ignore_ascii_case(field) && *name != field);
        let (message, better) = if let Some(name) = same.next() {
            let message = format!("no event has a field `{field}`: names are case-sensitive");
            (message, format!("{name}:\"{value}\""))
        } else if matches!(leaf, Kind::Term { .. }) && value.contains(['*', '?']) {
            let message = format!(
                "`{field}` is compared exactly, and in quotes `*` and `?` are \
                 ordinary characters"
            );
            (message, format!("{field}:{}", value.replace(' ', "\\ ")))
        } else if let Some(better) = other_case(field, value) {
            let message = format!("`{field}` is compared exactly, capital letters included");
            (message, format!("{field}:\"{better}\""))
        } else if value.trim() != value {
            let message = format!("`{field}` is compared exactly, blanks included");
            (message, format!("{field}:\"{}\"", value.trim()))
        } else {
            return;
        };
        let code = "never-matches-keyword";
        self.warn(node.span.start, code, &message, &better);
    }
}

/// Fields that every event of a build may have.
const KEYWORDS: [&str; 9] = [
    "tags",
    "filename",
    "project",
    "build_name",
    "build_status",
    "build_queue",
    "build_branch",
    "loglevel",
    "module",
];

/// The value in the case in which the field has it, where that is known and differs.
fn other_case(field: &str, value: &str) -> Option<String> {
    let lower = value.to_lowercase();
    let better = match field {
        "build_status" | "loglevel" => value.to_uppercase(),
        "build_queue" => lower,
        "tags" | "filename"
            if ["console", "screen-", "job-output", "syslog"]
                .iter()
                .any(|known| lower.starts_with(known))
                && !lower.starts_with("consoletext") =>
        {
            lower
        }
        "build_name"
            if ["gate-", "check-", "periodic-", "experimental-"]
                .iter()
                .any(|known| lower.starts_with(known) && !value.starts_with(known)) =>
        {
            lower
        }
        _ => return None,
    };
    (better != value).then_some(better)
}

fn matches_all(node: &Node) -> bool {
    match &node.kind {
        Kind::All => true,
        Kind::Exists(field) => field == "message",
        Kind::Wildcard { field, pattern } => field == "message" && pattern == "*",
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

/// True when a group has nothing but prohibited clauses.
fn only_not(node: &Node) -> bool {
    match &node.kind {
        Kind::Boost(inner, _) => only_not(inner),
        Kind::Bool(clauses) => {
            !clauses.is_empty()
                && clauses
                    .iter()
                    .all(|c| c.occur == Occur::MustNot || matches!(c.node.kind, Kind::All))
                && clauses.iter().any(|c| c.occur == Occur::MustNot)
        }
        _ => false,
    }
}

fn asks_message(node: &Node) -> bool {
    match &node.kind {
        Kind::Boost(inner, _) => asks_message(inner),
        Kind::Bool(clauses) => {
            let mut positive = clauses.iter().filter(|c| c.occur != Occur::MustNot);
            positive.any(|c| asks_message(&c.node))
        }
        leaf => field_of(leaf) == Some("message"),
    }
}
