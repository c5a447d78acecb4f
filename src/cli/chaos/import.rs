//! `whorl chaos import`.

use super::measure::{Format, Ticker, load, write};
use crate::chaos::measure::{exit_code, import};
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

const MORE: &str = "\
DIR holds runs.jsonl, an object a line. A run:
  {\"run\": \"r1\", \"causes\": [\"disk-full\"], \"failed\": true, \"logs\": \"r1/logs\", \"build\": \"r1/build.json\"}
`causes` is empty for a run without a fault. `logs` is a file or a folder. `build` is a file, or what the
CI knows about the build itself ({\"job\": …, \"project\": …, \"result\": …}); it may be left out, and so may
`failed` when it has a result. `\"verified\": false` with a `why` says that it is not sure that the cause was
there. Which fingerprints are meant to find a cause; without it, the one of the cause's name:
  {\"cause\": \"disk-full\", \"expects\": [\"disk-full\", \"quota\"], \"text\": \"the disk of the node is full\"}

Exit status:
  0  measured
  1  the runs cannot be read
  2  the command line is wrong
  4  a run judges nobody (not with --no-strict)
  5  no run failed of a known cause, or none passed without one (not with --no-strict)
  6  a fingerprint fires on runs that passed without a fault (see --allow-on-controls)

Example:
  whorl chaos import fixtures --queries queries --allow-on-controls connection-refused";

/// Arguments of `whorl chaos import`.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Args {
    /// Folder with runs.jsonl
    folder: PathBuf,
    /// Folder of fingerprint files; can be given many times
    #[arg(long, value_name = "DIR", default_value = "queries")]
    queries: Vec<PathBuf>,
    /// Heading of the report [default: the folder's name]
    #[arg(long)]
    title: Option<String>,
    /// A fingerprint that may fire where nothing is wrong; can be given many times
    #[arg(long, value_name = "ID")]
    allow_on_controls: Vec<String>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
    /// Also write report.json, report.md and report.html into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do not tell by the exit code that runs judge nobody, or that there was nothing to measure by
    #[arg(long)]
    no_strict: bool,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let judge = load(&args.queries)?;
    let name = std::path::absolute(&args.folder)?;
    let name = name
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let title = args.title.clone().or(name).unwrap_or_else(|| "Runs".into());
    let mut ticker = Ticker::new();
    let mut at = 0;
    let measured = import(
        &args.folder,
        &title,
        &judge,
        &args.allow_on_controls,
        &mut |run, of| {
            at += 1;
            ticker.tick(at, of, run, None);
        },
    );
    ticker.end();
    let measured = measured.with_context(|| args.folder.display().to_string())?;
    write(&measured, args.format, args.out.as_deref())?;
    Ok(ExitCode::from(exit_code(&measured, 0, !args.no_strict)))
}
