//! whorl recognises the known bugs in the logs of failed builds.
//!
//! The rooms below are listed in the order in which data passes through them; which room may use
//! which is written in `ARCHITECTURE.md` and held by a test.

pub mod event;

pub mod query;

pub mod fingerprint;

pub mod intake;

pub mod matcher;

pub mod store;

pub mod state;

pub mod forge;

pub mod source;

pub mod classify;

pub mod chance;

pub mod chaos;

pub mod note;

pub mod report;

pub mod tracker;

pub mod config;

pub mod web;

pub mod cli;
