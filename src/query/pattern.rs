//! Wildcards and edit distances over one word.

/// True when the whole text matches the pattern: `*` any characters, `?` one, `\` takes the next
/// character as it is.
pub(super) fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let steps = steps(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut s, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match steps.get(s) {
            Some(Step::Many) => {
                retry = Some((s, t));
                s += 1;
            }
            Some(Step::One) => (s, t) = (s + 1, t + 1),
            Some(Step::Char(c)) if *c == text[t] => (s, t) = (s + 1, t + 1),
            _ => {
                let Some((star, from)) = retry else {
                    return false;
                };
                retry = Some((star, from + 1));
                (s, t) = (star + 1, from + 1);
            }
        }
    }
    steps[s..].iter().all(|step| matches!(step, Step::Many))
}

/// One step of a pattern.
pub(crate) enum Step {
    Many,
    One,
    Char(char),
}

/// The steps of a pattern in order.
pub(crate) fn steps(pattern: &str) -> Vec<Step> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Step::Many,
            '?' => Step::One,
            '\\' => Step::Char(chars.next().unwrap_or('\\')),
            c => Step::Char(c),
        });
    }
    out
}

/// True when `text` is at most `limit` edits away from `word`: an insertion, a deletion, a
/// substitution or a swap of neighbours is one edit each, and no part is edited twice (the
/// "optimal string alignment" distance that Lucene's automata accept).
pub(super) fn within_distance(word: &str, text: &str, limit: u8) -> bool {
    let limit = usize::from(limit);
    let (a, b): (Vec<char>, Vec<char>) = (word.chars().collect(), text.chars().collect());
    if a.len().abs_diff(b.len()) > limit {
        return false;
    }
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()] <= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("err*r", "error", true),
            ("*", "", true),
            ("?", "", false),
            ("*or*", "errors", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("gate-*-py?7", "gate-x-y-py27", true),
        ] {
            assert_eq!(
                wildcard_matches(pattern, text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn distances() {
        assert!(within_distance("error", "eror", 1));
        assert!(within_distance("error", "errro", 1));
        assert!(!within_distance("error", "e", 2));
        assert!(!within_distance("ca", "abc", 2));
    }
}
