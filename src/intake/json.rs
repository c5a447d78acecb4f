//! JSON that is looked at where it stands: nothing of it is kept, however many values it has.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Visitor};
use std::borrow::Cow;
use std::{fmt, slice};

/// Most bytes of a value, as it is written, that are read at once.
const VALUE: usize = 1 << 20;
/// Most lists and objects in one another, as in other readers.
const DEPTH: usize = 127;
/// Most bytes that one letter is written with: two `\uXXXX`.
const LETTER: usize = 12;

/// A value and all that is in it, as it is written. What it does not have is left out; looking at
/// something in it reads all of it once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'t> {
    written: &'t str,
    /// Where it begins in the whole text, in bytes.
    pub(crate) at: usize,
}

impl<'t> Part<'t> {
    /// All of a text; none if it is no JSON, or has more than 127 lists and objects in one another.
    pub(crate) fn of(text: &'t [u8]) -> Option<Self> {
        if is_deeper(text, DEPTH) {
            return None;
        }
        let text = str::from_utf8(text).ok()?;
        let _: IgnoredAny = serde_json::from_str(text).ok()?;
        let mut walk = Walk { rest: text, at: 0 };
        walk.value()
    }

    /// True for a list, of anything.
    pub(crate) fn is_list(self) -> bool {
        self.written.starts_with('[')
    }

    /// The value itself; none if it is none of this type, or longer than a mebibyte.
    pub(crate) fn read<T: Deserialize<'t>>(self) -> Option<T> {
        // The type alone is no bound: what is wrong is told with the whole of a text.
        let written = Some(self.written).filter(|written| written.len() <= VALUE)?;
        serde_json::from_str(written).ok()
    }

    /// A text; none if it is none, or longer than a mebibyte. Halves of letters are replaced: programs
    /// that write bytes which are no UTF-8 write them so.
    pub(crate) fn text(self) -> Option<Cow<'t, str>> {
        self.read().map(|Text(text)| text)
    }

    /// A text; of a long one the last mebibyte, from the beginning of a line. None if it is none.
    pub(crate) fn text_end(self) -> Option<Cow<'t, str>> {
        let written = self.written;
        if written.len() <= VALUE || !written.starts_with('"') {
            return self.text();
        }
        // A cut within a letter may be none; one letter further it is.
        let cuts = (written.len() - VALUE..).take(LETTER);
        let mut ends = cuts.filter_map(|cut| written.get(cut..));
        let read = |end: &str| {
            let end = format!("\"{end}");
            let text: Result<Text<'_>, _> = serde_json::from_str(&end);
            text.ok().map(|Text(text)| text.into_owned())
        };
        let text = ends.find_map(read)?;
        // What the cut left of a letter is in the first line.
        let line = text.find('\n').map_or(0, |end| end + 1);
        Some(Cow::Owned(text[line..].to_owned()))
    }

    /// Gives each item of a list.
    pub(crate) fn each_item(self, mut give: impl FnMut(Self)) {
        let mut walk = self.walk();
        if !walk.goes_over('[') {
            return;
        }
        while let Some(item) = walk.value() {
            give(item);
            walk.goes_over(',');
        }
    }

    /// Gives each member of an object with its name, but those whose name is no [`text`](Self::text).
    pub(crate) fn each_member(self, mut give: impl FnMut(&str, Self)) {
        let mut walk = self.walk();
        if !walk.goes_over('{') {
            return;
        }
        while let Some((name, value)) = walk.member() {
            if let Some(name) = name.text() {
                give(&name, value);
            }
            walk.goes_over(',');
        }
    }

    /// The members of these names; of several with one name the last, as other readers do.
    pub(crate) fn members<const N: usize>(self, names: [&str; N]) -> [Option<Self>; N] {
        let mut found = [None; N];
        self.each_member(|name, part| {
            if let Some(at) = names.iter().position(|wanted| *wanted == name) {
                found[at] = Some(part);
            }
        });
        found
    }

    /// The member of this name.
    pub(crate) fn member(self, name: &str) -> Option<Self> {
        let [found] = self.members([name]);
        found
    }

    fn walk(self) -> Walk<'t> {
        Walk {
            rest: self.written,
            at: self.at,
        }
    }
}

/// Goes through what is known to be JSON.
struct Walk<'t> {
    rest: &'t str,
    at: usize,
}

impl<'t> Walk<'t> {
    /// Goes over a sign and the blanks before it, if it comes next.
    fn goes_over(&mut self, sign: char) -> bool {
        self.skip_blanks();
        let comes = self.rest.starts_with(sign);
        if comes {
            self.forward(sign.len_utf8());
        }
        comes
    }

    /// The next value, unless a list or an object ends here.
    fn value(&mut self) -> Option<Part<'t>> {
        self.skip_blanks();
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let written = &self.rest[..values.byte_offset()];
        let part = Part {
            written,
            at: self.at,
        };
        self.forward(written.len());
        Some(part)
    }

    fn member(&mut self) -> Option<(Part<'t>, Part<'t>)> {
        let name = self.value()?;
        self.goes_over(':');
        Some((name, self.value()?))
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest.trim_ascii_start();
        self.at += self.rest.len() - rest.len();
        self.rest = rest;
    }

    fn forward(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
        self.at += bytes;
    }
}

/// True when more than so many lists and objects are in one another, if it is JSON.
fn is_deeper(text: &[u8], most: usize) -> bool {
    let (mut depth, mut rest) = (0_usize, text.iter());
    while let Some(byte) = rest.next() {
        match byte {
            b'[' | b'{' if depth == most => return true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_text(&mut rest),
            _ => {}
        }
    }
    false
}

/// Goes behind the end of a text.
fn skip_text(rest: &mut slice::Iter<'_, u8>) {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest.as_slice()) {
        let is_end = rest.nth(at) == Some(&b'"');
        if is_end {
            return;
        }
        rest.next();
    }
    *rest = [].iter();
}

/// A text that is copied only where it is written with escapes.
struct Text<'t>(Cow<'t, str>);

impl<'t> Deserialize<'t> for Text<'t> {
    fn deserialize<D: Deserializer<'t>>(reader: D) -> Result<Self, D::Error> {
        // As bytes: halves of letters are an error in a text.
        reader.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'t> Visitor<'t> for TextVisitor {
    type Value = Text<'t>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'t [u8]) -> Result<Text<'t>, E> {
        Ok(Text(String::from_utf8_lossy(bytes)))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text<'t>, E> {
        Ok(Text(String::from_utf8_lossy(bytes).into_owned().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read_again(part: Part<'_>) -> Value {
        let (mut items, mut members) = (Vec::new(), serde_json::Map::new());
        part.each_item(|item| items.push(read_again(item)));
        part.each_member(|name, member| {
            members.insert(name.into(), read_again(member));
        });
        match part.written.as_bytes()[0] {
            b'[' => items.into(),
            b'{' => members.into(),
            _ => part.read().unwrap(),
        }
    }

    #[test]
    fn what_is_no_json_is_none() {
        for text in ["", "{", "[1,]", "{} {}", "[\"\n\"]", "nul"] {
            assert!(Part::of(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Part::of(b"[\"\xff\"]").is_none());
    }

    #[test]
    fn members_are_found_by_their_names() {
        let text = br#" {"a": 1, "b\u0041": [ 2 ], "a" : {"c": null}} "#;
        let part = Part::of(text).unwrap();
        let [a, b, none] = part.members(["a", "bA", "c"]);
        assert_eq!(a.unwrap().read(), Some(json!({"c": null})));
        assert_eq!(b.unwrap().written, "[ 2 ]");
        assert!(b.unwrap().is_list() && none.is_none());
        assert!(a.unwrap().member("c").is_some() && b.unwrap().member("c").is_none());
        assert_eq!(a.unwrap().read::<u64>(), None);
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = |depth: usize, inner: &str| "[".repeat(depth) + inner + &"]".repeat(depth);
        for (text, is_read) in [
            (deep(DEPTH, ""), true),
            (deep(DEPTH + 1, ""), false),
            (deep(DEPTH - 1, r#"{"\"[[[\\": "]\\\"[{"}, {}"#), true),
            (deep(DEPTH - 1, r#"{"\\": [1]}"#), false),
            (deep(DEPTH, "1"), true),
            ("[".repeat(1 << 20), false),
            ("\"[".repeat(1 << 20), false),
        ] {
            let part = Part::of(text.as_bytes());
            assert_eq!(part.is_some(), is_read, "{text:.300}");
        }
    }

    #[test]
    fn a_part_says_where_it_stands() {
        let text = "\n[ {\"a\" : [10,\t\"é\" ,{} ] }\n]";
        let whole = Part::of(text.as_bytes()).unwrap();
        let mut seen = Vec::new();
        whole.each_item(|object| {
            object.each_member(|_, list| list.each_item(|item| seen.push(item)));
        });
        let written: Vec<&str> = seen.iter().map(|part| part.written).collect();
        assert_eq!(written, ["10", "\"é\"", "{}"]);
        for part in seen.into_iter().chain([whole]) {
            assert_eq!(&text[part.at..][..part.written.len()], part.written);
        }
    }

    #[test]
    fn of_a_long_text_the_end_is_read() {
        for letter in ["a", "é", "\\\\", "\\\"", "\\u00e9", "\\ud83d\\ude00"] {
            let all = letter.repeat(VALUE / letter.len() + 20);
            for shift in 0..LETTER {
                let text = format!("\"{all}\\n{all}{}\"", "e".repeat(shift));
                let part = Part::of(text.as_bytes()).unwrap();
                assert!(part.text().is_none());
                let end = part.text_end().unwrap();
                let whole: String = serde_json::from_str(&text).unwrap();
                // One letter was cut, or none.
                let tail = &end[end.char_indices().nth(LETTER).unwrap().0..];
                assert!(whole.ends_with(tail), "{letter} {shift}");
                assert!(end.len() * LETTER > VALUE);
            }
        }
        let list = format!("[{}1]", "1,".repeat(VALUE));
        assert_eq!(Part::of(list.as_bytes()).unwrap().text_end(), None);
    }

    #[test]
    fn of_a_long_text_whole_lines_are_read() {
        let text = format!("\"{}last\"", "a line\\n".repeat(VALUE / 4));
        let end = Part::of(text.as_bytes()).unwrap().text_end().unwrap();
        assert!(end.starts_with("a line\n") && end.ends_with("\nlast"));
        let blank = format!("\"{}\"", "\\n".repeat(VALUE));
        let end = Part::of(blank.as_bytes()).unwrap().text_end().unwrap();
        assert_eq!(end.trim_end(), "");
    }

    #[test]
    fn halves_of_letters_are_replaced() {
        let text = Part::of(br#""a \udce9 b\n\ud83d""#)
            .unwrap()
            .text()
            .unwrap();
        assert!(
            text.starts_with("a \u{fffd}") && text.contains(" b\n\u{fffd}"),
            "{text}"
        );
        let short = Part::of(br#" "a\n" "#).unwrap();
        assert_eq!(
            (short.text_end(), short.text()),
            (Some("a\n".into()), Some("a\n".into()))
        );
        for other in ["1", "[97]", "null", "{}"] {
            assert_eq!(Part::of(other.as_bytes()).unwrap().text(), None, "{other}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,6}|[\"\\\\\n]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            let members = proptest::collection::hash_map("[a-c\"\\\\é]{0,2}", inner.clone(), 0..5);
            prop_oneof![
                proptest::collection::vec(inner, 0..5).prop_map(Value::from),
                members.prop_map(|all| all.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(value in value(), is_pretty in any::<bool>()) {
            let text = if is_pretty {
                serde_json::to_string_pretty(&value)
            } else {
                serde_json::to_string(&value)
            }.unwrap();
            prop_assert_eq!(read_again(Part::of(text.as_bytes()).unwrap()), value);
        }
    }
}
