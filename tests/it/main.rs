//! The integration tests, one binary: each module drives the real program or a whole room.

#![allow(
    clippy::too_many_lines,
    reason = "a test tells a story from its beginning to its end"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests may panic and say what they skip"
)]

mod architecture;
mod away;
mod chaos;
mod chat;
mod classify;
mod commands;
mod demo;
mod download;
mod elastic;
mod fingerprint;
mod folder;
mod foreign;
mod huge;
mod hush;
mod intake;
mod irc;
mod lint;
mod lost;
mod mail;
mod notes;
mod own_truth;
mod pattern;
mod proxy;
mod query;
mod report;
mod review;
mod serve;
mod service;
mod source;
mod state;
mod store;
mod tracker;
mod zip;
mod zuul;

/// Says that something was not tested.
pub(crate) fn skip(why: &str) {
    say(&format!("SKIPPED: {why}"));
}

/// Says something past the harness, which keeps back what tests print.
pub(crate) fn say(what: &str) {
    use std::io::Write;
    // Who does not listen to standard error is not told.
    let _ = std::io::stderr().write_all(format!("{what}\n").as_bytes());
}
