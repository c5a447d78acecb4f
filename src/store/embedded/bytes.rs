//! Numbers, texts and field values as bytes, and back. What cannot be read back is `None`.

use crate::event::FieldValue;

const TEXT: u8 = 1;
const INTEGER: u8 = 2;
const FLOAT: u8 = 3;
const TRUE: u8 = 4;
const FALSE: u8 = 5;
const MANY: u8 = 6;

/// Lists in lists deeper than this were not written by us.
const DEEPEST: u32 = 128;

/// Writes a number in as few bytes as it needs.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Writes a number that can be negative; small ones of either sign are short.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Writes bytes with their length before them.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a field's value.
pub(super) fn put_value(out: &mut Vec<u8>, value: &FieldValue) {
    match value {
        FieldValue::Text(text) => {
            out.push(TEXT);
            put_bytes(out, text.as_bytes());
        }
        FieldValue::Integer(number) => {
            out.push(INTEGER);
            put_signed(out, *number);
        }
        FieldValue::Float(number) => {
            out.push(FLOAT);
            out.extend_from_slice(&number.to_le_bytes());
        }
        FieldValue::Bool(true) => out.push(TRUE),
        FieldValue::Bool(false) => out.push(FALSE),
        FieldValue::Many(values) => {
            out.push(MANY);
            put_number(out, values.len() as u64);
            for value in values {
                put_value(out, value);
            }
        }
    }
}

/// The text of a value that was written by [`put_value`], when it is one.
pub(super) fn written_text(value: &[u8]) -> Option<&[u8]> {
    let mut bytes = Bytes(value.strip_prefix(&[TEXT])?);
    bytes.bytes()
}

/// Bytes that are read from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number that counts something which is in memory.
    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn value(&mut self) -> Option<FieldValue> {
        self.nested(DEEPEST)
    }

    fn nested(&mut self, deeper: u32) -> Option<FieldValue> {
        Some(match self.byte()? {
            TEXT => FieldValue::text(self.text()?),
            INTEGER => FieldValue::Integer(self.signed()?),
            FLOAT => FieldValue::Float(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            TRUE => FieldValue::Bool(true),
            FALSE => FieldValue::Bool(false),
            MANY => {
                let deeper = deeper.checked_sub(1)?;
                let count = self.count()?;
                let values = (0..count).map(|_| self.nested(deeper));
                FieldValue::Many(values.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_can_say_is_read_however_deep() {
        let text = "[".repeat(127) + "1" + &"]".repeat(127);
        let value: FieldValue = serde_json::from_str(&text).unwrap();
        let mut out = Vec::new();
        put_value(&mut out, &value);
        assert_eq!(Bytes(&out).value(), Some(value));
    }

    #[test]
    fn what_is_written_is_read() {
        proptest::proptest!(|(number: u64, signed: i64, text: String, cut in 0_usize..40)| {
            let value = FieldValue::Many(vec![
                FieldValue::text(&text),
                FieldValue::Integer(signed),
                FieldValue::Float(0.5),
                FieldValue::Bool(true),
                FieldValue::Many(vec![FieldValue::Bool(false)]),
            ]);
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_signed(&mut out, signed);
            put_bytes(&mut out, text.as_bytes());
            put_value(&mut out, &value);
            let mut bytes = Bytes(&out);
            proptest::prop_assert_eq!(bytes.number(), Some(number));
            proptest::prop_assert_eq!(bytes.signed(), Some(signed));
            proptest::prop_assert_eq!(bytes.text(), Some(&*text));
            proptest::prop_assert_eq!(bytes.value(), Some(value));
            // What is cut short is refused.
            let mut cut = Bytes(&out[..cut.min(out.len() - 1)]);
            let all = cut.number().is_some() && cut.signed().is_some() && cut.text().is_some();
            proptest::prop_assert!(!all || cut.value().is_none());
        });
    }
}
