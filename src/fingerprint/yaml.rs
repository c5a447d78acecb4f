//! The YAML of a fingerprint file, read by serde-saphyr; the only place that knows that crate.

use super::diagnostic::Diagnostic;
use super::place::Place;
use serde::Deserialize;
use serde_saphyr::{Error, Location, Spanned};

/// A value with the place where it begins.
pub(super) type Text = Spanned<String>;

/// A file as written. Unknown and duplicate keys are errors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Raw {
    pub(super) title: Option<String>,
    pub(super) bug: Option<Text>,
    pub(super) query: Option<Text>,
    pub(super) pattern: Option<Text>,
    pub(super) files: Option<Spanned<Vec<Text>>>,
    pub(super) all: Option<Spanned<Vec<Text>>>,
    pub(super) any: Option<Spanned<Vec<Text>>>,
    pub(super) none: Option<Spanned<Vec<Text>>>,
    pub(super) sequence: Option<Spanned<Vec<Text>>>,
    pub(super) within: Option<Text>,
    #[serde(default)]
    pub(super) scope: RawScope,
    pub(super) valid_from: Option<Text>,
    pub(super) valid_until: Option<Text>,
    pub(super) category: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) advice: Option<String>,
    #[serde(default)]
    pub(super) priority: i64,
    #[serde(default)]
    pub(super) examples: RawExamples,
    #[serde(default)]
    pub(super) suppress_graph: bool,
    #[serde(default)]
    pub(super) suppress_notification: bool,
    #[serde(default)]
    pub(super) allow_nonvoting: bool,
    pub(super) retry: Option<Spanned<RawRetry>>,
    #[serde(rename = "resolved_at")]
    pub(super) resolved_at: Option<Text>,
    #[serde(default, rename = "test_ids")]
    pub(super) test_ids: Vec<Text>,
}

/// `retry:` as written: yes or no, or how often.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawRetry {
    /// `retry: true`.
    Plain(bool),
    /// `retry: {max: 1}`.
    Most(RawMost),
}

/// What stands in `retry:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMost {
    pub(super) max: u32,
}

/// `scope:` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScope {
    pub(super) projects: Vec<Text>,
    pub(super) branches: Vec<Text>,
    pub(super) jobs: Vec<Text>,
    pub(super) pipelines: Vec<Text>,
}

/// `examples:` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawExamples {
    #[serde(rename = "match")]
    pub(super) matches: Vec<Text>,
    #[serde(rename = "no-match")]
    pub(super) no_match: Vec<Text>,
}

/// Reads one file.
#[expect(
    clippy::result_large_err,
    reason = "one per broken file; boxing buys nothing"
)]
pub(super) fn read(file: &str, text: &str) -> Result<Raw, Diagnostic> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(file, text, &error))
}

/// Where a value begins.
pub(super) fn place<T>(value: &Spanned<T>) -> Place {
    of(value.defined)
}

fn of(location: Location) -> Place {
    let number = |n: u64| usize::try_from(n).unwrap_or(1).max(1);
    (number(location.line()), number(location.column()))
}

fn explain(file: &str, text: &str, error: &Error) -> Diagnostic {
    let error = error.without_snippet();
    let place = error.location().map_or((1, 1), of);
    let (code, message, near) = match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => {
            let message = format!("unknown key `{field}`");
            ("unknown-key", message, nearest(field, expected))
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            ("duplicate-key", format!("`{key}` is given twice"), None)
        }
        Error::MultipleDocuments { .. } => {
            let message = "a file holds one fingerprint, not several documents";
            ("several-documents", message.to_owned(), None)
        }
        Error::SerdeInvalidType {
            unexpected,
            expected,
            ..
        } => {
            let message = format!("expected {}, found {unexpected}", plain(expected));
            ("wrong-type", message, None)
        }
        Error::Unexpected { expected, .. } => (
            "wrong-type",
            format!("expected {} here", plain(expected)),
            None,
        ),
        Error::InvalidScalar { ty, .. } => {
            ("wrong-type", format!("expected {} here", plain(ty)), None)
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            let message = "nested too deep, or anchors and aliases repeat too much";
            ("too-complex", message.to_owned(), None)
        }
        Error::NullIntoString { .. } => ("wrong-type", "expected text, found nothing".into(), None),
        Error::Eof { .. } => ("empty-file", "the file holds no fingerprint".into(), None),
        other if other.to_string().contains("RawRetry") => {
            let message = "`retry` is `true`, `false` or `{max: 2}`";
            ("wrong-type", message.to_owned(), None)
        }
        other => ("yaml-syntax", one_line(&other.to_string()), None),
    };
    let found = Diagnostic::at(file, text, place, code, message);
    match near {
        Some(key) => found.suggest(key),
        None => found,
    }
}

/// What the parser expects, in the words of people.
fn plain(expected: &str) -> &str {
    match expected {
        "sequence start" => "a list",
        "string scalar" => "text",
        "mapping start" => "keys with values (`query: …`)",
        "i64" => "a whole number",
        "boolean" => "`true` or `false`",
        other => other,
    }
}

/// The parser's message without its own copy of the place.
fn one_line(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let cut = first.find(" at line ").unwrap_or(first.len());
    let said = &first[..cut];
    if said.contains("quoted scalar") {
        return format!("{said}; is a quote before this not closed?");
    }
    said.to_owned()
}

/// The known key that a misspelt one was most likely meant to be.
fn nearest(field: &str, expected: &[&'static str]) -> Option<&'static str> {
    let plain = |key: &str| key.to_lowercase().replace('_', "-");
    let distances = expected
        .iter()
        .map(|key| (edits(&plain(field), &plain(key)), *key));
    distances
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, key)| key)
}

/// The number of single-character edits between two words.
pub(super) fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
