//! `whorl chaos report`.

#![expect(clippy::print_stdout, reason = "the report is the output")]

use crate::chaos::report::{self, Kind};
use crate::chaos::source::value_of;
use anyhow::{Context, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `whorl chaos report`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Journals that `whorl chaos run` has written, and last the report's file unless it goes to
    /// standard output
    #[arg(required = true, value_name = "JOURNAL")]
    files: Vec<PathBuf>,
    /// What the report is written in; told from the file's name when not given
    #[arg(long, visible_alias = "export-format", value_enum)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For review comments and terminals
    Markdown,
    /// A page
    #[value(alias = "html5")]
    Html,
}

fn kind_of(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()? {
        "html" | "htm" => Some(Kind::Html),
        "md" | "markdown" => Some(Kind::Markdown),
        _ => None,
    }
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let last = args.files.last().filter(|path| kind_of(path).is_some());
    let journals = &args.files[..args.files.len() - usize::from(last.is_some())];
    if journals.is_empty() {
        bail!("there is no journal to report on");
    }
    let kind = match args.format {
        Some(Format::Html) => Kind::Html,
        Some(Format::Markdown) => Kind::Markdown,
        None => last
            .and_then(|path| kind_of(path))
            .unwrap_or(Kind::Markdown),
    };
    let mut read = Vec::new();
    for path in journals {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path).with_context(|| shown.clone())?;
        let value = value_of(path, &text).with_context(|| format!("{shown}: not a journal"))?;
        let value = value.map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
        if !value["experiment"].is_object() {
            bail!("{shown}: not a journal of an experiment");
        }
        read.push(value);
    }
    let text = report::report(&read, kind);
    match last {
        Some(path) => fs::write(path, text).with_context(|| path.display().to_string())?,
        None => print!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}
