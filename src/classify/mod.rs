//! From "a build has finished" to "the verdict is recorded".
//!
//! In: a build's metadata and its logs. Out: the verdict with its matches. Invariants: the six
//! verdicts are never merged; every fingerprint is looked for in one pass.

pub mod one;
