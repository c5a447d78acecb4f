//! `whorl source`: what code review and CI say of builds.

mod json;
mod parse;
mod trouble;
mod zuul;

use std::process::ExitCode;

/// Arguments of `whorl source`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how events and comments of Gerrit are read, and what Zuul says of builds
    Parse(parse::Args),
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Parse(args) => parse::run(args),
    }
}
