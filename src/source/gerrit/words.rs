//! What a line of a comment is to Gerrit, and to a reader that goes from line to line.

use super::line;

/// What follows `Patch Set 3:` in the first line, without the votes.
pub(super) fn without_prefix(line: &str) -> &str {
    let rest = ["Patch Set ", "Patchset "]
        .iter()
        .find_map(|begins| line.strip_prefix(begins));
    let Some((number, rest)) = rest.and_then(|rest| rest.split_once(':')) else {
        return line;
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return line;
    }
    let mut rest = rest.trim_start();
    loop {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if !is_vote(word) {
            return rest;
        }
        rest = after.trim_start();
    }
}

/// `Verified-1`, `Code-Review+2`, or `-Verified` where a vote was taken back.
fn is_vote(word: &str) -> bool {
    let label = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let digits = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let given = digits.len() < word.len() && digits.strip_suffix(['+', '-']).is_some_and(label);
    given || word.strip_prefix('-').is_some_and(label)
}

pub(super) fn is_quote(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

/// `(2 comments)`: Gerrit's own words.
pub(super) fn is_note(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('(') && (line.ends_with(" comment)") || line.ends_with(" comments)"))
}

/// The address that is all of a line.
pub(super) fn lone_address(line: &str) -> Option<String> {
    let word = line.trim().trim_matches(['(', ')', '<', '>']);
    let good = word.contains("://") && !word.contains(char::is_whitespace);
    good.then(|| word.to_owned())
}

/// A bullet with a name or an address behind it.
pub(super) fn may_be_broken(line: &str) -> bool {
    let short = line.split_whitespace().take(3).count() <= 2;
    line::has_mark(line) && (short || line.contains("://"))
}

/// A line of a build that ends before its result.
pub(super) fn is_cut_off(line: &str) -> bool {
    line::has_mark(line) && (line.contains("://") || line.trim_end().ends_with(" :"))
}
