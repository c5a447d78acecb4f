//! Zuul: what its MQTT reporter and its REST API say of builds, and the two files in which each build
//! describes its logs.
//!
//! [`reported`] reads builds, [`files`] a `zuul-manifest.json`, [`failures`] a `job-output.json`. All
//! are lenient: what is missing or of another type is left out, what cannot be used is counted.

mod builds;
mod manifest;
mod output;
mod value;

pub use builds::{Finished, Reported, reported};
pub use manifest::{Files, LogFile, files};
pub use output::{Failure, Failures, failures};
