//! A file of events or comments, in any of the forms that people keep them.

use super::event::of_row;
use super::{Comment, Happened};
use serde_json::{Deserializer, Value};

/// One thing of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An event, or a comment in a row of a query, with its number in the file.
    Event(usize, Happened),
    /// A comment by itself, with its number in the file.
    Sample(usize, Box<Comment>),
}

/// A part of a file that is no JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Input {
    /// Everything that could be read, in order.
    pub items: Vec<Item>,
    /// Everything that could not.
    pub damage: Vec<Damage>,
}

impl Input {
    /// Reads a JSON array, JSON objects one after another, or the text of one comment.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        let text = text.trim_start_matches('\u{feff}');
        let mut input = Self::default();
        let mut begin = text.trim_start().chars().filter(|c| !c.is_whitespace());
        match (begin.next(), begin.next()) {
            (Some('['), Some('{' | ']')) => {
                for value in serde_json::from_str::<Vec<Value>>(text)? {
                    input.add(&value);
                }
            }
            (Some('{'), Some('"' | '}')) => input.lines(text),
            _ => input
                .items
                .push(Item::Sample(0, Box::new(Comment::of_text(text)))),
        }
        Ok(input)
    }

    /// Reads object after object; after a broken one it goes on at the next line that begins one.
    fn lines(&mut self, text: &str) {
        let mut at = 0;
        while let Some(skipped) = text[at..].find(|c: char| !c.is_whitespace()) {
            at += skipped;
            let mut values = Deserializer::from_str(&text[at..]).into_iter::<Value>();
            match values.next() {
                Some(Ok(value)) if value.is_object() => {
                    at += values.byte_offset();
                    self.add(&value);
                }
                other => {
                    let why = match other {
                        Some(Err(error)) => error.to_string(),
                        _ => "not a JSON object".to_owned(),
                    };
                    self.broken(text, at, &why);
                    at = text[at..]
                        .find("\n{")
                        .map_or(text.len(), |next| at + next + 1);
                }
            }
        }
    }

    fn broken(&mut self, text: &str, at: usize, why: &str) {
        // The place that is told is within the object; the line of the file says where that begins.
        let why = why.split(" at line ").next().unwrap_or(why).to_owned();
        let line = 1 + text[..at].matches('\n').count();
        self.damage.push(Damage { line, why });
    }

    fn add(&mut self, value: &Value) {
        let number = self.items.len();
        if let Some(comments) = of_row(value) {
            let all = comments.into_iter().zip(number..);
            self.items.extend(all.map(|(comment, number)| {
                Item::Event(number, Happened::Comment(Box::new(comment)))
            }));
            return;
        }
        let alone = value["type"]
            .is_null()
            .then(|| value["comment"].as_str())
            .flatten();
        let item = match alone {
            Some(said) => Item::Sample(number, Box::new(sample(value, said))),
            None => Item::Event(number, Happened::from_json(value)),
        };
        self.items.push(item);
    }
}

/// A comment by itself: `{"comment": …, "username": …, "tag": …}`.
fn sample(value: &Value, said: &str) -> Comment {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Comment {
        username: text("username"),
        tag: text("tag"),
        ..Comment::of_text(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> (Vec<String>, Vec<usize>) {
        let input = Input::read(text).unwrap();
        let kinds = input.items.iter().map(|item| match item {
            Item::Event(n, Happened::Comment(comment)) => format!("{n} event {}", comment.text),
            Item::Event(n, Happened::Other(kind)) => format!("{n} {kind}"),
            Item::Event(n, Happened::Unknown(why)) => format!("{n} {why}"),
            Item::Sample(n, comment) => format!("{n} sample {}", comment.text),
        });
        (
            kinds.collect(),
            input.damage.iter().map(|d| d.line).collect(),
        )
    }

    const ONE: &str = r#"{"type":"comment-added","comment":"a"}"#;
    const TWO: &str = r#"{"type":"ref-updated"}"#;
    const THREE: &str = r#"{"comment":"c","username":"ci"}"#;

    #[test]
    fn the_forms_of_a_file_are_told_apart() {
        let all = ["0 event a", "1 ref-updated", "2 sample c"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(
            kinds(&format!(" [{ONE},\n{TWO},{THREE}]")),
            (all.clone(), vec![])
        );
        assert_eq!(
            kinds(&format!("{ONE}\r\n{TWO}\r\n\r\n{THREE}\r\n")),
            (all.clone(), vec![])
        );
        let spread = ONE.replace(',', ",\n  ").replace('{', "{\n");
        assert_eq!(
            kinds(&format!("\u{feff}{spread}{TWO}\n{THREE}")),
            (all, vec![])
        );
        for text in [
            "Build failed.",
            "",
            "[zuul] Build failed.",
            "{pipeline} failed",
        ] {
            assert_eq!(kinds(text), (vec![format!("0 sample {text}")], vec![]));
        }
    }

    #[test]
    fn a_broken_line_hides_no_other() {
        let text = format!("{ONE}\n{{\"type\":\n{TWO}\nnonsense\n{THREE}\n{{\"a");
        let (kinds, damage) = kinds(&text);
        assert_eq!(kinds, ["0 event a", "1 ref-updated", "2 sample c"]);
        assert_eq!(damage, [2, 4, 6]);
        assert!(Input::read("[{\"type\": ").is_err());
    }
}
