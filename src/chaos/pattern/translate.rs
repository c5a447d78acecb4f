//! Walks through a pattern once and writes it down for our engine.

use super::PatternError;
use std::fmt::Write;

/// The flags that change what we write.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    /// `$` is the end of each line.
    pub(super) lines: bool,
    /// `\w` and its like know ASCII only.
    pub(super) ascii: bool,
}

/// What a quantifier would follow.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Last {
    Nothing,
    Item,
    Repeat,
}

/// Where we are in a pattern and what is written so far.
pub(super) struct Walk {
    pub(super) chars: Vec<char>,
    pub(super) at: usize,
    pub(super) out: String,
    pub(super) flags: Flags,
    /// Flags outside of each open group.
    pub(super) open: Vec<Flags>,
    /// How many capture groups have begun, with their names.
    pub(super) groups: usize,
    pub(super) names: Vec<(String, usize)>,
    pub(super) last: Last,
    /// Where the flags for the whole pattern end.
    pub(super) lead: usize,
}

pub(super) fn translate(pattern: &str) -> Result<String, PatternError> {
    let mut walk = Walk {
        chars: pattern.chars().collect(),
        at: 0,
        out: String::with_capacity(pattern.len() + 8),
        flags: Flags::default(),
        open: Vec::new(),
        groups: 0,
        names: Vec::new(),
        last: Last::Nothing,
        lead: 0,
    };
    while let Some(c) = walk.next() {
        walk.item(c)?;
    }
    if !walk.open.is_empty() {
        return error("missing ), unterminated subpattern");
    }
    Ok(walk.out)
}

pub(super) fn error<T>(message: impl Into<String>) -> Result<T, PatternError> {
    Err(PatternError(message.into()))
}

impl Walk {
    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += 1;
        c
    }

    /// Takes what follows when it is this.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let length = text.chars().count();
        let there = self.chars[self.at.min(self.chars.len())..]
            .iter()
            .take(length)
            .copied()
            .eq(text.chars());
        if there {
            self.at += length;
        }
        there
    }

    fn item(&mut self, c: char) -> Result<(), PatternError> {
        match c {
            '[' => self.class()?,
            '(' => return self.group(),
            ')' => {
                let Some(flags) = self.open.pop() else {
                    return error("unbalanced parenthesis");
                };
                self.flags = flags;
                self.out.push(')');
            }
            '|' => {
                self.out.push('|');
                self.last = Last::Nothing;
                return Ok(());
            }
            '*' | '+' | '?' => return self.repeat(&c.to_string()),
            '{' => match self.counted()? {
                Some(counted) => return self.repeat(&counted),
                None => self.out.push_str("\\{"),
            },
            '}' | ']' => {
                self.out.push('\\');
                self.out.push(c);
            }
            '$' if self.flags.lines => self.out.push('$'),
            '$' => self.out.push_str("(?=\\n?\\z)"),
            '\\' => self.escape()?,
            c => self.out.push(c),
        }
        self.last = Last::Item;
        Ok(())
    }

    fn repeat(&mut self, written: &str) -> Result<(), PatternError> {
        match self.last {
            Last::Nothing => return error("nothing to repeat"),
            Last::Repeat => return error("multiple repeat"),
            Last::Item => {}
        }
        self.out.push_str(written);
        if let Some(how @ ('?' | '+')) = self.peek() {
            self.at += 1;
            self.out.push(how);
        }
        self.last = Last::Repeat;
        Ok(())
    }

    /// `{m,n}` after its brace; nothing when the brace is meant as such.
    fn counted(&mut self) -> Result<Option<String>, PatternError> {
        let begin = self.at;
        let low = self.digits();
        let comma = self.take(",");
        let high = if comma { self.digits() } else { low.clone() };
        if !self.take("}") || (low.is_empty() && high.is_empty()) {
            let empty_range = comma && self.chars.get(self.at.wrapping_sub(1)) == Some(&'}');
            if !empty_range || begin + 2 != self.at {
                self.at = begin;
                return Ok(None);
            }
        }
        let (least, most) = (low.parse().unwrap_or(0u32), high.parse::<u32>());
        if most.as_ref().is_ok_and(|most| *most < least) {
            return error("min repeat greater than max repeat");
        }
        let most = most.map_or(String::new(), |most| most.to_string());
        Ok(Some(format!("{{{least},{most}}}")))
    }

    fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(c) = self.peek().filter(char::is_ascii_digit) {
            digits.push(c);
            self.at += 1;
        }
        digits
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let Some(c) = self.next() else {
            return error("bad escape (end of pattern)");
        };
        match c {
            'A' | 'b' | 'B' => {
                self.out.push('\\');
                self.out.push(c);
            }
            'Z' => self.out.push_str("\\z"),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                let shorthand = shorthand(c, self.flags);
                self.out.push_str(&shorthand);
            }
            '1'..='9' => self.reference(c)?,
            _ => {
                let literal = self.literal(c)?;
                push_literal(&mut self.out, literal);
            }
        }
        Ok(())
    }

    /// `\1`, or three octal digits.
    fn reference(&mut self, first: char) -> Result<(), PatternError> {
        let mut digits = String::from(first);
        if let Some(c) = self.peek().filter(char::is_ascii_digit) {
            digits.push(c);
            self.at += 1;
            let third = self.peek().filter(|c| c.is_digit(8));
            if let Some(third) = third.filter(|_| digits.chars().all(|c| c.is_digit(8))) {
                self.at += 1;
                digits.push(third);
                push_literal(&mut self.out, octal(&digits)?);
                return Ok(());
            }
        }
        let number: usize = digits.parse().unwrap_or(0);
        if number > self.groups {
            return error(format!("invalid group reference {number}"));
        }
        self.refer(number);
        Ok(())
    }

    /// Writes a reference so that digits after it are not part of it.
    pub(super) fn refer(&mut self, number: usize) {
        // Writing to a string cannot fail.
        let _ = write!(self.out, "(?:\\{number})");
    }

    /// An escape that stands for one character, in classes and outside.
    pub(super) fn literal(&mut self, c: char) -> Result<char, PatternError> {
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.hex(c, 2)?,
            'u' => self.hex(c, 4)?,
            'U' => self.hex(c, 8)?,
            '0' => {
                let mut digits = String::from('0');
                while let Some(c) = self.peek().filter(|c| c.is_digit(8) && digits.len() < 3) {
                    digits.push(c);
                    self.at += 1;
                }
                octal(&digits)?
            }
            c if c.is_ascii_alphanumeric() => return error(format!("bad escape \\{c}")),
            c => c,
        })
    }

    fn hex(&mut self, kind: char, length: usize) -> Result<char, PatternError> {
        let mut digits = String::new();
        while let Some(c) = self
            .peek()
            .filter(|c| c.is_ascii_hexdigit() && digits.len() < length)
        {
            digits.push(c);
            self.at += 1;
        }
        let found = u32::from_str_radix(&digits, 16)
            .ok()
            .filter(|_| digits.len() == length);
        match found.and_then(char::from_u32) {
            Some(c) => Ok(c),
            None if digits.len() < length => error(format!("incomplete escape \\{kind}{digits}")),
            None => error(format!("bad escape \\{kind}{digits}")),
        }
    }
}

fn octal(digits: &str) -> Result<char, PatternError> {
    let value = u32::from_str_radix(digits, 8)
        .ok()
        .filter(|value| *value <= 0o377);
    match value.and_then(char::from_u32) {
        Some(c) => Ok(c),
        None => error(format!(
            "octal escape value \\{digits} outside of range 0-0o377"
        )),
    }
}

/// `\d` and its like, narrowed where the pattern asks for ASCII.
pub(super) fn shorthand(c: char, flags: Flags) -> String {
    let narrow = match c {
        _ if !flags.ascii => return format!("\\{c}"),
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[ \\t\\n\\r\\f\\v]",
        'S' => "[^ \\t\\n\\r\\f\\v]",
        'w' => "[0-9A-Za-z_]",
        _ => "[^0-9A-Za-z_]",
    };
    narrow.to_owned()
}

/// Writes one character so that it stands for itself.
pub(super) fn push_literal(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        c if c.is_ascii_punctuation() || c.is_ascii_whitespace() || c.is_control() => {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{{{:X}}}", c as u32);
        }
        c => out.push(c),
    }
}
