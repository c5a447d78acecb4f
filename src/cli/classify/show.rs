//! The answers of `whorl classify`: what all formats share, and those for programs.

use super::Format;
use super::safe::{one_line, safe};
use super::{markdown, text};
use crate::chaos::measure::{Measured, Score};
use crate::classify::one::Outcome;
use crate::event::{Build, Evidence, Match, Verdict};
use crate::intake::{BuildSummary, Summary};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What was asked and found.
pub(super) struct Answer<'a> {
    pub(super) build: &'a Build,
    pub(super) outcome: &'a Outcome,
    /// Fingerprints that do not apply to this build, for their scope, their dates or its vote.
    pub(super) set_aside: usize,
    pub(super) seconds: f64,
    /// What was measured of the fingerprints.
    pub(super) measured: Option<&'a Measured>,
}

impl Answer<'_> {
    /// What was measured of the fingerprint that was found.
    pub(super) fn score(&self, found: &Match) -> Option<&Score> {
        self.measured?.of(&found.fingerprint)
    }
}

/// The whole answer.
pub(super) fn written(answer: &Answer<'_>, format: Format, colour: bool) -> String {
    match format {
        Format::Text => text::text(answer, colour),
        Format::Json => format!("{}\n", json_answer(answer)),
        Format::Github => github(answer.outcome),
        Format::Markdown => markdown::markdown(answer),
    }
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

/// What `--stats` says of the start; `memory` is in KiB.
pub(super) fn ready_line(fingerprints: usize, seconds: f64, memory: Option<u64>) -> String {
    let memory = memory.map(|kib| format!(", at most {} MiB of memory in all", kib.div_ceil(1024)));
    let memory = memory.unwrap_or_default();
    format!("{fingerprints} fingerprints made ready in {seconds:.3} s{memory}")
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(summary: &BuildSummary, seconds: f64) -> f64 {
    summary.bytes() as f64 / 1e6 / seconds.max(1e-9)
}

pub(super) fn counted(outcome: &Outcome) -> String {
    format!(
        "{} of {} fingerprints matched",
        outcome.matches.len(),
        outcome.looked_for
    )
}

/// What must be known beside the count: "we did not look" is not "nothing found".
pub(super) fn caution(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::PartialLog => Some("Not everything could be read: the verdict is partial-log"),
        Verdict::NoLog => Some("There was no log to look at: the verdict is no-log"),
        Verdict::Matched | Verdict::Unmatched | Verdict::Error | Verdict::Pending => None,
    }
}

/// `3 hits`, and how many of them are shown when not all are.
pub(super) fn hits(found: &Match) -> String {
    let word = if found.hits == 1 { "hit" } else { "hits" };
    let shown = found.evidence.len() as u64;
    if shown < found.hits {
        format!("{} {word}, {shown} shown", found.hits)
    } else {
        format!("{} {word}", found.hits)
    }
}

/// Title and bug on one line; the bug alone where there is no title.
pub(super) fn title(found: &Match) -> String {
    let bug = one_line(&found.bug.name);
    if found.title == found.fingerprint {
        return bug;
    }
    format!("{} [{bug}]", one_line(found.title.trim()))
}

pub(super) fn returned(found: &Match) -> &'static str {
    if found.returned {
        " (returned: it counted as fixed)"
    } else {
        ""
    }
}

/// The excerpt with `open` and `close` round its phrases. The marks do not depend on colour.
pub(super) fn marked(shown: &Evidence, open: &str, close: &str) -> String {
    let mut out = String::new();
    let mut at = 0;
    for &(from, to) in &shown.spans {
        let (Some(before), Some(phrase)) =
            (shown.excerpt.get(at..from), shown.excerpt.get(from..to))
        else {
            continue;
        };
        out.push_str(&safe(before));
        out.push_str(open);
        out.push_str(&safe(phrase));
        out.push_str(close);
        at = to;
    }
    out.push_str(&safe(&shown.excerpt[at..]));
    out
}

fn json_answer(answer: &Answer<'_>) -> Value {
    let (outcome, seconds) = (answer.outcome, answer.seconds);
    let summary = &outcome.summary;
    let problems: Vec<String> = summary.all_problems().map(ToString::to_string).collect();
    let mut known = serde_json::to_value(answer.build).unwrap_or_default();
    if let Some(object) = known.as_object_mut() {
        object.retain(|_, value| !value.is_null() && *value != json!("") && *value != json!({}));
    }
    let logs: Vec<Value> = summary.files.iter().map(json_log).collect();
    let matches: Vec<Value> = outcome
        .matches
        .iter()
        .map(|found| json_match(answer, found))
        .collect();
    json!({
        "build": known,
        "verdict": outcome.verdict,
        "matches": matches,
        "stats": {
            "fingerprints": outcome.looked_for,
            "set_aside": answer.set_aside,
            "files": summary.files.len(),
            "bytes": summary.bytes(),
            "lines": summary.lines(),
            "events": summary.events(),
            "seconds": seconds,
            "mb_per_second": rate(summary, seconds),
            "logs": logs,
        },
        "problems": problems,
    })
}

fn json_log((name, log): &(String, Summary)) -> Value {
    json!({
        "file": name,
        "format": log.format.as_str(),
        "bytes": log.bytes,
        "lines": log.lines,
        "events": log.events,
        "complete": log.complete(),
    })
}

/// A match with its bug as fingerprint files write it, and the bug's address beside it.
fn json_match(answer: &Answer<'_>, found: &Match) -> Value {
    let mut value = json!({
        "fingerprint": found.fingerprint,
        "title": found.title,
        "bug": found.bug.name,
        "url": found.bug.url,
        "hits": found.hits,
        "evidence": found.evidence,
        "advice": found.advice,
        "category": found.category,
        "returned": found.returned,
        "quiet": found.quiet,
    });
    if let Some(score) = answer.score(found) {
        value["measured"] = json!({"recall": score.recall, "precision": score.precision});
    }
    value
}

/// Workflow commands: one annotation for each match, then what could not be read, then the count.
fn github(outcome: &Outcome) -> String {
    let mut out = String::new();
    for found in &outcome.matches {
        let name = format!("Known bug: {}{}", title(found), returned(found));
        let first = found.evidence.first();
        let place = first.map_or(String::new(), |e| {
            format!("file={},line={},", property(&e.file), e.line)
        });
        let shown = first.map_or(String::new(), |e| marked(e, "»", "«"));
        let parts = [
            shown.as_str(),
            found.bug.url.as_deref().unwrap_or_default(),
            found.advice.as_deref().unwrap_or_default(),
        ];
        let parts: Vec<&str> = parts
            .iter()
            .map(|p| p.trim())
            .filter(|p| !p.is_empty())
            .collect();
        let title = property(&name);
        let _ = writeln!(
            out,
            "::error {place}title={title}::{}",
            data(&parts.join("\n"))
        );
    }
    for problem in outcome.summary.all_problems() {
        let _ = writeln!(out, "::warning title=whorl::{}", data(&problem.to_string()));
    }
    if let Some(caution) = caution(outcome.verdict) {
        let _ = writeln!(out, "::warning title=whorl::{caution}");
    }
    let _ = writeln!(out, "::notice title=whorl::{}", counted(outcome));
    out
}

fn data(text: &str) -> String {
    safe(text).replace('%', "%25").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(excerpt: &str, spans: &[(usize, usize)]) -> Evidence {
        Evidence {
            file: "a".into(),
            line: 1,
            offset: 0,
            excerpt: excerpt.into(),
            spans: spans.to_vec(),
        }
    }

    #[test]
    fn marks_and_control_characters() {
        let shown = evidence("x\u{1b}[31m port taken", &[(7, 17)]);
        assert_eq!(marked(&shown, "»", "«"), "x\u{fffd}[31m »port taken«");
    }

    #[test]
    fn spans_that_make_no_sense_mark_nothing() {
        let shown = evidence("日本 taken", &[(1, 3), (7, 12), (8, 9), (11, 99)]);
        assert_eq!(marked(&shown, "»", "«"), "日本 »taken«");
    }

    #[test]
    fn a_workflow_command_cannot_be_broken_out_of() {
        assert_eq!(
            property("a:b,c\n::error::x%\r"),
            "a%3Ab%2Cc%0A%3A%3Aerror%3A%3Ax%25\u{fffd}"
        );
    }
}
