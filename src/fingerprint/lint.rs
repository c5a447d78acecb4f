//! Lint: what cannot be right, and what probably means something else than its writer meant.

use super::diagnostic::{Diagnostic, Severity};
use super::examples::sees;
use super::files::{Source, read_roots};
use super::parse::{Parsed, parse};
use super::place::{Place, locate};
use super::warnings::{PLACEHOLDER, check_query};
use super::{Condition, Fingerprint, canonical};
use crate::query::{Kind, Schema};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Texts that have nothing in common; what matches all of them is no sign of a bug.
const UNRELATED: [&str; 4] = ["a", "7", "quick brown fox", "2026-01-31 12:00:00"];

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
    let tree = read_roots(roots);
    let mut report = LintReport {
        files: tree.sources.len(),
        diagnostics: tree.problems,
    };
    let mut seen = Seen::default();
    for source in &tree.sources {
        check_file(source, &schema, &mut seen, &mut report.diagnostics);
    }
    let key = |d: &Diagnostic| (d.file.clone(), d.line, d.column);
    report.diagnostics.sort_by_key(key);
    report
}

fn check_file(source: &Source, schema: &Schema, seen: &mut Seen, found: &mut Vec<Diagnostic>) {
    let text = match &source.text {
        Ok(text) => text,
        Err(problem) => return found.push(problem.clone()),
    };
    match parse(&source.path, text, schema) {
        Err(problems) => found.extend(problems),
        Ok(parsed) => {
            let file = source.path.display().to_string();
            let page = Page { file: &file, text };
            page.check(&parsed, schema, found);
            seen.check(&page, &parsed, found);
        }
    }
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
        if let Some(other) = self.ids.get(id) {
            found.push(duplicate_id(page.file, page.text, id, other));
            return;
        }
        self.ids.insert(id.clone(), page.file.to_owned());
        if parsed
            .fingerprint
            .queries()
            .any(|q| matches!(q.root().kind, Kind::Nothing))
        {
            return;
        }
        let meaning = canonical::of(&parsed.fingerprint);
        if let Some(other) = self.meanings.get(&meaning) {
            let place = parsed.places.first().copied().unwrap_or((1, 1));
            let message = format!(
                "this fingerprint means the same as `{other}`, so each failure is counted for both"
            );
            let finding = page.at(place, "same-meaning", message).warning();
            found.push(finding.suggest(format!(
                "delete `{id}` or `{other}`, or say in `scope` in which builds each of them counts"
            )));
            return;
        }
        self.meanings.insert(meaning, id.clone());
    }
}

/// The error of a second file with the id of an earlier one, whichever root it is in.
pub(super) fn duplicate_id(file: &str, text: &str, id: &str, other: &str) -> Diagnostic {
    let message = format!(
        "the id `{id}` is already taken by {other}: the earlier one is in force, this one is left out"
    );
    Diagnostic::at(file, text, (1, 1), "duplicate-id", message)
        .suggest("rename the file and name its bug with `bug:`, or delete one of the two")
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
        self.pattern(parsed, found);
        self.tests(parsed, found);
        let main = fingerprint.condition.queries().count();
        let places = &parsed.places[parsed.places.len() - fingerprint.queries().count()..];
        for (number, (query, place)) in fingerprint.queries().zip(places).enumerate() {
            for finding in check_query(query, schema, number < main) {
                let place = locate(self.text, *place, query.source(), finding.offset);
                let diagnostic = self.at(place, finding.code, finding.message).warning();
                found.push(match finding.suggestion {
                    Some(suggestion) => diagnostic.suggest(suggestion),
                    None => diagnostic,
                });
            }
        }
    }

    fn pattern(&self, parsed: &Parsed, found: &mut Vec<Diagnostic>) {
        let Condition::Pattern(pattern) = &parsed.fingerprint.condition else {
            return;
        };
        let message = if pattern.regex.is_match("") {
            "this expression also matches an empty text, so it matches every event"
        } else if UNRELATED.iter().all(|text| pattern.regex.is_match(text)) {
            "this expression matches almost any text, so it matches almost every event"
        } else {
            return;
        };
        let place = parsed.places.first().copied().unwrap_or((1, 1));
        let finding = self.at(place, "matches-everything", message).warning();
        found.push(finding.suggest(PLACEHOLDER));
    }

    /// `test_ids` needs to be told which tests failed; not every source of builds can.
    fn tests(&self, parsed: &Parsed, found: &mut Vec<Diagnostic>) {
        let Some(place) = parsed.test_ids else { return };
        let message = "`test_ids` is ignored for builds whose failed tests are not known \
                       (`failed_tests` of the build's metadata): there it matches whichever test failed";
        let finding = self.at(place, "test-ids-need-results", message).warning();
        let names = parsed.fingerprint.test_ids.iter();
        let names: Vec<String> = names.map(|id| format!("message:\"{id}\"")).collect();
        found.push(finding.suggest(format!(
            "send `failed_tests` with each build, or ask for the test's name in the log: {}",
            names.join(" OR ")
        )));
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
