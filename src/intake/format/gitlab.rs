//! GitLab job logs: section markers and, on newer runners, `2024-05-07T12:13:14.123456Z 00O text`.

use super::{Prefix, github, plain};

/// True when the line holds a section marker.
pub(super) fn is_marker(line: &[u8]) -> bool {
    let at = line.iter().position(|b| *b == b's').unwrap_or(line.len());
    // The newer runners' time stands before the marker, colours too.
    if at > 48 {
        return false;
    }
    [b"section_start:".as_slice(), b"section_end:"]
        .iter()
        .any(|marker| line[at..].strip_prefix(*marker).is_some_and(has_time))
}

fn has_time(rest: &[u8]) -> bool {
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && rest.get(digits) == Some(&b':')
}

pub(super) fn prefix(line: &str) -> Option<Prefix<'_>> {
    let Some(mut prefix) = github::prefix(line) else {
        return plain::prefix(line);
    };
    prefix.level = None;
    let mut cut = prefix.cut + stream_len(&line.as_bytes()[prefix.cut..]);
    cut += marker_len(&line[cut..]);
    prefix.cut = cut;
    prefix.body = cut;
    Some(prefix)
}

/// Length of the section markers after the time, each hidden by a carriage return, which is a line
/// end by now.
fn marker_len(text: &str) -> usize {
    let is_section = |rest: &str| {
        let word = rest.split([' ', '\n']).next().unwrap_or_default();
        rest.starts_with("section_") && is_marker(word.as_bytes())
    };
    let mut len = 0;
    while is_section(&text[len..]) {
        let rest = &text[len..];
        len += rest.find('\n').map_or(rest.len(), |end| end + 1);
    }
    len
}

/// Length of `00O ` (stream number, output or error, blank or `+` for "goes on").
fn stream_len(bytes: &[u8]) -> usize {
    match bytes {
        [a, b, b'O' | b'E', b' ' | b'+', ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => 4,
        [a, b, b'O' | b'E'] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => 3,
        _ => 0,
    }
}
