//! Groups: `(…)` and everything that begins with `(?`.

use super::PatternError;
use super::translate::{Flags, Last, Walk, error};

impl Walk {
    /// A group, after its parenthesis.
    pub(super) fn group(&mut self) -> Result<(), PatternError> {
        let outside = self.flags;
        if !self.take("?") {
            self.groups += 1;
            self.begin("(", outside);
            return Ok(());
        }
        for plain in [":", "=", "!", "<=", "<!", ">"] {
            if self.take(plain) {
                self.begin(&format!("(?{plain}"), outside);
                return Ok(());
            }
        }
        if self.take("#") {
            return self.comment();
        }
        if self.take("P<") {
            return self.named(outside);
        }
        if self.take("P=") {
            return self.same();
        }
        if self.take("(") {
            return self.conditional(outside);
        }
        self.flagged(outside)
    }

    fn begin(&mut self, written: &str, outside: Flags) {
        self.out.push_str(written);
        self.open.push(outside);
        self.last = Last::Nothing;
    }

    fn comment(&mut self) -> Result<(), PatternError> {
        while let Some(c) = self.next() {
            if c == ')' {
                return Ok(());
            }
        }
        error("missing ), unterminated comment")
    }

    /// A name up to its end.
    fn name(&mut self, end: char) -> Result<String, PatternError> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some(c) if c == end => break,
                Some(c) => name.push(c),
                None if name.is_empty() => return error("missing group name"),
                None => return error(format!("missing {end}, unterminated name")),
            }
        }
        if name.is_empty() {
            return error("missing group name");
        }
        Ok(name)
    }

    fn named(&mut self, outside: Flags) -> Result<(), PatternError> {
        let name = self.name('>')?;
        identifier(&name)?;
        self.groups += 1;
        let number = self.groups;
        if let Some((_, first)) = self.names.iter().find(|(known, _)| *known == name) {
            return error(format!(
                "redefinition of group name '{name}' as group {number}; was group {first}"
            ));
        }
        self.names.push((name, number));
        // By number, for then plain groups beside it keep theirs.
        self.begin("(", outside);
        Ok(())
    }

    fn number_of(&self, name: &str) -> Result<usize, PatternError> {
        let known = self.names.iter().find(|(known, _)| known == name);
        known.map_or_else(
            || error(format!("unknown group name '{name}'")),
            |(_, n)| Ok(*n),
        )
    }

    fn same(&mut self) -> Result<(), PatternError> {
        let name = self.name(')')?;
        identifier(&name)?;
        let number = self.number_of(&name)?;
        self.refer(number);
        self.last = Last::Item;
        Ok(())
    }

    fn conditional(&mut self, outside: Flags) -> Result<(), PatternError> {
        let name = self.name(')')?;
        let number = match name.parse() {
            Ok(number) if number > self.groups => {
                return error(format!("invalid group reference {number}"));
            }
            Ok(number) => number,
            Err(_) => {
                identifier(&name)?;
                self.number_of(&name)?
            }
        };
        self.begin(&format!("(?({number})"), outside);
        Ok(())
    }

    /// `(?i)` for the whole pattern, `(?i-s:…)` for a group.
    fn flagged(&mut self, outside: Flags) -> Result<(), PatternError> {
        let begin = self.at - 2;
        match self.peek() {
            None => return error("unexpected end of pattern"),
            Some('P') if self.chars.len() == self.at + 1 => {
                return error("unexpected end of pattern");
            }
            Some(c) if c != '-' && !"iLmsxau".contains(c) => {
                let more = self.chars.get(self.at + 1);
                let more = more.filter(|_| c == '<' || c == 'P');
                let more = more.map_or(String::new(), char::to_string);
                return error(format!("unknown extension ?{c}{more}"));
            }
            Some(_) => {}
        }
        let mut written = String::from("(?");
        let mut end = self.flags_until(&mut written, true, ")-:", "missing -, : or )")?;
        if end == ')' {
            return self.whole(begin, &written);
        }
        if end == '-' {
            if !self.peek().is_some_and(char::is_alphabetic) {
                return error("missing flag");
            }
            written.push('-');
            end = self.flags_until(&mut written, false, ":", "missing :")?;
        }
        written.push(end);
        self.begin(&written, outside);
        Ok(())
    }

    /// Flags up to one of some characters, which is given.
    fn flags_until(
        &mut self,
        written: &mut String,
        on: bool,
        ends: &str,
        missing: &str,
    ) -> Result<char, PatternError> {
        loop {
            match self.next() {
                Some(c) if ends.contains(c) => return Ok(c),
                Some(c @ ('i' | 's' | 'x')) => written.push(c),
                Some('m') => {
                    self.flags.lines = on;
                    written.push('m');
                }
                Some('a') => self.flags.ascii = on,
                Some('u') => self.flags.ascii = false,
                Some('L') => {
                    return error("bad inline flags: cannot use 'L' flag with a str pattern");
                }
                Some(c) if c.is_alphabetic() => return error("unknown flag"),
                _ => return error(missing),
            }
        }
    }

    /// Flags for the whole pattern, which stand before everything else.
    fn whole(&mut self, begin: usize, written: &str) -> Result<(), PatternError> {
        if begin != self.lead {
            return error("global flags not at the start of the expression");
        }
        self.lead = self.at;
        if written.len() > 2 {
            self.out.push_str(written);
            self.out.push(')');
        }
        Ok(())
    }
}

fn identifier(name: &str) -> Result<(), PatternError> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic());
    if first && chars.all(|c| c == '_' || c.is_alphanumeric()) {
        return Ok(());
    }
    error(format!("bad character in group name '{name}'"))
}
