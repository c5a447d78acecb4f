//! Travis job logs: fold and time markers, hidden by a carriage return; no prefix of the lines.

/// True when the line begins with a fold or time marker.
pub(super) fn is_marker(line: &[u8]) -> bool {
    [
        b"travis_fold:start:".as_slice(),
        b"travis_fold:end:",
        b"travis_time:start:",
        b"travis_time:end:",
    ]
    .iter()
    .any(|marker| line.starts_with(marker))
}
