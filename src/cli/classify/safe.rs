//! Log text is hostile: what may reach a terminal or a page.

use crate::event::is_deceptive;

/// The text without control characters but line ends and tabs, and without those that turn the
/// direction of what follows.
pub(super) fn safe(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if is_deceptive(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// The same on one line.
pub(super) fn one_line(text: &str) -> String {
    safe(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_text() {
        assert_eq!(
            safe("a\u{1b}[31m\u{202e}\r\tb\n"),
            "a\u{fffd}[31m\u{fffd}\u{fffd}\tb\n"
        );
        assert_eq!(one_line("a\nb"), "a b");
    }
}
