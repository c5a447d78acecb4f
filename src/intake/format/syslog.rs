//! Syslog and the journal, as devstack writes them: `May  7 12:13:14 host program[pid]: text`.
//! The time has no year, so it is taken away without becoming a field.

use super::{Prefix, one_blank, oslo};
use crate::intake::time;

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

pub(super) fn prefix(line: &str) -> Option<Prefix<'_>> {
    let cut = stamp_len(line.as_bytes())?;
    let mut prefix = Prefix::of(cut, None);
    let Some((program, pid, end)) = program(line, cut) else {
        return Some(prefix);
    };
    prefix.program = Some(program);
    prefix.pid = pid;
    prefix.body = end + one_blank(&line[end..]);
    if let Some((level, module, body)) = oslo::level_and_module(&line[prefix.body..]) {
        prefix.level = Some(level);
        prefix.module = Some(module);
        prefix.body += body;
    }
    Some(prefix)
}

fn stamp_len(bytes: &[u8]) -> Option<usize> {
    let month = bytes.get(..3)?;
    let day = bytes.get(4..6)?;
    let good_day = matches!(day[0], b' ' | b'0'..=b'3') && day[1].is_ascii_digit();
    if !MONTHS.contains(&month) || bytes[3] != b' ' || !good_day || bytes.get(6) != Some(&b' ') {
        return None;
    }
    time::clock(&bytes[7..])?;
    let end = 15 + time::fraction_len(&bytes[15..]);
    (bytes.get(end) == Some(&b' ')).then_some(end + 1)
}

/// `host program[pid]:` from `from` on: the program, its pid, and where this ends.
fn program(line: &str, from: usize) -> Option<(&str, Option<&str>, usize)> {
    let host = line[from..].find(' ')?;
    let at = from + host + 1;
    let len = line[at..].find(' ').unwrap_or(line.len() - at);
    let word = line[at..at + len].strip_suffix(':')?;
    let end = at + len;
    match word.strip_suffix(']').and_then(|w| w.split_once('[')) {
        Some((name, pid)) => Some((name, Some(pid), end)),
        None => Some((word, None, end)),
    }
}
