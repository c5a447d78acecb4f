//! The command line: one file per subcommand.
//!
//! In: the program's arguments. Out: text or JSON on standard output, messages on standard error and
//! an exit code. Invariant: nothing but this room prints or ends the process.

#![expect(clippy::print_stderr, reason = "this room is where the program speaks")]

mod chaos;
mod classify;
mod config;
mod demo;
mod lint;
mod memory;
mod query;
mod say;
mod serve;
mod source;
mod store;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Recognises the known bugs in the logs of failed builds.
#[derive(Debug, Parser)]
#[command(name = "whorl", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find the known bugs in a log file, a folder of logs, a URL or standard input
    Classify(classify::Args),
    /// Ask one query or many over recorded events
    Query(query::Args),
    /// Check fingerprint files
    Lint(lint::Args),
    /// Run the service
    Serve(serve::Args),
    /// Run the service on recorded builds, to look around
    Demo(demo::Args),
    /// Check a configuration file
    Config(config::Args),
    /// Check the cluster that keeps the logs
    Store(store::Args),
    /// Read what code review and CI say of builds
    Source(source::Args),
    /// Run chaos experiments: faults with known causes
    Chaos(chaos::Args),
}

/// Runs the program and gives its exit code: 2 for a usage error, 1 for any failure that a
/// subcommand gives no code of its own.
pub fn main() -> ExitCode {
    memory::share_pools();
    let outcome = match Cli::parse().command {
        Command::Classify(args) => classify::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Source(args) => source::run(&args),
        Command::Chaos(args) => chaos::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        say::say(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
