//! One line of a report: a build's name, address, result, details, time and whether it votes.

use super::tail::tail;

/// The results that CIs are known to say; other words in capitals count when an address stands
/// before them.
const KNOWN: &[&str] = &[
    "SUCCESS",
    "FAILURE",
    "ERROR",
    "RETRY",
    "RETRY_LIMIT",
    "SKIPPED",
    "ABORTED",
    "CANCELED",
    "CANCELLED",
    "MERGE_CONFLICT",
    "MERGE_FAILURE",
    "MERGER_FAILURE",
    "NODE_FAILURE",
    "TIMED_OUT",
    "TIMEOUT",
    "POST_FAILURE",
    "CONFIG_ERROR",
    "DISK_FULL",
    "NO_HANDLE",
    "UNSTABLE",
    "NOT_BUILT",
    "NOT_REGISTERED",
    "LOST",
    "UNKNOWN",
    "EXCEPTION",
    "FAIL",
    "FAILED",
    "PASSED",
    "NEUTRAL",
];

/// Longest name of a job that is taken for one, in bytes.
const LONGEST_NAME: usize = 256;
/// Most words in a name. Zuul allows blanks in names; a sentence is no name.
const MOST_WORDS: usize = 6;
/// How many ` : ` of a line are tried: names and addresses hardly have any.
const MOST_COLONS: usize = 4;

/// One build, as a line of a comment tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultLine {
    /// The job's name, where the line has one.
    pub name: Option<String>,
    /// The address of the build or its logs, as it is written.
    pub url: Option<String>,
    /// The result, in capitals.
    pub result: String,
    /// What stands between the result and the time.
    pub detail: Option<String>,
    /// How long the build took, in seconds.
    pub elapsed: Option<u64>,
    /// False when the line says that the result does not count.
    pub voting: bool,
}

/// What a line was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    /// The line of a build.
    Build(ResultLine),
    /// It has the marks of such a line and could not be read.
    Suspicious,
    /// Something else.
    Other,
}

/// Reads one line, or one that was put together again.
pub(super) fn read(line: &str) -> Read {
    let (marked, text) = without_mark(line.trim());
    let found = by_colon(text, marked)
        .or_else(|| by_address(text, marked))
        .or_else(|| by_name(text, marked));
    if let Some(found) = found {
        return Read::Build(found);
    }
    if suspicious(text, marked) {
        return Read::Suspicious;
    }
    Read::Other
}

/// True for a line that begins as the line of a build does, with a bullet.
pub(super) fn has_mark(line: &str) -> bool {
    without_mark(line.trim()).0
}

/// Takes bullets and emojis from the beginning; true when there was one.
fn without_mark(text: &str) -> (bool, &str) {
    let mut rest = text;
    // A bullet and an emoji may follow each other.
    for _ in 0..3 {
        let Some((first, after)) = rest.split_once(char::is_whitespace) else {
            break;
        };
        if !is_mark(first) {
            break;
        }
        rest = after.trim_start();
    }
    (rest.len() != text.len(), rest)
}

fn is_mark(word: &str) -> bool {
    if matches!(word, "-" | "*" | "+") {
        return true;
    }
    if let Some(number) = word.strip_suffix(['.', ')']) {
        return (1..=4).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    }
    let short_code = word.len() > 2
        && word.starts_with(':')
        && word.ends_with(':')
        && word[1..word.len() - 1]
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-+".contains(&b));
    let symbol = word.chars().count() <= 3
        && word
            .chars()
            .all(|c| !c.is_ascii() && !c.is_alphanumeric() && !c.is_whitespace());
    short_code || symbol
}

/// `NAME URL : RESULT …`, `URL : RESULT …`, `NAME NAME : RESULT …`.
fn by_colon(text: &str, marked: bool) -> Option<ResultLine> {
    for (at, _) in text.match_indices(" : ").take(MOST_COLONS) {
        let (left, right) = (text[..at].trim(), text[at + 3..].trim_start());
        let Some(who) = who(left, marked) else {
            continue;
        };
        if let Some(found) = outcome(who, right, marked) {
            return Some(found);
        }
    }
    None
}

/// `URL: RESULT`, `NAME URL RESULT`, `[NAME](URL) **RESULT** …`: an address, and a known result
/// directly behind it.
fn by_address(text: &str, marked: bool) -> Option<ResultLine> {
    let end = end_of_address(text)?;
    let left = text[..end].trim_end_matches(':');
    let right = text[end..].trim_start();
    let right = right.strip_prefix("->").unwrap_or(right);
    let right = right.trim_start_matches([':', '-', '=', '|']).trim_start();
    let found = outcome(who(left, marked)?, right, marked)?;
    KNOWN.contains(&found.result.as_str()).then_some(found)
}

/// `- NAME: RESULT`, with the address behind it or nowhere.
fn by_name(text: &str, marked: bool) -> Option<ResultLine> {
    let (name, right) = text.split_once(": ")?;
    if !marked || name.contains(char::is_whitespace) {
        return None;
    }
    let found = outcome(who(name, marked)?, right.trim_start(), marked)?;
    // With more behind it, it is a sentence.
    found.detail.is_none().then_some(found)
}

/// Where the first address of a text ends, a bracket that belongs to it included.
fn end_of_address(text: &str) -> Option<usize> {
    let scheme = text.find("://")?;
    let rest = &text[scheme..];
    let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
    Some(scheme + length)
}

/// Name and address, from what stands before the result.
#[derive(Debug, PartialEq, Eq)]
struct Who {
    name: Option<String>,
    url: Option<String>,
}

fn who(left: &str, marked: bool) -> Option<Who> {
    if let Some(who) = markdown_link(left) {
        return Some(who);
    }
    let (before, last) = match left.rsplit_once(char::is_whitespace) {
        Some((before, last)) => (before.trim(), last),
        None => ("", left),
    };
    if let Some(url) = address(last) {
        let name = plain(before);
        if name.is_empty() {
            return Some(Who {
                name: None,
                url: Some(url),
            });
        }
        return Some(Who {
            name: Some(job_name(name, marked)?),
            url: Some(url),
        });
    }
    let name = match last {
        "None" if !before.is_empty() => before,
        _ => once(left),
    };
    Some(Who {
        name: Some(job_name(plain(name), marked)?),
        url: None,
    })
}

/// Where there is no address, Zuul writes the name once more in its place.
fn once(text: &str) -> &str {
    let half = text.len() / 2;
    match (text.get(..half), text.get(half + 1..)) {
        (Some(one), Some(other)) if one == other && text.as_bytes()[half] == b' ' => one,
        _ => text,
    }
}

/// `[NAME](URL)`.
fn markdown_link(text: &str) -> Option<Who> {
    let inner = text.strip_prefix('[')?.strip_suffix(')')?;
    let (name, url) = inner.split_once("](")?;
    let url = (!url.trim().is_empty() && url != "None").then(|| url.trim().to_owned());
    let url = url.filter(|url| url != name);
    Some(Who {
        name: Some(job_name(plain(name), true)?),
        url,
    })
}

/// The address that a word is, its brackets taken off.
fn address(word: &str) -> Option<String> {
    let bare = word.trim_matches(['<', '>', '(', ')', '`', '*']);
    let bare = if word.starts_with('(') {
        bare
    } else {
        word.trim_matches(['<', '>', '`', '*'])
    };
    let Some((scheme, rest)) = bare.split_once("://") else {
        // Zuul without the address of its own pages names the build below them.
        return bare.starts_with("build/").then(|| bare.to_owned());
    };
    let good = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
        && !rest.is_empty();
    good.then(|| bare.to_owned())
}

fn plain(text: &str) -> &str {
    text.trim()
        .trim_end_matches(':')
        .trim_matches(['`', '*', '"'])
        .trim()
}

/// A name, if it can be one. Without a bullet before it, it must be one word.
fn job_name(name: &str, marked: bool) -> Option<String> {
    let words = name.split_whitespace().take(MOST_WORDS + 1).count();
    let most = if marked { MOST_WORDS } else { 1 };
    let good = (1..=most).contains(&words)
        && name.len() <= LONGEST_NAME
        && !name.contains("://")
        && !name.contains(": ")
        && name.starts_with(|c: char| c.is_alphanumeric() || "_.@%[({".contains(c));
    good.then(|| name.to_owned())
}

fn begins_known(word: &str) -> bool {
    KNOWN.iter().any(|known| known.starts_with(word))
}

/// The result and all that follows it.
fn outcome(who: Who, right: &str, marked: bool) -> Option<ResultLine> {
    let right = right.trim_start_matches(['*', '_', '`']);
    let length = right
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(right.len());
    let (word, rest) = right.split_at(length);
    let upper = word.to_ascii_uppercase();
    let known = KNOWN.contains(&upper.as_str());
    let shouted =
        word == upper && word.len() > 2 && word.starts_with(|c: char| c.is_ascii_alphabetic());
    let tail = tail(rest.trim_start_matches(['*', '_', '`']));
    let good = match (known, shouted) {
        (true, true) => true,
        // Written small, it may as well be the first word of somebody's sentence.
        (true, false) => tail.detail.is_none(),
        // A word that was cut off is no word of its own.
        (false, true) => who.url.is_some() && tail.detail.is_none() && !begins_known(&upper),
        (false, false) => false,
    };
    // One word and a colon begin many a sentence.
    let good = good && (marked || who.url.is_some() || tail.detail.is_none());
    let bounded = rest.is_empty() || !rest.starts_with(['/', '=', '@', '\'', '-']);
    if !(good && bounded) {
        return None;
    }
    // Some write the address behind the result.
    let behind = tail.detail.as_deref().and_then(lone_address);
    let (url, detail) = match (who.url, behind) {
        (None, Some(url)) => (Some(url), None),
        (url, _) => (url, tail.detail),
    };
    Some(ResultLine {
        name: who.name,
        url,
        result: upper,
        detail,
        elapsed: tail.elapsed,
        voting: tail.voting,
    })
}

/// The address that is all of a text.
fn lone_address(text: &str) -> Option<String> {
    let word = text.trim();
    let whole = word.contains("://") && !word.contains(char::is_whitespace);
    whole.then(|| address(word)).flatten()
}

/// An address and a colon behind it, or a known result behind a colon: it was meant as a result.
fn suspicious(text: &str, marked: bool) -> bool {
    let colon = text
        .find(" : ")
        .or_else(|| text.strip_suffix(" :").map(str::len));
    let Some(colon) = colon else {
        return false;
    };
    let (left, right) = (&text[..colon], &text[colon + 2..]);
    let word = right
        .trim_start()
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .next();
    let says_result = word.is_some_and(|word| KNOWN.contains(&word));
    let last = left.split_whitespace().next_back().unwrap_or_default();
    let lone = left.split_whitespace().count() <= 2;
    says_result || (address(last).is_some() && (marked || lone))
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
