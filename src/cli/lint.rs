//! `whorl lint`.

#![expect(clippy::print_stdout, reason = "the findings are the output")]

use crate::fingerprint::{Diagnostic, LintReport, Severity, lint};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `whorl lint`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directories (or files) of fingerprints
    #[arg(value_name = "DIR", default_value = "queries")]
    dirs: Vec<PathBuf>,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

/// Runs the subcommand: exit 0 without errors, 1 with errors, 2 when a directory is not there.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(missing) = args.dirs.iter().find(|dir| !dir.exists()) {
        eprintln!(
            "error: fingerprint directory {} does not exist",
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
    let files = report.files;
    parts.push(format!(
        "{files} files, {errors} errors, {warnings} warnings"
    ));
    parts.join("\n")
}

/// The report as a SARIF 2.1.0 log, which code review tools show beside the lines.
fn sarif(report: &LintReport) -> Value {
    let mut rules: Vec<&str> = report.diagnostics.iter().map(|found| found.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({"id": id})).collect();
    let results: Vec<Value> = report.diagnostics.iter().map(result).collect();
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

fn result(found: &Diagnostic) -> Value {
    let message = match &found.suggestion {
        Some(suggestion) => format!("{} Write: {suggestion}", found.message),
        None => found.message.clone(),
    };
    // SARIF wants URIs; blanks and percent signs are what a path may have that a URI may not.
    let uri = found.file.replace('%', "%25").replace(' ', "%20");
    json!({
        "ruleId": found.code,
        "level": found.severity.to_string(),
        "message": {"text": message},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri},
            "region": {"startLine": found.line, "startColumn": found.column},
        }}],
    })
}
