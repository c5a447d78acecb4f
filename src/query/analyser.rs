//! The standard analyser: words as Lucene's `StandardTokenizer` cuts them (Unicode Standard Annex
//! 29, rules WB1–WB17, with its own types for Han, Hiragana, South-East Asian text and emoji), cut
//! at 255 UTF-16 units, in lower case, with positions.

use super::tables::{is_pictograph, unknown_to_lucene};
use icu_properties::CodePointMapData;
use icu_properties::props::{LineBreak, Script, WordBreak};
use std::borrow::Cow;

/// The longest word in UTF-16 units; longer ones are cut into pieces of this length.
const MAX_UNITS: usize = 255;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word in lower case.
    pub text: Cow<'a, str>,
    /// Byte offset of its first character.
    pub start: usize,
    /// Byte offset behind its last character.
    pub end: usize,
    /// Its number in the text, from 0.
    pub position: u32,
}

/// The words of a text in order.
pub fn analyse(text: &str) -> Words<'_> {
    Words {
        text,
        at: 0,
        position: 0,
    }
}

/// Iterator over the words of a text; see [`analyse`].
#[derive(Debug, Clone)]
pub struct Words<'a> {
    text: &'a str,
    at: usize,
    position: u32,
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let length = match ascii_word(rest.as_bytes()) {
                Ascii::Word(length) => length,
                Ascii::Nothing(length) => {
                    self.at += length;
                    continue;
                }
                Ascii::Unclear => word_length(rest),
            };
            let start = self.at;
            if length == 0 {
                self.at += nothing_length(rest);
                continue;
            }
            self.at += length;
            let position = self.position;
            self.position += 1;
            let text = lowered(&rest[..length]);
            return Some(Word {
                text,
                start,
                end: self.at,
                position,
            });
        }
        None
    }
}

fn lowered(word: &str) -> Cow<'_, str> {
    if word.is_ascii() {
        return if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(word.to_ascii_lowercase())
        } else {
            Cow::Borrowed(word)
        };
    }
    let lower = |c: char| lower_char(c) == c;
    if word.chars().all(lower) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(lower_case(word))
    }
}

/// Lower case, character by character as Java's `Character.toLowerCase` does it (one character
/// each, no context: `İ` becomes `i`, a final sigma stays `σ`).
pub fn lower_case(text: &str) -> String {
    text.chars().map(lower_char).collect()
}

fn lower_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    c.to_lowercase().next().unwrap_or(c)
}

/// What a character does in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Hebrew,
    Numeric,
    Katakana,
    ExtendNumLet,
    MidLetter,
    MidNum,
    MidNumLet,
    SingleQuote,
    DoubleQuote,
    /// Joins the character before it.
    Extend,
    Han,
    Hiragana,
    SouthEastAsian,
    Flag,
    Emoji,
    Other,
}

fn class(c: char) -> Class {
    if c.is_ascii() {
        return ascii_class(c);
    }
    if unknown_to_lucene(c) {
        return Class::Other;
    }
    if CodePointMapData::<LineBreak>::new().get(c) == LineBreak::ComplexContext {
        return Class::SouthEastAsian;
    }
    let word_break = CodePointMapData::<WordBreak>::new().get(c);
    match word_break {
        WordBreak::ALetter => Class::Letter,
        WordBreak::HebrewLetter => Class::Hebrew,
        WordBreak::Numeric => Class::Numeric,
        WordBreak::Katakana => Class::Katakana,
        WordBreak::ExtendNumLet => Class::ExtendNumLet,
        WordBreak::MidLetter => Class::MidLetter,
        WordBreak::MidNum => Class::MidNum,
        WordBreak::MidNumLet => Class::MidNumLet,
        WordBreak::Extend | WordBreak::Format | WordBreak::ZWJ => Class::Extend,
        WordBreak::RegionalIndicator => Class::Flag,
        _ => script_class(c),
    }
}

fn script_class(c: char) -> Class {
    // Full-width digits count as digits for the tokenizer, though not for the annex.
    if ('\u{ff10}'..='\u{ff19}').contains(&c) {
        return Class::Numeric;
    }
    match CodePointMapData::<Script>::new().get(c) {
        Script::Han => Class::Han,
        Script::Hiragana => Class::Hiragana,
        _ if is_pictograph(c) => Class::Emoji,
        _ => Class::Other,
    }
}

fn ascii_class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        '0'..='9' => Class::Numeric,
        '_' => Class::ExtendNumLet,
        ':' => Class::MidLetter,
        '.' => Class::MidNumLet,
        ',' | ';' => Class::MidNum,
        '\'' => Class::SingleQuote,
        '"' => Class::DoubleQuote,
        _ => Class::Other,
    }
}

/// What a text begins with, as far as ASCII alone says it.
#[derive(Debug, PartialEq, Eq)]
enum Ascii {
    /// A word of so many bytes.
    Word(usize),
    /// So many bytes that are no word and begin none.
    Nothing(usize),
    /// Another character, or the greatest length of a word, has a say in it.
    Unclear,
}

/// The rules of [`joined_length`] for bytes: nearly all words of logs are ASCII.
fn ascii_word(text: &[u8]) -> Ascii {
    // What stands behind the text ends a word, as a blank does.
    let at = |place: usize| text.get(place).copied().unwrap_or(b' ');
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !word(at(0)) {
        // A keycap begins with one of these.
        let alone = !matches!(at(0), b'#' | b'*') && at(0).is_ascii();
        return if alone {
            Ascii::Nothing(1)
        } else {
            Ascii::Unclear
        };
    }
    let mut end = 0;
    loop {
        // No further: of a run of a million bytes each would be looked at once for each word.
        while end <= MAX_UNITS && word(at(end)) {
            end += 1;
        }
        if end > MAX_UNITS || !at(end).is_ascii() {
            return Ascii::Unclear;
        }
        let (before, after) = (at(end - 1), at(end + 1));
        let bridged = match at(end) {
            b':' => before.is_ascii_alphabetic(),
            b'.' | b'\'' => before.is_ascii_alphanumeric(),
            b',' | b';' => before.is_ascii_digit(),
            _ => false,
        };
        if !bridged {
            break;
        }
        if !after.is_ascii() {
            return Ascii::Unclear;
        }
        let same = before.is_ascii_digit() == after.is_ascii_digit();
        if !after.is_ascii_alphanumeric() || !same {
            break;
        }
        end += 2;
    }
    if end > MAX_UNITS {
        return Ascii::Unclear;
    }
    // Runs of `_` alone are no words.
    let seen = text[..end].iter().any(|byte| *byte != b'_');
    if seen {
        Ascii::Word(end)
    } else {
        Ascii::Nothing(end)
    }
}

/// A character with everything that joins it (rule WB4).
struct Unit {
    class: Class,
    end: usize,
}

/// The window in which a word may grow: at most [`MAX_UNITS`] UTF-16 units, never half a pair.
fn window(text: &str) -> &str {
    let mut units = 0;
    for (at, c) in text.char_indices() {
        units += c.len_utf16();
        if units > MAX_UNITS {
            return &text[..at];
        }
    }
    text
}

fn unit(text: &str, at: usize) -> Option<Unit> {
    let mut chars = text[at..].chars();
    let first = chars.next()?;
    let mut end = at + first.len_utf8();
    for c in chars {
        if c.is_ascii() || class(c) != Class::Extend {
            break;
        }
        end += c.len_utf8();
    }
    Some(Unit {
        class: class(first),
        end,
    })
}

/// Length of the word that begins the text, or 0.
fn word_length(text: &str) -> usize {
    let Some(first) = text.chars().next() else {
        return 0;
    };
    if class(first) == Class::Other && !matches!(first, '#' | '*') {
        return 0;
    }
    let text = window(text);
    let emoji = emoji_length(text);
    let Some(start) = unit(text, 0) else { return 0 };
    let plain = match start.class {
        Class::Han | Class::Hiragana => start.end,
        Class::SouthEastAsian => run_length(text, Class::SouthEastAsian),
        Class::Letter | Class::Hebrew | Class::Numeric | Class::Katakana | Class::ExtendNumLet => {
            joined_length(text)
        }
        _ => 0,
    };
    plain.max(emoji)
}

/// Bytes to be skipped of a text that begins with no word: one character, or as many of a run of idle ones as surely
/// begin none. Looking at each by itself costs a whole window for each.
fn nothing_length(text: &str) -> usize {
    let one = text.chars().next().map_or(1, char::len_utf8);
    let length = |of: fn(char) -> bool| -> usize {
        let run = text.chars().take_while(|c| of(*c));
        run.map(char::len_utf8).sum()
    };
    // What joins begins a word before a pictograph only.
    let joining = length(|c| is_idle(c) && class(c) == Class::Extend);
    let after = |run: usize| text[run..].chars().next();
    if joining > 0 && !after(joining).is_some_and(is_pictograph) {
        return joining;
    }
    let run = length(is_idle);
    let may_join =
        |c: char| is_pictograph(c) || matches!(joins(Class::ExtendNumLet, class(c)), Join::Yes);
    if run > 0 && !after(run).is_some_and(may_join) {
        return run;
    }
    // All but the last window of the run, from which its end is not to be seen.
    let mut units = 0;
    let seen = text[..run].char_indices().rev().find(|(_, c)| {
        units += c.len_utf16();
        units >= MAX_UNITS
    });
    seen.map_or(one, |(at, c)| at + c.len_utf8())
}

/// True for characters that join others, and of which any number makes no word.
fn is_idle(c: char) -> bool {
    let joins = || matches!(class(c), Class::ExtendNumLet | Class::Extend);
    c == '_' || !c.is_ascii() && joins() && !is_pictograph(c)
}

fn run_length(text: &str, wanted: Class) -> usize {
    let mut end = 0;
    while let Some(next) = unit(text, end).filter(|u| u.class == wanted) {
        end = next.end;
    }
    end
}

/// Letters, digits, Katakana and what joins them (rules WB5 to WB13b).
fn joined_length(text: &str) -> usize {
    let mut end = 0;
    let mut accepted = 0;
    let mut seen = false;
    let mut before = Class::ExtendNumLet;
    while let Some(next) = unit(text, end) {
        let step = joins(before, next.class);
        match step {
            Join::No => break,
            Join::Yes => {}
            Join::IfFollowed => match unit(text, next.end) {
                Some(after) if bridges(before, next.class, after.class) => {
                    end = after.end;
                    accepted = end;
                    before = after.class;
                    continue;
                }
                // WB7a: a single quote joins the Hebrew letter before it, whatever follows.
                _ if before == Class::Hebrew && next.class == Class::SingleQuote => {}
                _ => break,
            },
        }
        end = next.end;
        seen |= next.class != Class::ExtendNumLet;
        if seen {
            accepted = end;
        }
        before = next.class;
    }
    accepted
}

enum Join {
    Yes,
    No,
    IfFollowed,
}

fn joins(before: Class, next: Class) -> Join {
    use Class as C;
    let letter = |c| matches!(c, C::Letter | C::Hebrew);
    match (before, next) {
        (_, C::ExtendNumLet) => Join::Yes,
        (C::ExtendNumLet | C::SingleQuote, n) if letter(n) || n == C::Numeric => Join::Yes,
        (C::ExtendNumLet | C::Katakana, C::Katakana) => Join::Yes,
        (b, n) if (letter(b) || b == C::Numeric) && (letter(n) || n == C::Numeric) => Join::Yes,
        (b, C::MidLetter | C::MidNumLet | C::SingleQuote) if letter(b) => Join::IfFollowed,
        (C::Hebrew, C::DoubleQuote) | (C::Numeric, C::MidNum | C::MidNumLet | C::SingleQuote) => {
            Join::IfFollowed
        }
        _ => Join::No,
    }
}

fn bridges(before: Class, bridge: Class, after: Class) -> bool {
    match (before, bridge) {
        (Class::Numeric, _) => after == Class::Numeric,
        (_, Class::DoubleQuote) => after == Class::Hebrew,
        _ => matches!(after, Class::Letter | Class::Hebrew),
    }
}

/// Length of the emoji sequence that begins the text, or 0 (Unicode Technical Standard 51, as the
/// tokenizer has it).
fn emoji_length(text: &str) -> usize {
    let Some(first) = text.chars().next() else {
        return 0;
    };
    if matches!(first, '0'..='9' | '#' | '*') {
        return keycap_length(text);
    }
    if class(first) == Class::Flag {
        return match unit(text, 0).and_then(|u| unit(text, u.end)) {
            Some(second) if second.class == Class::Flag => second.end,
            _ => 0,
        };
    }
    // Joiners before a pictograph belong to it.
    let joiners = text.len() - text.trim_start_matches(JOINER).len();
    match pictograph_length(&text[joiners..]) {
        0 => 0,
        length => joiners + length,
    }
}

const JOINER: char = '\u{200d}';
const SHOWN_AS_EMOJI: char = '\u{fe0f}';

/// `#`, `*` or a digit in a keycap, with what joins it.
fn keycap_length(text: &str) -> usize {
    let rest = &text[1..];
    let rest = rest.strip_prefix(SHOWN_AS_EMOJI).unwrap_or(rest);
    let Some(after) = rest.strip_prefix('\u{20e3}') else {
        return 0;
    };
    text.len()
        - after
            .trim_start_matches(|c| class(c) == Class::Extend)
            .len()
}

/// A pictograph with its variation, and others joined to it. Skin tones count as pictographs here.
fn pictograph_length(text: &str) -> usize {
    let mut end = 0;
    loop {
        let rest = &text[end..];
        let Some(first) = rest.chars().next().filter(|c| is_pictograph(*c)) else {
            return end;
        };
        end += first.len_utf8();
        if let Some(after) = text[end..].strip_prefix(SHOWN_AS_EMOJI) {
            end += SHOWN_AS_EMOJI.len_utf8();
            let joiners = after.len() - after.trim_start_matches(JOINER).len();
            let next = after[joiners..].chars().next();
            if joiners == 0 || !next.is_some_and(is_pictograph) {
                return end;
            }
            end += joiners;
            continue;
        }
        let joined = text[end..].trim_start_matches(|c| class(c) == Class::Extend);
        end = text.len() - joined.len();
        if !text[..end].ends_with(JOINER) {
            return end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::strategy::Strategy;

    fn words(text: &str) -> Vec<String> {
        analyse(text).map(|w| w.text.into_owned()).collect()
    }

    #[test]
    fn punctuation_joins_as_the_annex_says() {
        for (text, expected) in [
            ("nova.compute.manager", vec!["nova.compute.manager"]),
            ("screen-n-cpu.txt", vec!["screen", "n", "cpu.txt"]),
            ("1.2.3.4 1,000 a.1", vec!["1.2.3.4", "1,000", "a", "1"]),
            ("Don't X:y __init__ _", vec!["don't", "x:y", "__init__"]),
            ("127.0.0.1:5672", vec!["127.0.0.1", "5672"]),
            (
                "é\u{301}a 日本語 ひら カタ",
                vec!["é\u{301}a", "日", "本", "語", "ひ", "ら", "カタ"],
            ),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn long_words_are_cut_at_255_units() {
        let text = "a".repeat(600);
        let lengths: Vec<usize> = analyse(&text).map(|w| w.text.len()).collect();
        assert_eq!(lengths, [255, 255, 90]);
    }

    /// Each character looked at by itself.
    fn slowly(text: &str) -> Vec<(String, usize)> {
        let (mut at, mut all) = (0, Vec::new());
        while let Some(first) = text[at..].chars().next() {
            let length = word_length(&text[at..]);
            if length > 0 {
                all.push((lowered(&text[at..at + length]).into_owned(), at));
            }
            at += if length > 0 { length } else { first.len_utf8() };
        }
        all
    }

    #[test]
    fn long_runs_hide_no_word() {
        let run = (
            proptest::sample::select(vec![
                "_",
                "\u{301}",
                "\u{200d}",
                "_\u{301}",
                "a",
                "1",
                "\u{1f3fb}",
                "\u{203f}",
                "\u{fe0f}",
                "-",
            ]),
            proptest::prop_oneof![1_usize..4, 120_usize..135, 250_usize..260, 505_usize..515],
        );
        let run = run.prop_map(|(text, count)| text.repeat(count));
        let other = proptest::sample::select(vec![
            " ",
            "lock",
            ".",
            "\u{1f600}",
            "é",
            "\u{5d0}\"",
            "7\u{20e3}",
        ]);
        let piece = proptest::prop_oneof![run, other.prop_map(str::to_owned)];
        proptest::proptest!(|(pieces in proptest::collection::vec(piece, 0..6))| {
            let text = pieces.concat();
            let found: Vec<_> = analyse(&text).map(|w| (w.text.into_owned(), w.start)).collect();
            proptest::prop_assert_eq!(found, slowly(&text));
        });
    }

    #[test]
    fn a_run_without_end_is_passed_quickly() {
        let count = 1 << 22;
        assert_eq!(words(&"_".repeat(count)).len(), 0);
        assert_eq!(words(&"_\u{301}".repeat(count)).len(), 0);
        assert_eq!(words(&"\u{200d}".repeat(count)).len(), 0);
        assert_eq!(words(&format!("a{}", "\u{301}".repeat(count))).len(), 1);
        assert_eq!(words(&"a".repeat(count)).len(), count.div_ceil(MAX_UNITS));
    }

    #[test]
    fn agrees_with_the_reference_on_ascii() {
        use unicode_segmentation::UnicodeSegmentation;
        proptest::proptest!(|(text in "[ -~\\n\\t]{0,60}")| {
            let reference: Vec<String> = text
                .unicode_words()
                .map(str::to_ascii_lowercase)
                .collect();
            proptest::prop_assert_eq!(words(&text), reference);
        });
    }

    #[test]
    #[ignore = "for work on the analyser: WORDS names a file of recorded words"]
    fn compare_with_recorded_words() {
        let text = std::fs::read_to_string(std::env::var("WORDS").unwrap()).unwrap();
        let mut wrong = 0;
        for line in text.lines() {
            let recorded: serde_json::Value = serde_json::from_str(line).unwrap();
            let expected: Vec<String> = serde_json::from_value(recorded["tokens"].clone()).unwrap();
            let found = words(recorded["text"].as_str().unwrap());
            if found != expected {
                wrong += 1;
                if wrong < 40 {
                    println!(
                        "{:x?}\n   expected {expected:x?}\n   found    {found:x?}",
                        recorded["text"]
                            .as_str()
                            .unwrap()
                            .escape_unicode()
                            .to_string()
                    );
                }
            }
        }
        println!("{wrong} of {} differ", text.lines().count());
    }

    #[test]
    fn bytes_and_characters_give_the_same_words() {
        proptest::proptest!(|(text in "([a-bA-B0-1_.:,;' #*\"/\\-é\u{301}\u{fe0f}\u{20e3}]|[ -~]|a{200,300}){0,40}")| {
            let mut at = 0;
            let mut slow = Vec::new();
            while at < text.len() {
                let length = word_length(&text[at..]);
                if length > 0 {
                    slow.push((at, at + length));
                }
                at += length.max(text[at..].chars().next().map_or(1, char::len_utf8));
            }
            let fast: Vec<_> = analyse(&text).map(|word| (word.start, word.end)).collect();
            proptest::prop_assert_eq!(fast, slow);
        });
    }

    #[test]
    fn never_panics_and_offsets_are_right() {
        proptest::proptest!(|(text in "\\PC{0,40}")| {
            for word in analyse(&text) {
                proptest::prop_assert_eq!(lower_case(&text[word.start..word.end]), word.text);
            }
        });
    }
}
