//! Notes to chat.

pub mod irc;
