//! What is said to people, to whom, and that it is said once.
//!
//! In: a build with its verdict and what is known around it. Out: notes for the outbox of the `state`
//! room (`speak.rs`), and their way to each [`Target`] (`outbox.rs`). Invariants: every sentence
//! stands in `wording.rs`; nothing is said of builds that passed; a note keeps its number over all
//! tries, so that a receiver can tell a repetition; no target waits for another.

mod answers;
pub mod chat;
mod command;
pub mod faults;
pub mod mail;
mod outbox;
mod pace;
pub mod redact;
pub mod review;
pub mod route;
mod speak;
mod target;
mod tracked;
pub mod webhook;
mod wording;

pub use answers::{ANSWERS, Answer};
pub use command::{
    Asked, Command, What, WhatKind, heard_in_chat, heard_in_review, heard_recheck, period,
};
pub use outbox::{Bell, DRY_RUN, Lane, Outbox, Patience, marker};
pub use pace::Restraint;
pub use speak::{Hears, Speaker, Voice, outage_topic};
pub use target::{Refusal, Said, Saying, Target, Then};
pub use tracked::{Review, Tracked, ago};
pub use wording::{Bug, Markup, Place, TEMPLATES, Wording, WordingError};
