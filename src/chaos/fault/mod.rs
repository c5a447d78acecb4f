//! Faults: what each does, and how it is taken back whoever dies.
//!
//! A new fault is one file with a [`Fault`] and a line in [`ALL`]. The order is always: `validate`,
//! `prepare` (which only looks), the plan is written down and synced, `apply`. `undo` has nothing but
//! the plan, may come when `apply` was never reached or only half done, and may come twice.

mod cgroup;
mod chance;
mod clock;
mod cpu;
mod database;
mod disk;
mod dns;
mod file;
mod fuse;
mod helper;
mod io;
mod manager;
mod memory;
mod namespace;
mod network;
mod offset;
mod parameters;
mod proc;
mod process;
mod proxy;
mod record;
mod syscall;
mod tls;
pub mod undo;
pub mod watchdog;

pub use cpu::{Stress, stress};
pub use helper::work;
pub use manager::Faults;
pub use parameters::Parameters;

use crate::chaos::safety::Target;
use serde::Serialize;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Every fault there is.
pub const ALL: &[&dyn Fault] = &[
    &process::Stop,
    &process::Kill,
    &file::Moved,
    &file::Unreadable,
    &file::Corrupted,
    &cpu::Cpu,
    &proxy::Proxy::Tcp,
    &proxy::Proxy::Http,
    &database::Held(database::Lock),
    &database::Held(database::Connections),
    &database::Timeout,
    &database::Held(database::Kill),
    &tls::Tls,
    &dns::Dns,
    &network::Partition,
    &network::Degrade,
    &offset::Offset,
    &syscall::Syscall,
    &memory::Memory,
    &io::Io,
    &cgroup::MemoryLimit,
    &disk::Full,
    &disk::InodesFull,
    &disk::ReadOnly,
    &fuse::Ill::Slow,
    &fuse::Ill::Errors,
];

/// One kind of fault.
pub trait Fault: Sync {
    /// What experiments call it.
    fn name(&self) -> &'static str;

    /// One line for people: what it does.
    fn about(&self) -> &'static str;

    /// Its parameters, each with a line for people.
    fn parameters(&self) -> &'static [(&'static str, &'static str)];

    /// Whether the parameters make sense, without looking at the machine.
    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError>;

    /// Looks at the targets and plans: everything that `apply` and `undo` need, and nothing is changed
    /// yet but for what is put into the run's own folder.
    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError>;

    /// Does it, and makes sure that it has an effect.
    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError>;

    /// Takes it back and says what was done.
    fn undo(&self, plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError>;

    /// The cause that a log should lead to.
    fn describe(&self, plan: &Value) -> Cause;

    /// What it hits. Who says nothing is taken to hit something that all share.
    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Machine(self.describe(plan).target)]
    }

    /// What is done and how it is taken back, a command or an effect each, for dry runs.
    fn steps(&self, plan: &Value) -> Steps {
        Steps {
            does: vec![self.describe(plan).text],
            undo: vec!["whorl takes it back by itself".into()],
        }
    }

    /// What it needs of the machine, for people.
    fn needs(&self) -> &'static str {
        "nothing"
    }

    /// Whether this machine has what it needs, found out by trying it; else why not.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// What its child does, if it has one (`helper`); `say` tells who waits that it has an effect.
    fn work(&self, _: &Value, _: &Ground<'_>, _: &mut dyn Write) -> Result<(), FaultError> {
        Ok(())
    }
}

/// What a fault does and how that is taken back, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// What is done.
    pub does: Vec<String>,
    /// What takes it back.
    pub undo: Vec<String>,
}

impl Steps {
    /// One step each.
    pub(super) fn of(does: &str, undo: &str) -> Self {
        Self {
            does: vec![does.to_owned()],
            undo: vec![undo.to_owned()],
        }
    }
}

/// What is known about a fault's surroundings.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The run's folder, for what `undo` needs.
    pub folder: &'a Path,
    /// The number of the fault in its run.
    pub id: u64,
    /// Decides what is left to chance.
    pub seed: u64,
    /// After how many seconds it is taken back.
    pub seconds: f64,
    /// Our own program, for children.
    pub program: Option<&'a Path>,
}

/// The label of a fault: what was done, to whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// The fault's name.
    pub fault: String,
    /// To whom.
    pub target: String,
    /// In words.
    pub text: String,
}

/// Why a fault could not be put in or taken back.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// A parameter makes no sense.
    #[error("{fault}: `{parameter}`: {message}")]
    Parameter {
        /// The fault.
        fault: &'static str,
        /// Which parameter.
        parameter: String,
        /// What is wrong with it.
        message: String,
    },
    /// There is nothing that it could be done to.
    #[error("{0}")]
    Target(String),
    /// The system did not let us.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not allowed.
    #[error(transparent)]
    Refused(#[from] crate::chaos::safety::Refused),
    /// It was done, but has no effect; or it was taken back, but is still there.
    #[error("{0}")]
    Effect(String),
}

impl FaultError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// The fault of a name.
pub fn find(name: &str) -> Option<&'static dyn Fault> {
    ALL.iter().copied().find(|fault| fault.name() == name)
}
