//! Chaos experiments: faults with known causes, put in on purpose and taken out again.
//!
//! In: experiments in the format of the Chaos Toolkit. Out: a journal of what was done and seen, the
//! log lines, events and exit code that its users know. Invariant: what a fault has changed is written
//! down and synced before it is changed, so that it can be undone whoever dies.

pub mod audit;
pub mod bell;
pub mod driver;
pub mod env;
pub mod events;
pub mod fault;
pub mod jsonpath;
pub mod log;
pub mod measure;
pub mod outcome;
pub mod pattern;
pub mod place;
pub mod python;
pub mod report;
pub mod run;
pub mod safety;
pub mod settings;
pub mod signals;
pub mod source;
pub mod substitute;
pub mod tolerance;
pub mod validate;

mod child;
mod control;
mod decimal;
mod mask;
mod model;
mod mounts;
mod provider;
mod py;
