//! Numbers and identifiers: most of the different words of a log, and hardly ever asked for.
//!
//! Each of them as a word of its own makes lists of words that are larger than the log's text packed, and merging
//! them takes longer than all else. So blocks are found by a few bits of them; what is found is read and judged as
//! ever. A change of what is one, or of its bits, needs another form of slices.

use super::words::hash;
use std::borrow::Cow;

/// Of shorter ones there are no more than of buckets.
const SHORTEST: usize = 5;

/// Begins what stands for identifiers: no piece in ASCII has it.
const BUCKET: u8 = b'#';

/// The word by which a block is found that has this piece.
pub(super) fn indexed(piece: &str) -> Cow<'_, str> {
    match bucket(piece.as_bytes()) {
        Some(bucket) => Cow::Owned(String::from_utf8_lossy(&bucket).into_owned()),
        None => Cow::Borrowed(piece),
    }
}

/// What stands for an identifier: one of 65,536 words. A block of logs has some hundred to two thousand identifiers, so
/// one of thirty or more blocks is read in vain for each.
pub(super) fn bucket(piece: &[u8]) -> Option<[u8; 5]> {
    let digit = |bits: u32| b"0123456789abcdef"[(bits & 15) as usize];
    is_identifier(piece).then(|| {
        let bits = hash(piece) >> 16;
        [
            BUCKET,
            digit(bits >> 12),
            digit(bits >> 8),
            digit(bits >> 4),
            digit(bits),
        ]
    })
}

/// True for hexadecimal digits, as in `0x7f31`, with a decimal one among them.
fn is_identifier(piece: &[u8]) -> bool {
    piece.len() >= SHORTEST
        && piece.iter().copied().all(is_digit)
        && piece.iter().any(u8::is_ascii_digit)
}

/// True when an identifier may have this part of a piece.
pub(super) fn may_have(part: &str) -> bool {
    part.bytes().all(is_digit)
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'x')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_identifiers_are_told_from_words() {
        for word in ["12345", "0x7f31", "8d53f00d", "9a35c2e1b4d7"] {
            assert!(is_identifier(word.as_bytes()), "{word}");
            assert!(may_have(&word[..2]), "{word}");
        }
        for word in [
            "2026", "decade", "added", "err12345", "12345_6", "", "12345g",
        ] {
            assert!(!is_identifier(word.as_bytes()), "{word}");
            assert_eq!(indexed(word), word);
        }
        assert!(may_have("add") && !may_have("adds") && !may_have("_"));
    }

    #[test]
    fn what_is_stored_stays_as_it_is() {
        assert_eq!(indexed("12345"), "#4146");
        assert_eq!(indexed("8d53f00d"), "#47d0");
    }
}
