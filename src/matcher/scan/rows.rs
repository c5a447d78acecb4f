//! What a log must have somewhere for a condition to be worth an exact look: rows of sub-tokens that
//! stand one behind the other, as [`super::kernel`] cuts them.

use super::frequency::Frequency;
use crate::matcher::progress::Wanted;
use crate::query::{Clause, Kind, Node, Occur};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Sub-tokens in lower case; never empty.
pub(super) type Row = Vec<Box<[u8]>>;

/// Rows of which each event that can meet the condition has at least one, each within one line or over
/// line ends; `None` when no row must be there.
pub(super) fn rows_of(wanted: &Wanted<'_>, frequency: &Frequency) -> Option<Vec<Row>> {
    match wanted {
        Wanted::Query(query) => of_node(query.root(), frequency),
        Wanted::Pattern(pattern) => {
            let mut parser = regex_syntax::ParserBuilder::new().multi_line(true).build();
            of_pattern(&parser.parse(pattern.regex.as_str()).ok()?, frequency)
        }
    }
}

/// The sub-tokens of a text that are more than `_`.
pub(super) fn tokens(text: &[u8]) -> Row {
    let pieces = text.split(|byte| super::kernel::fold(*byte) == 0);
    pieces
        .filter(|piece| piece.iter().any(|byte| *byte != b'_'))
        .map(|piece| piece.to_ascii_lowercase().into_boxed_slice())
        .collect()
}

fn of_node(node: &Node, frequency: &Frequency) -> Option<Vec<Row>> {
    let one = |row: Row| (!row.is_empty()).then(|| vec![row]);
    match &node.kind {
        Kind::Nothing => Some(Vec::new()),
        Kind::Term { field, value } if field == "message" => one(tokens(value.as_bytes())),
        Kind::Fuzzy {
            field,
            value,
            distance: 0,
        } if field == "message" => one(tokens(value.as_bytes())),
        Kind::Phrase { field, words, slop } if field == "message" => {
            if *slop == 0 && words.windows(2).all(|two| two[0].0 + 1 == two[1].0) {
                return one(words.iter().flat_map(|w| tokens(w.1.as_bytes())).collect());
            }
            let each = words.iter().map(|word| tokens(word.1.as_bytes()));
            rarest(
                each.filter(|row| !row.is_empty()).map(|row| vec![row]),
                frequency,
            )
        }
        Kind::Boost(inner, _) => of_node(inner, frequency),
        Kind::Bool(clauses) => of_group(clauses, frequency),
        _ => None,
    }
}

/// The rarest of the required clauses; without any, all of the optional ones.
fn of_group(clauses: &[Clause], frequency: &Frequency) -> Option<Vec<Row>> {
    let of = |wanted: Occur| clauses.iter().filter(move |c| c.occur == wanted);
    if of(Occur::Must).next().is_some() {
        let each = of(Occur::Must).filter_map(|c| of_node(&c.node, frequency));
        return rarest(each, frequency);
    }
    of(Occur::Should).next()?;
    let all: Option<Vec<Vec<Row>>> = of(Occur::Should)
        .map(|c| of_node(&c.node, frequency))
        .collect();
    all.map(|all| all.concat())
}

fn rarest(each: impl Iterator<Item = Vec<Row>>, frequency: &Frequency) -> Option<Vec<Row>> {
    each.min_by_key(|rows| {
        let cost: u64 = rows.iter().map(|row| frequency.of_row(row)).sum();
        (cost, rows.len())
    })
}

fn of_pattern(hir: &Hir, frequency: &Frequency) -> Option<Vec<Row>> {
    match hir.kind() {
        HirKind::Capture(capture) => of_pattern(&capture.sub, frequency),
        HirKind::Repetition(repeated) if repeated.min > 0 => of_pattern(&repeated.sub, frequency),
        HirKind::Alternation(all) => {
            let all: Option<Vec<Vec<Row>>> =
                all.iter().map(|one| of_pattern(one, frequency)).collect();
            all.map(|all| all.concat())
        }
        HirKind::Concat(all) => {
            let mut each = Vec::new();
            let mut literal = Vec::new();
            for one in all {
                if let Some(text) = exactly(one) {
                    literal.extend(text);
                    continue;
                }
                each.push(of_literal(&std::mem::take(&mut literal), frequency));
                each.push(of_pattern(one, frequency));
            }
            each.push(of_literal(&literal, frequency));
            rarest(each.into_iter().flatten(), frequency)
        }
        _ => of_literal(&exactly(hir)?, frequency),
    }
}

/// The text that an expression stands for, in lower case: a literal, or a letter in both cases.
fn exactly(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(literal.0.to_ascii_lowercase()),
        HirKind::Class(Class::Unicode(class)) => {
            let mut letters = class
                .iter()
                .flat_map(|range| range.start()..=range.end())
                .take(4);
            // The Kelvin sign and the long s are letters here too, and looked for by themselves.
            let first = letters.next().filter(char::is_ascii_alphabetic)?;
            let same =
                |c: char| c.eq_ignore_ascii_case(&first) || matches!(c, '\u{212a}' | '\u{17f}');
            letters
                .all(same)
                .then(|| vec![first.to_ascii_lowercase() as u8])
        }
        _ => None,
    }
}

/// The sub-tokens between separators of one literal; what stands at its ends may go on outside.
fn of_literal(text: &[u8], frequency: &Frequency) -> Option<Vec<Row>> {
    // The lines of an event have other texts between them in the log.
    let rows = text
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(|line| {
            let separates = |byte: &u8| super::kernel::fold(*byte) == 0;
            let from = line.iter().position(separates)?;
            let to = line.iter().rposition(separates)?;
            let row = tokens(&line[from..=to]);
            (!row.is_empty()).then(|| vec![row])
        });
    rarest(rows.flatten(), frequency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Query, Schema};

    fn shown(rows: Option<Vec<Row>>) -> Option<Vec<String>> {
        let row = |row: Row| String::from_utf8_lossy(&row.join(&b' ')).into_owned();
        rows.map(|rows| rows.into_iter().map(row).collect())
    }

    fn of(query: &str) -> Option<Vec<String>> {
        let query = Query::parse(query, &Schema::default()).unwrap();
        shown(rows_of(&Wanted::Query(&query), &Frequency::shipped()))
    }

    fn of_regex(pattern: &str) -> Option<Vec<String>> {
        let pattern = crate::fingerprint::Pattern {
            regex: regex::Regex::new(pattern).unwrap(),
            files: None,
        };
        shown(rows_of(&Wanted::Pattern(&pattern), &Frequency::shipped()))
    }

    macro_rules! rows {
        ($($row:literal),*) => { Some(vec![$($row.to_owned()),*]) };
    }

    #[test]
    fn of_queries() {
        assert_eq!(
            of("\"In nova.compute, refused\""),
            rows!["in nova compute refused"]
        );
        assert_eq!(of("message:zyxwv OR \"b c\""), rows!["zyxwv", "b c"]);
        assert_eq!(of("error AND zyxwv AND tags:x"), rows!["zyxwv"]);
        assert_eq!(of("\"error zyxwv\"~3"), rows!["zyxwv"]);
        assert_eq!(of("tags:x AND NOT error"), None);
        assert_eq!(of("err*"), None);
        assert_eq!(of("日本"), None);
        assert_eq!(of("\"café __init__\""), rows!["caf __init__"]);
    }

    #[test]
    fn of_patterns() {
        assert_eq!(
            of_regex(r"memwatch: Killed process \d+"),
            rows!["killed process"]
        );
        assert_eq!(of_regex(r"\.[ch]:\d+:\d+: error:"), rows!["error"]);
        assert_eq!(of_regex("(?i) zyxwv "), rows!["zyxwv"]);
        assert_eq!(of_regex("( aa | bb )+x"), rows!["aa", "bb"]);
        assert_eq!(of_regex(" one\n two "), rows!["two"]);
        assert_eq!(of_regex("error"), None);
        assert_eq!(of_regex("( aa )*"), None);
    }
}
