//! Lines of a stream, of which none may be too long.

use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line of so many bytes, which are gone.
    TooLong(usize),
    /// The stream ended in the middle of a line of so many bytes.
    CutOff(usize),
    /// The stream ended.
    End,
}

/// Reads the next line, keeping at most `limit` bytes.
pub(super) async fn next<R: AsyncBufRead + Unpin>(from: &mut R, limit: usize) -> io::Result<Next> {
    let (mut line, mut length) = (Vec::new(), 0_usize);
    loop {
        let buffer = from.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(if length == 0 {
                Next::End
            } else {
                Next::CutOff(length)
            });
        }
        let end = memchr::memchr(b'\n', buffer);
        let part = &buffer[..end.unwrap_or(buffer.len())];
        length += part.len();
        if length <= limit {
            line.extend_from_slice(part);
        } else {
            line = Vec::new();
        }
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(if length > limit {
                Next::TooLong(length)
            } else {
                Next::Line(line)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    #[tokio::test]
    async fn a_long_line_hides_no_other() {
        let text = [b"one\n", &[b'x'; 100][..], b"\n\ntwo\nhal"].concat();
        for room in [1, 3, 7, 1000] {
            let mut from = BufReader::with_capacity(room, &text[..]);
            let mut all = Vec::new();
            while all.last() != Some(&Next::End) {
                all.push(next(&mut from, 10).await.unwrap());
            }
            let line = |text: &str| Next::Line(text.into());
            let expected = [
                line("one"),
                Next::TooLong(100),
                line(""),
                line("two"),
                Next::CutOff(3),
                Next::End,
            ];
            assert_eq!(all, expected, "{room}");
        }
    }
}
