//! One condition on one field: what the text of a term, phrase, pattern or range means for the kind
//! of the field, as OpenSearch's field types see it.

use super::analyser::{analyse, lower_case};
use super::ast::{Clause, Kind, Node, Occur, Operator};
use super::number::{Number, java_float};
use super::parser::DEFAULT_FIELD;
use super::pattern::wildcard_matches;
use super::{FieldKind, QueryError, Schema, date, regexp};
use std::ops::Range;

/// The longest regular expression that a cluster takes by default, in characters.
const MAX_REGEX: usize = 1000;

/// Where a condition stands and which field it is about (`None`: the default field).
pub(super) struct Leaf<'a> {
    pub(super) schema: &'a Schema,
    pub(super) field: Option<String>,
    pub(super) span: Range<usize>,
}

type Built = Result<Node, QueryError>;
type MaybeBuilt = Result<Option<Node>, QueryError>;

impl Leaf<'_> {
    fn name(&self) -> &str {
        self.field.as_deref().unwrap_or(DEFAULT_FIELD)
    }

    fn node(&self, kind: Kind) -> Node {
        Node {
            span: self.span.clone(),
            kind,
        }
    }

    fn refuse<T>(&self, message: impl Into<String>) -> Result<T, QueryError> {
        Err(QueryError {
            message: message.into(),
            offset: self.span.start,
        })
    }

    /// A word, or words side by side, still with escapes.
    pub(super) fn text(&self, raw: &str) -> MaybeBuilt {
        let value = unescape(raw, self.span.start)?;
        if self.name() == "_exists_" {
            return Ok(Some(self.exists(&value)));
        }
        if value.chars().count() > 1
            && let Some(range) = self.comparison(&value)?
        {
            return Ok(Some(range));
        }
        self.each_field(|field, kind| self.value(field, kind, &value, None))
    }

    /// `>=5`, `>5`, `<=5`, `<5` behind a field name.
    fn comparison(&self, value: &str) -> MaybeBuilt {
        let (rest, upper) = match (value.strip_prefix('>'), value.strip_prefix('<')) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => return Ok(None),
        };
        let (bound, included) = match rest.strip_prefix('=') {
            Some(bound) if !bound.is_empty() => (bound, true),
            _ => (rest, false),
        };
        let bound = (bound != "*").then(|| (bound.to_owned(), included));
        let node = if upper {
            self.range(None, bound.as_ref())
        } else {
            self.range(bound.as_ref(), None)
        };
        node.map(Some)
    }

    /// A quoted text between its quotes, still with escapes.
    pub(super) fn phrase(&self, raw: &str, slop: f32) -> MaybeBuilt {
        // The quote comes first.
        let value = unescape(raw, self.span.start + 1)?;
        if self.name() == "_exists_" {
            return Ok(Some(self.exists(&value)));
        }
        if slop < 0.0 {
            return self.refuse("a phrase cannot have a negative slop");
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "as Java's cast: cut and saturated"
        )]
        let slop = (slop as i32).max(0) as u32;
        self.each_field(|field, kind| self.value(field, kind, &value, Some(slop)))
    }

    /// One value of one field; `slop` is given for a phrase.
    fn value(&self, field: &str, kind: FieldKind, value: &str, slop: Option<u32>) -> MaybeBuilt {
        let field_name = field.to_owned();
        Ok(Some(self.node(match kind {
            FieldKind::Unmapped => Kind::Nothing,
            FieldKind::Text => return Ok(self.analysed(field, value, slop)),
            FieldKind::Keyword => Kind::Term {
                field: field_name,
                value: value.to_owned(),
            },
            FieldKind::Boolean => Kind::Term {
                field: field_name,
                value: self.boolean(value)?.to_owned(),
            },
            FieldKind::Integer | FieldKind::Long | FieldKind::Float => {
                self.number(field, kind, value)?;
                Kind::Term {
                    field: field_name,
                    value: value.trim().to_owned(),
                }
            }
            FieldKind::Date => {
                self.date(field, value)?;
                let bound = Some((value.to_owned(), true));
                Kind::Range {
                    field: field_name,
                    lower: bound.clone(),
                    upper: bound,
                }
            }
        })))
    }

    fn analysed(&self, field: &str, value: &str, slop: Option<u32>) -> Option<Node> {
        let words: Vec<(u32, String)> = analyse(value)
            .map(|w| (w.position, w.text.into_owned()))
            .collect();
        let term = |(_, value): (u32, String)| {
            self.node(Kind::Term {
                field: field.to_owned(),
                value,
            })
        };
        match (words.len(), slop) {
            (0, _) => None,
            (1, _) => words.into_iter().next().map(term),
            (_, Some(slop)) => Some(self.node(Kind::Phrase {
                field: field.to_owned(),
                words,
                slop,
            })),
            (_, None) => Some(self.any(words.into_iter().map(term).collect())),
        }
    }

    fn any(&self, nodes: Vec<Node>) -> Node {
        let clause = |node| Clause {
            occur: Occur::Should,
            operator: Operator::None,
            node,
        };
        self.node(Kind::Bool(nodes.into_iter().map(clause).collect()))
    }

    fn exists(&self, pattern: &str) -> Node {
        let fields = self.expand(pattern);
        let mut nodes: Vec<Node> = fields
            .into_iter()
            .map(|(field, kind)| match kind {
                FieldKind::Unmapped => self.node(Kind::Nothing),
                _ => self.node(Kind::Exists(field)),
            })
            .collect();
        match nodes.len() {
            0 => self.node(Kind::Nothing),
            1 => nodes.remove(0),
            _ => self.any(nodes),
        }
    }

    /// `*` and `?` somewhere in the text; `*` alone asks whether the field exists.
    pub(super) fn wildcard(&self, image: &str) -> Built {
        if image == "*" {
            return Ok(match self.name() {
                "*" => self.node(Kind::All),
                name => self.exists(name),
            });
        }
        self.pattern("wildcard", |kind| match kind {
            FieldKind::Text => normalise_wildcard(image),
            _ => image.to_owned(),
        })
    }

    /// Text with one `*` at its end.
    pub(super) fn prefix(&self, image: &str) -> Built {
        let value = unescape(&image[..image.len() - 1], self.span.start)?;
        let mut pattern: String = value
            .chars()
            .flat_map(|c| {
                matches!(c, '*' | '?' | '\\')
                    .then_some('\\')
                    .into_iter()
                    .chain([c])
            })
            .collect();
        pattern.push('*');
        self.pattern("prefix", |kind| match kind {
            FieldKind::Text => lower_case(&pattern),
            _ => pattern.clone(),
        })
    }

    fn pattern(&self, what: &str, pattern: impl Fn(FieldKind) -> String) -> Built {
        let built = self.each_field(|field, kind| {
            Ok(Some(self.node(match kind {
                FieldKind::Unmapped => Kind::Nothing,
                FieldKind::Text | FieldKind::Keyword => Kind::Wildcard {
                    field: field.to_owned(),
                    pattern: pattern(kind),
                },
                _ => return self.not_text(what, field),
            })))
        })?;
        Ok(built.unwrap_or_else(|| self.node(Kind::Nothing)))
    }

    /// A regular expression between its slashes.
    pub(super) fn regex(&self, pattern: &str) -> Built {
        if pattern.chars().count() > MAX_REGEX {
            return self.refuse(format!(
                "a regular expression has at most {MAX_REGEX} characters"
            ));
        }
        let written = pattern;
        let built = self.each_field(|field, kind| {
            let pattern = match kind {
                FieldKind::Unmapped => return Ok(Some(self.node(Kind::Nothing))),
                FieldKind::Text => lower_case(pattern),
                _ => pattern.to_owned(),
            };
            if let Err(problem) = regexp::Program::new(&pattern) {
                return Err(QueryError {
                    message: format!("invalid regular expression: {}", problem.message),
                    offset: self.span.start + 1 + place_in(written, &pattern, problem.offset),
                });
            }
            if !matches!(kind, FieldKind::Text | FieldKind::Keyword) {
                return Ok(Some(self.node(Kind::Nothing)));
            }
            Ok(Some(self.node(Kind::Regex {
                field: field.to_owned(),
                pattern,
            })))
        })?;
        Ok(built.unwrap_or_else(|| self.node(Kind::Nothing)))
    }

    /// A word with `~` and what stands behind it.
    pub(super) fn fuzzy(&self, raw: &str, written: &str) -> Built {
        let value = unescape(raw, self.span.start)?;
        let Some(distance) = edit_distance(written, &value) else {
            return self.refuse(format!(
                "`~{written}` is no edit distance; write `~`, `~1` or `~2`"
            ));
        };
        let built = self.each_field(|field, kind| {
            Ok(Some(self.node(match kind {
                FieldKind::Unmapped => Kind::Nothing,
                FieldKind::Text => Kind::Fuzzy {
                    field: field.to_owned(),
                    value: lower_case(&value),
                    distance,
                },
                FieldKind::Keyword => Kind::Fuzzy {
                    field: field.to_owned(),
                    value: value.clone(),
                    distance,
                },
                _ => return self.not_text("fuzzy", field),
            })))
        })?;
        Ok(built.unwrap_or_else(|| self.node(Kind::Nothing)))
    }

    /// A range; an open side is `None`.
    pub(super) fn range(
        &self,
        lower: Option<&(String, bool)>,
        upper: Option<&(String, bool)>,
    ) -> Built {
        let built = self.each_field(|field, kind| {
            let lower_case_in_text = |bound: Option<&(String, bool)>| {
                bound.map(|(value, included)| match kind {
                    FieldKind::Text => (lower_case(value), *included),
                    _ => (value.clone(), *included),
                })
            };
            for (value, _) in lower.into_iter().chain(upper) {
                match kind {
                    FieldKind::Integer | FieldKind::Long | FieldKind::Float => {
                        self.number(field, kind, value)?;
                    }
                    FieldKind::Date => self.date(field, value)?,
                    FieldKind::Boolean => drop(self.boolean(value)?),
                    FieldKind::Text | FieldKind::Keyword | FieldKind::Unmapped => {}
                }
            }
            Ok(Some(self.node(match kind {
                FieldKind::Unmapped => Kind::Nothing,
                _ => Kind::Range {
                    field: field.to_owned(),
                    lower: lower_case_in_text(lower),
                    upper: lower_case_in_text(upper),
                },
            })))
        })?;
        Ok(built.unwrap_or_else(|| self.node(Kind::Nothing)))
    }

    fn number(&self, field: &str, kind: FieldKind, value: &str) -> Result<(), QueryError> {
        let Some(number) = Number::parse(value) else {
            return self.refuse(format!("`{field}` holds numbers and `{value}` is none"));
        };
        if kind == FieldKind::Float && !number.single().is_finite() {
            return self.refuse(format!("`{value}` is too large for `{field}`"));
        }
        if kind == FieldKind::Long && value.trim() != value {
            return self.refuse(format!("`{field}` holds numbers and `{value}` has blanks"));
        }
        let limits = match kind {
            FieldKind::Integer => i128::from(i32::MIN)..=i128::from(i32::MAX),
            FieldKind::Long => i128::from(i64::MIN)..=i128::from(i64::MAX),
            _ => return Ok(()),
        };
        if number.inside(*limits.start(), *limits.end()) {
            return Ok(());
        }
        let (from, to) = limits.into_inner();
        self.refuse(format!(
            "`{field}` holds whole numbers from {from} to {to}; `{value}` is outside"
        ))
    }

    fn date(&self, field: &str, value: &str) -> Result<(), QueryError> {
        match date::check(value) {
            Ok(()) => Ok(()),
            Err(why) => self.refuse(format!(
                "`{field}` holds dates and `{value}` is none: {why}"
            )),
        }
    }

    fn boolean(&self, value: &str) -> Result<&'static str, QueryError> {
        match value {
            "true" => Ok("true"),
            "false" => Ok("false"),
            _ => self.refuse(format!("`{value}` is neither `true` nor `false`")),
        }
    }

    fn not_text<T>(&self, what: &str, field: &str) -> Result<T, QueryError> {
        self.refuse(format!(
            "`{field}` holds no text, so a {what} cannot be asked of it; use a value or a range"
        ))
    }

    /// The fields that a name stands for: itself, what its `*` stands for, or the parts of an object.
    /// A field that has a kind of its own is no object: `tags.keyword` is then `tags` indexed once
    /// more, and no event has it.
    fn expand(&self, name: &str) -> Vec<(String, FieldKind)> {
        if self.schema.lists(name) {
            return vec![(name.to_owned(), self.schema.kind(name))];
        }
        if !name.contains('*') {
            let inside = format!("{name}.");
            let parts = self
                .schema
                .fields()
                .filter(|(field, _)| field.starts_with(&inside));
            let mut all: Vec<_> = parts
                .map(|(field, kind)| (field.to_owned(), kind))
                .collect();
            if all.is_empty() {
                all.push((name.to_owned(), self.schema.kind(name)));
            }
            return all;
        }
        self.schema
            .fields()
            .filter(|(field, _)| wildcard_matches(name, field))
            .map(|(field, kind)| (field.to_owned(), kind))
            .collect()
    }

    /// Builds the condition for the field, or for each field that a name with `*` stands for: then
    /// one of them must hold.
    fn each_field(&self, build: impl Fn(&str, FieldKind) -> MaybeBuilt) -> MaybeBuilt {
        let name = self.name();
        if !name.contains('*') {
            return build(name, self.schema.kind(name));
        }
        let mut nodes = Vec::new();
        for (field, kind) in self.expand(name) {
            nodes.extend(build(&field, kind)?);
        }
        Ok(Some(match nodes.len() {
            0 => self.node(Kind::Nothing),
            1 => nodes.remove(0),
            _ => self.any(nodes),
        }))
    }
}

/// Lower case for all of a pattern but what a backslash protects.
fn normalise_wildcard(image: &str) -> String {
    let mut out = String::with_capacity(image.len());
    let mut plain = String::new();
    let mut chars = image.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        out.push_str(&lower_case(&plain));
        plain.clear();
        out.push('\\');
        out.extend(chars.next());
    }
    out.push_str(&lower_case(&plain));
    out
}

/// The number of edits that `~` followed by `written` allows for a word; `None` if it is no number.
fn edit_distance(written: &str, word: &str) -> Option<u8> {
    if written.is_empty() || written.eq_ignore_ascii_case("auto") {
        return Some(match word.chars().count() {
            0..=2 => 0,
            3..=5 => 1,
            _ => 2,
        });
    }
    let edits = java_float(written)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "as Java's cast: cut and saturated"
    )]
    let edits = edits as i32;
    u8::try_from(edits.min(2)).ok()
}

/// Takes the backslashes away: the next character stands for itself, `\u0041` for a code point.
/// `offset` is where `raw` begins in the query.
pub(super) fn unescape(raw: &str, offset: usize) -> Result<String, QueryError> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut buffer = [0; 2];
    let mut chars = raw.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        let Some((_, escaped)) = chars.next() else {
            let message = "nothing follows this `\\`; write `\\\\` for a backslash".to_owned();
            return Err(QueryError {
                message,
                offset: offset + at,
            });
        };
        if escaped != 'u' {
            units.extend_from_slice(escaped.encode_utf16(&mut buffer));
            continue;
        }
        let digits: String = chars.by_ref().take(4).map(|(_, d)| d).collect();
        let unit = (digits.len() == 4)
            .then(|| u16::from_str_radix(&digits, 16).ok())
            .flatten();
        let Some(unit) = unit else {
            let message = "`\\u` needs four hexadecimal digits, as in `\\u0041`".to_owned();
            return Err(QueryError {
                message,
                offset: offset + at,
            });
        };
        units.push(unit);
    }
    Ok(String::from_utf16_lossy(&units))
}

/// The byte of an expression as it was written at which its lower-case form has the byte `offset`: some letters
/// have another length then.
fn place_in(written: &str, lowered: &str, offset: usize) -> usize {
    let before = lowered.get(..offset).unwrap_or(lowered).chars().count();
    let place = written.char_indices().nth(before);
    place.map_or(written.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use crate::event::{Event, FieldValue};
    use crate::query::{Document, FieldKind, Query, Schema};
    use jiff::Timestamp;

    /// Somebody else's index: `tags` is text and is indexed once more as `tags.keyword`.
    #[test]
    fn wrong_escapes_are_told_where_they_stand() {
        use crate::query::{Query, Schema};
        for (text, offset) in [
            ("x:[\"\u{1f600}\\\" TO a]", 8),
            ("\"\u{e9}\\u00\"", 3),
            ("a\u{3000}\u{3000}\\u00 b", 7),
            ("x:\u{e9}\\u00", 4),
        ] {
            let error = Query::parse(text, &Schema::default()).unwrap_err();
            assert_eq!(error.offset, offset, "{text}: {}", error.message);
        }
    }

    #[test]
    fn a_field_that_is_indexed_twice_exists() {
        let mut schema = Schema::default();
        schema.set("tags", FieldKind::Text);
        schema.set("tags.keyword", FieldKind::Keyword);
        schema.set("node.name", FieldKind::Keyword);
        schema.close();
        let mut event = Event::from_message("x");
        event.own.set("tags", FieldValue::text("console"));
        event.own.set("node.name", FieldValue::text("n1"));
        for (text, matches) in [
            ("_exists_:tags", true),
            ("tags:*", true),
            ("NOT _exists_:tags", false),
            ("_exists_:node", true),
            ("_exists_:nod", false),
        ] {
            let query = Query::parse(text, &schema).unwrap();
            let document = Document::new(&event);
            let found = query.matches(&document, Timestamp::UNIX_EPOCH);
            assert_eq!(found, matches, "{text}");
        }
    }
}
