//! A few lines of a log, to show them.

use super::decode::decode;
use super::input::LogInput;
use super::limits::Limits;
use super::lines::Lines;
use super::strip::clean_into;
use std::collections::VecDeque;
use std::io;

/// Bytes of one line that are shown.
const SHOWN: usize = 4096;

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The last lines, where a failure mostly is.
    End,
    /// The lines from this number on; the first line is 1.
    From(u64),
}

/// Lines that follow each other, without colours and control characters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Number of the first line.
    pub first: u64,
    /// The lines.
    pub lines: Vec<String>,
    /// True when lines come after these.
    pub more: bool,
    /// What ended the reading before the end of the log.
    pub problem: Option<String>,
}

/// Reads at most `count` lines of a log. Memory does not grow with the log. `None` for an archive:
/// its members are logs, itself is none.
pub fn window(
    input: &LogInput,
    limits: &Limits,
    part: Part,
    count: usize,
) -> io::Result<Option<Window>> {
    let mut decoded = decode(input.raw()?.reader, limits);
    if decoded.archive.is_some() {
        return Ok(None);
    }
    let mut lines = Lines::new(&mut *decoded.reader, limits);
    let mut kept: VecDeque<String> = VecDeque::new();
    let mut found = Window {
        first: 1,
        ..Window::default()
    };
    let mut last = 0;
    while let Some(line) = lines.next() {
        // Only the first piece of an endless line is shown.
        if line.number == last {
            continue;
        }
        last = line.number;
        match part {
            Part::From(from) if line.number < from => continue,
            Part::From(_) if kept.len() == count => {
                found.more = true;
                break;
            }
            Part::End if kept.len() == count => drop(kept.pop_front()),
            _ => {}
        }
        if kept.is_empty() || part == Part::End {
            found.first = line.number - kept.len() as u64;
        }
        kept.push_back(shown(line.bytes));
    }
    found.problem = lines.error().map(|e| e.to_string());
    found.lines = kept.into();
    Ok(Some(found))
}

/// Hands out every line of a log, with its line end, until `take` says that it has enough. `None` for an
/// archive.
pub fn each_line(
    input: &LogInput,
    limits: &Limits,
    mut take: impl FnMut(&[u8], bool) -> bool,
) -> io::Result<Option<()>> {
    let mut decoded = decode(input.raw()?.reader, limits);
    if decoded.archive.is_some() {
        return Ok(None);
    }
    let mut lines = Lines::new(&mut *decoded.reader, limits);
    while let Some(line) = lines.next() {
        let whole = line.length > line.bytes.len() as u64;
        if !take(line.bytes, whole) {
            return Ok(Some(()));
        }
    }
    match lines.error() {
        Some(error) => Err(error),
        None => Ok(Some(())),
    }
}

fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    clean_into(&bytes[..bytes.len().min(SHOWN)], &mut text);
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn of(text: &str, part: Part) -> Window {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, text).unwrap();
        let input = LogInput::new("a.log", &path);
        let found = window(&input, &Limits::default(), part, 3).unwrap();
        found.unwrap()
    }

    #[test]
    fn the_end_and_the_middle() {
        let text = "1\n2\n3\n4\n\u{1b}[31m5\u{1b}[0m\n";
        let end = of(text, Part::End);
        assert_eq!((end.first, end.more), (3, false));
        assert_eq!(end.lines, ["3", "4", "5"]);
        let middle = of(text, Part::From(2));
        assert_eq!((middle.first, middle.more), (2, true));
        assert_eq!(middle.lines, ["2", "3", "4"]);
        assert_eq!(of(text, Part::From(9)).lines, [""; 0]);
        assert_eq!(of("", Part::End).lines, [""; 0]);
        assert_eq!(of("a\n", Part::End).first, 1);
    }

    #[test]
    fn a_long_line_is_cut() {
        let found = of(&format!("{}\nend\n", "x".repeat(3 << 20)), Part::End);
        assert_eq!(found.lines.len(), 2);
        assert_eq!(found.lines[0].len(), SHOWN + '…'.len_utf8());
    }
}
