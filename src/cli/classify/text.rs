//! The answer for people at a terminal.

use super::safe::{one_line, safe};
use super::show::{Answer, caution, counted, hits, marked, returned, title};
use crate::event::Match;
use std::fmt::Write as _;

/// Each match, then what was not looked at, then the count.
pub(super) fn text(answer: &Answer<'_>, colour: bool) -> String {
    let outcome = answer.outcome;
    let mut out = String::new();
    for found in &outcome.matches {
        one(&mut out, answer, found, colour);
        out.push('\n');
    }
    if let Some(caution) = caution(outcome.verdict) {
        let _ = writeln!(out, "{caution}");
    }
    if answer.set_aside > 0 {
        let aside = answer.set_aside;
        let _ = writeln!(
            out,
            "{aside} more do not apply to this build (scope, dates, vote or tests); `--field` tells of it"
        );
    }
    let _ = writeln!(out, "{}", counted(outcome));
    out
}

fn one(out: &mut String, answer: &Answer<'_>, found: &Match, colour: bool) {
    let (bold, open, close, plain) = if colour {
        ("\u{1b}[1m", "\u{1b}[1;31m»", "«\u{1b}[0m", "\u{1b}[0m")
    } else {
        ("", "»", "«", "")
    };
    let _ = writeln!(out, "{bold}{}{plain}{}", title(found), returned(found));
    if let Some(url) = &found.bug.url {
        let _ = writeln!(out, "  {}", one_line(url));
    }
    for shown in &found.evidence {
        let _ = writeln!(out, "  {}:{}", one_line(&shown.file), shown.line);
        for line in marked(shown, open, close).lines() {
            let _ = writeln!(out, "    {line}");
        }
    }
    let id = one_line(&found.fingerprint);
    let _ = writeln!(out, "  Fingerprint: {id}, {}", hits(found));
    if let Some(score) = answer.score(found) {
        let _ = writeln!(out, "  {}", score.in_words());
    }
    if let Some(advice) = &found.advice {
        let advice = safe(advice.trim()).replace('\n', "\n    ");
        let _ = writeln!(out, "  Advice: {advice}");
    }
}
