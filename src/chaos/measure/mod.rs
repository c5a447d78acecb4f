//! Fingerprints measured by failures whose cause is known.
//!
//! In: a plan (a system under test, faults, seeds), or runs that somebody else has labelled. Out: which
//! fingerprint found which cause: a matrix, recall and precision with intervals, causes that nothing
//! finds, fingerprints that find something where nothing is wrong. Invariants: a run's label is what was
//! put in, never what its log says; fault and failed, fault and passed, failed without a fault are never
//! merged; a run whose fault was not verified, or whose log was not read whole, judges nobody.

mod bench;
mod commands;
mod count;
mod draft;
mod html;
mod import;
mod judge;
mod keep;
mod labelled;
mod markdown;
mod minder;
mod outcome;
mod plan;

pub use bench::{Bench, BenchError, Done, Step};
pub use count::{
    Cause, Echo, Meant, Measured, OnControls, Score, Share, Totals, Uncaught, measured,
};
pub use draft::Draft;
pub use html::{fragment, page};
pub use import::{ImportError, import};
pub use judge::{Judge, JudgeError};
pub use keep::Keeper;
pub use labelled::{Kind, Label, Labelled, Run};
pub use markdown::markdown;
pub use minder::minder;
pub use outcome::exit_code;
pub use plan::{At, FaultPlan, Plan, PlanError, System};

use std::path::PathBuf;

/// What the service and others read back of a measurement.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// It is something else.
    #[error("{0}: not a measurement of `whorl chaos measure --format json`: {1}")]
    Other(PathBuf, serde_json::Error),
}

/// Reads a measurement that was written as JSON.
pub fn read(path: &std::path::Path) -> Result<Measured, ReadError> {
    let text = std::fs::read(path).map_err(|error| ReadError::Io(path.to_owned(), error))?;
    serde_json::from_slice(&text).map_err(|error| ReadError::Other(path.to_owned(), error))
}
