//! What is said to people, to whom, and that it is said once.
//!
//! In: a build with its verdict. Out: notes for the outbox of the `state` room, and their delivery.
//! Invariants: every sentence stands in `wording.rs`; nothing is said of builds that passed; a note
//! keeps its number over all tries, so that a receiver can tell a repetition.

pub mod chat;
pub mod mail;
pub mod route;
mod target;
pub mod webhook;
mod wording;

pub use target::{Refusal, Said, Saying, Target, Then};
pub use wording::compose;
