//! `whorl chaos run`.

use super::ask::Terminal;
use super::console::Console;
use super::notes::Notes;
use super::validate::{loaded, show};
use crate::chaos::audit;
use crate::chaos::bell::Bell;
use crate::chaos::env::Environment;
use crate::chaos::events::Events;
use crate::chaos::fault::Faults;
use crate::chaos::log::{Level, Log};
use crate::chaos::outcome::{self, Outcome};
use crate::chaos::python::Python;
use crate::chaos::run::{self as chaos, Dry, Means, Options, RunError};
use crate::chaos::safety::{Consent, Listed, Rules, listed_in};
use crate::chaos::settings::{Variables, convert_variables, read_files};
use crate::chaos::signals;
use crate::chaos::source::{Source, value_of};
use crate::chaos::validate::Validator;
use crate::cli::say::say;
use anyhow::Context;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const MORE: &str = "\
Exit status:
  0  completed, and the hypothesis still held (or nothing was begun: see --strict)
  1  deviated, failed, aborted, interrupted, or the experiment cannot be run
  2  the command line is wrong
With --strict instead of 0 (or of 1, for a probe that could not be asked before the method):
  3  the hypothesis did not hold before the method
  4  an action of the method failed
  5  there was no hypothesis to judge by

Faults (provider `fault`) are written down and synced before they are put in, and taken back at the end
of the run whatever the strategies say; a watchdog does it when this program dies, and after each fault's
`duration`. What both of them leave when both are killed, `whorl chaos undo` takes back.

Before the first fault it is shown what faults will hit, and asked whether to go on; without a terminal
--yes has to say so. As root, faults hit only what is listed (--target, or `targets` of the experiment's
extension `whorl`), what is in namespaces of our own, what we have made in a temporary folder, and what a
fault makes itself; --i-own-this-machine lifts that. When targets are listed, nothing else is hit at all.
With --dry actions each fault shows what it would do and how that would be taken back.

Examples:
  whorl chaos run experiment.yaml
  whorl chaos run --strict --result result.json --rollback-strategy always experiment.json";

/// Arguments of `whorl chaos run`.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct Args {
    /// A file (.json, .yaml, .yml) or an address
    pub(super) source: String,
    /// Path where to save the journal from the execution
    #[arg(long, default_value = "./journal.json", value_name = "FILE")]
    journal_path: PathBuf,
    /// Run the experiment without executing the chosen strategy
    #[arg(long, value_parser = ["probes", "actions", "activities", "pause"])]
    pub(super) dry: Option<String>,
    /// Do not validate the experiment before running
    #[arg(long)]
    no_validation: bool,
    /// Do not verify TLS certificate
    #[arg(long)]
    no_verify_tls: bool,
    /// Rollback runtime strategy
    #[arg(long, value_parser = ["default", "always", "never", "deviated"])]
    rollback_strategy: Option<String>,
    /// A value in place of declared configuration: key=value or key:type=value (str, int, float, bool,
    /// bytes, json)
    #[arg(long, value_name = "KEY[:TYPE]=VALUE")]
    var: Vec<String>,
    /// Values in place of declared configuration and secrets (.json, .yaml), or environment variables
    #[arg(long, value_name = "FILE")]
    var_file: Vec<PathBuf>,
    /// Controls for every experiment (.json, .yaml)
    #[arg(long, value_name = "FILE")]
    control_file: Vec<PathBuf>,
    /// When the hypothesis is looked at
    #[arg(long, value_parser = ["default", "before-method-only", "after-method-only",
        "during-method-only", "continuously", "continously"])]
    hypothesis_strategy: Option<String>,
    /// Seconds between two looks at the hypothesis while the method runs
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    hypothesis_frequency: f64,
    /// End the method as soon as the hypothesis deviated while it ran
    #[arg(long)]
    fail_fast: bool,
    /// Write what happens to this file while it happens, an object a line
    #[arg(long, value_name = "FILE")]
    events_file: Option<PathBuf>,
    /// Tell by the exit code what the original tool hides behind 0
    #[arg(long)]
    strict: bool,
    /// Write outcome, conclusive, verdict and warnings to this file
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
    /// The Python that runs functions of experiments
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
    /// Where faults are written down [default: `$WHORL_CHAOS_STATE`, else whorl/chaos below `$XDG_STATE_HOME` or ~/.local/state]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Decides what faults leave to chance
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Put faults in without asking
    #[arg(long, short = 'y')]
    pub(super) yes: bool,
    /// Let faults of root hit everything
    #[arg(long)]
    pub(super) i_own_this_machine: bool,
    /// What faults may hit, and nothing else: `file:PATH` (with all below), `process:NAME`, `pid:NUMBER`,
    /// `cgroup:PATH`, `host:NAME`, `machine`
    #[arg(long, value_name = "KIND:NAME")]
    pub(super) target: Vec<Listed>,
}

/// Runs the subcommand.
pub(super) fn run(
    args: &Args,
    settings: Option<&Path>,
    console: Console,
) -> anyhow::Result<ExitCode> {
    let variables = match convert_variables(&args.var) {
        Ok(variables) => variables,
        Err(message) => {
            say(format_args!("error: Invalid value for '--var': {message}"));
            return Ok(ExitCode::from(2));
        }
    };
    if let Some(missing) = args
        .var_file
        .iter()
        .chain(&args.control_file)
        .find(|file| !file.exists())
    {
        say(format_args!(
            "error: '{}' does not exist",
            missing.display()
        ));
        return Ok(ExitCode::from(2));
    }
    if let Some(path) = &args.result {
        // What an earlier run came to must not be taken for this one's.
        let _ = fs::remove_file(path);
    }
    let console = Arc::new(console);
    let mut environment = Environment::default();
    let settings = settings_value(settings, &environment)?;
    let source = match loaded(&args.source, args.no_verify_tls, &environment, &console) {
        Ok(source) => source,
        Err(stage) => return write_error(args, stage),
    };
    let python = Python::new(&args.python);
    let validator = Validator::new(&source.value, &environment, &python);
    if !args.no_validation
        && let Err(problem) = validator.experiment(&*console)
    {
        show(&source, &problem);
        return write_error(args, if problem.broken { "" } else { "validation" });
    }
    let mut from_files = read_files(&args.var_file, &mut environment, &*console);
    from_files.configuration.extend(variables);
    go(
        args,
        &settings,
        source,
        &from_files,
        environment,
        python,
        &console,
    )
}

fn go(
    args: &Args,
    settings: &Value,
    source: Source,
    variables: &Variables,
    environment: Environment,
    python: Python,
    console: &Arc<Console>,
) -> anyhow::Result<ExitCode> {
    let experiment = source.value;
    let options = match options(args, settings, &experiment, console) {
        Ok(options) => options,
        Err(message) => {
            say(format_args!("error: {message}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let events = args.events_file.as_deref().map(Events::create).transpose();
    let events = events.context("--events-file")?;
    let state = args
        .state_dir
        .clone()
        .unwrap_or_else(|| chaos::default_state_folder(&environment));
    let state = std::path::absolute(state)?;
    let (bell, first) = (Arc::new(Bell::default()), Arc::default());
    signals::listen(&bell, &first)?;
    let notes = Notes::new(&state, &experiment);
    notes.begin(args, &audit::fingerprint(source.text.as_bytes()))?;
    let faults = Faults::new(state, Some(std::env::current_exe()?), args.seed);
    let means = Means {
        log: Arc::clone(console) as Arc<dyn Log>,
        bell,
        signals: first,
        environment,
        python,
        faults: faults
            .guarded(consent(args, &experiment)?)
            .audited(notes.audit.clone()),
        events,
        controls: controls(settings, &args.control_file)?,
    };
    let ran = chaos::run(experiment, &options, variables, means);
    notes.end(&ran, args.strict);
    match ran {
        Ok(journal) => {
            write(&args.journal_path, &journal.to_json())?;
            write_result(args, &Outcome::of(&journal))?;
            Ok(ExitCode::from(outcome::exit_code(&journal, args.strict)))
        }
        Err(error @ RunError::Refused(_)) => {
            say(format_args!("error: {error}"));
            write_error(args, "consent")
        }
        Err(error) => broken(args, &error),
    }
}

/// What faults may hit.
fn consent(args: &Args, experiment: &Value) -> anyhow::Result<Consent> {
    let mut targets = args.target.clone();
    targets.extend(listed_in(experiment).map_err(anyhow::Error::msg)?);
    let rules = Rules {
        owns: args.i_own_this_machine,
        targets,
    };
    Ok(Consent::asking(rules, Arc::new(Terminal { yes: args.yes })))
}

/// The original tool ends with a traceback and without a journal. So do we, as long as nothing was
/// begun; else what was done is written beside the journal's place, so that nobody takes it for one.
fn broken(args: &Args, error: &RunError) -> anyhow::Result<ExitCode> {
    say(format_args!("error: {error}"));
    if let RunError::Broken {
        journal: Some(journal),
        ..
    } = error
    {
        let path = args.journal_path.with_extension("broken.json");
        write(&path, &journal.to_json())?;
        say(format_args!(
            "error: rolled back; what was done until then is in {}",
            path.display()
        ));
    }
    Ok(ExitCode::FAILURE)
}

fn options(
    args: &Args,
    settings: &Value,
    experiment: &Value,
    console: &Console,
) -> Result<Options, String> {
    let mut options = Options {
        frequency: args.hypothesis_frequency,
        fail_fast: args.fail_fast,
        dry: Dry::of(&json!(args.dry)),
        ..Options::default()
    };
    if args.hypothesis_strategy.as_deref() == Some("continously") {
        console.log(
            Level::Warning,
            "\nThe \"--hypothesis-strategy=continously\" command is depreciating and will be removed \
             in a future version\nInstead, please use \"--hypothesis-strategy=continuously\"",
        );
    }
    options.strategies(
        experiment,
        settings,
        args.hypothesis_strategy.as_deref(),
        args.rollback_strategy.as_deref(),
    )?;
    Ok(options)
}

/// The settings file, when there is one.
fn settings_value(path: Option<&Path>, environment: &Environment) -> anyhow::Result<Value> {
    let usual = environment
        .get("HOME")
        .map(|home| Path::new(&home).join(".chaostoolkit/settings.yaml"));
    let Some(path) = path
        .map(Path::to_owned)
        .or(usual)
        .filter(|path| path.is_file())
    else {
        return Ok(json!({}));
    };
    parsed(&path)
}

fn parsed(path: &Path) -> anyhow::Result<Value> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| shown.clone())?;
    let value = value_of(path, &text).with_context(|| format!("{shown}: neither JSON nor YAML"))?;
    value.map_err(|error| anyhow::anyhow!("{shown}: {error}"))
}

/// Controls that hold for every experiment: name to declaration.
fn controls(settings: &Value, files: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut maps = vec![settings["controls"].clone()];
    for file in files {
        maps.push(parsed(file)?);
    }
    let mut controls = Vec::new();
    let declared = maps.iter().filter_map(Value::as_object).flatten();
    for (name, control) in declared.filter(|(_, control)| control.is_object()) {
        let mut control = control.clone();
        control["name"] = json!(name);
        controls.push(control);
    }
    Ok(controls)
}

fn write(path: &Path, value: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn write_result(args: &Args, outcome: &Outcome) -> anyhow::Result<()> {
    args.result
        .as_ref()
        .map_or(Ok(()), |path| write(path, &outcome.to_json()))
}

/// A run that did not begin. Where the original tool ends with a traceback there is no result either.
fn write_error(args: &Args, stage: &str) -> anyhow::Result<ExitCode> {
    if !stage.is_empty() {
        write_result(args, &outcome::error(stage))?;
    }
    Ok(ExitCode::FAILURE)
}
