//! `whorl serve` as an operator runs it: the real program, a configuration file, signals, HTTP.

mod arrivals;
mod bad_input;
mod cluster;
mod digests;
mod index;
mod notes;
mod orders;
mod orders_gerrit;
mod password;
pub(crate) mod program;
mod rechecks;
mod remote;
mod road;
mod rules;
mod secrets;
mod status;
mod stop;
mod telling;
mod trackers;
