//! Sets of characters: `[…]`.

use super::PatternError;
use super::translate::{Walk, error, push_literal, shorthand};

/// One member of a set.
enum Member {
    Char(char),
    Shorthand(String),
}

impl Walk {
    /// A set, after its bracket.
    pub(super) fn class(&mut self) -> Result<(), PatternError> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let begin = self.at;
        loop {
            let Some(c) = self.next() else {
                return error("unterminated character set");
            };
            if c == ']' && self.at > begin + 1 {
                self.out.push(']');
                return Ok(());
            }
            let low = self.member(c)?;
            self.range(&low)?;
        }
    }

    fn member(&mut self, c: char) -> Result<Member, PatternError> {
        if c != '\\' {
            return Ok(Member::Char(c));
        }
        match self.next() {
            None => error("unterminated character set"),
            Some(c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                Ok(Member::Shorthand(shorthand(c, self.flags)))
            }
            Some('b') => Ok(Member::Char('\u{8}')),
            Some(c @ '1'..='7') => {
                // Octal, as there are no references in a set.
                self.at -= 1;
                self.chars[self.at] = c;
                self.literal('0').map(Member::Char)
            }
            Some(c) => self.literal(c).map(Member::Char),
        }
    }

    fn range(&mut self, low: &Member) -> Result<(), PatternError> {
        let ends = self.chars.get(self.at + 1).is_none_or(|c| *c == ']');
        if self.peek() != Some('-') || ends {
            self.push_member(low);
            return Ok(());
        }
        self.at += 1;
        let Some(c) = self.next() else {
            return error("unterminated character set");
        };
        let from = self.at - 1;
        let high = self.member(c)?;
        let (Member::Char(a), Member::Char(b)) = (low, &high) else {
            let high: String = self.chars[from..self.at].iter().collect();
            return error(format!("bad character range {}-{high}", shown(low)));
        };
        if b < a {
            return error(format!("bad character range {a}-{b}"));
        }
        push_literal(&mut self.out, *a);
        self.out.push('-');
        push_literal(&mut self.out, *b);
        Ok(())
    }

    fn push_member(&mut self, member: &Member) {
        match member {
            Member::Char(c) => push_literal(&mut self.out, *c),
            Member::Shorthand(text) => self.out.push_str(text),
        }
    }
}

fn shown(member: &Member) -> String {
    match member {
        Member::Char(c) => c.to_string(),
        Member::Shorthand(text) => text.clone(),
    }
}
