//! A log line by line without its secrets: lines stay lines, and what holds no secret stays to the byte.

use super::{Redacted, Redactor};
use regex::bytes::Regex;

/// Lines of a key at most.
const KEY_LINES: usize = 200;
/// Shortest long line of a key.
const KEY_LINE: usize = 40;
/// What stands in place of each line of a key.
const MARK: &str = "[redacted private key]";

/// What a line with a secret that everybody's rules know has in it. One pass over a line says that none
/// of the rules needs to look at it; `tests.rs` holds that it never says so wrongly.
const TRIGGER: &str = r#"(?i-u)private key|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox[a-z]-|xapp-|hooks\.slack|AKIA|ASIA|ABIA|ACCA|eyJ|gAAAAA|npm_|pypi-|AIza|[sr]k_(?:live|test)|sk-|SG\.|hv[sb]\.|do[opr]_v1|ya29\.|authorization|bearer|basic|://[^\s/]{1,320}@|[?&;][a-z_-]{0,20}(?:key|code|sig|auth)=|passw|passphrase|pwd|secret|(?:api|access|private|account|encryption|signing)[_ -]?key|credential|(?:token|auth|session|cookie|signature|nonce|csrf|otp|pass|pin|salt)[a-z0-9_-]{0,30}\\?["']?\s{0,3}[=:]|token[ =]|\s(?:-u|--user|--proxy-user)[ ="'a-z]|sshpass|mysql[a-z]{0,10}\s|\$(?:1|2[abxy]?|5|6|y|argon2id?)\$|\{(?:S?SHA|SMD5|CRYPT)"#;

/// The expression that finds lines that may hold a secret.
pub(super) fn trigger() -> Option<Regex> {
    Regex::new(TRIGGER).ok()
}

/// Takes secrets out of one line after the other. A key of many lines is known from its first one on.
#[derive(Debug)]
pub struct LineRedactor<'r> {
    redactor: &'r Redactor,
    /// Lines of a key that may still come.
    key: usize,
    /// The line before was a long one of a key.
    long: bool,
}

impl<'r> LineRedactor<'r> {
    /// Before the first line.
    pub fn new(redactor: &'r Redactor) -> Self {
        Self {
            redactor,
            key: 0,
            long: false,
        }
    }

    /// The next line without its secrets; none where it has none.
    pub fn line(&mut self, line: &[u8]) -> Option<String> {
        if self.key > 0 && self.in_key(line) {
            return Some(MARK.to_owned());
        }
        if !self.redactor.may_hold(line) {
            return None;
        }
        let text = String::from_utf8_lossy(line);
        if begins_key(&text) {
            // The first line of a key is a long one; who only speaks of a key goes on otherwise.
            (self.key, self.long) = (KEY_LINES, false);
        }
        let Redacted { text, cuts } = self.redactor.redact(&text);
        (!cuts.is_empty()).then_some(text)
    }

    /// True for a line of the key that has begun; the first one that is none ends it.
    fn in_key(&mut self, line: &[u8]) -> bool {
        let text = String::from_utf8_lossy(line);
        if ends_key(&text) {
            self.key = 0;
            return true;
        }
        let part = key_part(&text, self.long);
        self.long = part == Some(true);
        self.key = if part.is_some() { self.key - 1 } else { 0 };
        part.is_some()
    }
}

impl Redactor {
    /// Lines that follow each other without their secrets, as many as before. The first ones may be of
    /// a key that began earlier.
    pub fn lines(&self, lines: Vec<String>) -> Vec<String> {
        let inside = lines_of_a_key(&lines);
        let mut one = LineRedactor::new(self);
        let clean = |(n, line): (usize, String)| {
            if n < inside {
                return MARK.to_owned();
            }
            one.line(line.as_bytes()).unwrap_or(line)
        };
        lines.into_iter().enumerate().map(clean).collect()
    }

    fn may_hold(&self, line: &[u8]) -> bool {
        self.own > 0 || self.trigger.as_ref().is_none_or(|t| t.is_match(line))
    }
}

/// How many of the first lines are of a key whose beginning is not there.
fn lines_of_a_key(lines: &[String]) -> usize {
    let first = lines.iter().take(KEY_LINES);
    let mut long = true;
    for (n, line) in first.enumerate() {
        if ends_key(line) && !begins_key(line) && !line.contains("-----BEGIN") {
            return n + 1;
        }
        match key_part(line, long) {
            Some(is_long) => long = is_long,
            None => return 0,
        }
    }
    0
}

/// True where a key begins that does not end in the same line.
fn begins_key(line: &str) -> bool {
    let begun = line.rfind("-----BEGIN ").map(|at| &line[at..]);
    begun.is_some_and(|rest| rest.contains("PRIVATE KEY") && !rest.contains("-----END "))
}

fn ends_key(line: &str) -> bool {
    line.contains("-----END ") && line.contains("PRIVATE KEY")
}

/// Whether a line may stand within a key, and is a long one: its last word is of base64's letters. What
/// stands before it is the time and place of who logged it.
fn key_part(line: &str, after_long: bool) -> Option<bool> {
    let Some(word) = line.split_whitespace().next_back() else {
        return after_long.then_some(true);
    };
    let header = line.contains("Proc-Type:") || line.contains("DEK-Info:");
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=|".contains(&b);
    if header || !word.bytes().all(base64) {
        return header.then_some(true);
    }
    if word.len() >= KEY_LINE {
        return Some(true);
    }
    after_long.then_some(false)
}
