//! A plan, run: each fault with each seed, and the same without a fault.
//!
//! A run is an experiment whose method is: put the fault in, see that it is there, run the tests. It goes
//! the way of every experiment, so faults are written down first and taken back whoever dies.

mod came;
mod experiment;

use super::commands::{self, Ended};
use super::count::{Measured, measured};
use super::draft;
use super::import::{self, RUNS};
use super::judge::Judge;
use super::keep::Keeper;
use super::labelled::{Label, Labelled, Run};
use super::minder::{Minder, Task};
use super::plan::{At, FaultPlan, Plan};
use crate::chaos::audit::Audit;
use crate::chaos::bell::{Bell, Ear};
use crate::chaos::env::Environment;
use crate::chaos::fault::Faults;
use crate::chaos::log::{KeptLog, Log};
use crate::chaos::python::Python;
use crate::chaos::run::{self as chaos, HypothesisStrategy, Journal, Means, Options, Status};
use crate::chaos::safety::{Consent, Rules};
use crate::chaos::settings::Variables;
use crate::chaos::signals::FirstSignal;
use crate::chaos::validate::Validator;
use crate::event::{Build, Verdict};
use came::Came;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What runs without a fault are called.
pub(super) const CONTROL: &str = "control";

/// Why a plan could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A fault makes no experiment.
    #[error("fault {fault}: {message}")]
    Fault {
        /// Its name.
        fault: String,
        /// What is wrong with it.
        message: String,
    },
    /// What the CI would say makes no build.
    #[error("build: {0}")]
    Build(serde_json::Error),
    /// A folder or a command.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// Somebody wanted it to end.
    #[error("interrupted after {0} of {1} runs")]
    Interrupted(usize, usize),
}

/// A run that is over.
#[derive(Debug)]
pub struct Step<'a> {
    /// Counted from 1.
    pub at: usize,
    /// Of how many.
    pub of: usize,
    /// What came of it.
    pub run: &'a Run,
    /// How long it took.
    pub seconds: f64,
}

/// What plans are run with.
pub struct Bench<'a> {
    /// The plan; the process stands in its folder.
    pub plan: &'a Plan,
    /// Who says what the logs hold.
    pub judge: &'a Judge,
    /// What interrupts it.
    pub bell: Arc<Bell>,
    /// Which signal came first.
    pub signals: Arc<FirstSignal>,
    /// Where faults are written down.
    pub state: PathBuf,
    /// Our program, for watchdogs.
    pub program: Option<PathBuf>,
    /// How Python is started.
    pub python: Python,
    /// Only these faults; all when there is none.
    pub only: Vec<String>,
    /// What faults may hit.
    pub rules: Rules,
    /// Where each fault is noted.
    pub audit: Audit,
}

/// One run that is to be.
struct Wanted<'a> {
    name: String,
    fault: Option<&'a FaultPlan>,
    seed: u64,
}

/// What was measured.
#[derive(Debug)]
pub struct Done {
    /// The numbers.
    pub measured: Measured,
    /// In so many runs the system was not well before the fault.
    pub unwell: u64,
}

impl Bench<'_> {
    /// What will be done, to be agreed to before.
    pub fn statement(&self) -> String {
        let runs = self.wanted().len();
        let mut text =
            format!("This plan makes {runs} runs, each with a system of its own, and puts in:\n");
        for fault in self.faults() {
            let cause = fault
                .cause
                .as_deref()
                .unwrap_or("one that its experiment describes");
            // Writing to a text does not fail.
            let _ = writeln!(text, "  {}: {cause}", fault.name);
        }
        let listed: Vec<String> = self.rules.targets.iter().map(ToString::to_string).collect();
        let _ = match (listed.is_empty(), self.rules.owns) {
            (false, _) => writeln!(text, "Faults hit only {}.", listed.join(", ")),
            (true, true) => writeln!(text, "Faults may hit everything on this machine."),
            (true, false) => writeln!(
                text,
                "As root, faults hit only what is in namespaces or temporary folders of our own."
            ),
        };
        text
    }

    /// Runs everything; `told` hears of each run when it is over.
    pub fn run(
        &self,
        keeper: &mut Keeper,
        told: &mut dyn FnMut(&Step<'_>),
    ) -> Result<Done, BenchError> {
        self.check()?;
        let labels = self.labels();
        let kept = |error| BenchError::Io(RUNS.into(), error);
        for label in &labels {
            keeper.label(label).map_err(kept)?;
        }
        let wanted = self.wanted();
        let minder = self.program.as_deref().map(Minder::start).transpose();
        let mut minder = minder.map_err(|error| BenchError::Io("minder".into(), error))?;
        let (mut runs, mut logs, mut unwell) = (Vec::new(), BTreeMap::new(), 0);
        for (at, one) in wanted.iter().enumerate() {
            if self.bell.check(Ear::Main).is_err() {
                return Err(BenchError::Interrupted(at, wanted.len()));
            }
            let begin = Instant::now();
            let done = self.one(one, keeper, minder.as_mut());
            let Some((run, place, baseline)) = done? else {
                return Err(BenchError::Interrupted(at, wanted.len()));
            };
            unwell += u64::from(baseline);
            told(&Step {
                at: at + 1,
                of: wanted.len(),
                run: &run,
                seconds: begin.elapsed().as_secs_f64(),
            });
            logs.insert(run.name.clone(), place);
            runs.push(run);
        }
        keeper.finish().map_err(kept)?;
        let meant = import::meant(&labels, self.judge, &self.plan.allow_on_controls);
        let mut measured = measured(&self.plan.title, &self.judge.version, runs, &meant);
        let logs = logs
            .iter()
            .map(|(name, place)| (name.as_str(), place.clone()));
        draft::add(&mut measured, &logs.collect());
        Ok(Done { measured, unwell })
    }

    fn faults(&self) -> impl Iterator<Item = &FaultPlan> {
        let wanted = |fault: &&FaultPlan| self.only.is_empty() || self.only.contains(&fault.name);
        self.plan.faults.iter().filter(wanted)
    }

    /// What can be known before anything is done.
    fn check(&self) -> Result<(), BenchError> {
        if let Some(unknown) = self
            .only
            .iter()
            .find(|name| !self.faults().any(|f| f.name == **name))
        {
            let message = "the plan has no such fault".into();
            return Err(BenchError::Fault {
                fault: unknown.clone(),
                message,
            });
        }
        let environment = Environment::default();
        for fault in self.faults() {
            self.build(Some(fault))?;
            let wrong = |message: String| BenchError::Fault {
                fault: fault.name.clone(),
                message,
            };
            let place = experiment::Place::default();
            let whole = experiment::of(self.plan, Some(fault), &place).map_err(wrong)?;
            Validator::new(&whole, &environment, &self.python)
                .experiment(&KeptLog::default())
                .map_err(|problem| wrong(format!("{}: {problem}", problem.path)))?;
        }
        Ok(())
    }

    fn labels(&self) -> Vec<Label> {
        let label = |fault: &FaultPlan| Label {
            cause: fault.name.clone(),
            text: fault.cause.clone(),
            expects: fault.expects.clone(),
        };
        self.faults().map(label).collect()
    }

    fn wanted(&self) -> Vec<Wanted<'_>> {
        let mut wanted = Vec::new();
        let several = self.plan.repetitions > 1;
        let name = |what: &str, seed: u64, again: u64| {
            let again = if several {
                format!("-r{again:02}")
            } else {
                String::new()
            };
            format!("{what}-s{seed:02}{again}")
        };
        for seed in 1..=self.plan.seeds {
            for again in 1..=self.plan.repetitions {
                for control in 1..=self.plan.controls {
                    let which = if control > 1 {
                        format!("-{control}")
                    } else {
                        String::new()
                    };
                    let name = name(CONTROL, seed, again) + &which;
                    wanted.push(Wanted {
                        name,
                        fault: None,
                        seed,
                    });
                }
                for fault in self.faults() {
                    let name = name(&fault.name, seed, again);
                    wanted.push(Wanted {
                        name,
                        fault: Some(fault),
                        seed,
                    });
                }
            }
        }
        wanted
    }

    fn build(&self, fault: Option<&FaultPlan>) -> Result<Build, BenchError> {
        let mut facts = self.plan.system.build.clone();
        facts.extend(fault.map(|fault| fault.build.clone()).unwrap_or_default());
        serde_json::from_value(Value::Object(facts)).map_err(BenchError::Build)
    }

    /// One run, its logs' place, and whether the system was unwell; nothing when it was interrupted.
    fn one(
        &self,
        wanted: &Wanted<'_>,
        keeper: &mut Keeper,
        mut minder: Option<&mut Minder>,
    ) -> Result<Option<(Run, PathBuf, bool)>, BenchError> {
        let io = |error| BenchError::Io(wanted.name.clone(), error);
        let place = experiment::Place::new(wanted.name.clone(), keeper, wanted.seed, self.plan);
        for folder in [&place.logs, &place.shared] {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let started = Timestamp::now();
        let mut mind = |task: Option<&Task>| match &mut minder {
            Some(minder) => minder.mind(task).map_err(io),
            None => Ok(()),
        };
        mind(Some(&self.task(&place)))?;
        let came = self.do_it(wanted, &place);
        self.stop(&place).map_err(io)?;
        mind(None)?;
        let Some(came) = came? else { return Ok(None) };
        let mut build = self.build(wanted.fault)?;
        build.uuid = uuid(&self.plan.title, &wanted.name);
        build.result = Some(came.result.unwrap_or("NOT_RUN").into());
        (build.started, build.finished) = (Some(started), Some(Timestamp::now()));
        let mut labelled = Labelled {
            run: wanted.name.clone(),
            causes: wanted
                .fault
                .iter()
                .map(|fault| fault.name.clone())
                .collect(),
            failed: None,
            verified: came.why.is_none(),
            why: came.why,
            logs: PathBuf::new(),
            build: None,
        };
        let failed = build.failed();
        let kept = keeper
            .take(&mut labelled, &build, failed, &place.logs)
            .map_err(io)?;
        let judged = self.judge.judge(&build, &kept);
        // A log that cannot be opened is a run that judges nobody.
        let (verdict, found) = judged.unwrap_or((Verdict::Error, Vec::new()));
        let run = Run::new(&labelled, failed, verdict, found);
        keeper.drop_work(&run).map_err(io)?;
        Ok(Some((run, kept, came.baseline)))
    }

    /// From the empty folder to the end of the tests. Nothing when it was interrupted.
    fn do_it(
        &self,
        wanted: &Wanted<'_>,
        place: &experiment::Place,
    ) -> Result<Option<Came>, BenchError> {
        let io = |error| BenchError::Io(wanted.name.clone(), error);
        let system = &self.plan.system;
        let ended = self
            .command(&system.prepare, &place.aside, place)
            .map_err(io)?;
        if !ended.well() {
            return Ok(Came::without("prepare", &ended));
        }
        let before = matches!(wanted.fault, Some(FaultPlan { at: At::Test, .. }));
        if before {
            let ended = self
                .command(&system.start, &place.console, place)
                .map_err(io)?;
            if !ended.well() {
                return Ok(Came::without("start", &ended));
            }
        }
        let wrong = |message: String| BenchError::Fault {
            fault: wanted.fault.map_or(CONTROL, |fault| &fault.name).into(),
            message,
        };
        experiment::write_script(place).map_err(io)?;
        let mut whole = experiment::of(self.plan, wanted.fault, place).map_err(wrong)?;
        whole["configuration"] = Value::Object(place.configuration(wanted.fault));
        let log: Arc<KeptLog> = Arc::default();
        let journal = self.play(whole, wanted.seed, place, &log);
        let lines = log.lines().join("\n");
        fs::write(place.dir.join("chaos.log"), lines).map_err(io)?;
        Ok(match journal {
            Err(message) => Some(Came::unsure(message)),
            Ok(journal) if journal.status == Some(Status::Interrupted) => None,
            Ok(journal) => Some(Came::of(&journal, &place.configuration(wanted.fault))),
        })
    }

    fn play(
        &self,
        whole: Value,
        seed: u64,
        place: &experiment::Place,
        log: &Arc<KeptLog>,
    ) -> Result<Journal, String> {
        let options = Options {
            hypothesis: HypothesisStrategy::Before,
            rollbacks: "always".into(),
            ..Options::default()
        };
        let means = Means {
            log: Arc::clone(log) as Arc<dyn Log>,
            bell: Arc::clone(&self.bell),
            signals: Arc::clone(&self.signals),
            environment: place.environment(),
            python: self.python.clone(),
            faults: Faults::new(self.state.clone(), self.program.clone(), seed)
                .guarded(Consent::ruled(self.rules.clone()))
                .audited(self.audit.clone()),
            events: None,
            controls: Vec::new(),
        };
        chaos::run(whole, &options, &Variables::default(), means).map_err(|error| error.to_string())
    }

    fn command(
        &self,
        words: &[String],
        output: &Path,
        place: &experiment::Place,
    ) -> io::Result<Ended> {
        let limit = self.plan.system.time_limit;
        commands::run(words, &place.environment(), output, limit, &self.bell)
    }

    /// What is to be done should we die in this run.
    fn task(&self, place: &experiment::Place) -> Task {
        Task {
            stop: self.plan.system.stop.clone(),
            variables: place.variables(),
            output: place.aside.clone(),
            limit: self.plan.system.time_limit,
        }
    }

    /// Ends the system, whatever came before; who interrupts has to wait for it.
    fn stop(&self, place: &experiment::Place) -> io::Result<()> {
        let limit = self.plan.system.time_limit;
        let deaf = Bell::default();
        let words = &self.plan.system.stop;
        commands::run(words, &place.environment(), &place.aside, limit, &deaf)?;
        Ok(())
    }
}

/// The same name each time.
fn uuid(title: &str, run: &str) -> String {
    let digest = Sha256::digest(json!([title, run]).to_string());
    let mut name = String::new();
    for byte in digest.iter().take(16) {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}
