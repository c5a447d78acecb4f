//! `whorl chaos undo` and `whorl chaos faults`.

#![expect(clippy::print_stdout, reason = "what was done is the output")]

use crate::chaos::audit::Audit;
use crate::chaos::env::Environment;
use crate::chaos::fault::{ALL, undo};
use crate::chaos::run::default_state_folder;
use crate::cli::say::say;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

const MORE: &str = "\
Exit status:
  0  nothing is left
  1  something could not be taken back: it is tried again next time
  2  the command line is wrong";

/// Arguments of `whorl chaos undo`.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Args {
    /// Where faults are written down [default: as for `whorl chaos run`]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Take back the faults of runs that are still going on, too
    #[arg(long)]
    force: bool,
    /// Print an object a run
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let state = args.state_dir.clone();
    let state = state.unwrap_or_else(|| default_state_folder(&Environment::default()));
    let runs = undo::finish(&state, args.force)?;
    let done: Vec<_> = runs.iter().filter(|run| !run.faults.is_empty()).collect();
    if !done.is_empty() {
        // What was taken back stays so, noted or not.
        let noted = Audit::new(&state).note("undo", &json!({"runs": done}), true);
        if let Err(error) = noted {
            say(format_args!(
                "error: this cannot be noted for the audit: {error}"
            ));
        }
    }
    let mut left = false;
    for run in &runs {
        let name = run
            .folder
            .file_name()
            .unwrap_or_default()
            .display()
            .to_string();
        if args.json {
            println!("{}", json!(run));
        } else if run.running {
            println!("run {name}: is going on; --force takes its faults back, too");
        } else if run.faults.is_empty() {
            println!("run {name}: nothing was left");
        }
        for fault in &run.faults {
            left |= !fault.done;
            if !args.json {
                let word = if fault.done {
                    "taken back"
                } else {
                    "could not be taken back"
                };
                println!("run {name}: {} {word}: {}", fault.fault, fault.text);
            }
        }
    }
    if runs.is_empty() && !args.json {
        println!("nothing to take back in {}", state.display());
    }
    Ok(if left {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Lists the faults, and which of them this machine can do.
pub(super) fn faults() -> ExitCode {
    for fault in ALL {
        println!("{}: {}", fault.name(), fault.about());
        match fault.check() {
            Ok(()) => println!("    needs {}; it is there", fault.needs()),
            Err(why) => println!("    needs {}; NOT HERE: {why}", fault.needs()),
        }
        for (name, text) in fault.parameters() {
            println!("    {name}: {text}");
        }
    }
    ExitCode::SUCCESS
}
