//! Text as Gerrit takes it, and how any text is made to fit.

use super::marker;
use super::words;
use crate::event::is_deceptive;
use crate::state::Note;

/// Keeps a word from being read as a reference to somebody or something; not to be seen.
pub(super) const SPLIT: char = '\u{200b}';

/// The message for Gerrit, of at most `limit` bytes.
pub(super) fn message(note: &Note, page: Option<&str>, limit: usize) -> String {
    let lines: Vec<String> = marker::body(&note.text).map(harmless).collect();
    fit(&lines, &words::cut(page), &marker::line(note), limit)
}

/// The lines and the last line; where there is no room for all, the first of them and `cut`.
pub(super) fn fit(lines: &[String], cut: &str, last: &str, limit: usize) -> String {
    let whole = lines.join("\n");
    let whole = whole.trim_end();
    if whole.len() + last.len() + 2 <= limit {
        return format!("{whole}\n\n{last}");
    }
    let room = limit.saturating_sub(cut.len() + last.len() + 4);
    let (mut kept, mut size) = (Vec::new(), 0);
    for line in lines {
        size += line.len() + 1;
        if size > room {
            break;
        }
        kept.push(line.as_str());
    }
    format!("{}\n\n{cut}\n\n{last}", kept.join("\n").trim_end())
}

/// A text without control characters.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if is_deceptive(c) { ' ' } else { c })
        .collect()
}

/// Gerrit tells people who are mentioned as `@name@host`.
fn harmless(line: &str) -> String {
    let line = one_line(line);
    let mut out = String::with_capacity(line.len());
    for word in line.split_inclusive(' ') {
        if word.matches('@').count() < 2 {
            out.push_str(word);
            continue;
        }
        for c in word.chars() {
            out.push(c);
            if c == '@' {
                out.push(SPLIT);
            }
        }
    }
    out
}
