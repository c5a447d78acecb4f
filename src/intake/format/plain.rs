//! Text without a known prefix: test runners (pytest, Maven, subunit as text), compilers, anything.
//! A date at the beginning gives the event its time and stays in the text.

use super::Prefix;
use crate::intake::time;

pub(super) fn prefix(line: &str) -> Option<Prefix<'_>> {
    if !line.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let stamp = time::iso(line)?;
    Some(Prefix::of(0, Some(stamp)))
}
