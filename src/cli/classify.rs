//! `whorl classify`: the known bugs in logs, folders of logs, URLs or standard input.

mod cluster;
mod fetch;
mod logs;
mod markdown;
mod safe;
mod show;
mod text;

use super::say::{say, unless_closed};
use crate::chaos::measure::Measured;
use crate::classify::one::{Outcome, sweep};
use crate::event::{Build, Verdict};
use crate::fingerprint::FingerprintSet;
use crate::intake::Limits;
use crate::matcher::Matcher;
use crate::query::Schema;
use anyhow::{Context, bail};
use clap::ValueEnum;
use jiff::Timestamp;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  whorl classify job-output.txt.gz
  whorl classify logs/ --field build_name=gate-x --format json
  whorl classify https://logs.example.org/5ef9f24/job-output.txt --queries ours --queries theirs
  make test 2>&1 | whorl classify -

Exit codes:
  0  at least one fingerprint matched
  3  none matched
  4  not everything could be read (wins over 0 and 3)
  2  usage error
  1  any other failure";

/// Arguments of `whorl classify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Log files, folders of logs, URLs, or `-` for standard input; all of them together are one build.
    ///
    /// Recognised by content: gzip, zstd, xz, bzip2, tar and zip, and the formats of Zuul, Jenkins,
    /// GitHub, GitLab, Travis, OpenStack services and syslog.
    #[arg(value_name = "PATH|URL|-", required_unless_present = "build")]
    logs: Vec<String>,
    /// A build whose events are in the cluster that the configuration names
    #[arg(
        long,
        value_name = "UUID",
        conflicts_with = "logs",
        requires = "config"
    )]
    build: Option<String>,
    /// Configuration file of the service, for `--build`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Events up to which a build's are pulled, and not counted by the cluster: for measuring
    #[arg(long, hide = true, requires = "build")]
    pull_up_to: Option<u64>,
    /// Folder of fingerprint files; can be given many times [default: queries, or with `--build` those
    /// that the configuration names]
    #[arg(long, value_name = "DIR")]
    queries: Vec<PathBuf>,
    /// What is known of the build, such as `build_name=gate-x`; can be given many times.
    ///
    /// Names as in log events: `build_name`, `build_queue`, `build_branch`, `project`, `voting`, …
    /// Fingerprints with a scope look at them, and queries can ask for them. `tags` adds a tag.
    #[arg(long = "field", value_name = "NAME=VALUE", value_parser = parse_field)]
    fields: Vec<(String, String)>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// What was measured of the fingerprints (report.json of `whorl chaos measure --out`), to be said
    /// beside what they find
    #[arg(long, value_name = "FILE")]
    measured: Option<PathBuf>,
    /// Say on standard error how much was read and how fast
    #[arg(long)]
    stats: bool,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people at a terminal
    Text,
    /// One object for programs
    Json,
    /// Workflow commands, which GitHub Actions shows as annotations
    Github,
    /// For a comment or a job summary
    Markdown,
}

fn parse_field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("voting", value)) if !matches!(value, "0" | "1" | "false" | "true") => {
            Err("voting is 1 or 0".to_owned())
        }
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
    if let Some(mistake) = mistake(args) {
        say(format_args!("error: {mistake}"));
        return Ok(ExitCode::from(USAGE));
    }
    if let (Some(uuid), Some(config)) = (&args.build, &args.config) {
        return cluster::run(args, uuid, config);
    }
    let set = fingerprints(&folders(args), &Schema::default())?;
    hint_at_names(&args.fields);
    let limits = Limits::default();
    let inputs = logs::open(&args.logs, &limits)?;
    let build = build(args);
    let known = set.fingerprints.len();
    let begun = Instant::now();
    let matcher = Matcher::new(set);
    matcher.make_ready();
    let ready = begun.elapsed().as_secs_f64();
    let start = Instant::now();
    let beside = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let now = Timestamp::now();
    let outcome = sweep(&matcher, &build, now, &inputs, &limits, beside);
    let seconds = start.elapsed().as_secs_f64();
    let measured = measured(args)?;
    print(
        &build,
        &outcome,
        known,
        seconds,
        (args.format, measured.as_ref()),
    )?;
    for problem in outcome.summary.all_problems() {
        say(format_args!(
            "warning: {}",
            safe::one_line(&problem.to_string())
        ));
    }
    if args.stats {
        say(show::stats_line(&outcome.summary, seconds));
        say(show::ready_line(known, ready, most_memory()));
    }
    Ok(ExitCode::from(code(&outcome)))
}

/// The most memory that this process had at a time, in KiB, where the system tells.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// What was measured of the fingerprints, when a file says so.
fn measured(args: &Args) -> anyhow::Result<Option<Measured>> {
    let read = args.measured.as_deref().map(crate::chaos::measure::read);
    read.transpose().context("--measured")
}

/// Writes an answer to standard output, in colour only for people who can see it; `known` is the
/// number of fingerprints.
fn print(
    build: &Build,
    outcome: &Outcome,
    known: usize,
    seconds: f64,
    (format, measured): (Format, Option<&Measured>),
) -> anyhow::Result<()> {
    let answer = show::Answer {
        measured,
        build,
        outcome,
        set_aside: known - outcome.looked_for,
        seconds,
    };
    let mut stdout = std::io::stdout().lock();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = show::written(&answer, format, colour);
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    unless_closed(written).context("cannot write the answer")
}

/// The folders of fingerprints for logs at hand.
fn folders(args: &Args) -> Vec<PathBuf> {
    match args.queries.as_slice() {
        [] => vec![PathBuf::from("queries")],
        named => named.to_vec(),
    }
}

/// What is wrong with the arguments beyond their form.
fn mistake(args: &Args) -> Option<String> {
    let known = args.build.is_some() && args.queries.is_empty();
    if let Some(missing) = folders(args).iter().find(|dir| !known && !dir.exists()) {
        let dir = missing.display();
        return Some(format!(
            "no fingerprint folder `{dir}`; name one with `--queries DIR`"
        ));
    }
    args.logs.iter().find_map(|log| {
        if log == "-" {
            return None;
        }
        if logs::is_url(log) {
            let wrong = url::Url::parse(log).err()?;
            return Some(format!("`{log}` is no URL: {wrong}"));
        }
        (!Path::new(log).exists()).then(|| format!("no log `{log}`"))
    })
}

fn code(outcome: &Outcome) -> u8 {
    if !outcome.summary.complete() || outcome.verdict == Verdict::PartialLog {
        INCOMPLETE
    } else if outcome.matches.is_empty() {
        NOTHING
    } else {
        FOUND
    }
}

/// The fingerprints that can be used; the others are told.
fn fingerprints(dirs: &[PathBuf], schema: &Schema) -> anyhow::Result<Arc<FingerprintSet>> {
    use crate::fingerprint::Severity;
    let set = FingerprintSet::load_for(dirs, schema);
    let broken = set
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error);
    for diagnostic in broken {
        say(format_args!("warning: left out: {diagnostic}"));
    }
    if set.fingerprints.is_empty() {
        let names: Vec<String> = dirs.iter().map(|d| format!("`{}`", d.display())).collect();
        bail!("no usable fingerprint in {}", names.join(", "));
    }
    Ok(Arc::new(set))
}

/// Says so when a field has the name that pages and files use, and events another one.
fn hint_at_names(fields: &[(String, String)]) {
    const NAMES: [(&str, &str); 8] = [
        ("uuid", "build_uuid"),
        ("job", "build_name"),
        ("result", "build_status"),
        ("pipeline", "build_queue"),
        ("branch", "build_branch"),
        ("change", "build_change"),
        ("patchset", "build_patchset"),
        ("commit", "build_newrev"),
    ];
    for (name, _) in fields {
        if let Some((_, meant)) = NAMES.iter().find(|(short, _)| short == name) {
            say(format_args!(
                "warning: `{name}` is a field of its own; the build's is called `{meant}`"
            ));
        }
    }
}

fn build(args: &Args) -> Build {
    let mut build = Build::default();
    for (name, value) in &args.fields {
        build.set_field(name, value);
    }
    build
}
