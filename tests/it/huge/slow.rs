//! Lines made to take long: each part of one looks as if something began there.

use super::{BUG, Classify};
use std::io::Write;

/// What a line of a megabyte is made of. Where each part is looked at with all that follows it, one line takes from
/// half a minute to hours.
const PARTS: [(&str, &str); 16] = [
    ("no word", "_"),
    ("no word, joined", "_\u{301}"),
    ("joiners", "\u{200d}"),
    (
        "joiners before blanks",
        "\u{203f}\u{203f}\u{203f}\u{203f}\u{203f}\u{203f} ",
    ),
    ("one word", "a"),
    ("words without blanks", "lock-"),
    ("long words and control characters", "LONG\u{1}"),
    ("hidden notes", "\u{1b}[8mha:"),
    ("titles", "\u{1b}]"),
    ("short titles", "\u{1b}]\u{7}"),
    ("colours", "\u{1b}[1"),
    ("panics", "panic "),
    ("traces", "Traceback (most recent call last): "),
    ("sections", "section_start:1:a\u{1b}[0m\r"),
    ("returns", "a\r"),
    ("braces", "{\"a\":["),
];

#[test]
fn a_line_made_to_take_long_does_not() {
    let logs = tempfile::tempdir().unwrap();
    for (n, (_, part)) in PARTS.iter().enumerate() {
        let part = part.replace("LONG", &"x".repeat(300));
        let path = logs.path().join(format!("{n:02}.txt"));
        let mut file = std::fs::File::create(path).unwrap();
        if part.starts_with("section") {
            write!(
                file,
                "section_start:1:a\r\n2024-05-07T12:13:14.123456Z 00O "
            )
            .unwrap();
        }
        let line = part.repeat(1_000_000 / part.len());
        write!(file, "{line}\n{BUG}").unwrap();
    }
    let ran = Classify::of(logs.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let hits = ran.json["matches"][0]["hits"].as_u64();
    assert_eq!(hits, Some(PARTS.len() as u64), "{}", ran.json);
}
