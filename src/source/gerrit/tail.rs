//! What stands behind the result of a build: details, time, and the mark of a job that does not vote.

/// What follows a result: details, time, and the mark of a job that does not vote.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) detail: Option<String>,
    pub(super) elapsed: Option<u64>,
    pub(super) voting: bool,
}

/// Reads it from its end: Zuul writes details, time, mark in this order, and details may say anything.
pub(super) fn tail(text: &str) -> Tail {
    let (rest, noted) = without_notes(text.trim());
    let (before, elapsed) = match elapsed(rest) {
        Some((before, seconds)) => (before, Some(seconds)),
        None => (rest, None),
    };
    // Some write the mark before the time.
    let (before, noted_before) = without_notes(before);
    let voting = !(noted || noted_before);
    let detail = before.trim().trim_matches(['.', ',', ';']).trim();
    Tail {
        detail: (!detail.is_empty()).then(|| before.trim().to_owned()),
        elapsed,
        voting,
    }
}

fn without_notes(text: &str) -> (&str, bool) {
    let mut rest = text;
    while let Some(before) = without_note(rest) {
        rest = before;
    }
    (rest, rest.len() != text.len())
}

/// Takes `(non-voting)`, or the `(skipped)` of a Gerrit Trigger job whose vote is left out, from the end.
fn without_note(text: &str) -> Option<&str> {
    let inner = text.strip_suffix([')', ']'])?;
    let at = inner.rfind(['(', '['])?;
    let word = inner[at + 1..].trim();
    let says = [
        "non-voting",
        "non voting",
        "nonvoting",
        "not voting",
        "skipped",
    ];
    says.iter()
        .any(|said| word.eq_ignore_ascii_case(said))
        .then(|| inner[..at].trim_end())
}

/// Takes ` in 1h 02m 03s` from the end.
fn elapsed(text: &str) -> Option<(&str, u64)> {
    let mut seconds: u64 = 0;
    let mut rest = text.trim_end();
    let mut unit: Option<u64> = None;
    for _ in 0..9 {
        let (before, word) = match rest.rsplit_once(char::is_whitespace) {
            Some((before, word)) => (before.trim_end(), word),
            None => ("", rest),
        };
        if word == "in" && unit.is_none() && rest.len() != text.trim_end().len() {
            return Some((before, seconds));
        }
        let (number, letters) = word.split_at(
            word.find(|c: char| !c.is_ascii_digit())
                .unwrap_or(word.len()),
        );
        let letters = letters.trim_end_matches([',', '.']);
        match (number.parse::<u64>().ok(), scale(letters), unit.take()) {
            (Some(n), Some(scale), None) => {
                seconds = seconds.saturating_add(n.saturating_mul(scale));
            }
            (Some(n), None, Some(scale)) if letters.is_empty() => {
                seconds = seconds.saturating_add(n.saturating_mul(scale));
            }
            (None, Some(scale), None) if number.is_empty() => unit = Some(scale),
            _ => return None,
        }
        rest = before;
    }
    None
}

fn scale(letters: &str) -> Option<u64> {
    Some(match letters {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "ms" => 0,
        _ => return None,
    })
}
