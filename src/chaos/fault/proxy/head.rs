//! The head of a request: as much of HTTP/1 as has to be known to pass it on.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A head that is longer is nobody's.
const LONGEST: usize = 256 * 1024;

/// A request up to its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    /// What is passed on: the head, and what was read behind it.
    pub(super) bytes: Vec<u8>,
}

impl Head {
    /// Reads a head; nothing when the connection ends before it.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut bytes = Vec::with_capacity(4096);
        loop {
            if let Some(end) = end_of_head(&bytes) {
                return Ok(Some(Self::of(&bytes[..end], &bytes[end..])));
            }
            if bytes.len() > LONGEST || from.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn of(head: &[u8], behind: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let mut words = text.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        // A proxy may be asked with the whole address.
        let path = match target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => target,
        };
        let path = path.split('?').next().unwrap_or_default().to_owned();
        let mut bytes = closing(head);
        bytes.extend_from_slice(behind);
        Self {
            method,
            path,
            bytes,
        }
    }
}

/// Where a head ends, the empty line included.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The head with the wish that the connection is closed behind the answer, so that each request comes
/// by itself. A connection that is to become something else stays as it is.
fn closing(head: &[u8]) -> Vec<u8> {
    let is = |line: &[u8], name: &str| {
        line.len() > name.len()
            && line[name.len()] == b':'
            && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
    };
    let lines: Vec<&[u8]> = head.split_inclusive(|byte| *byte == b'\n').collect();
    if lines.iter().any(|line| is(line, "upgrade")) {
        return head.to_owned();
    }
    let mut bytes = Vec::with_capacity(head.len() + 24);
    for line in lines {
        if line == b"\r\n" {
            bytes.extend_from_slice(b"Connection: close\r\n");
        }
        if !is(line, "connection") && !is(line, "keep-alive") {
            bytes.extend_from_slice(line);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn head(mut bytes: &[u8]) -> Option<Head> {
        Head::read(&mut bytes).await.unwrap()
    }

    #[tokio::test]
    async fn one_request_is_passed_on_for_each_connection() {
        let text =
            b"GET /a/b?c=/d HTTP/1.1\r\nHost: x\r\nconnection: keep-alive\r\nX: y\r\n\r\nbody";
        let head = head(text).await.unwrap();
        assert_eq!((head.method.as_str(), head.path.as_str()), ("GET", "/a/b"));
        let wanted = "GET /a/b?c=/d HTTP/1.1\r\nHost: x\r\nX: y\r\nConnection: close\r\n\r\nbody";
        assert_eq!(String::from_utf8(head.bytes).unwrap(), wanted);
    }

    #[tokio::test]
    async fn odd_heads() {
        let whole = head(b"GET http://host/a?b HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(whole.path, "/a");
        assert_eq!(head(b"GET / HTTP/1.1\r\nHost").await, None);
        let text = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(head(text).await.unwrap().bytes, text);
    }
}
