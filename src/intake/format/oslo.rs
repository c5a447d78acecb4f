//! Service logs as the oslo library writes them: `2014-05-07 12:13:14.123 PID LEVEL module [req-…] text`.
//!
//! Time and pid are taken away. Level and module stay in the text, besides being fields: real
//! fingerprints ask for `TRACE nova.api.openstack` in a joined block.

use super::{Prefix, one_blank};
use crate::intake::time;

const LEVELS: [&str; 9] = [
    "AUDIT", "CRITICAL", "DEBUG", "INFO", "TRACE", "WARNING", "WARN", "ERROR", "NOTICE",
];

pub(super) fn prefix(line: &str) -> Option<Prefix<'_>> {
    if !line.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let stamp = time::iso(line)?;
    let mut at = skip_blanks(line, stamp.len)?;
    let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
    let pid = &line[at..at + digits];
    if digits > 0 {
        at = skip_blanks(line, at + digits)?;
    }
    let level = level(&line[at..])?;
    let mut prefix = Prefix::of(at, Some(stamp));
    prefix.pid = (digits > 0).then_some(pid);
    prefix.level = Some(level);
    let (module, body) = module(line, at + level.len())?;
    prefix.module = Some(module);
    prefix.body = skip_request(line, body);
    Some(prefix)
}

/// Level and module of a text such as `ERROR nova.api [req-…] text`, and where the text begins.
pub(super) fn level_and_module(text: &str) -> Option<(&str, &str, usize)> {
    let level = level(text)?;
    let (module, body) = module(text, level.len())?;
    Some((level, module, skip_request(text, body)))
}

fn skip_blanks(line: &str, from: usize) -> Option<usize> {
    let blanks = line[from..].bytes().take_while(|b| *b == b' ').count();
    (blanks > 0).then_some(from + blanks)
}

/// All before the first blank.
fn first_word(text: &str) -> &str {
    let end = memchr::memchr(b' ', text.as_bytes());
    &text[..end.unwrap_or(text.len())]
}

fn level(text: &str) -> Option<&str> {
    let word = first_word(text);
    LEVELS.contains(&word).then_some(word)
}

fn module(line: &str, from: usize) -> Option<(&str, usize)> {
    let at = skip_blanks(line, from)?;
    let word = first_word(&line[at..]);
    let name = word.trim_start_matches('[').trim_end_matches([']', ':']);
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let end = at + word.len();
    good.then(|| (name, end + one_blank(&line[end..])))
}

/// A request id in brackets stands before the text.
fn skip_request(line: &str, from: usize) -> usize {
    let rest = &line[from..];
    if !["[-", "[req-", "[None"]
        .iter()
        .any(|open| rest.starts_with(open))
    {
        return from;
    }
    rest.find(']').map_or(from, |end| {
        let after = from + end + 1;
        after + one_blank(&line[after..])
    })
}
