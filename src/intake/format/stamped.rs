//! Logs of containers: `2024-05-07T12:13:14.123456789Z text`, as `docker logs -t` shows them, or
//! `2024-05-07T12:13:14.123456789Z stdout F text`, as container runtimes keep them. Unlike a job log
//! of GitHub, such a log is not a build's main log because of its format.

use super::{Prefix, one_blank};
use crate::intake::time;

pub(super) fn prefix(line: &str) -> Option<Prefix<'_>> {
    if !line.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let stamp = time::iso(line)?;
    let zone = line[19..stamp.len].contains(['Z', '+', '-']);
    let rest = &line[stamp.len..];
    if line.as_bytes()[10] != b'T' || !zone || !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    let cut = stamp.len + one_blank(rest);
    Some(Prefix::of(cut + stream_len(&line[cut..]), Some(stamp)))
}

/// Length of `stdout F ` or `stderr P `: the stream, and whether the line is full or a part.
fn stream_len(rest: &str) -> usize {
    let streams = ["stdout F", "stdout P", "stderr F", "stderr P"];
    let found = streams.iter().find_map(|stream| rest.strip_prefix(stream));
    match found {
        Some(after) if after.is_empty() || after.starts_with(' ') => {
            rest.len() - after.len() + one_blank(after)
        }
        _ => 0,
    }
}
