//! `whorl classify`: the known bugs in a log, a folder of logs, a URL or standard input.

mod fetch;
mod show;

use crate::classify::one::{Outcome, classify};
use crate::event::{Build, Fields};
use crate::fingerprint::FingerprintSet;
use crate::intake::{BuildSummary, Limits, open_path, read_all, read_stream};
use crate::matcher::Matcher;
use anyhow::{Context, bail};
use clap::ValueEnum;
use jiff::Timestamp;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Arguments of `whorl classify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A log file, a folder of logs (one build), a URL, or `-` for standard input
    #[arg(value_name = "PATH|URL|-")]
    logs: String,
    /// Folders of fingerprint files
    #[arg(long, value_name = "DIR", default_value = "queries")]
    queries: Vec<PathBuf>,
    /// What is known of the build, such as `build_name=gate-x`; can be given many times
    #[arg(long = "field", value_name = "NAME=VALUE", value_parser = parse_field)]
    fields: Vec<(String, String)>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Say on standard error how much was read and how fast
    #[arg(long)]
    stats: bool,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Github,
    Markdown,
}

fn parse_field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Nothing of the logs was lost and something matched.
const FOUND: u8 = 0;
/// A usage error.
const USAGE: u8 = 2;
/// Nothing matched.
const NOTHING: u8 = 3;
/// Not everything could be read.
const INCOMPLETE: u8 = 4;

/// Classifies; the exit code says what came of it.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(missing) = args.queries.iter().find(|dir| !dir.exists()) {
        eprintln!(
            "error: no fingerprint folder `{}`; name one with `--queries`",
            missing.display()
        );
        return Ok(ExitCode::from(USAGE));
    }
    if args.logs != "-" && !is_url(&args.logs) && !Path::new(&args.logs).exists() {
        eprintln!("error: no log `{}`", args.logs);
        return Ok(ExitCode::from(USAGE));
    }
    let set = Arc::new(FingerprintSet::load(&args.queries));
    report_broken(&set);
    if set.fingerprints.is_empty() {
        bail!("no fingerprint could be loaded");
    }
    let build = build(args);
    let matcher = Matcher::new(set);
    let start = Instant::now();
    let fields = build.fields();
    let mut failure = None;
    let outcome = classify(&matcher, &build, Timestamp::now(), |sink| {
        read(&args.logs, &fields, sink).unwrap_or_else(|error| {
            failure = Some(error);
            BuildSummary::default()
        })
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let seconds = start.elapsed().as_secs_f64();
    show::show(
        args.format,
        &build,
        &outcome,
        seconds,
        std::io::stdout().is_terminal(),
    )?;
    for problem in outcome.summary.all_problems() {
        eprintln!("warning: {problem}");
    }
    if args.stats {
        eprintln!("{}", show::stats_line(&outcome.summary, seconds));
    }
    Ok(ExitCode::from(code(&outcome)))
}

fn code(outcome: &Outcome) -> u8 {
    if !outcome.summary.complete() {
        INCOMPLETE
    } else if outcome.matches.is_empty() {
        NOTHING
    } else {
        FOUND
    }
}

fn report_broken(set: &FingerprintSet) {
    use crate::fingerprint::Severity;
    let broken = set
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error);
    for diagnostic in broken {
        eprintln!("warning: {diagnostic}");
    }
}

fn build(args: &Args) -> Build {
    let mut build = Build::default();
    for (name, value) in &args.fields {
        build.set_field(name, value);
    }
    build
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn read(
    logs: &str,
    fields: &Fields,
    sink: &mut dyn FnMut(crate::event::Event),
) -> anyhow::Result<BuildSummary> {
    let limits = Limits::default();
    if logs == "-" {
        return Ok(read_stream(
            "stdin",
            &mut std::io::stdin().lock(),
            fields,
            &limits,
            sink,
        ));
    }
    if is_url(logs) {
        let (name, mut body) = fetch::open(logs)?;
        return Ok(read_stream(&name, &mut body, fields, &limits, sink));
    }
    let inputs =
        open_path(Path::new(logs), &limits).with_context(|| format!("cannot read {logs}"))?;
    Ok(read_all(&inputs, fields, &limits, sink))
}
