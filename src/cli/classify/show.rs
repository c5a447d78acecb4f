//! The answers of `whorl classify`.

use super::Format;
use crate::classify::one::Outcome;
use crate::event::{Build, Evidence, Match};
use crate::intake::BuildSummary;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;

/// Writes the answer to standard output.
pub(super) fn show(
    format: Format,
    build: &Build,
    outcome: &Outcome,
    seconds: f64,
    colour: bool,
) -> anyhow::Result<()> {
    let text = match format {
        Format::Text => text(outcome, colour),
        Format::Json => format!("{}\n", json_answer(build, outcome, seconds)),
        Format::Github => github(outcome),
        Format::Markdown => markdown(outcome),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

/// What `--stats` says.
pub(super) fn stats_line(summary: &BuildSummary, seconds: f64) -> String {
    format!(
        "{} bytes, {} lines, {} events, {seconds:.3} s, {:.1} MB/s",
        summary.bytes(),
        summary.lines(),
        summary.events(),
        rate(summary, seconds),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(summary: &BuildSummary, seconds: f64) -> f64 {
    summary.bytes() as f64 / 1e6 / seconds.max(1e-9)
}

fn text(outcome: &Outcome, colour: bool) -> String {
    let mut out = String::new();
    for found in &outcome.matches {
        let returned = if found.returned {
            " (returned: it counted as fixed)"
        } else {
            ""
        };
        let _ = writeln!(out, "{}{returned}", title(found));
        if let Some(url) = &found.bug.url {
            let _ = writeln!(out, "  {url}");
        }
        for shown in &found.evidence {
            let _ = writeln!(out, "  {}:{}", safe(&shown.file), shown.line);
            for line in marked(shown, colour).lines() {
                let _ = writeln!(out, "    {line}");
            }
        }
        let _ = writeln!(
            out,
            "  {} {}",
            found.hits,
            plural(found.hits, "hit", "hits")
        );
        if let Some(advice) = &found.advice {
            let _ = writeln!(out, "  Advice: {}", safe(advice.trim()));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{}", counted(outcome));
    out
}

fn counted(outcome: &Outcome) -> String {
    format!(
        "{} of {} fingerprints matched",
        outcome.matches.len(),
        outcome.looked_for
    )
}

fn plural(n: u64, one: &'static str, many: &'static str) -> &'static str {
    if n == 1 { one } else { many }
}

fn title(found: &Match) -> String {
    if found.title == found.fingerprint {
        safe(&found.bug.name)
    } else {
        format!("{} [{}]", safe(&found.title), safe(&found.bug.name))
    }
}

/// The excerpt with its phrases marked: by `»…«`, and in colour on a terminal too.
fn marked(shown: &Evidence, colour: bool) -> String {
    let (open, close) = if colour {
        ("\u{1b}[1;31m»", "«\u{1b}[0m")
    } else {
        ("»", "«")
    };
    let mut out = String::new();
    let mut at = 0;
    for &(from, to) in &shown.spans {
        out.push_str(&safe(&shown.excerpt[at..from]));
        out.push_str(open);
        out.push_str(&safe(&shown.excerpt[from..to]));
        out.push_str(close);
        at = to;
    }
    out.push_str(&safe(&shown.excerpt[at..]));
    out
}

/// Log text is hostile: no control character reaches the terminal.
fn safe(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

fn json_answer(build: &Build, outcome: &Outcome, seconds: f64) -> Value {
    let summary = &outcome.summary;
    let problems: Vec<String> = summary.all_problems().map(ToString::to_string).collect();
    let mut known = serde_json::to_value(build).unwrap_or_default();
    if let Some(object) = known.as_object_mut() {
        object.retain(|_, value| !value.is_null() && *value != json!("") && *value != json!({}));
    }
    json!({
        "build": known,
        "verdict": outcome.verdict,
        "matches": outcome.matches,
        "stats": {
            "fingerprints": outcome.looked_for,
            "files": summary.files.len(),
            "bytes": summary.bytes(),
            "lines": summary.lines(),
            "events": summary.events(),
            "seconds": seconds,
            "mb_per_second": rate(summary, seconds),
        },
        "problems": problems,
    })
}

/// Workflow commands, one annotation for each match.
fn github(outcome: &Outcome) -> String {
    let mut out = String::new();
    for found in &outcome.matches {
        let place = found.evidence.first().map_or(String::new(), |e| {
            format!("file={},line={},", property(&e.file), e.line)
        });
        let line = found.evidence.first().map_or("", |e| e.excerpt.as_str());
        let advice = found.advice.as_deref().unwrap_or_default();
        let _ = writeln!(
            out,
            "::error {place}title={}::{}",
            property(&format!("Known bug: {}", title(found))),
            data(format!("{line}\n{advice}").trim()),
        );
    }
    let _ = writeln!(out, "::notice title=whorl::{}", counted(outcome));
    out
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

fn markdown(outcome: &Outcome) -> String {
    let mut out = format!("**{}**\n\n", counted(outcome));
    for found in &outcome.matches {
        let bug = match &found.bug.url {
            Some(url) => format!("[{}]({url})", escape(&title(found))),
            None => escape(&title(found)),
        };
        let _ = writeln!(
            out,
            "- {bug}, {} {}",
            found.hits,
            plural(found.hits, "hit", "hits")
        );
        for shown in &found.evidence {
            let fence = "`".repeat(longest_ticks(&shown.excerpt).max(2) + 1);
            let _ = writeln!(
                out,
                "\n  `{}:{}`\n\n  {fence}text",
                shown.file.replace('`', "'"),
                shown.line
            );
            for line in safe(&shown.excerpt).lines() {
                let _ = writeln!(out, "  {line}");
            }
            let _ = writeln!(out, "  {fence}");
        }
        if let Some(advice) = &found.advice {
            let _ = writeln!(out, "\n  {}", escape(advice.trim()));
        }
    }
    out
}

fn longest_ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in safe(text).chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|'
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
    fn marks_and_control_characters() {
        let shown = Evidence {
            file: "a".into(),
            line: 1,
            offset: 0,
            excerpt: "x\u{1b}[31m port taken".into(),
            spans: vec![(7, 17)],
        };
        assert_eq!(marked(&shown, false), "x\u{fffd}[31m »port taken«");
    }

    #[test]
    fn a_workflow_command_cannot_be_broken_out_of() {
        assert_eq!(
            property("a:b,c\n::error::x%"),
            "a%3Ab%2Cc%0A%3A%3Aerror%3A%3Ax%25"
        );
    }
}
