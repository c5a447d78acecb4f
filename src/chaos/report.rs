//! A journal for people.

use super::py;
use serde_json::Value;
use std::fmt::Write;

/// What a report is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For review comments and terminals.
    Markdown,
    /// A page.
    Html,
}

/// Outputs longer than this are cut.
const LONGEST: usize = 300;

/// A report on journals.
pub fn report(journals: &[Value], kind: Kind) -> String {
    let mut page = Page {
        kind,
        out: String::new(),
    };
    page.begin();
    for journal in journals {
        page.journal(journal);
    }
    if kind == Kind::Html {
        page.out.push_str("</body></html>\n");
    }
    page.out
}

struct Page {
    kind: Kind,
    out: String,
}

impl Page {
    fn begin(&mut self) {
        if self.kind == Kind::Html {
            self.out.push_str(
                "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
                 <title>Chaos experiment report</title><style>body{font-family:sans-serif;max-width:60em;\
                 margin:auto}table{border-collapse:collapse}td,th{border:1px solid #999;padding:.3em .6em;\
                 text-align:left;vertical-align:top}code{white-space:pre-wrap}</style></head><body>\n",
            );
        }
    }

    fn text(&self, text: &str) -> String {
        match self.kind {
            Kind::Html => text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;"),
            Kind::Markdown => text
                .replace('\\', "\\\\")
                .replace('|', "\\|")
                .replace('<', "&lt;")
                .replace('`', "'")
                .replace(['\n', '\r'], " "),
        }
    }

    fn line(&mut self, html: &str, markdown: &str, text: &str) {
        let text = self.text(text);
        // Writing to a string cannot fail.
        let _ = match self.kind {
            Kind::Html => writeln!(self.out, "<{html}>{text}</{html}>"),
            Kind::Markdown => writeln!(self.out, "{markdown}{text}\n"),
        };
    }

    fn journal(&mut self, journal: &Value) {
        let experiment = &journal["experiment"];
        self.line("h1", "# ", &py::text(&experiment["title"]));
        self.line("p", "", &py::text(&experiment["description"]));
        let word = if journal["deviated"] == true {
            "deviated"
        } else {
            journal["status"].as_str().unwrap_or("unknown")
        };
        let seconds = journal["duration"].as_f64().unwrap_or(0.0);
        let start = py::text(&journal["start"]);
        self.line(
            "p",
            "",
            &format!("Ended with status {word}; began {start}, took {seconds:.1} s."),
        );
        if let Some(reason) = journal["interruption"]["reason"].as_str() {
            self.line("p", "", &format!("It ended early: {reason}."));
        }
        self.states(journal);
        self.entries("Method", &journal["run"]);
        self.entries("Rollbacks", &journal["rollbacks"]);
    }

    fn states(&mut self, journal: &Value) {
        let title = py::text(&journal["experiment"]["steady-state-hypothesis"]["title"]);
        for phase in ["before", "after"] {
            let state = &journal["steady_states"][phase];
            if !state.is_object() {
                continue;
            }
            let met = if state["steady_state_met"] == true {
                "held"
            } else {
                "did not hold"
            };
            self.line(
                "h2",
                "## ",
                &format!("Hypothesis {phase} the method {met}: {title}"),
            );
            self.table(&state["probes"], true);
        }
        let during = journal["steady_states"]["during"].as_array();
        let during: Vec<&Value> = during
            .into_iter()
            .flatten()
            .filter(|state| state.is_object())
            .collect();
        if !during.is_empty() {
            let unmet = during
                .iter()
                .filter(|state| state["steady_state_met"] == false)
                .count();
            let all = during.len();
            self.line(
                "h2",
                "## ",
                &format!("Hypothesis during the method: did not hold {unmet} of {all} times"),
            );
        }
    }

    fn entries(&mut self, title: &str, entries: &Value) {
        if entries
            .as_array()
            .is_some_and(|entries| !entries.is_empty())
        {
            self.line("h2", "## ", title);
            self.table(entries, false);
        }
    }

    fn table(&mut self, entries: &Value, judged: bool) {
        let last = if judged {
            "within tolerance"
        } else {
            "seconds"
        };
        self.row(
            &["activity", "status", "output", last].map(str::to_owned),
            true,
        );
        if self.kind == Kind::Markdown {
            self.out.push_str("| --- | --- | --- | --- |\n");
        }
        for entry in entries.as_array().into_iter().flatten() {
            let status = entry["status"].as_str().unwrap_or("interrupted").to_owned();
            let last = match (judged, entry["tolerance_met"].as_bool()) {
                (true, Some(true)) => "yes".to_owned(),
                (true, _) => "no".to_owned(),
                (false, _) => format!("{:.3}", entry["duration"].as_f64().unwrap_or(0.0)),
            };
            self.row(
                &[
                    py::text(&entry["activity"]["name"]),
                    status,
                    output(entry),
                    last,
                ],
                false,
            );
        }
        self.out.push_str(if self.kind == Kind::Html {
            "</table>\n"
        } else {
            "\n"
        });
    }

    fn row(&mut self, cells: &[String; 4], head: bool) {
        let cells: Vec<String> = cells.iter().map(|cell| self.text(cell)).collect();
        if self.kind == Kind::Markdown {
            let _ = writeln!(self.out, "| {} |", cells.join(" | "));
            return;
        }
        if head {
            self.out.push_str("<table>");
        }
        let tag = if head { "th" } else { "td" };
        self.out.push_str("<tr>");
        for cell in cells {
            let _ = write!(self.out, "<{tag}>{cell}</{tag}>");
        }
        self.out.push_str("</tr>\n");
    }
}

/// What came out, or why nothing did.
fn output(entry: &Value) -> String {
    let lines = entry["exception"].as_array();
    let error: String = lines
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let text = if error.is_empty() {
        let output = &entry["output"];
        if output.is_null() {
            String::new()
        } else {
            output.to_string()
        }
    } else {
        error.trim().to_owned()
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("…".chars()).collect()
}
