//! Names for builds that have none of their own.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// 32 hexadecimal digits that are the same for the same parts.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut text = String::new();
    for byte in hash.finalize().iter().take(16) {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
