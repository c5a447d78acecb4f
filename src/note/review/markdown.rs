//! Text as forges take it: Markdown in which nothing that came from a log does anything.
//!
//! The text that comes in knows lists (`- `), code between back quotes, and addresses. These stay;
//! every other character stands for itself.

use super::marker;
use super::plain::{SPLIT, fit, one_line};
use super::words;
use crate::state::Note;

/// Characters that Markdown takes for more than themselves anywhere in a line.
const SPECIAL: &str = "\\`*_[]<>|~&$";
/// Characters that it does so with at the beginning of a line, or that begin a command there.
const FIRST: &str = "#>+-=/:";
/// Characters after which a name or number is a reference to somebody or something.
const REFERS: &str = "@#!$%&~^[";
/// How deep lists go.
const DEEPEST: usize = 3;

/// The comment for a note, of at most `limit` bytes; folded away if nobody needs it any more.
pub(super) fn comment(note: &Note, page: Option<&str>, folded: bool, limit: usize) -> String {
    let last = marker::hidden_line(note);
    let cut = inline(&words::cut(page));
    let mut lines = Render::default().lines(marker::body(&note.text));
    if !folded {
        return fit(&lines, &cut, &last, limit);
    }
    let head = format!("<details><summary>{}</summary>\n", words::FOLDED);
    lines.insert(0, head);
    fit(&lines, &cut, &format!("</details>\n\n{last}"), limit)
}

/// The same without a marker, for where the note is found again by other means.
pub(super) fn summary(note: &Note, page: Option<&str>, limit: usize) -> String {
    let lines = Render::default().lines(marker::body(&note.text));
    let text = fit(&lines, &inline(&words::cut(page)), "", limit);
    text.trim_end().to_owned()
}

#[derive(Default)]
struct Render {
    /// How deep the list is that the line before belongs to.
    depth: Option<usize>,
}

impl Render {
    fn lines<'a>(mut self, lines: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for line in lines {
            let rendered = self.line(line);
            let item = line.trim_start().starts_with("- ");
            if let Some(before) = out.last_mut().filter(|l| !l.is_empty()) {
                // A line end is one, also where Markdown would go on in the same line.
                if !rendered.is_empty() && !item {
                    before.push('\\');
                }
            }
            out.push(rendered);
        }
        out
    }

    fn line(&mut self, line: &str) -> String {
        let line = one_line(line);
        let text = line.trim();
        let indent = line.len() - line.trim_start().len();
        if text.is_empty() {
            return String::new();
        }
        if let Some(item) = text.strip_prefix("- ") {
            let deepest = self.depth.map_or(0, |depth| depth + 1).min(DEEPEST);
            let depth = (indent / 2).min(deepest);
            self.depth = Some(depth);
            return format!(
                "{}- {}",
                "  ".repeat(depth),
                first(&inline(item.trim_start()))
            );
        }
        if indent == 0 {
            self.depth = None;
        }
        let within = self.depth.map_or(0, |depth| depth + 1);
        format!("{}{}", "  ".repeat(within), first(&inline(text)))
    }
}

/// What begins a line begins nothing else.
fn first(text: &str) -> String {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && text[digits..].starts_with(['.', ')']) {
        return format!("{}\\{}", &text[..digits], &text[digits..]);
    }
    if text.starts_with(|c| FIRST.contains(c)) {
        return format!("\\{text}");
    }
    text.to_owned()
}

/// Code and addresses as such, everything else as it is read.
fn inline(text: &str) -> String {
    let (mut out, mut rest, mut before) = (String::with_capacity(text.len()), text, ' ');
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '`' => code(rest, &mut out),
            '<' => angled(rest, &mut out),
            'h' if !before.is_alphanumeric() => bare(rest, &mut out),
            _ => None,
        };
        let taken = taken.unwrap_or_else(|| {
            escaped(c, rest, before, &mut out);
            c.len_utf8()
        });
        before = rest[..taken].chars().next_back().unwrap_or(' ');
        rest = &rest[taken..];
    }
    out
}

fn code(rest: &str, out: &mut String) -> Option<usize> {
    let (inner, _) = rest[1..].split_once('`')?;
    if inner.trim().is_empty() {
        return None;
    }
    if out.ends_with('`') {
        // Two pieces of code side by side would share their quotes.
        out.push(' ');
    }
    out.extend(["`", inner, "`"]);
    Some(inner.len() + 2)
}

fn angled(rest: &str, out: &mut String) -> Option<usize> {
    let inner = &rest[1..rest.find('>')?];
    let url = is_address(inner).then_some(inner)?;
    out.extend(["<", url, ">"]);
    Some(inner.len() + 2)
}

fn bare(rest: &str, out: &mut String) -> Option<usize> {
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let url = rest[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '\'']);
    is_address(url).then(|| {
        out.extend(["<", url, ">"]);
        url.len()
    })
}

fn is_address(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let odd = |c: char| c.is_whitespace() || "<>\"`\\".contains(c);
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(odd))
}

fn escaped(c: char, rest: &str, before: char, out: &mut String) {
    if SPECIAL.contains(c) {
        out.push('\\');
    }
    out.push(c);
    let next = rest[c.len_utf8()..].chars().next().unwrap_or(' ');
    let names = next.is_alphanumeric() || "_\"".contains(next);
    // `GH-1` is an issue too.
    let numbered = c == '-' && before.eq_ignore_ascii_case(&'h') && next.is_ascii_digit();
    if (REFERS.contains(c) && names) || numbered {
        out.push(SPLIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        Render::default()
            .lines(text.lines())
            .join("\n")
            .replace(SPLIT, "~ZW~")
    }

    #[test]
    fn lists_code_and_addresses_stay() {
        let text = "2 of 3 failures are known.\n\n- gate-full: lp:1 <https://b/1_2>: a_b\n  log.txt:7: `a *b* @c`\n  - inner\n\nMore: https://w/x_y.";
        insta::assert_snapshot!(rendered(text), @r"
        2 of 3 failures are known.

        - gate-full: lp:1 <https://b/1_2>: a\_b\
          log.txt:7: `a *b* @c`
          - inner

        More: <https://w/x_y>.
        ");
    }

    #[test]
    fn nothing_else_does_anything() {
        let text = "@all fixes #1, see GH-7, o/r#2, !3 <b>x</b> <!-- y -->\n/close\n# head\n1. one\n```mermaid\n[a](javascript:b) <javascript:c>\n`` `a``b` ` &amp; $1 **x** ~label\n    deep\n---";
        insta::assert_snapshot!(rendered(text));
    }
}
