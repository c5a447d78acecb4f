//! `whorl query`.

use std::process::ExitCode;

/// Arguments of `whorl query`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs the subcommand.
#[expect(clippy::unnecessary_wraps, reason = "every subcommand has this shape")]
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let _ = args;
    Ok(ExitCode::FAILURE)
}
