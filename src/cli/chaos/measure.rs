//! `whorl chaos measure`.

use super::ask::Terminal;
use crate::chaos::audit::{self, Audit};
use crate::chaos::bell::Bell;
use crate::chaos::env::Environment;
use crate::chaos::measure::{
    Bench, Judge, Keeper, Kind, Measured, Plan, Run, exit_code, markdown, page,
};
use crate::chaos::python::Python;
use crate::chaos::run::default_state_folder;
use crate::chaos::safety::{Ask, Listed, Rules};
use crate::chaos::signals;
use crate::cli::say::{say, unless_closed};
use anyhow::{Context, bail};
use serde_json::json;
use std::fs::{self, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const MORE: &str = "\
Each fault of the plan is put into the system with each seed, the system's tests are run, and their logs go
where all logs go. A run's cause is what was put in; docs/chaos.md says how a plan is written and what the
numbers mean. With the same seeds the same faults are put in in the same way.

With --out DIR the runs are kept as `whorl chaos import` reads them, and as fixtures/ has them: builds/,
causes.json, runs.jsonl; report.json, report.md and report.html beside them. report.json is what
`report.measured` of the service's configuration names.

Exit status (the first of 6, 3, 4, 5 that holds):
  0  measured
  1  the plan cannot be run, or was interrupted
  2  the command line is wrong
  3  the system was not well before a fault was put in (not with --no-strict)
  4  it is not sure that a fault was there, or a log was not read whole (not with --no-strict)
  5  no run failed of a fault, or no control run passed (not with --no-strict)
  6  a fingerprint fires on control runs that passed (unless the plan allows it)

What will be done is shown before, and asked for on the terminal, or --yes says so. Who may hit what is as for
`whorl chaos run`: as root, only what is listed or of our own, unless --i-own-this-machine is given.

Examples:
  whorl chaos measure plan.yaml --seeds 1
  whorl chaos measure plan.yaml --fault redis-killed --format json
  whorl chaos measure plan.yaml --out measured && whorl chaos import measured";

/// Arguments of `whorl chaos measure`.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(super) struct Args {
    /// The plan (YAML)
    plan: PathBuf,
    /// Seeds 1 to N, in place of the plan's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: Option<u64>,
    /// How often each seed is run, in place of the plan's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    repetitions: Option<u64>,
    /// Only this fault; can be given many times
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
    /// Folder of fingerprint files, in place of the plan's; can be given many times
    #[arg(long, value_name = "DIR")]
    queries: Vec<PathBuf>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
    /// Keep the runs and all reports in this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Tell by the exit code what makes the numbers weak: this is the default
    #[arg(long, conflicts_with = "no_strict")]
    strict: bool,
    /// Do not
    #[arg(long)]
    no_strict: bool,
    /// The Python that runs functions of experiments
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
    /// Where faults are written down [default: as of `whorl chaos run`]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Put faults in without asking
    #[arg(long, short = 'y')]
    yes: bool,
    /// Let faults of root hit everything
    #[arg(long)]
    i_own_this_machine: bool,
    /// What faults may hit, and nothing else, as for `whorl chaos run`
    #[arg(long, value_name = "KIND:NAME")]
    target: Vec<Listed>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For programs, and for the service
    Json,
    /// For comments and terminals
    Markdown,
    /// A page with charts
    Html,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let file = std::path::absolute(&args.plan)?;
    let home = file.parent().context("the plan has no folder")?.to_owned();
    let mut plan = Plan::load(&file)?;
    plan.at(&home);
    plan.seeds = args.seeds.unwrap_or(plan.seeds);
    plan.repetitions = args.repetitions.unwrap_or(plan.repetitions);
    let named = args.queries.iter().map(std::path::absolute);
    let named = named.collect::<Result<Vec<_>, _>>()?;
    let judge = load(if named.is_empty() {
        &plan.fingerprints
    } else {
        &named
    })?;
    let environment = Environment::default();
    let state = args.state_dir.clone();
    let state = state.unwrap_or_else(|| default_state_folder(&environment));
    let state = std::path::absolute(state)?;
    let out = args.out.as_ref().map(std::path::absolute).transpose()?;
    let (bell, first) = (Arc::new(Bell::default()), Arc::default());
    signals::listen(&bell, &first)?;
    // Commands of the plan are written from its folder on.
    std::env::set_current_dir(&home)?;
    let kept = Kept::new(out)?;
    let mut keeper = Keeper::new(&kept.folder)?;
    let audit = Audit::new(&state);
    let bench = Bench {
        plan: &plan,
        judge: &judge,
        bell,
        signals: first,
        state,
        program: Some(std::env::current_exe()?),
        python: Python::new(&args.python),
        only: args.fault.clone(),
        rules: Rules {
            owns: args.i_own_this_machine,
            targets: args.target.clone(),
        },
        audit: audit.clone(),
    };
    agree(args, &bench)?;
    note(args, &file, &audit)?;
    let mut ticker = Ticker::new();
    let done = bench.run(&mut keeper, &mut |step| {
        ticker.tick(step.at, step.of, step.run, Some(step.seconds));
    });
    ticker.end();
    let done = done?;
    let out = kept.temporary.is_none().then_some(kept.folder.as_path());
    write(&done.measured, args.format, out)?;
    Ok(ExitCode::from(exit_code(
        &done.measured,
        done.unwell,
        !args.no_strict,
    )))
}

/// Shows what will be done and asks; in a pipe, `--yes` is enough said.
fn agree(args: &Args, bench: &Bench<'_>) -> anyhow::Result<()> {
    if args.yes && !io::stderr().is_terminal() {
        return Ok(());
    }
    let agreed = Terminal { yes: args.yes }.ask(&bench.statement());
    if !agreed.map_err(anyhow::Error::msg)? {
        bail!("nothing was done: the answer was no");
    }
    Ok(())
}

/// The audit's line for all runs; each fault has one of its own.
fn note(args: &Args, plan: &Path, audit: &Audit) -> anyhow::Result<()> {
    let text = fs::read(plan).with_context(|| plan.display().to_string())?;
    let targets: Vec<String> = args.target.iter().map(ToString::to_string).collect();
    let fields = json!({
        "plan": plan, "sha256": audit::fingerprint(&text), "yes": args.yes,
        "i-own-this-machine": args.i_own_this_machine, "targets": targets,
    });
    let noted = audit.note("measure", &fields, true);
    noted.context("the runs cannot be noted for the audit")
}

/// Where runs are kept: for good, or as long as this lasts.
struct Kept {
    folder: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Kept {
    fn new(out: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(folder) = out {
            return Ok(Self {
                folder,
                temporary: None,
            });
        }
        let temporary = tempfile::Builder::new()
            .prefix("whorl-measure-")
            .tempdir()?;
        // A system may have parts that run as somebody else.
        fs::set_permissions(temporary.path(), Permissions::from_mode(0o755))?;
        Ok(Self {
            folder: temporary.path().to_owned(),
            temporary: Some(temporary),
        })
    }
}

/// Loads fingerprints; says which are left out.
pub(super) fn load(folders: &[PathBuf]) -> anyhow::Result<Judge> {
    let judge = Judge::load(folders)?;
    for left_out in &judge.left_out {
        say(format_args!("warning: left out: {left_out}"));
    }
    Ok(judge)
}

/// The report to standard output, and all of them into a folder.
pub(super) fn write(measured: &Measured, format: Format, out: Option<&Path>) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(measured)? + "\n";
    if let Some(folder) = out {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for (name, text) in [
            ("report.json", &json),
            ("report.md", &markdown(measured)),
            ("report.html", &page(measured)),
        ] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
    }
    let text = match format {
        Format::Json => json,
        Format::Markdown => markdown(measured),
        Format::Html => page(measured),
    };
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = unless_closed(written) {
        bail!("cannot write the report: {error}");
    }
    Ok(())
}

/// Says on a terminal how far it is.
pub(super) struct Ticker {
    shown: bool,
}

impl Ticker {
    pub(super) fn new() -> Self {
        Self {
            shown: io::stderr().is_terminal(),
        }
    }

    pub(super) fn tick(&mut self, at: usize, of: usize, run: &Run, seconds: Option<f64>) {
        if !self.shown {
            return;
        }
        let came = match run.kind {
            Kind::Failed | Kind::Noise => "failed",
            Kind::Passed | Kind::Clean => "passed",
            Kind::Inconclusive => run.why.as_deref().unwrap_or("judges nobody"),
        };
        let found = if run.found.is_empty() {
            "nothing".into()
        } else {
            run.found.join(", ")
        };
        let took = seconds.map_or_else(String::new, |seconds| format!(" in {seconds:.1} s"));
        let line = format!("[{at}/{of}] {}: {came}{took}; found {found}", run.name);
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        say(line);
    }

    pub(super) fn end(&self) {
        if self.shown {
            say("");
        }
    }
}
