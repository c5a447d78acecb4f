//! From the text of one file to a fingerprint, or to everything that is wrong with it.

use super::diagnostic::Diagnostic;
use super::place::{Place, locate};
use super::scope::{Scope, ScopeText, file_globs};
use super::yaml::{self, Raw, RawMost, RawRetry, RawScope, Text};
use super::{Condition, Examples, Fingerprint, Pattern, bug, times};
use crate::query::{Query, Schema};
use regex::RegexBuilder;
use std::path::Path;

/// A fingerprint with the places of its parts, which lint needs.
pub(super) struct Parsed {
    pub(super) fingerprint: Fingerprint,
    /// Where each of [`Fingerprint::queries`] begins; the pattern's place for a pattern.
    pub(super) places: Vec<Place>,
    /// Places of the examples that must match, then of those that must not.
    pub(super) examples: [Vec<Place>; 2],
    /// Where `test_ids` stand, if any are given.
    pub(super) test_ids: Option<Place>,
}

/// Reads one file; the path gives the id and stands in the diagnostics.
pub fn parse_file(
    path: &Path,
    text: &str,
    schema: &Schema,
) -> Result<Fingerprint, Vec<Diagnostic>> {
    parse(path, text, schema).map(|parsed| parsed.fingerprint)
}

pub(super) fn parse(path: &Path, text: &str, schema: &Schema) -> Result<Parsed, Vec<Diagnostic>> {
    let file = path.display().to_string();
    let raw = yaml::read(&file, text).map_err(|found| vec![found])?;
    let mut reader = Reader {
        file: &file,
        text,
        schema,
        found: Vec::new(),
        places: Vec::new(),
    };
    let fingerprint = reader.fingerprint(path, &raw);
    match fingerprint {
        Some(fingerprint) if reader.found.is_empty() => Ok(Parsed {
            fingerprint,
            places: reader.places,
            test_ids: raw.test_ids.first().map(yaml::place),
            examples: [&raw.examples.matches, &raw.examples.no_match]
                .map(|texts| texts.iter().map(yaml::place).collect()),
        }),
        _ => Err(reader.found),
    }
}

/// The largest `max` of `retry`.
const MOST_RETRIES: u32 = 10;

/// Longest glob: what is nested in it is taken apart by calls within calls.
const LONGEST_GLOB: usize = 1_000;
/// Most queries of a sequence: what is found of each is kept for all that follow.
const MOST_STEPS: usize = 100;

/// The keys of which a file has exactly one.
const CHOICE: &str = "one of `query`, `pattern`, `all`/`any`, `sequence`";

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    schema: &'a Schema,
    found: Vec<Diagnostic>,
    places: Vec<Place>,
}

impl Reader<'_> {
    fn error(&mut self, place: Place, code: &'static str, message: impl Into<String>) {
        let found = Diagnostic::at(self.file, self.text, place, code, message);
        self.found.push(found);
    }

    fn fingerprint(&mut self, path: &Path, raw: &Raw) -> Option<Fingerprint> {
        let id = path.file_stem()?.to_string_lossy().into_owned();
        let condition = self.condition(raw);
        let none = raw.none.as_ref().map(|list| self.queries(&list.value));
        let bug = self.read(raw.bug.as_ref(), "bad-bug", bug::FORMS, bug::parse);
        let day = "a day such as 2026-01-31";
        let valid_from = self.read(raw.valid_from.as_ref(), "bad-date", day, times::day);
        let valid_until = self.read(raw.valid_until.as_ref(), "bad-date", day, times::day);
        if let (Some(from), Some(until), Some(text)) = (valid_from, valid_until, &raw.valid_until)
            && until < from
        {
            self.error(
                yaml::place(text),
                "bad-date",
                "valid-until is before valid-from",
            );
        }
        let moment = "a moment such as 2026-01-31T12:00:00Z";
        let resolved_at = self.read(raw.resolved_at.as_ref(), "bad-date", moment, times::moment);
        let scope = self.scope(&raw.scope);
        let retry = self.retry(raw);
        let plain = |texts: &[Text]| texts.iter().map(|t| t.value.clone()).collect();
        Some(Fingerprint {
            title: raw.title.clone().unwrap_or_else(|| id.clone()),
            bug: bug.unwrap_or_else(|| bug::from_id(&id)),
            id,
            file: path.to_owned(),
            condition: condition?,
            none: none.unwrap_or_default(),
            scope,
            valid_from,
            valid_until,
            category: raw.category.clone(),
            owner: raw.owner.clone(),
            advice: raw.advice.clone(),
            priority: raw.priority,
            examples: Examples {
                matches: plain(&raw.examples.matches),
                no_match: plain(&raw.examples.no_match),
            },
            retry,
            suppress_graph: raw.suppress_graph,
            suppress_notification: raw.suppress_notification,
            allow_nonvoting: raw.allow_nonvoting,
            resolved_at,
            test_ids: plain(&raw.test_ids),
        })
    }

    /// How often another run may be asked for.
    fn retry(&mut self, raw: &Raw) -> Option<u32> {
        let given = raw.retry.as_ref()?;
        match &given.value {
            RawRetry::Plain(yes) => yes.then_some(1),
            RawRetry::Most(RawMost { max }) if (1..=MOST_RETRIES).contains(max) => Some(*max),
            RawRetry::Most(_) => {
                let message = format!("`max` of `retry` is from 1 to {MOST_RETRIES}");
                self.error(yaml::place(given), "bad-retry", message);
                None
            }
        }
    }

    /// Reads a value that has a syntax of its own.
    fn read<T>(
        &mut self,
        text: Option<&Text>,
        code: &'static str,
        wanted: &str,
        read: fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = text?;
        let value = read(&text.value);
        if value.is_none() {
            let message = format!("{:?} is not {wanted}", text.value);
            self.error(yaml::place(text), code, message);
        }
        value
    }

    fn condition(&mut self, raw: &Raw) -> Option<Condition> {
        let wholes = [&raw.all, &raw.any].map(|list| list.as_ref().map(yaml::place));
        let given = [
            raw.query.as_ref().map(yaml::place),
            raw.pattern.as_ref().map(yaml::place),
            wholes[0].or(wholes[1]),
            raw.sequence.as_ref().map(yaml::place),
        ];
        let mut given = given.into_iter().flatten();
        if given.next().is_none() {
            self.no_condition();
            return None;
        }
        if let Some(second) = given.next() {
            self.error(
                second,
                "several-conditions",
                format!("give only {CHOICE}, not several"),
            );
        }
        self.strays(raw);
        if let Some(query) = &raw.query {
            return self.query(query).map(Condition::Query);
        }
        if let Some(pattern) = &raw.pattern {
            return self.pattern(raw, pattern).map(Condition::Pattern);
        }
        if let Some(list) = &raw.sequence {
            self.filled(yaml::place(list), &list.value);
            self.short(yaml::place(list), &list.value);
            let within = raw.within.as_ref().and_then(|w| self.within(w));
            let queries = self.queries(&list.value);
            return Some(Condition::Sequence { queries, within });
        }
        let mut lists = [&raw.all, &raw.any].map(|list| {
            let list = list.as_ref()?;
            self.filled(yaml::place(list), &list.value);
            Some(self.queries(&list.value))
        });
        let [all, any] = &mut lists;
        let all = all.take().unwrap_or_default();
        let any = any.take().unwrap_or_default();
        Some(Condition::AllAny { all, any })
    }

    /// Points at a key that was left empty, or at the file.
    fn no_condition(&mut self) {
        let keys = ["query:", "pattern:", "all:", "any:", "sequence:"];
        let empty = |line: &str| keys.iter().find(|key| line.starts_with(**key)).copied();
        let mut lines = self.text.lines().enumerate();
        if let Some((line, key)) = lines.find_map(|(n, line)| Some((n + 1, empty(line)?))) {
            let message = format!("`{}` has no value", key.trim_end_matches(':'));
            self.error((line, 1), "no-condition", message);
        } else {
            let message = format!("the file needs exactly {CHOICE}");
            self.error((1, 1), "no-condition", message);
        }
    }

    /// A distance: `200` or `200 lines`.
    fn within(&mut self, text: &Text) -> Option<u32> {
        let written = text.value.trim();
        let number = written
            .strip_suffix("lines")
            .or_else(|| written.strip_suffix("line"))
            .unwrap_or(written);
        let within = number.trim_end().parse().ok();
        if within.is_none() {
            let message = format!("`{written}` is no number of lines; write `within: 200 lines`");
            self.error(yaml::place(text), "bad-within", message);
        }
        within
    }

    /// Keys that mean something only beside another one.
    fn strays(&mut self, raw: &Raw) {
        if let (Some(files), None) = (&raw.files, &raw.pattern) {
            self.error(
                yaml::place(files),
                "stray-key",
                "`files` goes with `pattern`",
            );
        }
        if let (Some(within), None) = (&raw.within, &raw.sequence) {
            self.error(
                yaml::place(within),
                "stray-key",
                "`within` goes with `sequence`",
            );
        }
    }

    fn filled(&mut self, place: Place, list: &[Text]) {
        if list.is_empty() {
            self.error(place, "empty-list", "this list needs at least one query");
        }
    }

    fn short(&mut self, place: Place, list: &[Text]) {
        if list.len() > MOST_STEPS {
            let message = format!("a sequence has at most {MOST_STEPS} queries");
            self.error(place, "too-complex", message);
        }
    }

    fn queries(&mut self, texts: &[Text]) -> Vec<Query> {
        texts.iter().filter_map(|text| self.query(text)).collect()
    }

    fn query(&mut self, text: &Text) -> Option<Query> {
        let start = yaml::place(text);
        match Query::parse(&text.value, self.schema) {
            Ok(query) => {
                self.places.push(start);
                Some(query)
            }
            Err(error) => {
                let place = locate(self.text, start, &text.value, error.offset);
                self.error(place, "bad-query", error.message);
                None
            }
        }
    }

    fn pattern(&mut self, raw: &Raw, text: &Text) -> Option<Pattern> {
        self.places.push(yaml::place(text));
        let globs = raw.files.as_ref().map(|list| list.value.as_slice());
        let checked = globs.map(|globs| self.globs(globs));
        let files = checked.and_then(|globs| file_globs(globs.iter().map(String::as_str)).ok());
        let regex = RegexBuilder::new(&text.value).multi_line(true).build();
        match regex {
            Ok(regex) => Some(Pattern { regex, files }),
            Err(error) => {
                let message = error.to_string();
                let reason = message.lines().last().unwrap_or_default();
                let reason = reason.strip_prefix("error: ").unwrap_or(reason).to_owned();
                let offset = marked(&message, &text.value);
                let place = locate(self.text, yaml::place(text), &text.value, offset);
                self.error(place, "bad-pattern", reason);
                None
            }
        }
    }

    /// The globs that are well formed; the others are reported.
    fn globs(&mut self, texts: &[Text]) -> Vec<String> {
        let mut good = Vec::new();
        for text in texts {
            if text.value.len() > LONGEST_GLOB {
                let message = format!("a glob has at most {LONGEST_GLOB} bytes");
                self.error(yaml::place(text), "bad-glob", message);
                continue;
            }
            match globset::Glob::new(&text.value) {
                Ok(_) => good.push(text.value.clone()),
                Err(error) => self.error(yaml::place(text), "bad-glob", error.to_string()),
            }
        }
        good
    }

    fn scope(&mut self, raw: &RawScope) -> Scope {
        let text = ScopeText {
            projects: self.globs(&raw.projects),
            branches: self.globs(&raw.branches),
            jobs: self.globs(&raw.jobs),
            pipelines: self.globs(&raw.pipelines),
        };
        Scope::new(text).unwrap_or_default()
    }
}

/// The byte of an expression under which its error message has a `^`; the expression is shown there
/// indented by four.
fn marked(message: &str, expression: &str) -> usize {
    let lines: Vec<&str> = message.lines().collect();
    let shown = lines
        .windows(2)
        .find(|pair| pair[0].trim_start() == expression);
    let caret = shown.and_then(|pair| pair[1].find('^'));
    let column = caret.map_or(0, |at| at.saturating_sub(4));
    let bytes = expression.char_indices().nth(column);
    bytes.map_or(0, |(byte, _)| byte)
}
