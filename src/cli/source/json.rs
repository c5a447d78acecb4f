//! JSON with a blank behind `,` and `:`, in ASCII only: safe at a terminal, and the same, byte for
//! byte, as what Python writes, in which those who compare it work.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// Writes a value as one line, without its end.
pub(super) fn write(out: &mut impl Write, value: &Value) -> io::Result<()> {
    value
        .serialize(&mut Serializer::with_formatter(out, Spaced))
        .map_err(io::Error::from)
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        for c in text.chars() {
            if c.is_ascii() && c != '\x7f' {
                write!(out, "{c}")?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_spaced_and_ascii() {
        let mut out = Vec::new();
        let value = json!({"a": [1, null, true], "b": {}, "c": "é\n\u{1f600}\u{7f}\u{202e}"});
        write(&mut out, &value).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"a": [1, null, true], "b": {}, "c": "\u00e9\n\ud83d\ude00\u007f\u202e"}"#
        );
    }
}
