//! The text of a note on its way to a service: harmless, short enough, with its links.

use crate::event::is_deceptive;
use crate::state::Note;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Shown where a text was cut.
const CUT: &str = "…";

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Words.
    Text(&'a str),
    /// An address (`http` or `https`).
    Link(&'a str),
}

/// The text without control characters and those that turn the direction of others; lines stay lines.
pub fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let plain: String = text
        .chars()
        .map(|c| match c {
            '\n' => '\n',
            c if is_deceptive(c) => ' ',
            c => c,
        })
        .collect();
    plain.trim().to_owned()
}

/// The same in one line.
pub fn one_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

/// The address of the page that a note is about, if it names one.
pub fn page(note: &Note) -> Option<&str> {
    let page = note.json.get("page")?.as_str()?;
    let plain = page.starts_with("http://") || page.starts_with("https://");
    (plain && page.len() < 1000 && !page.contains(is_break)).then_some(page)
}

/// The text, cut at a word until `size` of it is at most `most`; `link` is kept at its end.
pub fn fit(text: &str, most: usize, link: Option<&str>, size: impl Fn(&str) -> usize) -> String {
    if size(text) <= most {
        return text.to_owned();
    }
    let tail = link.map_or_else(|| CUT.to_owned(), |link| format!("{CUT} {link}"));
    let with_tail = |head: &str| format!("{}{tail}", head.trim_end());
    let fits = |head: &str| size(&with_tail(head)) <= most;
    let words = boundaries(text, |before, after| {
        !before.is_whitespace() && after.is_whitespace()
    });
    let mut head = longest(text, &words, fits);
    // A single word that is too long is cut within, not dropped.
    if head.len() * 2 < longest_fitting(text, fits) {
        head = longest(text, &boundaries(text, |_, _| true), fits);
    }
    with_tail(head)
}

/// Length in bytes of the longest beginning that fits, cut anywhere.
fn longest_fitting(text: &str, fits: impl Fn(&str) -> bool) -> usize {
    longest(text, &boundaries(text, |_, _| true), fits).len()
}

fn boundaries(text: &str, is_one: impl Fn(char, char) -> bool) -> Vec<usize> {
    let pairs = text.char_indices().zip(text.char_indices().skip(1));
    let inner = pairs.filter(|((_, a), (_, b))| is_one(*a, *b));
    std::iter::once(0)
        .chain(inner.map(|(_, (at, _))| at))
        .collect()
}

fn longest<'a>(text: &'a str, ends: &[usize], fits: impl Fn(&str) -> bool) -> &'a str {
    let fitting = ends.partition_point(|end| fits(&text[..*end]));
    &text[..ends[fitting.saturating_sub(1)]]
}

/// The words and addresses of a text, in order; nothing is left out.
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut all, mut rest) = (Vec::new(), text);
    while let Some(start) = next_link(rest) {
        let (before, from) = rest.split_at(start);
        let end = from.find(is_break).unwrap_or(from.len());
        let end = trimmed(&from[..end]);
        if !before.is_empty() {
            all.push(Piece::Text(before));
        }
        all.push(Piece::Link(&from[..end]));
        rest = &from[end..];
    }
    if !rest.is_empty() {
        all.push(Piece::Text(rest));
    }
    all
}

fn next_link(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text[from..].find("http").map(|at| at + from) {
        let rest = &text[at..];
        let host = rest
            .strip_prefix("https://")
            .or_else(|| rest.strip_prefix("http://"));
        if host.is_some_and(|host| host.starts_with(|c: char| c.is_alphanumeric() || c == '[')) {
            return Some(at);
        }
        from = at + "http".len();
    }
    None
}

fn is_break(c: char) -> bool {
    c.is_whitespace() || is_deceptive(c) || matches!(c, '<' | '>' | '"' | '`' | '\\' | '|')
}

/// How much of an address is one: marks at its end belong to the sentence.
fn trimmed(link: &str) -> usize {
    let mut link = link;
    while let Some(last) = link.chars().last() {
        let opened = link.matches('(').count();
        let closes = last == ')' && link.matches(')').count() > opened;
        if !closes && !matches!(last, '.' | ',' | ';' | ':' | '!' | '?' | '\'') {
            break;
        }
        link = &link[..link.len() - 1];
    }
    link.len()
}

/// Text for HTML: everything escaped, addresses as links, lines as lines.
pub fn html(text: &str) -> String {
    let mut out = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(words) => out += &escaped(words).replace('\n', "<br/>"),
            Piece::Link(link) => {
                let link = escaped(link);
                let _ = write!(out, "<a href=\"{link}\">{link}</a>");
            }
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

/// Text for Markdown: every mark escaped, addresses as links that no mark can end, nobody called by
/// name.
pub fn markdown(text: &str) -> String {
    let mut out = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Link(link) => {
                let _ = write!(out, "<{link}>");
            }
            Piece::Text(words) => {
                for c in words.chars() {
                    let is_mark = "\\`*_{}[]()#+-.!~|>".contains(c);
                    out.extend(is_mark.then_some('\\'));
                    out.push(c);
                    // A space that nobody sees: `@channel` calls no channel, `<` begins no tag.
                    out.extend(matches!(c, '@' | '<').then_some('\u{200b}'));
                }
            }
        }
    }
    out
}

/// What tells this note of this state from all others, over all tries and generations.
pub(in crate::note) fn key(note: &Note) -> String {
    digest(&[&note.target, &note.topic, &note.id.to_string()])
}

/// What tells one generation of a note, over all tries.
pub(in crate::note) fn once(note: &Note) -> String {
    let (id, generation) = (note.id, note.generation);
    format!(
        "whorl-{id}-{generation}-{}",
        // A state that was begun anew counts its notes from 1 again.
        digest(&[&note.target, &note.topic, &note.text])
    )
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut out = String::new();
    for byte in hash.finalize().iter().take(8) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chars(text: &str) -> usize {
        text.chars().count()
    }

    #[test]
    fn links_end_where_the_sentence_goes_on() {
        let text = "see https://x.example/a(b), (http://y.example/?q=1&r=2). no http:// or httpd";
        let links: Vec<_> = pieces(text)
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Link(link) => Some(link),
                Piece::Text(_) => None,
            })
            .collect();
        assert_eq!(
            links,
            ["https://x.example/a(b)", "http://y.example/?q=1&r=2"]
        );
    }

    #[test]
    fn html_has_only_our_own_marks() {
        let text = "<b>&'\"\nhttps://x.example/?a=1&b=%22<script>";
        insta::assert_snapshot!(html(text), @r#"&lt;b&gt;&amp;&#39;&quot;<br/><a href="https://x.example/?a=1&amp;b=%22">https://x.example/?a=1&amp;b=%22</a>&lt;script&gt;"#);
    }

    #[test]
    fn markdown_calls_nobody_and_makes_no_marks() {
        let text = "@channel *x* [a](http://evil.example) `y` # z https://x.example/a_b";
        let shown = markdown(text).replace('\u{200b}', "~");
        insta::assert_snapshot!(shown, @r"@~channel \*x\* \[a\]\(<http://evil.example>\) \`y\` \# z <https://x.example/a_b>");
    }

    #[test]
    fn a_cut_is_at_a_word_and_keeps_the_link() {
        let text = "one two three four five https://x.example/page";
        let cut = fit(text, 30, Some("https://x.example"), chars);
        assert_eq!(cut, "one two… https://x.example");
        assert_eq!(fit("short", 30, Some("https://x.example"), chars), "short");
        assert_eq!(fit(&"x".repeat(50), 10, None, chars), "xxxxxxxxx…");
    }

    #[test]
    fn control_characters_and_turned_text_are_gone() {
        assert_eq!(clean(" a\u{1b}[1mb\u{202e}c\r\nd\te\0 "), "a [1mb c\nd e");
        assert_eq!(one_line("a\nb"), "a b");
    }

    proptest! {
        #[test]
        fn a_cut_text_fits_and_keeps_its_beginning(text in "\\PC{0,200}", most in 30_usize..120) {
            let cut = fit(&text, most, Some("https://x.example"), chars);
            prop_assert!(chars(&cut) <= most);
            if chars(&text) > most {
                prop_assert!(cut.ends_with("https://x.example"));
                let head = cut.split(CUT).next().unwrap_or_default();
                prop_assert!(text.starts_with(head));
            }
        }

        #[test]
        fn pieces_put_together_are_the_text(text in "(\\PC|http://|https://x|[).,]){0,60}") {
            let all: String = pieces(&text).into_iter().map(|p| match p {
                Piece::Text(t) | Piece::Link(t) => t,
            }).collect();
            prop_assert_eq!(all, text);
        }
    }
}
