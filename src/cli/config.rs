//! `whorl config`.

use crate::config::Config;
use std::path::PathBuf;
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
    Config::load(file)?;
    println!("{}: ok", file.display());
    Ok(ExitCode::SUCCESS)
}
