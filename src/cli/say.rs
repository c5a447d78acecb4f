//! Saying something on standard error, which may be closed: that is no reason to stop.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Writes one line to standard error.
pub(super) fn say(line: impl Display) {
    // At once: lines of several writers stay whole, and one call is cheaper than one for each piece.
    let line = format!("{line}\n");
    // There is nobody left to be told when this fails.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// A reader that has seen enough, such as `head`, has closed the pipe: that is no failure.
pub(super) fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
