//! `whorl config`.

use super::serve;
use crate::config::mail::Mail;
use crate::config::{Config, Wrong};
use crate::report::Schedule;
use anyhow::bail;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `whorl config`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say whether a configuration file is right: exit code 0, or 1 with what is wrong and where
    Check {
        /// The file
        #[arg(default_value = "whorl.yaml")]
        file: PathBuf,
    },
}

/// Runs the subcommand.
#[expect(clippy::print_stdout, reason = "the answer goes to standard output")]
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Action::Check { file } = &args.action;
    load(file)?;
    println!("{}: ok", file.display());
    Ok(ExitCode::SUCCESS)
}

/// Reads a file and checks also what only the rooms that use the values can say.
pub(super) fn load(file: &Path) -> anyhow::Result<Config> {
    let config = Config::load(file)?;
    let wrong = wrong(&config);
    if wrong.is_empty() {
        return Ok(config);
    }
    let text = std::fs::read_to_string(file)?;
    let name = file.display().to_string();
    let lines = wrong
        .into_iter()
        .map(|w| w.placed(&name, &text).to_string());
    bail!(lines.collect::<Vec<_>>().join("\n"))
}

fn wrong(config: &Config) -> Vec<Wrong> {
    let mut found = Vec::new();
    if let Err(error) = Schedule::parse(&config.report.schedule) {
        found.push(Wrong::new("report.schedule", error.to_string()));
    }
    for (key, text) in config.notes.mail.iter().flat_map(Mail::schedules) {
        if let Err(error) = Schedule::parse(text) {
            found.push(Wrong::new(format!("notes.mail.{key}"), error.to_string()));
        }
    }
    if let Err(error) = serve::level(&config.log) {
        found.push(Wrong::new("log.level", error.to_string()));
    }
    found.extend(crate::classify::download::wrong(&config.download));
    for (n, root) in config.fingerprints.iter().enumerate() {
        if let Err(error) = std::fs::metadata(root) {
            let message = format!("{}: {error}", shown(root));
            found.push(Wrong::new(format!("fingerprints[{n}]"), message));
        }
    }
    if config.data_dir.exists() && !config.data_dir.is_dir() {
        let message = format!("{} is not a folder", shown(&config.data_dir));
        found.push(Wrong::new("data-dir", message));
    }
    found
}

/// A relative folder with where it was looked for.
fn shown(path: &Path) -> String {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    full.display().to_string()
}
