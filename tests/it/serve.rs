//! `whorl serve` as an operator runs it: the real program, a configuration file, signals, HTTP.

mod bad_input;
mod cluster;
mod index;
mod notes;
pub(crate) mod program;
mod rules;
mod stop;
mod telling;
