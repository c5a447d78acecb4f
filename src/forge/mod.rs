//! What notes and sources share about forges: who we are there, and how they are asked.
//!
//! In: an address and an account. Out: answers, whole or refused by a word that says what follows.
//! Invariants: credentials go to the configured address and to no other; redirects are not followed;
//! every answer is bounded in time and size; errors hold no secret.

mod app;
mod http;

pub use app::{App, AppKey, KeyError, Token};
pub use http::{Answer, Api, ForgeError, SetUpError};
