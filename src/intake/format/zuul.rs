//! Zuul's `job-output.txt`: `2022-05-20 13:15:39.453441 | node | text`; headings of plays and tasks
//! have no node.

use super::{Prefix, console, one_blank};

pub(super) fn prefix(line: &str) -> Option<Prefix<'_>> {
    let mut prefix = console::prefix(line)?;
    let rest = &line[prefix.cut..];
    if let Some(len) = node_len(rest) {
        let after = len + 2;
        prefix.node = Some(&rest[..len]);
        prefix.cut += after + one_blank(&rest[after..]);
        prefix.body = prefix.cut;
    }
    Some(prefix)
}

/// Length of `node` or `node -> other` before ` |`. Words in capitals and numbers are no nodes:
/// they are cells of a table.
fn node_len(rest: &str) -> Option<usize> {
    let len = rest.find(" |")?;
    let after = &rest[len + 2..];
    if !after.is_empty() && !after.starts_with(' ') {
        return None;
    }
    let (from, to) = rest[..len]
        .split_once(" -> ")
        .unwrap_or((&rest[..len], "localhost"));
    (is_node(from) && is_node(to)).then_some(len)
}

fn is_node(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
}
