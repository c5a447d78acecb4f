//! `whorl lint`.

#![expect(clippy::print_stdout, reason = "the findings are the output")]

use crate::fingerprint::{Diagnostic, LintReport, Severity, lint, summary};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const MORE: &str = "\
Every *.yaml and *.yml file below each DIR is checked; names that begin with a dot are left out.
An error is a fingerprint that cannot be used, or whose `examples` do not do what they say.
A warning is one that probably means something else than its writer meant; what follows `try:` is
the whole query with everything repaired. Words that only you can know are written as
\"words that only this bug writes\".

Exit status:
  0  no errors (warnings may have been printed)
  1  at least one error
  2  a DIR does not exist, or the command line is wrong

Examples:
  whorl lint                                    check ./queries
  whorl lint queries/1226337.yaml               check one file
  whorl lint ours theirs --format sarif         check two trees, for code review";

/// Arguments of `whorl lint`.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Args {
    /// Directories (or files) of fingerprints; an id may be used once in all of them
    #[arg(value_name = "DIR", default_value = "queries")]
    dirs: Vec<PathBuf>,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For people: the place, the line and a caret under the column
    Text,
    /// One object: {"files", "diagnostics": [{"file", "line", "column", "severity", "code", "message", "suggestion"}]}
    Json,
    /// SARIF 2.1.0, which code review tools show beside the lines
    Sarif,
}

/// Runs the subcommand: exit 0 without errors, 1 with errors, 2 when a directory is not there.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(missing) = args.dirs.iter().find(|dir| !dir.exists()) {
        eprintln!(
            "error: fingerprint directory {} does not exist (see `whorl lint --help`)",
            missing.display()
        );
        return Ok(ExitCode::from(2));
    }
    let report = lint(&args.dirs);
    let text = match args.format {
        Format::Text => text(&report),
        Format::Json => serde_json::to_string(&report)?,
        Format::Sarif => serde_json::to_string_pretty(&sarif(&report))?,
    };
    println!("{text}");
    Ok(ExitCode::from(u8::from(report.has_errors())))
}

fn text(report: &LintReport) -> String {
    let count = |severity| {
        let all = report.diagnostics.iter();
        all.filter(|found| found.severity == severity).count()
    };
    let mut parts: Vec<String> = report.diagnostics.iter().map(ToString::to_string).collect();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let counted = [
        count_of(report.files, "file"),
        count_of(errors, "error"),
        count_of(warnings, "warning"),
    ];
    parts.push(counted.join(", "));
    if report.files == 0 {
        parts.push("nothing was checked: no *.yaml or *.yml file is there".to_owned());
    }
    parts.join("\n")
}

fn count_of(n: usize, word: &str) -> String {
    if n == 1 {
        format!("1 {word}")
    } else {
        format!("{n} {word}s")
    }
}

/// The report as a SARIF 2.1.0 log, which code review tools show beside the lines.
fn sarif(report: &LintReport) -> Value {
    let mut rules: Vec<&str> = report.diagnostics.iter().map(|found| found.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Value> = report
        .diagnostics
        .iter()
        .map(|found| result(found, &rules))
        .collect();
    let rules: Vec<Value> = rules
        .into_iter()
        .map(|id| json!({"id": id, "shortDescription": {"text": summary(id)}}))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "whorl", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(found: &Diagnostic, rules: &[&str]) -> Value {
    let message = match &found.suggestion {
        Some(suggestion) => format!("{} Try: {suggestion}", found.message),
        None => found.message.clone(),
    };
    json!({
        "ruleId": found.code,
        "ruleIndex": rules.iter().position(|rule| *rule == found.code),
        "level": found.severity.to_string(),
        "message": {"text": message},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&found.file)},
            "region": {"startLine": found.line, "startColumn": found.column},
        }}],
    })
}

/// A path as a URI reference: relative as it is, absolute with the scheme that it needs.
fn uri(file: &str) -> String {
    let mut uri = String::new();
    if Path::new(file).is_absolute() {
        uri.push_str("file://");
    }
    let path = file.strip_prefix("./").unwrap_or(file);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
