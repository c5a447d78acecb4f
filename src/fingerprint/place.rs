//! From a byte of a scalar's value back to the line and column of the YAML text.
//!
//! A query that is folded over several lines is one string to the parser; a person needs to see the
//! place in the file. The value is laid beside the source again, line end by line end, escape by
//! escape.

use crate::event::bounded;

/// A place in a text: line and column in characters, both counted from 1.
pub(super) type Place = (usize, usize);

/// The place in `text` of the byte `offset` of the scalar `value` that begins at `start`.
pub(super) fn locate(text: &str, start: Place, value: &str, offset: usize) -> Place {
    let Some(begin) = byte_of(text, start) else {
        return start;
    };
    let mut walk = Walk {
        source: text,
        at: begin,
        value,
        done: 0,
        last: begin,
    };
    match text[begin..].chars().next() {
        Some('|' | '>') => walk.block(offset),
        Some('"') => walk.flow(offset, '"'),
        Some('\'') => walk.flow(offset, '\''),
        _ => walk.flow(offset, ' '),
    }
    place_of(text, walk.last)
}

/// The byte at a place.
fn byte_of(text: &str, (line, column): Place) -> Option<usize> {
    let mut from = 0;
    for _ in 1..line {
        from += text[from..].find('\n')? + 1;
    }
    let rest = &text[from..];
    let into = rest.char_indices().nth(column.checked_sub(1)?);
    Some(from + into.map_or(rest.len(), |(byte, _)| byte))
}

/// The place of a byte.
fn place_of(text: &str, byte: usize) -> Place {
    let before = bounded(text, byte);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// Two pointers, one into the source and one into the value.
struct Walk<'a> {
    source: &'a str,
    at: usize,
    value: &'a str,
    done: usize,
    /// The last source byte that stands for the wanted byte of the value.
    last: usize,
}

impl Walk<'_> {
    /// Block scalars: the header line, then lines that differ from the value by their indent and
    /// by what folding makes of line ends.
    fn block(&mut self, offset: usize) {
        self.at += self.source[self.at..].find('\n').map_or(0, |n| n + 1);
        let indent = self.indent();
        for line in self.source[self.at..].split_inclusive('\n') {
            let content = line.trim_end_matches(['\n', '\r']);
            let cut = indent.min(content.len() - content.trim_start_matches(' ').len());
            let content = &content[cut..];
            let from = self.at + cut;
            if !content.is_empty() {
                self.skip_fold();
                self.last = from;
                if offset < self.done + content.len() {
                    self.last = from + offset.saturating_sub(self.done);
                    return;
                }
                self.done += content.len();
                self.last = from + content.len();
            }
            self.at += line.len();
            if self.done >= self.value.len() || offset < self.done {
                return;
            }
            // The blank or line break that the fold made is shown at the end of its line.
            if offset == self.done && self.rest().starts_with([' ', '\n']) {
                return;
            }
        }
    }

    /// The indent of the first line that is not blank, without the blanks that the value begins with:
    /// the header may say that they belong to it.
    fn indent(&self) -> usize {
        let blanks = |text: &str| {
            let mut lines = text.lines().filter(|line| !line.trim().is_empty());
            let first = lines.next();
            first.map_or(0, |line| line.len() - line.trim_start_matches(' ').len())
        };
        blanks(&self.source[self.at..]).saturating_sub(blanks(self.value))
    }

    /// What is left of the value; nothing where source and value have parted.
    fn rest(&self) -> &str {
        self.value.get(self.done..).unwrap_or_default()
    }

    /// Passes over what a line end became in the value.
    fn skip_fold(&mut self) {
        if self.done == 0 {
            return;
        }
        let rest = self.rest();
        let breaks = rest.len() - rest.trim_start_matches('\n').len();
        if breaks > 0 {
            self.done += breaks;
        } else if rest.starts_with(' ') {
            self.done += 1;
        }
    }

    /// Plain and quoted scalars.
    fn flow(&mut self, offset: usize, quote: char) {
        if quote != ' ' {
            self.at += 1;
        }
        self.last = self.at;
        while self.done < offset && self.at < self.source.len() {
            if !self.step(quote) {
                return;
            }
            self.last = self.at;
        }
    }

    /// Passes over one character of the value; false when source and value part.
    fn step(&mut self, quote: char) -> bool {
        let rest = &self.source[self.at..];
        let Some(wanted) = self.rest().chars().next() else {
            return false;
        };
        let Some(found) = rest.chars().next() else {
            return false;
        };
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        if rest[..blank].contains('\n') {
            self.at += blank;
            self.skip_fold();
            return true;
        }
        if quote == '"' && found == '\\' {
            self.at += escape_length(rest);
            let joined = rest[1..].starts_with('\n') || rest[1..].starts_with("\r\n");
            self.done += if joined { 0 } else { wanted.len_utf8() };
            return true;
        }
        let doubled = quote == '\'' && rest.starts_with("''");
        self.at += if doubled { 2 } else { found.len_utf8() };
        self.done += wanted.len_utf8();
        true
    }
}

/// Bytes of an escape sequence of a double-quoted scalar.
fn escape_length(rest: &str) -> usize {
    let mut chars = rest.chars().skip(1);
    let Some(kind) = chars.next() else {
        return 1;
    };
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        '\n' | '\r' => {
            let after = &rest[1..];
            return 1 + after.len() - after.trim_start().len();
        }
        _ => 0,
    };
    let tail = chars.take(digits).map(char::len_utf8).sum::<usize>();
    1 + kind.len_utf8() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The character of the source at the place of the first `needle` in the value, and the place.
    fn find(text: &str, start: Place, value: &str, needle: &str) -> (Place, String) {
        let place = locate(text, start, value, value.find(needle).unwrap());
        let line = text.lines().nth(place.0 - 1).unwrap();
        let rest: String = line.chars().skip(place.1 - 1).collect();
        (place, rest.chars().take(needle.chars().count()).collect())
    }

    #[test]
    fn single_lines_are_exact() {
        let found = find("query: a AND b", (1, 8), "a AND b", "b");
        assert_eq!(found, ((1, 14), "b".into()));
        let found = find("query: 'it''s b'", (1, 8), "it's b", "b");
        assert_eq!(found, ((1, 15), "b".into()));
        let found = find(r#"query: "é\"\u0041 b""#, (1, 8), "é\"A b", "b");
        assert_eq!(found, ((1, 19), "b".into()));
    }

    #[test]
    fn literal_blocks_are_exact() {
        let text = "query: |\n  one\n\n   two\n  three\n";
        let value = "one\n\n two\nthree\n";
        assert_eq!(find(text, (1, 8), value, "one").0, (2, 3));
        assert_eq!(find(text, (1, 8), value, "wo").0, (4, 5));
        assert_eq!(find(text, (1, 8), value, "hree").0, (5, 4));
    }

    #[test]
    fn blocks_may_say_how_far_they_are_indented() {
        let text = "query: |1\n   €€€\"€€€\n";
        let value = "  €€€\"€€€\n";
        assert_eq!(find(text, (1, 8), value, "\"").1, "\"");
        assert_eq!(locate(text, (1, 8), value, value.len()), (2, 11));
    }

    #[test]
    fn no_value_makes_it_panic() {
        proptest::proptest!(|(text in "query: [|>\"']?[1-9+-]?\n?[ é€\"'\\\\a\n]{0,30}", value in "[ é€\"'a\n]{0,20}", offset in 0_usize..40)| {
            locate(&text, (1, 8), &value, offset);
        });
    }

    #[test]
    fn folded_blocks_are_walked_line_by_line() {
        let text =
            "# c\nquery: >-   # why\n\n    one two\n    three\n\n    four\n      five\n    six\n";
        let value = "one two three\nfour\n  five\nsix";
        for word in ["one", "two", "three", "four", "five", "six"] {
            assert_eq!(find(text, (2, 8), value, word).1, word);
        }
    }

    #[test]
    fn folded_plain_text_is_walked_too() {
        let text = "query: one\n  two\n\n  three";
        for word in ["one", "two", "three"] {
            assert_eq!(find(text, (1, 8), "one two\nthree", word).1, word);
        }
    }

    #[test]
    fn an_offset_behind_the_end_is_the_end() {
        assert_eq!(locate("query: ab", (1, 8), "ab", 99), (1, 10));
        assert_eq!(locate("query: >\n  ab\n", (1, 8), "ab\n", 99), (2, 5));
        assert_eq!(locate("", (7, 9), "ab", 1), (7, 9));
    }
}
