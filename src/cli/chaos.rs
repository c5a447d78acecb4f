//! `whorl chaos`.

mod ask;
mod audit;
mod console;
mod import;
mod init;
mod measure;
mod notes;
mod report;
mod run;
mod undo;
mod validate;

use crate::chaos::fault::{self, watchdog};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `whorl chaos`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Display debug level traces
    #[arg(long, global = true)]
    verbose: bool,
    /// Also write the log to this file
    #[arg(long, global = true, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Do not write a log file, which is so anyway
    #[arg(long, global = true, hide = true)]
    no_log_file: bool,
    /// Console log format
    #[arg(long, global = true, value_enum, default_value_t = console::Format::String)]
    log_format: console::Format,
    /// Change directory before running experiment
    #[arg(long, global = true, value_name = "DIR")]
    change_dir: Option<PathBuf>,
    /// Path to the settings file [default: ~/.chaostoolkit/settings.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Nobody looks for a newer version anyway
    #[arg(long, global = true, hide = true)]
    no_version_check: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run an experiment
    Run(Box<run::Args>),
    /// Check an experiment
    Validate(validate::Args),
    /// Begin an experiment
    Init(init::Args),
    /// Show a journal to people
    Report(report::Args),
    /// Take back the faults that runs have left when they died
    Undo(undo::Args),
    /// Measure fingerprints: put known faults into a system and see which fingerprint finds which
    Measure(Box<measure::Args>),
    /// Measure fingerprints by labelled runs that were made elsewhere
    Import(import::Args),
    /// List the faults that experiments can use
    Faults,
    /// Show who ran what, and whether that was changed since
    Audit(audit::Args),
    /// Do a fault's work
    #[command(hide = true)]
    FaultChild {
        /// Tells this process from others
        #[arg(long)]
        mark: String,
        /// The number of the fault
        #[arg(long)]
        id: u64,
        /// The run's folder
        folder: PathBuf,
    },
    /// Watch over a run's faults
    #[command(hide = true)]
    Watchdog {
        /// The run's folder
        folder: PathBuf,
    },
    /// End the system under test when its measurement dies
    #[command(hide = true)]
    Minder,
    /// Keep processors busy
    #[command(hide = true)]
    Stress(StressArgs),
}

#[derive(Debug, clap::Args)]
struct StressArgs {
    #[arg(long)]
    threads: u64,
    #[arg(long)]
    intensity: u64,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    id: u64,
    /// Tells this process from others
    #[arg(long)]
    mark: String,
    folder: PathBuf,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let console = console::Console::new(args.log_format, args.verbose, args.log_file.as_deref())?;
    if let Some(folder) = &args.change_dir {
        use crate::chaos::log::{Level, Log};
        console.log(Level::Warning, &format!("Moving to {}", folder.display()));
        std::env::set_current_dir(folder)?;
    }
    match &args.command {
        Command::Run(run) => run::run(run, args.settings.as_deref(), console),
        Command::Validate(validate) => Ok(validate::run(validate, &console)),
        Command::Init(init) => init::run(init),
        Command::Report(report) => report::run(report),
        Command::Measure(measure) => measure::run(measure),
        Command::Import(import) => import::run(import),
        Command::Undo(undo) => undo::run(undo),
        Command::Faults => Ok(undo::faults()),
        Command::Audit(audit) => audit::run(audit),
        Command::FaultChild {
            folder,
            id,
            mark: _,
        } => {
            fault::work(folder, *id, &mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Watchdog { folder } => {
            watchdog::watch(folder, &mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Minder => {
            crate::chaos::measure::minder(std::io::stdin().lock(), &mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Stress(stress) => {
            fault::stress(&fault::Stress {
                threads: stress.threads,
                intensity: stress.intensity,
                seconds: stress.seconds,
                folder: stress.folder.clone(),
                id: stress.id,
            });
            Ok(ExitCode::SUCCESS)
        }
    }
}
