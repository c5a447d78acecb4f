//! What is not text in a line (colours, rewritten screen lines, markers) is taken out, with a way
//! back from the text to the bytes.

use super::format::{Format, Prefix};
use memchr::{memchr2, memmem};

const ESC: u8 = 0x1b;

/// A run of text and the bytes that it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    text: usize,
    raw: usize,
    raw_len: usize,
}

/// A text that was made of bytes, and where each part of it came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stripped {
    /// The text that queries see.
    pub text: String,
    map: Vec<Segment>,
    lossy: bool,
    /// True when only the text is wanted.
    unmapped: bool,
}

impl Stripped {
    /// The byte of the original that the byte `at` of the text was made of; past the text's end,
    /// the end of what was used.
    pub fn to_original(&self, at: usize) -> usize {
        let next = self.map.partition_point(|segment| segment.text <= at);
        let Some(segment) = next.checked_sub(1).and_then(|i| self.map.get(i)) else {
            return self.map.first().map_or(0, |segment| segment.raw);
        };
        segment.raw + (at - segment.text).min(segment.raw_len)
    }

    /// Appends bytes as text, with U+FFFD for what is not UTF-8. `base` is where `bytes` stand.
    fn push_bytes(&mut self, bytes: &[u8], base: usize) {
        // Nearly all bytes are text, which is known sooner than cut into pieces.
        if let Ok(text) = std::str::from_utf8(bytes) {
            if !text.is_empty() {
                self.push_piece(text, base, text.len());
            }
            return;
        }
        let mut raw = base;
        for chunk in bytes.utf8_chunks() {
            let valid = chunk.valid();
            if !valid.is_empty() {
                self.push_piece(valid, raw, valid.len());
            }
            raw += valid.len();
            if !chunk.invalid().is_empty() {
                self.lossy = true;
                self.push_piece("\u{FFFD}", raw, chunk.invalid().len());
                raw += chunk.invalid().len();
            }
        }
    }

    fn push_piece(&mut self, text: &str, raw: usize, raw_len: usize) {
        if !self.unmapped {
            self.map.push(Segment {
                text: self.text.len(),
                raw,
                raw_len,
            });
        }
        self.text.push_str(text);
    }

    /// Takes the first `cut` bytes of the text away.
    fn cut_front(&mut self, cut: usize) {
        if cut == 0 {
            return;
        }
        let first = self.map.partition_point(|s| s.text <= cut).max(1) - 1;
        self.map.drain(..first);
        for segment in &mut self.map {
            let inside = cut.saturating_sub(segment.text);
            segment.raw += inside.min(segment.raw_len);
            segment.raw_len -= inside.min(segment.raw_len);
            segment.text = segment.text.saturating_sub(cut);
        }
        self.text.drain(..cut);
    }

    fn append(&mut self, line: &Self, raw: usize) {
        let text = self.text.len();
        self.map.extend(line.map.iter().map(|s| Segment {
            text: s.text + text,
            raw: s.raw + raw,
            raw_len: s.raw_len,
        }));
        self.text.push_str(&line.text);
    }
}

/// The text of the lines in `original`, as the message of an event has it, with the way back.
pub fn byte_map(original: &[u8], format: Format) -> Stripped {
    let mut all = Stripped::default();
    let mut at = 0;
    for (index, line) in without_last_end(original)
        .split(|b| *b == b'\n')
        .enumerate()
    {
        if index > 0 {
            all.push_piece("\n", at - 1, 1);
        }
        all.append(&strip_mapped(format, line), at);
        at += line.len() + 1;
    }
    all
}

fn without_last_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

fn strip_mapped(format: Format, line: &[u8]) -> Stripped {
    let mut stripped = Stripped::default();
    clean(line, &mut stripped);
    let cut = format.prefix(&stripped.text).cut;
    stripped.cut_front(cut);
    stripped
}

/// [`clean_into`] of a line whose end may have had a carriage return.
pub(crate) fn clean_line_into(line: &[u8], buffer: &mut String) -> bool {
    clean_into(line.strip_suffix(b"\r").unwrap_or(line), buffer)
}

/// The text of one line (without its end) in `buffer`, before its prefix is cut.
///
/// Most lines hold nothing special and are taken as they are, without building a map. False when
/// some bytes are not UTF-8.
pub(crate) fn clean_into(line: &[u8], buffer: &mut String) -> bool {
    buffer.clear();
    if !is_simple(line) {
        let mut cleaned = Stripped {
            text: std::mem::take(buffer),
            unmapped: true,
            ..Stripped::default()
        };
        clean(line, &mut cleaned);
        *buffer = cleaned.text;
        return !cleaned.lossy;
    }
    if let Ok(text) = std::str::from_utf8(line) {
        buffer.push_str(text);
        return true;
    }
    buffer.push_str(&String::from_utf8_lossy(line));
    false
}

/// The text of a line (without its end) that is all text as it is; `None` when something is to be taken out.
pub(crate) fn plain_text(line: &[u8]) -> Option<&str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = is_simple(line).then(|| std::str::from_utf8(line));
    text?.ok()
}

/// The text of a line (without its end), in `buffer` where something had to be taken out.
pub(crate) fn line_text<'t>(line: &'t [u8], buffer: &'t mut String) -> &'t str {
    if let Some(text) = plain_text(line) {
        return text;
    }
    clean_line_into(line, buffer);
    buffer
}

fn is_simple(line: &[u8]) -> bool {
    memchr2(ESC, b'\r', line).is_none() && !line.starts_with(BOM)
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Takes colours, markers and screen control out of one line.
fn clean(line: &[u8], out: &mut Stripped) {
    let end = line.len() - line.iter().rev().take_while(|b| **b == b'\r').count();
    let line = &line[..end];
    let mut at = if line.starts_with(BOM) { BOM.len() } else { 0 };
    let mut fresh = true;
    let mut ends = Ends::default();
    while at < line.len() {
        while fresh && marker_len(&line[at..]) > 0 {
            at += marker_len(&line[at..]);
        }
        let run = memchr2(ESC, b'\r', &line[at..]).unwrap_or(line.len() - at);
        out.push_bytes(&line[at..at + run], at);
        at += run;
        if at >= line.len() {
            break;
        }
        fresh = fresh && run == 0;
        if line[at] == ESC {
            at += escape_len(&line[at..], &mut ends);
        } else {
            at = rewrite(line, at, out);
            fresh = true;
        }
    }
}

/// A carriage return begins the screen line anew. What it hides stays searchable, so it becomes a
/// line end; returns and screen control in a row count as one.
fn rewrite(line: &[u8], from: usize, out: &mut Stripped) -> usize {
    if !out.text.is_empty() && !out.text.ends_with('\n') {
        out.push_piece("\n", from, 1);
    }
    let returns = line[from..].iter().take_while(|b| **b == b'\r').count();
    from + returns
}

/// Length of a fold or section marker of Travis or GitLab at the beginning, with the carriage
/// return that hides it.
fn marker_len(bytes: &[u8]) -> usize {
    const MARKERS: [&[u8]; 4] = [
        b"section_start:",
        b"section_end:",
        b"travis_fold:",
        b"travis_time:",
    ];
    if !matches!(bytes.first(), Some(b's' | b't')) {
        return 0;
    }
    if !MARKERS.iter().any(|marker| bytes.starts_with(marker)) {
        return 0;
    }
    let word = bytes
        .iter()
        .position(|b| b.is_ascii_whitespace() || *b == ESC)
        .unwrap_or(bytes.len());
    // Without the carriage return it is a text about a marker.
    match bytes.get(word) {
        Some(b'\r') => word + 1,
        _ => 0,
    }
}

/// Where the next ends of long control sequences stand in a line, so that no part of it is looked through again for
/// each that begins.
#[derive(Debug, Default)]
struct Ends {
    hidden: Next,
    bell: Next,
    string: Next,
}

/// The next place of some bytes, counted from the end of the line; 0 when there is none any more.
#[derive(Debug, Default)]
struct Next(Option<usize>);

impl Next {
    /// How many bytes it is to behind the next place of these bytes in the rest of a line.
    fn behind(&mut self, wanted: &[u8], rest: &[u8]) -> Option<usize> {
        let left = match self.0 {
            Some(left) if left <= rest.len() => left,
            _ => memmem::find(rest, wanted).map_or(0, |at| rest.len() - at),
        };
        self.0 = Some(left);
        (left > 0).then(|| rest.len() - left + wanted.len())
    }
}

/// Length of the terminal control sequence at the beginning of the rest of a line, which is an ESC.
fn escape_len(bytes: &[u8], ends: &mut Ends) -> usize {
    if bytes.starts_with(b"\x1b[8mha:") {
        // A note that Jenkins hides in the log: base64 up to the end of the hidden part.
        if let Some(behind) = ends.hidden.behind(b"\x1b[0m", bytes) {
            return behind;
        }
    }
    match bytes.get(1) {
        Some(b'[') => csi_len(bytes),
        Some(b']') => osc_len(bytes, ends),
        Some(0x20..=0x2f) => {
            let middle = count_in(&bytes[1..], 0x20..=0x2f);
            let last = matches!(bytes.get(1 + middle), Some(0x30..=0x7e));
            1 + middle + usize::from(last)
        }
        Some(0x30..=0x7e) => 2,
        None | Some(_) => 1,
    }
}

fn csi_len(bytes: &[u8]) -> usize {
    let parameters = count_in(&bytes[2..], 0x30..=0x3f);
    let middle = count_in(&bytes[2 + parameters..], 0x20..=0x2f);
    let last = 2 + parameters + middle;
    match bytes.get(last) {
        Some(0x40..=0x7e) => last + 1,
        _ => last,
    }
}

/// An unfinished title sequence takes only its first two bytes away: the rest may be text.
fn osc_len(bytes: &[u8], ends: &mut Ends) -> usize {
    let bell = ends.bell.behind(b"\x07", bytes);
    let string = ends.string.behind(b"\x1b\\", bytes);
    match (bell, string) {
        (Some(a), Some(b)) => a.min(b),
        (Some(end), None) | (None, Some(end)) => end,
        (None, None) => 2,
    }
}

fn count_in(bytes: &[u8], range: std::ops::RangeInclusive<u8>) -> usize {
    bytes.iter().take_while(|b| range.contains(b)).count()
}

/// A stretch of whole lines without terminal control sequences, for looking at all of it at once; what
/// else [`clean_into`] takes out stands between separators and is left in.
#[derive(Debug, Default)]
pub(crate) struct Uncoloured {
    text: Vec<u8>,
    /// Where a piece begins in the text, and where it stood.
    pieces: Vec<(usize, usize)>,
}

impl Uncoloured {
    /// Copies the stretch without its control sequences; false, and nothing is copied, when it has none.
    pub(crate) fn take_out(&mut self, stretch: &[u8]) -> bool {
        let Some(first) = memchr::memchr(ESC, stretch) else {
            return false;
        };
        self.text.clear();
        self.pieces.clear();
        self.push(stretch, 0, first);
        let mut at = first;
        while at < stretch.len() {
            // A sequence ends with its line at the latest.
            let line = memchr::memchr(b'\n', &stretch[at..]).unwrap_or(stretch.len() - at);
            let end = at + line;
            let mut ends = Ends::default();
            while at < end {
                at += escape_len(&stretch[at..end], &mut ends);
                let run = memchr::memchr(ESC, &stretch[at..end]).unwrap_or(end - at);
                self.push(stretch, at, at + run);
                at += run;
            }
            let next = memchr::memchr(ESC, &stretch[at..]).unwrap_or(stretch.len() - at);
            self.push(stretch, at, at + next);
            at += next;
        }
        true
    }

    /// What is left.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where the byte `at` of the text stood.
    pub(crate) fn original(&self, at: usize) -> usize {
        let next = self.pieces.partition_point(|piece| piece.0 <= at);
        let piece = next.checked_sub(1).and_then(|n| self.pieces.get(n));
        piece.map_or(at, |(text, from)| from + (at - text))
    }

    fn push(&mut self, stretch: &[u8], from: usize, to: usize) {
        if from < to {
            self.pieces.push((self.text.len(), from));
            self.text.extend_from_slice(&stretch[from..to]);
        }
    }
}

/// True when the format's prefix leaves nothing but blanks.
pub(crate) fn is_blank(text: &str, prefix: &Prefix<'_>) -> bool {
    text[prefix.cut..].chars().all(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(line: &[u8]) -> String {
        byte_map(line, Format::Plain).text
    }

    #[test]
    fn colours_are_no_text() {
        assert_eq!(plain(b"\x1b[36;1mmake test\x1b[0m"), "make test");
        assert_eq!(plain(b"\x1b]0;title\x07x\x1b(By\x1b"), "xy");
        assert_eq!(plain(b"\x1b]0;never ended"), "0;never ended");
        assert_eq!(plain(b"a\x1b[8mha:////4AbC==\x1b[0mStarted"), "aStarted");
        assert_eq!(plain(b"\xEF\xBB\xBFx"), "x");
    }

    #[test]
    fn rewritten_lines_stay_searchable() {
        assert_eq!(plain(b" 10%\r 20%\r\r\x1b[K100%\r\n"), " 10%\n 20%\n100%");
        assert_eq!(plain(b"\rx"), "x");
    }

    #[test]
    fn markers_are_hidden_like_on_the_screen() {
        let line = b"\x1b[0Ksection_start:1560896352:my_first_section\r\x1b[0KHeader of it";
        assert_eq!(plain(line), "Header of it");
        let two = b"travis_fold:end:a.1\r\x1b[0Ktravis_time:start:0c\r\x1b[0K$ make";
        assert_eq!(plain(two), "$ make");
        assert_eq!(
            plain(b"section_start: is a word"),
            "section_start: is a word"
        );
    }

    #[test]
    fn bad_bytes_become_a_mark() {
        let stripped = byte_map(b"a\xff\xfeb", Format::Plain);
        assert_eq!(stripped.text, "a\u{FFFD}\u{FFFD}b");
        assert_eq!(stripped.to_original(7), 3);
    }

    proptest! {
        #[test]
        fn fast_and_mapped_ways_agree(line in "[ a\\r\u{1b}\\[0-9mK;日\\]]{0,40}") {
            let mut fast = String::new();
            clean_into(line.as_bytes(), &mut fast);
            let mut mapped = Stripped::default();
            clean(line.as_bytes(), &mut mapped);
            prop_assert_eq!(fast, mapped.text);
        }

        #[test]
        fn every_char_leads_back(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in Format::ALL {
                let stripped = byte_map(&raw, format);
                for (at, c) in stripped.text.char_indices() {
                    let origin = stripped.to_original(at);
                    if c == '\u{FFFD}' || c == '\n' {
                        prop_assert!(origin < raw.len());
                        continue;
                    }
                    let mut buffer = [0; 4];
                    let bytes = c.encode_utf8(&mut buffer).as_bytes();
                    prop_assert_eq!(&raw[origin..origin + bytes.len()], bytes);
                }
            }
        }

        #[test]
        fn prefixed_chars_lead_back(body in "[ a-z\u{1b}\\[0-9m日\\r]{0,30}") {
            let raw = format!("\u{1b}[1m2022-05-20 13:15:39.453441 | \u{1b}[0mnode | {body}");
            let stripped = byte_map(raw.as_bytes(), Format::Zuul);
            for (at, c) in stripped.text.char_indices().filter(|(_, c)| *c != '\n') {
                prop_assert!(raw[stripped.to_original(at)..].starts_with(c));
            }
        }
    }
}
