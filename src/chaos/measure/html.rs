//! A measurement as a page: the numbers, a chart of them with their intervals, the matrix.
//!
//! Colours only repeat what numbers and signs say. No script, and no style in elements: the same
//! fragment stands in the dashboard, whose pages allow neither.

mod chart;

use super::count::{Cause, Measured, Share, Uncaught};
use super::labelled::Kind;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What the dashboard's pages look like.
const STYLE: &str = include_str!("../../../templates/style.css");

pub(super) fn safe(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
}

/// A whole page that needs nothing beside it.
pub fn page(measured: &Measured) -> String {
    let title = safe(&measured.title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>\n{}</main></body></html>\n",
        fragment(measured, "#")
    )
}

/// What stands below the heading. `bugs` comes before the id of a fingerprint in links; `#` for none.
pub fn fragment(measured: &Measured, bugs: &str) -> String {
    let mut out = String::new();
    head(&mut out, measured);
    out.push_str("<h2>Fingerprints</h2>\n");
    if measured.fingerprints.is_empty() {
        out.push_str("<p class=\"soft\">No fingerprint has a cause here, and none fired.</p>\n");
    } else {
        out.push_str(&chart::intervals(&measured.fingerprints));
        scores(&mut out, measured, bugs);
    }
    matrix(&mut out, measured, bugs);
    findings(&mut out, measured);
    inconclusive(&mut out, measured);
    out
}

fn head(out: &mut String, measured: &Measured) {
    let t = &measured.totals;
    if measured.fails() {
        let who = measured.on_controls.iter().filter(|found| !found.allowed);
        let who: Vec<String> = who.map(|found| safe(&found.fingerprint)).collect();
        let _ = writeln!(
            out,
            "<p class=\"notice bad\" role=\"status\">The measurement fails, because something is found where \
             nothing is wrong: {}.</p>",
            who.join(", ")
        );
    }
    out.push_str("<div class=\"cards\">");
    let first = measured
        .headline
        .rate()
        .map_or_else(|| "–".into(), |rate| format!("{rate:.2}"));
    let cards = [
        (
            first,
            format!(
                "of failed runs name the right bug first ({} of {})",
                measured.headline.n, measured.headline.of
            ),
        ),
        (t.failed.to_string(), "failed with a fault".into()),
        (t.passed.to_string(), "passed with a fault".into()),
        (t.noise.to_string(), "failed without a fault".into()),
        (t.clean.to_string(), "passed without a fault".into()),
        (t.inconclusive.to_string(), "judge nobody".into()),
    ];
    for (big, what) in cards {
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<div class=\"card\"><span class=\"big\">{big}</span><span class=\"what\">{what}</span></div>"
        );
    }
    let when = measured.at.strftime("%Y-%m-%d %H:%M");
    let version: String = measured.fingerprints_version.chars().take(12).collect();
    let _ = writeln!(
        out,
        "</div>\n<p class=\"soft\">{} runs, measured {when} UTC, fingerprints {}. A run's cause is what was put \
         in, not what its log says. Intervals are Wilson’s, 95 %.</p>",
        t.runs,
        safe(&version)
    );
}

fn name_of(id: &str, bugs: &str) -> String {
    if bugs == "#" {
        return safe(id);
    }
    // Ids are names of files; what an address takes otherwise is encoded.
    let address: String = id
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("<a href=\"{bugs}{address}\">{}</a>", safe(id))
}

fn share(share: Share) -> String {
    match share.rate() {
        None => {
            "<td class=\"n soft\">–</td><td class=\"n soft\">0 of 0</td><td class=\"n soft\">–</td>"
                .into()
        }
        Some(rate) => format!(
            "<td class=\"n\"><strong>{rate:.2}</strong></td><td class=\"n\">{} of {}</td><td class=\"n soft\">{}</td>",
            share.n,
            share.of,
            share.interval()
        ),
    }
}

fn counted(by: &BTreeMap<String, u64>) -> Vec<String> {
    by.iter()
        .map(|(name, n)| format!("{} {n}", safe(name)))
        .collect()
}

fn scores(out: &mut String, measured: &Measured, bugs: &str) {
    out.push_str(
        "<div class=\"scroll\"><table><caption>Recall: of the failed runs with its cause, those in which it fired. \
         Precision: of the runs in which it fired, the failed ones with its cause.</caption><thead><tr>\
         <th scope=\"col\">Fingerprint</th><th scope=\"col\" class=\"n\" colspan=\"3\">Recall</th>\
         <th scope=\"col\" class=\"n\" colspan=\"3\">Precision</th><th scope=\"col\">Also fired for</th></tr></thead><tbody>\n",
    );
    for score in &measured.fingerprints {
        let mut also = counted(&score.others);
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
            "<tr><th scope=\"row\">{}</th>{}{}<td>{}</td></tr>",
            name_of(&score.fingerprint, bugs),
            share(score.recall),
            share(score.precision),
            also.join(", ")
        );
    }
    out.push_str("</tbody></table></div>\n");
}

fn matrix(out: &mut String, measured: &Measured, bugs: &str) {
    out.push_str("<h2>Cause against fingerprint</h2>\n");
    let columns = columns(measured);
    out.push_str(
        "<div class=\"scroll\"><table class=\"matrix\"><caption>In how many of the failed runs of each cause each \
         fingerprint fired. ◆ it is meant to and did each time, ◇ it is meant to and missed some, ✕ it is not meant to.</caption>\
         <thead><tr><th scope=\"col\">Cause</th><th scope=\"col\" class=\"n\">Failed</th><th scope=\"col\" class=\"n\">Passed</th>\
         <th scope=\"col\" class=\"n\">Caught</th>",
    );
    for id in &columns {
        let _ = write!(
            out,
            "<th scope=\"col\" class=\"turn\"><span>{}</span></th>",
            name_of(id, bugs)
        );
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in &measured.causes {
        let text = row.text.as_deref().map(safe).unwrap_or_default();
        let _ = write!(
            out,
            "<tr><th scope=\"row\" title=\"{text}\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td>",
            safe(&row.name),
            row.failed,
            row.passed,
            row.caught
        );
        for id in &columns {
            out.push_str(&cell(row, id));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

/// Fingerprints in the order of the causes that they are meant to find, then the others.
fn columns(measured: &Measured) -> Vec<&String> {
    let mut columns: Vec<&String> = Vec::new();
    let meant = measured.causes.iter().flat_map(|row| &row.expects);
    let all = measured.fingerprints.iter().map(|score| &score.fingerprint);
    for id in meant.chain(all) {
        if !columns.contains(&id) {
            columns.push(id);
        }
    }
    columns
}

fn cell(row: &Cause, id: &String) -> String {
    let n = row.found.get(id).copied().unwrap_or(0);
    let meant = row.expects.contains(id);
    // Fifths, so that a glance tells few from many; the number stands in it anyway.
    let step = if row.failed == 0 {
        0
    } else {
        (n * 5).div_ceil(row.failed)
    };
    match (meant, n) {
        (false, 0) => "<td class=\"n\"></td>".into(),
        (false, n) => format!("<td class=\"n m-other m-{step}\">✕ {n}</td>"),
        (true, n) if row.failed == 0 => format!("<td class=\"n\">◇ {n}</td>"),
        (true, n) if n == row.failed => format!("<td class=\"n m-own m-{step}\">◆ {n}</td>"),
        (true, n) => format!("<td class=\"n m-own m-{step}\">◇ {n}</td>"),
    }
}

fn list(out: &mut String, heading: &str, about: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<h2>{heading}</h2>\n<p class=\"soft\">{about}</p>\n<ul>"
    );
    for item in items {
        let _ = writeln!(out, "<li>{item}</li>");
    }
    out.push_str("</ul>\n");
}

fn findings(out: &mut String, measured: &Measured) {
    let uncaught: Vec<String> = measured.uncaught.iter().map(missed).collect();
    let about = "Each is a fingerprint that somebody could write.";
    list(out, "Causes that no fingerprint finds", about, &uncaught);
    let controls = measured.on_controls.iter().map(|row| {
        let allowed = if row.allowed {
            " (allowed by the plan)"
        } else {
            ""
        };
        let first = row.runs.first().map(|run| safe(run)).unwrap_or_default();
        let id = safe(&row.fingerprint);
        let (runs, all) = (row.runs.len(), measured.totals.clean);
        format!(
            "<strong>{id}</strong>{allowed}: in {runs} of {all} passing controls, {first} for one"
        )
    });
    let controls: Vec<String> = controls.collect();
    let about = "Control runs have no fault, and these passed.";
    list(
        out,
        "Fingerprints that fire where nothing is wrong",
        about,
        &controls,
    );
    let echoes = measured.echoes.iter().map(|row| {
        let of = counted(&row.of).join(", ");
        format!(
            "<strong>{}</strong>: own {}; {of}",
            safe(&row.fingerprint),
            row.own
        )
    });
    let echoes: Vec<String> = echoes.collect();
    let about = "They fire more often for other causes than for their own.";
    list(out, "Fingerprints that only see an echo", about, &echoes);
    if !measured.silent.is_empty() {
        let names = safe(&measured.silent.join(", "));
        let _ = writeln!(
            out,
            "<p class=\"soft\">Nothing was measured of {names}.</p>"
        );
    }
}

/// A cause that nothing finds, with what could.
fn missed(row: &Uncaught) -> String {
    let mut text = format!(
        "<strong>{}</strong>, {} failed",
        safe(&row.cause),
        row.failed
    );
    if !row.echoes.is_empty() {
        let _ = write!(
            text,
            "; an echo is seen by {}",
            safe(&row.echoes.join(", "))
        );
    }
    if let Some(draft) = &row.draft {
        let _ = write!(text, "; a draft: <code>{}</code>", safe(&draft.query));
        if draft.recall.of > 0 {
            let _ = write!(
                text,
                ", recall {} on runs it was not learned from",
                draft.recall
            );
        }
    }
    text
}

fn inconclusive(out: &mut String, measured: &Measured) {
    let unsure = measured
        .runs
        .iter()
        .filter(|run| run.kind == Kind::Inconclusive);
    let items = unsure.map(|run| {
        let why = run.why.as_deref().unwrap_or("nobody knows why");
        format!("<strong>{}</strong>: {}", safe(&run.name), safe(why))
    });
    let about = "It is not sure that the fault was there, or the log could not be read whole.";
    list(
        out,
        "Runs that judge nobody",
        about,
        &items.collect::<Vec<_>>(),
    );
}
