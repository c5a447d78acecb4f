//! `whorl chaos validate`.

use super::console::Console;
use crate::chaos::env::Environment;
use crate::chaos::log::{Level, Log};
use crate::chaos::place::KeyPath;
use crate::chaos::python::Python;
use crate::chaos::source::{Access, Source, SourceError, load};
use crate::chaos::validate::{Problem, Validator, hints};
use crate::cli::say::say;
use std::process::ExitCode;

const MORE: &str = "\
The log lines are those of the Chaos Toolkit; what is wrong is then shown with its line, column, key and
what to do about it. Lines that begin with `warning:` say what is allowed, but probably not meant.

Exit status:
  0  the experiment can be run
  1  it cannot, or it cannot be read
  2  the command line is wrong";

/// Arguments of `whorl chaos validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Args {
    /// A file (.json, .yaml, .yml) or an address
    source: String,
    /// Do not verify TLS certificate
    #[arg(long)]
    no_verify_tls: bool,
    /// The Python that runs functions of experiments
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, console: &Console) -> ExitCode {
    let environment = Environment::default();
    let Ok(source) = loaded(&args.source, args.no_verify_tls, &environment, console) else {
        return ExitCode::FAILURE;
    };
    let python = Python::new(&args.python);
    let problem = Validator::new(&source.value, &environment, &python).experiment(console);
    if problem.is_ok() {
        console.log(Level::Info, "experiment syntax and semantic look valid");
    }
    for hint in hints(&source.value) {
        say(format_args!(
            "warning: {}: {}",
            place(&source, &hint.path),
            hint.message
        ));
    }
    match problem {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            show(&source, &problem);
            ExitCode::FAILURE
        }
    }
}

/// Loads an experiment; what is wrong has been said when there is none.
pub(super) fn loaded(
    name: &str,
    no_verify_tls: bool,
    environment: &Environment,
    console: &Console,
) -> Result<Source, &'static str> {
    let access = Access {
        no_verify_tls,
        bearer: environment.get("CHAOSTOOLKIT_LOADER_AUTH_BEARER_TOKEN"),
    };
    load(name, &access).map_err(|error| match error {
        SourceError::Invalid(message) => {
            console.log(Level::Error, &message);
            "load"
        }
        SourceError::Broken(message) => {
            say(format_args!("error: {message}"));
            ""
        }
    })
}

/// `file:line:column: key`.
fn place(source: &Source, path: &KeyPath) -> String {
    let place = source.place(path);
    let place = place.map_or_else(String::new, |place| {
        format!(":{}:{}", place.line, place.column)
    });
    let key = path.to_string();
    let key = if key.is_empty() {
        "the experiment".into()
    } else {
        format!("`{key}`")
    };
    format!("{}{place}: {key}", source.name)
}

/// Shows what is wrong, with its line and what to do about it.
pub(super) fn show(source: &Source, problem: &Problem) {
    say(format_args!(
        "error: {}: {}",
        place(source, &problem.path),
        problem.message
    ));
    if let Some(place) = source.place(&problem.path)
        && let Some(line) = source.text.lines().nth(place.line - 1)
    {
        let number = place.line.to_string();
        say(format_args!("{number} | {line}"));
        let caret = place.column.saturating_sub(1).min(line.chars().count());
        say(format_args!("{:1$} | {2:3$}^", "", number.len(), "", caret));
    }
    if let Some(suggestion) = &problem.suggestion {
        say(format_args!("  try: {suggestion}"));
    }
}
