//! The faults of a run: puts them in, writes them down first, keeps a watchdog, takes them back.

mod guard;
mod preview;

use super::undo::{self, Entry, Journal, Undone, Which};
use super::{Fault, FaultError, Ground, Parameters, clock, find};
use crate::chaos::audit::Audit;
use crate::chaos::log::{Level, Log};
use crate::chaos::mask::Mask;
use crate::chaos::provider::{Call, Failure, seconds};
use crate::chaos::py;
use crate::chaos::safety::Consent;
use crate::chaos::substitute::substitute;
use guard::Guard;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// When a fault says nothing, it is taken back after so many seconds at the latest.
const LONGEST: f64 = 600.0;

/// The faults of one run.
#[derive(Debug)]
pub struct Faults {
    state: PathBuf,
    program: Option<PathBuf>,
    seed: u64,
    consent: Consent,
    audit: Option<Audit>,
    session: Mutex<Option<Session>>,
}

/// What an activity asks for.
struct Order<'a> {
    name: &'a str,
    arguments: &'a Map<String, Value>,
    activity: &'a str,
    longest: f64,
    seed: u64,
    /// What is not to be written down.
    mask: &'a Mask,
}

/// What there is once the first fault is going to be put in.
#[derive(Debug)]
struct Session {
    folder: PathBuf,
    /// Held while we live.
    _lock: File,
    guard: Guard,
    next: u64,
    /// Which activity put which fault in.
    by_activity: Vec<(String, u64)>,
}

impl Faults {
    /// Faults that are written down below `state`; `program` is ours, for watchdog and children.
    pub fn new(state: PathBuf, program: Option<PathBuf>, seed: u64) -> Self {
        Self {
            state,
            program,
            seed,
            consent: Consent::default(),
            audit: None,
            session: Mutex::new(None),
        }
    }

    /// Asks before the first fault, and puts in none that is not allowed.
    #[must_use]
    pub fn guarded(mut self, consent: Consent) -> Self {
        self.consent = consent;
        self
    }

    /// Notes each fault.
    #[must_use]
    pub fn audited(mut self, audit: Audit) -> Self {
        self.audit = Some(audit);
        self
    }

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a provider's fault makes sense, without looking at the machine.
    pub(crate) fn validate(provider: &Value) -> Result<(), (String, String)> {
        if provider.get("undo").is_some() {
            return Ok(());
        }
        let Some(name) = provider.get("fault").and_then(Value::as_str) else {
            return Err((
                "fault".into(),
                "a fault activity must say which `fault`".into(),
            ));
        };
        let Some(fault) = find(name) else {
            return Err(("fault".into(), format!("unknown fault '{name}'")));
        };
        let empty = Map::new();
        let arguments = match provider.get("arguments") {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(map)) => map,
            Some(_) => {
                return Err((
                    "arguments".into(),
                    "arguments of a fault must be a mapping".into(),
                ));
            }
        };
        if arguments
            .values()
            .any(|value| value.as_str().is_some_and(|text| text.contains('$')))
        {
            // Known only when names are replaced.
            return Ok(());
        }
        fault
            .validate(&Parameters::new(fault.name(), arguments))
            .map_err(|error| ("arguments".into(), error.to_string()))
    }

    /// `provider: {type: fault}`.
    pub(crate) fn activity(&self, call: &Call<'_>) -> Result<Value, Failure> {
        let provider = call.provider();
        if let Some(which) = provider.get("undo") {
            return self.undo_activity(&py::text(which));
        }
        let provider = substitute(provider, call.names());
        let longest = longest(&provider)?;
        let map = provider["arguments"].as_object().cloned();
        let order = Order {
            name: provider["fault"].as_str().unwrap_or_default(),
            arguments: &map.unwrap_or_default(),
            activity: call.activity["name"].as_str().unwrap_or_default(),
            longest,
            seed: provider["seed"].as_u64().unwrap_or(self.seed),
            mask: &Mask::of(call.secrets),
        };
        self.put_in(&order, &*call.tools.log)
            .map_err(|error| Failure::Failed(error.to_string()))
    }

    fn put_in(&self, order: &Order<'_>, log: &dyn Log) -> Result<Value, FaultError> {
        let fault = find(order.name)
            .ok_or_else(|| FaultError::Target(format!("unknown fault '{}'", order.name)))?;
        let parameters = Parameters::new(fault.name(), order.arguments);
        fault.validate(&parameters)?;
        let mut session = self.session();
        let session = self.opened(&mut session, log)?;
        let (folder, id) = (session.folder.clone(), session.next);
        session.next += 1;
        let ground = Ground {
            folder: &folder,
            id,
            seed: order.seed,
            seconds: order.longest,
            program: self.program.as_deref(),
        };
        let lock = undo::locked(&folder).map_err(FaultError::io(&folder))?;
        let plan = fault.prepare(&parameters, &ground)?;
        let cause = fault.describe(&plan);
        self.permitted(fault, &plan, order, &folder)?;
        let entry = Entry {
            id,
            fault: order.name.to_owned(),
            activity: order.activity.to_owned(),
            plan,
            seed: order.seed,
            boot: clock::boot(),
            until: clock::uptime() + order.longest,
            at: Timestamp::now().to_string(),
        };
        Journal::append_intent(&folder, &entry).map_err(FaultError::io(&folder))?;
        session.guard.look();
        session.by_activity.push((order.activity.to_owned(), id));
        let applied = fault.apply(&entry.plan, &ground);
        drop(lock);
        if let Err(error) = applied {
            // Half of it may have been done.
            Self::take_back_from(&folder, Which::One(id), log);
            return Err(error);
        }
        Journal::append_applied(&folder, id).map_err(FaultError::io(&folder))?;
        Ok(json!({
            "id": id, "cause": cause, "seed": order.seed, "longest": order.longest, "plan": entry.plan,
        }))
    }

    /// Whether this may be done, and what is going to be done is noted.
    fn permitted(
        &self,
        fault: &dyn Fault,
        plan: &Value,
        order: &Order<'_>,
        folder: &Path,
    ) -> Result<(), FaultError> {
        let targets = fault.targets(plan);
        self.consent.permit(fault.name(), &targets)?;
        if let Some(target) = targets.iter().find(|target| target.has(folder)) {
            return Err(FaultError::Target(format!(
                "{target}: what takes faults back is written down there (--state-dir)"
            )));
        }
        if order.mask.tells(plan) {
            let name = fault.name();
            return Err(FaultError::Target(format!(
                "{name}: its parameters hold a secret, which would be written down in the undo \
                 journal; name a file or an environment variable instead"
            )));
        }
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let note = json!({
            "fault": fault.name(), "activity": order.activity, "targets": targets,
            "seconds": order.longest, "seed": order.seed,
        });
        audit
            .note("fault", &note, true)
            .map_err(FaultError::io(&self.state))
    }

    /// The session, begun when this is the first fault.
    fn opened<'s>(
        &self,
        session: &'s mut Option<Session>,
        log: &dyn Log,
    ) -> Result<&'s mut Session, FaultError> {
        if session.is_none() {
            self.finish_earlier(log);
            *session = Some(self.open().map_err(FaultError::io(&self.state))?);
        }
        session
            .as_mut()
            .ok_or_else(|| FaultError::Target("the run's folder is gone".into()))
    }

    fn open(&self) -> io::Result<Session> {
        let now = Timestamp::now().as_millisecond();
        let folder = self.state.join(format!("{now}-{}", std::process::id()));
        Journal::create(&folder)?;
        let lock = undo::runner_lock(&folder)?;
        let lock = lock.ok_or_else(|| io::Error::other("the run's folder is taken"))?;
        let guard = Guard::start(self.program.clone(), folder.clone())?;
        Ok(Session {
            folder,
            _lock: lock,
            guard,
            next: 1,
            by_activity: Vec::new(),
        })
    }

    /// What dead runners have left is taken back before anything new is put in.
    fn finish_earlier(&self, log: &dyn Log) {
        match undo::finish(&self.state, false) {
            Ok(runs) => {
                for run in runs.iter().filter(|run| !run.running) {
                    report(&run.faults, "left by an earlier run", log);
                }
            }
            Err(error) => {
                let state = self.state.display();
                log.log(
                    Level::Warning,
                    &format!("Cannot look for earlier faults in {state}: {error}"),
                );
            }
        }
    }

    fn undo_activity(&self, which: &str) -> Result<Value, Failure> {
        let session = self.session();
        let Some(session) = session.as_ref() else {
            return Ok(json!({"undone": []}));
        };
        let mut undone = Vec::new();
        for (activity, id) in session.by_activity.iter().rev() {
            if which == "all" || activity == which {
                let some = undo::take_back(&session.folder, Which::One(*id));
                undone.extend(some.map_err(|error| Failure::Failed(error.to_string()))?);
            }
        }
        if let Some(left) = undone.iter().find(|fault| !fault.done) {
            return Err(Failure::Failed(format!("{}: {}", left.fault, left.text)));
        }
        Ok(json!({"undone": undone}))
    }

    fn take_back_from(folder: &Path, which: Which, log: &dyn Log) -> bool {
        match undo::take_back(folder, which) {
            Ok(undone) => {
                report(&undone, "taken back", log);
                undone.iter().all(|fault| fault.done)
            }
            Err(error) => {
                log.log(
                    Level::Error,
                    &format!("Faults could not be taken back: {error}"),
                );
                false
            }
        }
    }

    /// Takes back whatever is left, whatever the run came to. True when nothing is left.
    pub fn finish(&self, log: &dyn Log) -> bool {
        let Some(session) = self.session().take() else {
            return true;
        };
        let clean = Self::take_back_from(&session.folder, Which::All, log);
        if clean {
            session.guard.done();
            // Nothing is left to be taken back, so nobody needs the folder.
            let _ = undo::remove(&session.folder);
        } else {
            let folder = session.folder.display();
            let message =
                format!("Some faults are left; `whorl chaos undo` tries again ({folder})");
            log.log(Level::Error, &message);
        }
        clean
    }
}

/// After how many seconds a fault is taken back.
fn longest(provider: &Value) -> Result<f64, Failure> {
    let longest = seconds(provider.get("duration").unwrap_or(&Value::Null))?;
    Ok(longest.map_or(LONGEST, |time| time.as_secs_f64()))
}

fn report(undone: &[Undone], what: &str, log: &dyn Log) {
    for fault in undone {
        let (level, word) = if fault.done {
            (Level::Info, what)
        } else {
            (Level::Error, "could not be taken back")
        };
        log.log(
            level,
            &format!("Fault {} {word}: {}", fault.fault, fault.text),
        );
    }
}
