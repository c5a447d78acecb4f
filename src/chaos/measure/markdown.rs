//! A measurement as Markdown.

use super::count::{Cause, Measured, Score};
use super::labelled::Kind;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Names and texts come from files of others: none may end a cell or begin a tag.
fn safe(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace(['\n', '\r'], " ")
}

/// Code may not hold what ends it.
fn code(text: &str) -> String {
    format!(
        "`{}`",
        text.replace('`', "'")
            .replace('|', "\\|")
            .replace(['\n', '\r'], " ")
    )
}

fn codes<'a>(ids: impl IntoIterator<Item = &'a String>) -> String {
    let all: Vec<String> = ids.into_iter().map(|id| code(id)).collect();
    if all.is_empty() {
        "none".into()
    } else {
        all.join(", ")
    }
}

fn counted(by: &BTreeMap<String, u64>) -> String {
    let all: Vec<String> = by
        .iter()
        .map(|(name, n)| format!("{} {n}", safe(name)))
        .collect();
    all.join(", ")
}

/// The whole report.
pub fn markdown(measured: &Measured) -> String {
    let mut out = format!("# {}\n\n", safe(&measured.title));
    head(&mut out, measured);
    fingerprints(&mut out, &measured.fingerprints);
    matrix(&mut out, measured);
    findings(&mut out, measured);
    inconclusive(&mut out, measured);
    out
}

fn head(out: &mut String, measured: &Measured) {
    let t = &measured.totals;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} runs: {} failed with a fault, {} passed with a fault, {} failed without one, {} passed without \
         one, {} judge nobody.\n",
        t.runs, t.failed, t.passed, t.noise, t.clean, t.inconclusive
    );
    let _ = writeln!(
        out,
        "The fingerprint that is named first is the right one in {} of the runs that failed with a fault; \
         in {} of them nothing was found at all. Intervals are Wilson's, 95 %.\n",
        measured.headline, t.unexplained
    );
    if measured.fails() {
        out.push_str("**The measurement fails, because something is found where nothing is wrong: see below.**\n\n");
    }
}

fn fingerprints(out: &mut String, scores: &[Score]) {
    out.push_str("## Fingerprints\n\n");
    out.push_str("| fingerprint | recall | interval | precision | interval | also fired for |\n");
    out.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for score in scores {
        let mut also = Vec::new();
        if !score.others.is_empty() {
            also.push(counted(&score.others));
        }
        for (n, what) in [
            (score.clean, "passing controls"),
            (score.noise, "failed controls"),
            (score.passed, "runs that passed with its cause"),
        ] {
            if n > 0 {
                also.push(format!("{what} {n}"));
            }
        }
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            code(&score.fingerprint),
            score.recall,
            score.recall.interval(),
            score.precision,
            score.precision.interval(),
            also.join("; ")
        );
    }
    out.push('\n');
}

fn matrix(out: &mut String, measured: &Measured) {
    out.push_str("## Cause by cause\n\n");
    out.push_str(
        "Of the failed runs; `*` marks the fingerprints that are meant to find the cause.\n\n",
    );
    out.push_str("| cause | failed | passed | found by |\n| --- | --- | --- | --- |\n");
    for row in &measured.causes {
        let name = safe(&row.name);
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} |",
            row.failed,
            row.passed,
            found_by(row)
        );
    }
    out.push('\n');
}

fn found_by(row: &Cause) -> String {
    let missing = row
        .expects
        .iter()
        .filter(|id| row.failed > 0 && !row.found.contains_key(*id));
    let missing = missing.map(|id| format!("{}\\* 0", code(id)));
    let found = row.found.iter().map(|(id, n)| {
        let star = if row.expects.contains(id) { "\\*" } else { "" };
        format!("{}{star} {n}", code(id))
    });
    let all: Vec<String> = found.chain(missing).collect();
    if all.is_empty() && row.failed > 0 {
        "nothing".into()
    } else {
        all.join(", ")
    }
}

fn findings(out: &mut String, measured: &Measured) {
    if !measured.uncaught.is_empty() {
        out.push_str("## Causes that no fingerprint finds\n\n");
        for row in &measured.uncaught {
            let _ = write!(out, "- {}, {} failed", safe(&row.cause), row.failed);
            if !row.echoes.is_empty() {
                let _ = write!(out, "; an echo is seen by {}", codes(&row.echoes));
            }
            if let Some(draft) = &row.draft {
                let _ = write!(out, "; a draft: {}", code(&draft.query));
                if draft.recall.of > 0 {
                    let _ = write!(
                        out,
                        ", recall {} on runs it was not learned from",
                        draft.recall
                    );
                }
            }
            out.push('\n');
        }
        out.push('\n');
    }
    if !measured.on_controls.is_empty() {
        out.push_str("## Fingerprints that fire where nothing is wrong\n\n");
        for row in &measured.on_controls {
            let allowed = if row.allowed {
                " (allowed by the plan)"
            } else {
                ""
            };
            let (runs, all) = (row.runs.len(), measured.totals.clean);
            let first = row.runs.first().map(|run| safe(run)).unwrap_or_default();
            let id = code(&row.fingerprint);
            let _ = writeln!(
                out,
                "- {id}{allowed}: in {runs} of {all} passing controls, {first} for one"
            );
        }
        out.push('\n');
    }
    if !measured.echoes.is_empty() {
        out.push_str("## Fingerprints that only see an echo\n\n");
        out.push_str("They fire more often for other causes than for their own.\n\n");
        for row in &measured.echoes {
            let id = code(&row.fingerprint);
            let _ = writeln!(out, "- {id}: own {}; {}", row.own, counted(&row.of));
        }
        out.push('\n');
    }
    if !measured.silent.is_empty() {
        let _ = writeln!(
            out,
            "Nothing was measured of {}.\n",
            codes(&measured.silent)
        );
    }
}

fn inconclusive(out: &mut String, measured: &Measured) {
    let unsure = measured
        .runs
        .iter()
        .filter(|run| run.kind == Kind::Inconclusive);
    let unsure: Vec<_> = unsure.collect();
    if unsure.is_empty() {
        return;
    }
    out.push_str("## Runs that judge nobody\n\n");
    for run in unsure {
        let why = run.why.as_deref().unwrap_or("nobody knows why");
        let _ = writeln!(out, "- {}: {}", safe(&run.name), safe(why));
    }
    out.push('\n');
}
