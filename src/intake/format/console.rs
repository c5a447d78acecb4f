//! The older console of Zuul's users: `2014-05-07 12:13:14.123 | text`.

use super::{Prefix, one_blank};
use crate::intake::time;

pub(super) fn prefix(line: &str) -> Option<Prefix<'_>> {
    if !line.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let stamp = time::iso(line)?;
    let rest = &line[stamp.len..];
    let bar = rest.find(|c| c != ' ')?;
    if !rest[bar..].starts_with('|') {
        return None;
    }
    let cut = stamp.len + bar + 1;
    Some(Prefix::of(cut + one_blank(&line[cut..]), Some(stamp)))
}
