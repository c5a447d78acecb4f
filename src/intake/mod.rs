//! From bytes to events: decompression, archives, log formats, where an event begins and ends.
//!
//! In: readers and paths. Out: [`Event`]s through a sink, one at a time, and a [`Summary`] of what
//! was and was not read. Invariants: memory does not grow with the input; what cannot be read is
//! told by a [`Problem`] and never by silence; an event is one stretch of its file, so its text can
//! be mapped back ([`locate`]); how a reader splits the bytes changes nothing.

mod archive;
mod around;
mod block;
mod chunks;
mod decode;
pub mod download;
mod format;
mod input;
mod join;
mod json;
mod limits;
mod lines;
pub(crate) mod loose;
mod name;
mod problem;
mod read;
mod strip;
mod taker;
mod time;
mod window;
mod zipped;

pub(crate) use around::{Around, Lines, Place, Places, RoundPlaces, Wants};
pub(crate) use chunks::{Chunk, Chunks};
pub use format::Format;
pub use format::job_output::{Failure, Failures, failures};
pub use input::{LogInput, LogReader, open_path, open_path_as};
pub(crate) use join::OWN_FIELDS;
pub use limits::Limits;
pub use name::clean_name;
pub use problem::{IntakeError, NameError, Problem};
pub use read::{BuildSummary, FileContext, Summary, read_all, read_log, read_stream};
pub(crate) use read::{shared_fields, take_all};
pub(crate) use strip::Uncoloured;
pub use strip::{Stripped, byte_map};
pub(crate) use taker::{Log, Odd, Taken, Taker, all_events};
pub use window::{Part, Window, each_line, window};

use crate::event::Event;

/// The byte of the whole decompressed log that the byte `at` of the event's message was made of.
/// `original` are the event's own bytes: `at.length` bytes from `at.offset` on.
pub fn locate(event: &Event, original: &[u8], at: usize) -> usize {
    let base = usize::try_from(event.at.offset).unwrap_or(usize::MAX);
    // An event does not say its format; the one that gives its message again is as good.
    let stripped = Format::ALL
        .into_iter()
        .map(|format| byte_map(original, format))
        .find(|stripped| stripped.text == event.message);
    let inside = stripped.map_or(at.min(original.len()), |s| s.to_original(at));
    base.saturating_add(inside)
}
