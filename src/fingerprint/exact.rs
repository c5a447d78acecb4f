//! Conditions on one field that no event can meet, with what was probably meant.

use super::examples::field_of;
use super::yaml::edits;
use crate::query::{FieldKind, Kind, Node, Schema};

/// Why a condition can never hold.
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The condition that was probably meant.
    pub(super) better: String,
}

/// Fields that events and builds are known to have.
const KNOWN: [&str; 27] = [
    "message",
    "@timestamp",
    "voting",
    "tags",
    "filename",
    "project",
    "build_name",
    "build_status",
    "build_queue",
    "build_branch",
    "build_change",
    "build_patchset",
    "build_uuid",
    "build_short_uuid",
    "build_newrev",
    "build_node",
    "build_master",
    "build_ref",
    "build_zuul_url",
    "node_provider",
    "loglevel",
    "module",
    "log_url",
    "syslog_program",
    "syslog_host",
    "host",
    "pid",
];

/// Endings that the name of a log loses before it becomes a tag.
const COMPRESSED: [&str; 5] = [".gz", ".zst", ".xz", ".bz2", ".lzma"];

/// What is wrong with a condition; `None` when an event may well meet it.
pub(super) fn problem(schema: &Schema, node: &Node) -> Option<Problem> {
    let field = field_of(&node.kind)?;
    if let Some(known) = misspelt(field) {
        return misnamed(node, field, known);
    }
    match schema.kind(field) {
        FieldKind::Keyword => keyword(field, &node.kind),
        FieldKind::Text => word(field, &node.kind),
        _ => None,
    }
}

/// The known field that a name was most likely meant to be.
fn misspelt(field: &str) -> Option<&'static str> {
    if KNOWN.contains(&field) || field.len() < 3 {
        return None;
    }
    let same = KNOWN.iter().find(|name| name.eq_ignore_ascii_case(field));
    let most = if field.len() < 6 { 1 } else { 2 };
    let near = || {
        KNOWN
            .iter()
            .find(|name| name.len() > 3 && edits(field, name) <= most)
    };
    same.or_else(near).copied()
}

fn misnamed(node: &Node, field: &str, known: &str) -> Option<Problem> {
    let better = match &node.kind {
        Kind::Term { value, .. } => quoted(known, value),
        Kind::Wildcard { pattern, .. } => format!("{known}:{pattern}"),
        Kind::Regex { pattern, .. } => format!("{known}:/{pattern}/"),
        Kind::Exists(_) => format!("_exists_:{known}"),
        _ => return None,
    };
    let message = if known.eq_ignore_ascii_case(field) {
        format!("no event has a field `{field}`: names of fields are case-sensitive")
    } else {
        format!("no event is known to have a field `{field}`; `{known}` is one")
    };
    let code = "never-matches-keyword";
    Some(Problem {
        code,
        message,
        better,
    })
}

/// Values that no event has in a field that is compared exactly.
fn keyword(field: &str, leaf: &Kind) -> Option<Problem> {
    let (value, wild) = match leaf {
        Kind::Term { value, .. } => (value, false),
        Kind::Wildcard { pattern, .. } => (pattern, true),
        _ => return None,
    };
    let shown = |better: &str| {
        if wild {
            format!("{field}:{better}")
        } else {
            quoted(field, better)
        }
    };
    let (message, better) = if !wild && value.contains(['*', '?']) {
        let message = format!(
            "`{field}` is compared exactly, and in quotes `*` and `?` are ordinary characters"
        );
        (message, format!("{field}:{}", wildcard(value)))
    } else if let Some(better) = other_case(field, value) {
        let message = format!("`{field}` is compared exactly, capital letters included");
        (message, shown(&better))
    } else if value.trim() != value {
        let message = format!("`{field}` is compared exactly, blanks included");
        (message, shown(value.trim().trim_end_matches('\\')))
    } else {
        let better = tag(field, value)?;
        let message = "a tag is the log's base name, without folders and without the suffix of \
                       its compression";
        (message.to_owned(), shown(better))
    };
    let code = "never-matches-keyword";
    Some(Problem {
        code,
        message,
        better,
    })
}

/// The base name that a tag with folders or `.gz` was meant to be.
fn tag<'v>(field: &str, value: &'v str) -> Option<&'v str> {
    let base = value.rsplit('/').next().filter(|base| !base.is_empty())?;
    let plain = COMPRESSED.iter().find_map(|end| base.strip_suffix(end));
    let better = plain.unwrap_or(base);
    (field == "tags" && better != value && !better.is_empty()).then_some(better)
}

/// Wildcards and expressions over one word that ask for a character that no word has.
fn word(field: &str, leaf: &Kind) -> Option<Problem> {
    let (Kind::Wildcard { pattern, .. } | Kind::Fuzzy { value: pattern, .. }) = leaf else {
        return None;
    };
    let never = |c: &char| c.is_whitespace() || "-/()[]{}<>=+\"#$%&@!|^~`".contains(*c);
    let found = pattern.chars().find(never)?;
    let message = format!(
        "`{field}` is cut into words, `*`, `?` and `~` are about one word, and no word has `{found}` in it"
    );
    let plain: String = pattern.chars().filter(|c| !"*?\\".contains(*c)).collect();
    let code = "never-matches-word";
    let better = quoted(field, plain.trim());
    Some(Problem {
        code,
        message,
        better,
    })
}

/// A condition on exactly this text.
pub(super) fn quoted(field: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{field}:\"{value}\"")
}

/// A value with `*` and `?` at work and every other special character as itself.
fn wildcard(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let plain = c.is_alphanumeric() || "*?_.,'".contains(c) || (c == '-' && at > 0);
        if !plain {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The value in the case in which the field has it, where that is known and differs.
fn other_case(field: &str, value: &str) -> Option<String> {
    let lower = value.to_lowercase();
    let begins = |starts: &[&str]| starts.iter().any(|start| lower.starts_with(start));
    let better = match field {
        "build_status" | "loglevel" => value.to_uppercase(),
        "build_queue" => lower,
        "tags" | "filename"
            if begins(&["console", "screen-", "job-output", "syslog"])
                && !lower.starts_with("consoletext") =>
        {
            lower
        }
        "build_name" if begins(&["gate-", "check-", "periodic-", "experimental-"]) => {
            let prefix = lower.find('-').map_or(0, |at| at + 1);
            let (Some(start), Some(rest)) = (lower.get(..prefix), value.get(prefix..)) else {
                return None;
            };
            format!("{start}{rest}")
        }
        _ => return None,
    };
    (better != value).then_some(better)
}
