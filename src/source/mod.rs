//! Where failed builds come from: what code review and CI say, read into builds.
//!
//! In: events, comments and answers of other systems. Out: [`crate::event::Build`]s, and what could
//! not be understood, counted. Invariants: reading does no I/O, never panics and takes time linear in
//! the input; nothing that was not understood is dropped without being counted.

mod digest;
pub mod gerrit;
pub mod zuul;
