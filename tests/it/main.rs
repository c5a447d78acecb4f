//! The integration tests, one binary: each module drives the real program or a whole room.

mod architecture;
mod classify;
mod fingerprint;
mod intake;
mod lint;
mod own_truth;
mod pattern;
mod query;
mod report;
mod service;
mod state;
mod store;
