//! A tree in Lucene's notation: `+` required, `-` prohibited, no sign optional.

use super::ast::{Clause, Kind, Node, Occur};
use std::fmt::Write;

/// Writes the whole tree; the outermost group goes without parentheses.
pub(super) fn explain(root: &Node) -> String {
    let mut out = String::new();
    match &root.kind {
        Kind::Bool(clauses) => write_clauses(&mut out, clauses),
        _ => write_node(&mut out, root),
    }
    out
}

fn write_clauses(out: &mut String, clauses: &[Clause]) {
    for (index, clause) in clauses.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        match clause.occur {
            Occur::Must => out.push('+'),
            Occur::MustNot => out.push('-'),
            Occur::Should => {}
        }
        write_node(out, &clause.node);
    }
    if clauses.iter().all(|c| c.occur == Occur::MustNot) {
        out.push_str(" #*:*");
    }
}

fn write_node(out: &mut String, node: &Node) {
    let written = match &node.kind {
        Kind::All => write!(out, "*:*"),
        Kind::Nothing => write!(out, "<nothing>"),
        Kind::Bool(clauses) => {
            out.push('(');
            write_clauses(out, clauses);
            out.push(')');
            Ok(())
        }
        Kind::Boost(inner, boost) => {
            out.push('(');
            write_node(out, inner);
            write!(out, ")^{boost}")
        }
        Kind::Exists(field) => write!(out, "_exists_:{field}"),
        Kind::Term { field, value } => write!(out, "{field}:{value}"),
        Kind::Phrase { field, words, slop } => write_phrase(out, field, words, *slop),
        Kind::Wildcard { field, pattern } => write!(out, "{field}:{pattern}"),
        Kind::Regex { field, pattern } => write!(out, "{field}:/{pattern}/"),
        Kind::Fuzzy {
            field,
            value,
            distance,
        } => write!(out, "{field}:{value}~{distance}"),
        Kind::Range {
            field,
            lower,
            upper,
        } => {
            let open = if lower.as_ref().is_none_or(|b| b.1) {
                '['
            } else {
                '{'
            };
            let close = if upper.as_ref().is_none_or(|b| b.1) {
                ']'
            } else {
                '}'
            };
            let value = |bound: &Option<(String, bool)>| {
                bound.as_ref().map_or("*".to_owned(), |b| b.0.clone())
            };
            write!(
                out,
                "{field}:{open}{} TO {}{close}",
                value(lower),
                value(upper)
            )
        }
    };
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

fn write_phrase(
    out: &mut String,
    field: &str,
    words: &[(u32, String)],
    slop: u32,
) -> std::fmt::Result {
    let words: Vec<&str> = words.iter().map(|(_, word)| word.as_str()).collect();
    write!(out, "{field}:\"{}\"", words.join(" "))?;
    if slop > 0 {
        write!(out, "~{slop}")?;
    }
    Ok(())
}
