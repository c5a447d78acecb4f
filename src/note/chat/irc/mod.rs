//! IRC: one task for each server, which joins, speaks slowly enough, listens and comes back.
//!
//! In: settings, texts for channels. Out: the server's proof that it has taken a text, or why not; lines
//! that people address to us; a status. Invariants: where an account is configured, nothing is joined
//! and nothing is said before it is proven (`register.rs` makes the only key to `session.rs`); a text
//! is one line whatever it holds (`cut.rs`, `wire.rs`); every queue is bounded.
//!
//! The protocol is our own: the crates there are speak by themselves (they join and answer when the
//! server has said welcome, whether SASL succeeded or not) and do not say what became of a line.

mod channels;
mod client;
mod connect;
mod cut;
mod folding;
mod pace;
mod register;
mod sasl;
mod saying;
mod session;
mod settings;
mod status;
mod target;
mod wire;

pub use client::{IrcClient, IrcHandle};
pub use settings::{Channel, Kind, Sasl, Settings, Tls, Unusable};
pub use status::{ChannelStatus, Incoming, SayError, Status};
pub use target::IrcTarget;
