//! Texts as lines: harmless, short enough, cut between words.

use unicode_segmentation::UnicodeSegmentation;

/// Stands where a line begins that goes on from the one before.
const HEAD: &str = "… ";
/// Stands where a line ends that goes on in the next one.
const TAIL: &str = " …";
/// Stands where the rest of a text was left out.
const LEFT_OUT: &str = " … (cut)";
/// The shortest line that still makes sense.
const LEAST: usize = 40;

/// The text as one line without anything that is not text: no codes of colour and form, no CTCP, no
/// line ends, no marks that turn the direction of writing.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\u{3}' => {
                // A colour: up to two digits, and perhaps a comma and two more.
                digits(&mut letters, 2, char::is_ascii_digit);
                let mut ahead = letters.clone();
                if ahead.next() == Some(',') && ahead.next().is_some_and(|c| c.is_ascii_digit()) {
                    letters.next();
                    digits(&mut letters, 2, char::is_ascii_digit);
                }
            }
            '\u{4}' => digits(&mut letters, 6, char::is_ascii_hexdigit),
            '\u{1}' | '\u{2}' | '\u{f}' | '\u{11}' | '\u{16}' | '\u{1d}'..='\u{1f}' => {}
            c if turns(c) => {}
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => out.push(' '),
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

/// Marks that change the direction of writing.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn digits(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    most: usize,
    which: impl Fn(&char) -> bool,
) {
    for _ in 0..most {
        if letters.next_if(&which).is_none() {
            return;
        }
    }
}

/// Cuts a clean text into at most `most` lines of at most `room` bytes, between words where that is
/// possible and never inside of a letter.
pub(super) fn cut(text: &str, room: usize, most: usize) -> Vec<String> {
    let (room, most) = (room.max(LEAST), most.max(1));
    let mut lines: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let head = if lines.is_empty() { "" } else { HEAD };
        if head.len() + rest.len() <= room {
            lines.push(format!("{head}{rest}"));
            break;
        }
        let last = lines.len() + 1 == most;
        let tail = if last { LEFT_OUT } else { TAIL };
        let at = place(rest, room - head.len() - tail.len());
        lines.push(format!("{head}{}{tail}", rest[..at].trim_end()));
        if last {
            break;
        }
        rest = rest[at..].trim_start();
    }
    lines
}

/// Where to cut a text that is longer than `room`: behind the last word that fits, else behind the
/// last letter that does.
fn place(text: &str, room: usize) -> usize {
    let mut fits = room;
    while !text.is_char_boundary(fits) {
        fits -= 1;
    }
    // A space right behind what fits ends a word too.
    let end = if text[fits..].starts_with(' ') {
        fits + 1
    } else {
        fits
    };
    match text[..end].rfind(' ') {
        Some(space) if !text[..space].trim().is_empty() => return space,
        _ => {}
    }
    let letters = text.grapheme_indices(true).map(|(at, _)| at);
    let whole = letters.take_while(|&at| at <= fits).last().unwrap_or(0);
    if whole > 0 { whole } else { fits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_and_controls_are_taken_out() {
        assert_eq!(clean("\u{1}VERSION\u{1}"), "VERSION");
        assert_eq!(
            clean("\u{2}bold\u{f} \u{3}04,12red\u{3} \u{3}7,x"),
            "bold red ,x"
        );
        assert_eq!(clean("\u{4}ff0000red"), "red");
        assert_eq!(clean("a\r\nQUIT :b\0c\u{9b}d"), "a  QUIT :b c d");
        assert_eq!(clean("\u{202e}evil"), "evil");
        assert_eq!(clean(" \r\n\u{1}\u{2} "), "");
    }

    #[test]
    fn long_texts_are_cut_between_words() {
        let text = "one two three four five six seven eight nine ten eleven";
        let lines = cut(text, 40, 9);
        assert_eq!(
            lines,
            [
                "one two three four five six seven …",
                "… eight nine ten eleven"
            ]
        );
        assert_eq!(cut("short", 40, 9), ["short"]);
        assert_eq!(cut("", 40, 9), [""; 0]);
        assert_eq!(cut(text, 40, 1), ["one two three four five six … (cut)"]);
    }

    #[test]
    fn a_word_longer_than_a_line_is_cut_between_letters() {
        // Each letter is an `e` with an accent of its own: three bytes that belong together.
        let text = "e\u{301}".repeat(40);
        let lines = cut(&text, 40, 99);
        for line in &lines {
            let inner = line.trim_start_matches("… ").trim_end_matches(" …");
            assert_eq!(inner.len() % 3, 0, "{line}");
        }
        assert_eq!(words(&lines), text);
    }

    /// What the lines say, without marks and spaces.
    fn words(lines: &[String]) -> String {
        let mut out = String::new();
        for (n, line) in lines.iter().enumerate() {
            let mut line = line.as_str();
            if n > 0 {
                line = line.strip_prefix("… ").unwrap();
            }
            if n + 1 < lines.len() {
                line = line.strip_suffix(" …").unwrap();
            }
            out.extend(line.split_whitespace());
        }
        out
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_and_nothing_is_lost(
            text in "([a-zäß€😀\u{301}]{0,60} ?){0,12}|.{0,300}",
            room in 40..120_usize,
        ) {
            let clean = clean(&text);
            let lines = cut(&clean, room, usize::MAX);
            for line in &lines {
                prop_assert!(line.len() <= room, "{} > {room}: {line}", line.len());
                prop_assert!(!line.contains(char::is_control));
            }
            let wanted: String = clean.split_whitespace().collect();
            prop_assert_eq!(words(&lines), wanted);
        }

        #[test]
        fn there_are_not_more_lines_than_allowed(text in ".{0,600}", most in 1..5_usize) {
            let lines = cut(&clean(&text), 60, most);
            prop_assert!(lines.len() <= most);
            prop_assert!(lines.iter().all(|line| line.len() <= 60));
        }

        #[test]
        fn clean_is_clean(text in any::<String>()) {
            let once = clean(&text);
            prop_assert!(!once.contains(char::is_control));
            prop_assert_eq!(clean(&once), once);
        }
    }
}
