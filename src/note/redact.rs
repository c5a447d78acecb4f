//! Secrets are taken out of what logs say before it leaves: tokens that are known by their shape, what
//! stands after a name such as `password`, and what the operator names.
//!
//! Pure. Every expression is linear-time; a search that finds nothing reads the text once, and one
//! that finds something goes on behind it.

mod lines;
mod rules;

pub use lines::LineRedactor;

use crate::event::Evidence;
use regex::{Captures, Regex};
use rules::{Rule, Test};
use std::ops::Range;

/// Largest expression, compiled: an operator's, and one of ours, which may be larger.
const SIZES: [usize; 2] = [1 << 20, 8 << 20];

/// A rule of the operator that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    /// No regular expression of linear time.
    #[error("rule {name}: {why}")]
    Pattern {
        /// The rule.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The expression finds a secret in an empty text, so it would be everywhere.
    #[error("rule {0}: it also matches nothing at all")]
    Empty(String),
}

/// Takes secrets out of texts.
#[derive(Debug, Clone)]
pub struct Redactor {
    rules: Vec<Rule>,
    /// How many of them are the operator's: the first ones.
    own: usize,
    /// What a line has for which one of the others holds.
    trigger: Option<regex::bytes::Regex>,
}

/// A text without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// What is left.
    pub text: String,
    /// What was taken, in the old text, and how long the mark is that stands there now.
    cuts: Vec<(Range<usize>, usize)>,
}

impl Redactor {
    /// The rules that everybody has, and these (name and expression) before them. Where an expression
    /// has a group, the first one is the secret; otherwise all of it is.
    pub fn new<'a>(own: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, RedactError> {
        let mut rules = Vec::new();
        for (name, pattern) in own {
            rules.push(own_rule(name, pattern)?);
        }
        let (own, everybodys) = (rules.len(), Self::default());
        rules.extend(everybodys.rules);
        Ok(Self {
            rules,
            own,
            trigger: everybodys.trigger,
        })
    }

    /// The text without its secrets.
    pub fn text(&self, text: &str) -> String {
        self.redact(text).text
    }

    /// The text without its secrets, and where everything is now.
    pub fn redact(&self, text: &str) -> Redacted {
        let mut found: Vec<(Range<usize>, &str)> = Vec::new();
        for rule in &self.rules {
            for captures in rule.regex.captures_iter(text) {
                if let Some(secret) = secret(rule, &captures) {
                    found.push((secret, &rule.name));
                }
            }
        }
        // Stable: of two that begin at the same place the earlier rule names it.
        found.sort_by_key(|(range, _)| range.start);
        cut(text, &joined(found))
    }

    /// The line of the evidence that shows the match, without secrets. They are looked for in all of the
    /// excerpt, for a key has many lines.
    pub fn line(&self, place: &Evidence) -> String {
        let left = self.redact(&place.excerpt);
        let from = left.at(place.spans.first().map_or(0, |span| span.0));
        let before = left.text.get(..from).unwrap_or("");
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = left.text.get(start..).unwrap_or(&left.text);
        let line = line.lines().find(|line| !line.trim().is_empty());
        line.unwrap_or("").to_owned()
    }

    /// Evidence without secrets; spans that touch one are dropped, the others follow their text.
    pub fn evidence(&self, place: &Evidence) -> Evidence {
        let left = self.redact(&place.excerpt);
        Evidence {
            spans: left.spans(&place.spans),
            excerpt: left.text,
            ..place.clone()
        }
    }
}

impl Default for Redactor {
    /// The rules that everybody has.
    fn default() -> Self {
        let rules = rules::RULES.into_iter();
        let usable = |(name, pattern, test): (&str, &str, Test)| {
            Some(Rule {
                name: name.into(),
                regex: compile(name, pattern, SIZES[1]).ok()?,
                test,
            })
        };
        Self {
            rules: rules.filter_map(usable).collect(),
            own: 0,
            trigger: lines::trigger(),
        }
    }
}

impl Redacted {
    /// Where a byte of the old text is now; one of a secret is where its mark begins.
    pub fn at(&self, old: usize) -> usize {
        let (mut taken, mut put) = (0, 0);
        for (range, mark) in &self.cuts {
            if old < range.start {
                break;
            }
            if old < range.end {
                return range.start - taken + put;
            }
            taken += range.len();
            put += mark;
        }
        (old + put).saturating_sub(taken).min(self.text.len())
    }

    /// Those of the spans that touch no secret, where they are now.
    pub fn spans(&self, old: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let free = |&&(from, to): &&(usize, usize)| {
            let mut cuts = self.cuts.iter();
            from < to && !cuts.any(|(cut, _)| from < cut.end && cut.start < to)
        };
        let kept = old.iter().filter(free);
        let moved = kept.map(|&(from, to)| (self.at(from), self.at(to)));
        let whole = |&(from, to): &(usize, usize)| {
            from < to && self.text.is_char_boundary(from) && self.text.is_char_boundary(to)
        };
        moved.filter(whole).collect()
    }
}

fn own_rule(name: &str, pattern: &str) -> Result<Rule, RedactError> {
    let regex = compile(name, pattern, SIZES[0])?;
    if regex.is_match("") {
        return Err(RedactError::Empty(name.into()));
    }
    Ok(Rule {
        name: name.into(),
        regex,
        test: Test::Any,
    })
}

fn compile(name: &str, pattern: &str, size: usize) -> Result<Regex, RedactError> {
    let built = regex::RegexBuilder::new(pattern).size_limit(size).build();
    built.map_err(|error| {
        let text = error.to_string();
        RedactError::Pattern {
            name: name.into(),
            why: text.lines().last().unwrap_or("not usable").to_owned(),
        }
    })
}

/// The part of a find that is secret, if it is.
fn secret(rule: &Rule, captures: &Captures<'_>) -> Option<Range<usize>> {
    let mut groups = captures.iter().skip(1).flatten();
    let found = groups.next().or_else(|| captures.get(0))?;
    let secret = rule.test.holds(found.as_str());
    (secret && !found.is_empty()).then(|| found.range())
}

/// Overlapping finds become one, named by the first.
fn joined(found: Vec<(Range<usize>, &str)>) -> Vec<(Range<usize>, &str)> {
    let mut all: Vec<(Range<usize>, &str)> = Vec::with_capacity(found.len());
    for (range, name) in found {
        match all.last_mut() {
            Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
            _ => all.push((range, name)),
        }
    }
    all
}

fn cut(text: &str, found: &[(Range<usize>, &str)]) -> Redacted {
    let mut left = Redacted {
        text: String::with_capacity(text.len()),
        cuts: Vec::with_capacity(found.len()),
    };
    let mut from = 0;
    for (range, name) in found {
        let mark = format!("[redacted {name}]");
        left.text.push_str(&text[from..range.start]);
        left.text.push_str(&mark);
        left.cuts.push((range.clone(), mark.len()));
        from = range.end;
    }
    left.text.push_str(&text[from..]);
    left
}

#[cfg(test)]
mod tests;
