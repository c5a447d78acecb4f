//! One line of the protocol: tags, who says it, command, parameters.

use std::fmt::{self, Write as _};

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Message {
    /// Tags (`message-tags`), values as they are meant, not as they are written.
    pub(super) tags: Vec<(String, String)>,
    /// Who says it: `nick!user@host`, or a server.
    pub(super) prefix: Option<String>,
    /// The command, or a number of three digits.
    pub(super) command: String,
    /// Its parameters.
    pub(super) params: Vec<String>,
}

impl Message {
    /// A message of ours.
    pub(super) fn new(command: &str, params: &[&str]) -> Self {
        Self {
            command: command.to_owned(),
            params: params.iter().map(|&p| p.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Reads a line; `None` when it has no command.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut rest = line.trim_end_matches(['\r', '\n']);
        let mut message = Self::default();
        if let Some(tagged) = rest.strip_prefix('@') {
            let (tags, after) = tagged.split_once(' ')?;
            message.tags = tags.split(';').filter(|t| !t.is_empty()).map(tag).collect();
            rest = after.trim_start_matches(' ');
        }
        if let Some(prefixed) = rest.strip_prefix(':') {
            let (prefix, after) = prefixed.split_once(' ')?;
            message.prefix = Some(prefix.to_owned());
            rest = after;
        }
        rest = rest.trim_start_matches(' ');
        let (command, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        if command.is_empty() {
            return None;
        }
        command.clone_into(&mut message.command);
        loop {
            rest = rest.trim_start_matches(' ');
            if let Some(last) = rest.strip_prefix(':') {
                message.params.push(last.to_owned());
                return Some(message);
            }
            if rest.is_empty() {
                return Some(message);
            }
            let (param, after) = rest.split_once(' ').unwrap_or((rest, ""));
            message.params.push(param.to_owned());
            rest = after;
        }
    }

    /// Parameter number `n`, or nothing.
    pub(super) fn param(&self, n: usize) -> &str {
        self.params.get(n).map_or("", String::as_str)
    }

    /// The last parameter, which is the one that people read.
    pub(super) fn last(&self) -> &str {
        self.params.last().map_or("", String::as_str)
    }

    /// The nick of who says it.
    pub(super) fn nick(&self) -> &str {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        prefix.split(['!', '@']).next().unwrap_or_default()
    }

    /// The value of a tag.
    pub(super) fn tag(&self, name: &str) -> Option<&str> {
        let found = self.tags.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The line as it is sent, without its end. Whatever the parts hold, it is one line with this command:
/// what would end a line or a parameter is left out.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.tags.is_empty() {
            f.write_char('@')?;
            for (n, (key, value)) in self.tags.iter().enumerate() {
                let separator = if n == 0 { "" } else { ";" };
                write!(f, "{separator}{}", word(key))?;
                if !value.is_empty() {
                    write!(f, "={}", Escaped(value))?;
                }
            }
            f.write_char(' ')?;
        }
        if let Some(prefix) = &self.prefix {
            write!(f, ":{} ", word(prefix))?;
        }
        f.write_str(&word(&self.command))?;
        let Some((last, middle)) = self.params.split_last() else {
            return Ok(());
        };
        for param in middle {
            write!(f, " {}", word(param))?;
        }
        let last: String = last.chars().filter(|&c| !ends_line(c)).collect();
        let colon = last.is_empty() || last.starts_with(':') || last.contains(' ');
        write!(f, " {}{last}", if colon { ":" } else { "" })
    }
}

fn ends_line(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\0')
}

/// A text that stays one word where it stands; never an empty one, which would move what follows.
fn word(text: &str) -> String {
    let kept = text.chars().filter(|&c| !ends_line(c) && c != ' ');
    let kept: String = kept.collect();
    let kept = kept.trim_start_matches([':', '@']);
    let kept = if kept.is_empty() { "*" } else { kept };
    kept.to_owned()
}

fn tag(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(c) = letters.next() {
        match c {
            '\\' => out.extend(letters.next().map(|escaped| match escaped {
                ':' => ';',
                's' => ' ',
                'r' => '\r',
                'n' => '\n',
                other => other,
            })),
            other => out.push(other),
        }
    }
    (key.to_owned(), out)
}

/// The value of a tag as it is written.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                ';' => f.write_str("\\:")?,
                ' ' => f.write_str("\\s")?,
                '\\' => f.write_str("\\\\")?,
                '\r' => f.write_str("\\r")?,
                '\n' => f.write_str("\\n")?,
                '\0' => {}
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn lines_of_real_servers_are_read() {
        let line = "@account=bot;time=2026-01-01T00:00:00Z;x=a\\sb\\:c\\\\ :bot!u@h PRIVMSG #c :two  words :x\r\n";
        let message = Message::parse(line).unwrap();
        assert_eq!(message.tag("account"), Some("bot"));
        assert_eq!(message.tag("x"), Some("a b;c\\"));
        assert_eq!(message.nick(), "bot");
        assert_eq!(message.params, ["#c", "two  words :x"]);
        let welcome = Message::parse(":irc.test 001 zz :Welcome zz!~zz@h").unwrap();
        assert_eq!((welcome.command.as_str(), welcome.param(0)), ("001", "zz"));
        assert_eq!(Message::parse("PING").unwrap().params, [""; 0]);
        for none in ["", " ", ":only.prefix", "@tags", "@a :b ", "\r\n"] {
            assert_eq!(Message::parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn text_cannot_become_a_command() {
        let hostile = Message::new("PRIVMSG", &["#c", "hello\r\nQUIT :bye\0"]);
        assert_eq!(hostile.to_string(), "PRIVMSG #c :helloQUIT :bye");
        let hostile = Message::new("JOIN", &["#c\r\nQUIT", "a b"]);
        assert_eq!(hostile.to_string(), "JOIN #cQUIT :a b");
        let empty = Message::new("PRIVMSG", &["", "x"]);
        assert_eq!(empty.to_string(), "PRIVMSG * x");
    }

    prop_compose! {
        fn valid()(
            tags in vec(("[+a-z0-9/.-]{1,9}", any::<String>()), 0..3),
            prefix in proptest::option::of("[a-zA-Z\\[\\]0-9]{1,9}(![a-z~]{1,4}@[a-z.]{1,9})?"),
            command in "[A-Z]{1,9}|[0-9]{3}",
            middle in vec("[^ :@\r\n\0][^ \r\n\0]{0,9}", 0..4),
            last in "[^\r\n\0]{0,40}",
        ) -> Message {
            let tags = tags.into_iter().map(|(k, v)| (k, v.replace('\0', ""))).collect();
            let params = middle.into_iter().chain([last]).collect();
            Message { tags, prefix, command, params }
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(line in any::<String>()) {
            let _ = Message::parse(&line);
        }

        #[test]
        fn nothing_panics_on_pieces_of_the_protocol(line in "[@:; =!\\\\a1#\r\n]{0,30}") {
            if let Some(message) = Message::parse(&line) {
                let _ = (message.nick(), message.last(), message.to_string());
            }
        }

        #[test]
        fn what_is_written_is_read_again(message in valid()) {
            prop_assert_eq!(Message::parse(&message.to_string()), Some(message));
        }

        #[test]
        fn any_text_stays_in_its_place(to in any::<String>(), text in any::<String>()) {
            let line = Message::new("PRIVMSG", &[&to, &text]).to_string();
            prop_assert!(!line.contains(['\r', '\n', '\0']));
            let read = Message::parse(&line).unwrap();
            prop_assert_eq!(read.command, "PRIVMSG");
            prop_assert_eq!(read.params.len(), 2);
        }
    }
}
