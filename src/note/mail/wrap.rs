//! Plain text in columns.

/// Every line broken at words so that none is longer than `columns`, but for words that are longer
/// themselves, such as addresses.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        let (space, rest) = line.split_at(indent);
        hanging(rest, space, columns)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// One paragraph, its first line after `first` and the others as far to the right.
pub(super) fn hanging(text: &str, first: &str, columns: usize) -> String {
    let room = columns.saturating_sub(first.chars().count());
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let (has, needs) = (line.chars().count(), word.chars().count());
        if has == 0 {
            line.push_str(word);
        } else if has + 1 + needs <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    let next = " ".repeat(first.chars().count());
    let lines = lines.iter().enumerate().map(|(n, line)| {
        let before = if n == 0 { first } else { &next };
        format!("{before}{line}").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_words() {
        assert_eq!(wrapped("- one two three\nx", 9), "- one two\nthree\nx");
        assert_eq!(wrapped("  a b c d e", 6), "  a b\n  c d\n  e");
        assert_eq!(hanging("one two", "1. ", 7), "1. one\n   two");
        assert_eq!(
            wrapped("https://x.example/long", 9),
            "https://x.example/long"
        );
        assert_eq!(wrapped("", 9), "");
    }
}
