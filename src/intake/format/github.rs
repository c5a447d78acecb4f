//! GitHub Actions: `2022-05-20T13:15:39.4534411Z text`, with `##[group]` and `##[error]` markers.
//! The markers stay in the text; they also give the level.

use super::{Prefix, one_blank};
use crate::intake::time;

/// True when the line looks like a job log's: its clock always has seven digits, others have not.
pub(super) fn is_line(line: &str) -> bool {
    let digits = line.as_bytes().get(19..).map_or(0, time::fraction_len);
    digits == 8 && prefix(line).is_some()
}

pub(super) fn prefix(line: &str) -> Option<Prefix<'_>> {
    if !line.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let stamp = time::iso(line)?;
    let shape = line.as_bytes()[10] == b'T' && line[..stamp.len].ends_with('Z');
    let rest = &line[stamp.len..];
    if !shape || !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    let cut = stamp.len + one_blank(rest);
    let mut prefix = Prefix::of(cut, Some(stamp));
    prefix.level = level(&line[cut..]);
    Some(prefix)
}

fn level(text: &str) -> Option<&'static str> {
    let marker = text.strip_prefix("##[")?;
    if marker.starts_with("error]") {
        return Some("ERROR");
    }
    if marker.starts_with("warning]") {
        return Some("WARNING");
    }
    marker.starts_with("debug]").then_some("DEBUG")
}
