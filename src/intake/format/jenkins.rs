//! Jenkins with its timestamper: `12:13:14 text` or `[2014-05-07T12:13:14.123Z] text`.

use super::{Prefix, one_blank};
use crate::intake::time;

pub(super) fn prefix(line: &str) -> Option<Prefix<'_>> {
    match line.as_bytes().first()? {
        b'[' => bracketed(line),
        b'0'..=b'2' => clock(line),
        _ => None,
    }
}

fn bracketed(line: &str) -> Option<Prefix<'_>> {
    let stamp = time::iso(&line[1..])?;
    let end = 1 + stamp.len;
    if !line[end..].starts_with(']') {
        return None;
    }
    let cut = end + 1 + one_blank(&line[end + 1..]);
    Some(Prefix::of(cut, Some(stamp)))
}

fn clock(line: &str) -> Option<Prefix<'_>> {
    time::clock(line.as_bytes())?;
    let end = 8 + time::fraction_len(&line.as_bytes()[8..]);
    let rest = &line[end..];
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    Some(Prefix::of(end + one_blank(rest), None))
}
