//! Expressions that need none of Lucene's own operators, for the `regex` crate: it is some hundred times
//! faster than derivatives.

use super::Tree;
use regex::Regex;
use std::fmt::Write;

/// The same expression over a whole text; `None` where it has complements, intersections or intervals, or
/// is too large.
pub(super) fn usual(tree: &Tree) -> Option<Regex> {
    let mut text = String::from(r"(?s)\A(?:");
    write_tree(tree, &mut text)?;
    text.push_str(r")\z");
    Regex::new(&text).ok()
}

fn write_tree(tree: &Tree, out: &mut String) -> Option<()> {
    match tree {
        Tree::Nothing => out.push_str(r"[^\s\S]"),
        Tree::Empty => out.push_str("(?:)"),
        Tree::Set(ranges, negated) => write_set(ranges, *negated, out)?,
        Tree::Sequence(all) => all.iter().try_for_each(|one| write_tree(one, out))?,
        Tree::Either(all) => {
            for (number, one) in all.iter().enumerate() {
                out.push_str(if number == 0 { "(?:" } else { "|" });
                write_tree(one, out)?;
            }
            out.push(')');
        }
        Tree::Repeat(inner, least, most) => {
            out.push_str("(?:");
            write_tree(inner, out)?;
            let most = most.map_or(String::new(), |most| most.to_string());
            write!(out, "){{{least},{most}}}").ok()?;
        }
        Tree::Both(_) | Tree::Not(_) | Tree::Interval(..) => return None,
    }
    Some(())
}

fn write_set(ranges: &[(char, char)], negated: bool, out: &mut String) -> Option<()> {
    if ranges.is_empty() {
        out.push_str(if negated { "." } else { r"[^\s\S]" });
        return Some(());
    }
    out.push_str(if negated { "[^" } else { "[" });
    for (from, to) in ranges {
        write!(
            out,
            r"\u{{{:x}}}-\u{{{:x}}}",
            u32::from(*from),
            u32::from(*to)
        )
        .ok()?;
    }
    out.push(']');
    Some(())
}
