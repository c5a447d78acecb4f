//! The answer as Markdown, for a comment or a job summary.

use super::safe::{one_line, safe};
use super::show::{Answer, caution, counted, hits, marked, returned, title};
use crate::event::{Evidence, Match};
use std::fmt::Write as _;

/// The count, what was not read, then each match.
pub(super) fn markdown(answer: &Answer<'_>) -> String {
    let outcome = answer.outcome;
    let mut out = format!("**{}**\n", counted(outcome));
    if let Some(caution) = caution(outcome.verdict) {
        let _ = writeln!(out, "\n{caution}:\n");
        for problem in outcome.summary.all_problems() {
            let _ = writeln!(out, "- {}", escape(&one_line(&problem.to_string())));
        }
    }
    for found in &outcome.matches {
        one(&mut out, answer, found);
    }
    out
}

fn one(out: &mut String, answer: &Answer<'_>, found: &Match) {
    let name = escape(&title(found));
    let bug = match &found.bug.url {
        Some(url) => format!("[{name}](<{}>)", address(url)),
        None => name,
    };
    let _ = writeln!(out, "\n### {bug}{}", returned(found));
    if let Some(advice) = &found.advice {
        let _ = writeln!(out, "\n{}", escape(advice.trim()));
    }
    for shown in &found.evidence {
        place(out, shown);
    }
    let id = one_line(&found.fingerprint).replace('`', "'");
    let _ = writeln!(out, "\nFingerprint `{id}`, {}", hits(found));
    if let Some(score) = answer.score(found) {
        let _ = writeln!(out, "\n{}", score.in_words());
    }
}

fn place(out: &mut String, shown: &Evidence) {
    let text = marked(shown, "»", "«");
    let fence = "`".repeat(longest_ticks(&text).max(2) + 1);
    let file = one_line(&shown.file).replace('`', "'");
    let _ = writeln!(out, "\n`{file}:{}`\n\n{fence}text", shown.line);
    for line in text.lines() {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "{fence}");
}

/// The address cannot end its own brackets.
fn address(url: &str) -> String {
    one_line(url)
        .replace('<', "%3C")
        .replace('>', "%3E")
        .replace(' ', "%20")
}

fn longest_ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in safe(text).chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '&' | '~'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        let mut out = String::new();
        let shown = Evidence {
            file: "a`b\nc".into(),
            line: 7,
            offset: 0,
            excerpt: "x\n````\n# not a heading".into(),
            spans: vec![(0, 1)],
        };
        place(&mut out, &shown);
        assert_eq!(
            out,
            "\n`a'b c:7`\n\n`````text\n»x«\n````\n# not a heading\n`````\n"
        );
        assert_eq!(escape("<b>*x* a_b"), "\\<b\\>\\*x\\* a\\_b");
    }
}
