//! From "a build has finished" to "the verdict is recorded".
//!
//! In: complete builds, by name, and their logs in the [`spool::Spool`]. Out: a verdict with its
//! matches in the state, the events in the store, notes in the outbox. Invariants: the six verdicts
//! are never merged; every fingerprint is looked for in one pass; a build is classified by one worker
//! at a time; what waits is bounded; what was accepted is classified after a restart at the latest.

pub mod cluster;
pub mod download;
pub mod engine;
pub mod ledger;
pub mod meter;
pub mod one;
pub mod pipeline;
pub mod ready;
pub mod recheck;
pub mod reclassify;
pub mod spool;
pub mod survey;
