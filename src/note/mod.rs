//! What is said to people, to whom, and that it is said once.
//!
//! In: a build with its verdict and what is known around it. Out: notes for the outbox of the `state`
//! room (`speak.rs`), and their way to each [`Target`] (`outbox.rs`). Invariants: every sentence
//! stands in `wording.rs`; nothing is said of builds that passed; a note keeps its number over all
//! tries, so that a receiver can tell a repetition; no target waits for another.

pub mod chat;
pub mod mail;
mod outbox;
mod pace;
pub mod review;
pub mod route;
mod speak;
mod target;
pub mod webhook;
mod wording;

pub use outbox::{Bell, DRY_RUN, Lane, Outbox, Patience, marker};
pub use pace::Restraint;
pub use speak::{Hears, Speaker, Voice};
pub use target::{Refusal, Said, Saying, Target, Then};
pub use wording::{Markup, TEMPLATES, Wording, WordingError};
