//! Connections that break in the middle.

use super::server::{Asked, Server, head, reply};
use super::{Place, lines, sha256};
use std::io::{self, Write};
use std::net::TcpStream;
use whorl::intake::download::{Cut, DownloadError};

const TAG: &str = "ETag: \"v1\"\r\n";

/// Promises all of it and gives half.
fn half(out: &mut TcpStream, more: &str, body: &[u8]) -> io::Result<()> {
    let more = format!("{more}Content-Length: {}\r\n", body.len());
    out.write_all(head("200 OK", &more).as_bytes())?;
    out.write_all(&body[..body.len() / 2])
}

/// Where a request asks to go on.
fn from(request: &Asked) -> Option<usize> {
    let range = request.header("range")?.strip_prefix("bytes=")?;
    range.strip_suffix('-')?.parse().ok()
}

/// The rest from a place on, as a good server gives it.
fn rest(out: &mut TcpStream, from: usize, more: &str, body: &[u8]) -> io::Result<()> {
    let (last, total) = (body.len() - 1, body.len());
    let more = format!("{more}Content-Range: bytes {from}-{last}/{total}\r\n");
    reply(out, "206 Partial Content", &more, &body[from..])
}

#[tokio::test]
async fn it_goes_on_where_it_broke_off() {
    let body = lines(40_000);
    let sent = body.clone();
    let server = Server::start(move |request, out| match from(request) {
        None => half(out, TAG, &sent),
        Some(from) => {
            assert_eq!(request.header("if-range"), Some("\"v1\""));
            rest(out, from, TAG, &sent)
        }
    });
    let place = Place::new();
    let got = place.get(&server.url("/x")).await;
    assert!(place.text() == body);
    assert_eq!((got.tries, got.resumes, got.restarts), (2, 1, 0));
    assert_eq!((got.sha256, got.bytes), (sha256(&body), body.len() as u64));
    let asked: Vec<_> = server.requests().iter().map(from).collect();
    assert_eq!(asked[0], None);
    assert!(asked[1].is_some_and(|from| from > 0), "{asked:?}");
}

#[tokio::test]
async fn it_goes_on_by_an_old_date_too() {
    let body = lines(40_000);
    let sent = body.clone();
    let dates =
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 09:49:37 GMT\r\n";
    let server = Server::start(move |request, out| match from(request) {
        None => half(out, dates, &sent),
        Some(from) => rest(out, from, dates, &sent),
    });
    let place = Place::new();
    let got = place.get(&server.url("/x")).await;
    assert_eq!((place.text() == body, got.resumes), (true, 1));
}

#[tokio::test]
async fn without_a_version_it_begins_anew() {
    let body = lines(40_000);
    let sent = body.clone();
    let server = Server::start(move |request, out| {
        assert_eq!(request.header("range"), None);
        match request.number {
            0 => half(out, "ETag: W/\"weak\"\r\n", &sent),
            _ => reply(out, "200 OK", "", &sent),
        }
    });
    let place = Place::new();
    let got = place.get(&server.url("/x")).await;
    assert!(place.text() == body);
    assert_eq!((got.tries, got.resumes, got.restarts), (2, 0, 1));
}

#[tokio::test]
async fn a_server_that_ignores_the_range_sends_all_again() {
    let body = lines(40_000);
    let sent = body.clone();
    let server = Server::start(move |request, out| match request.number {
        0 => half(out, TAG, &sent),
        _ => reply(out, "200 OK", TAG, &sent),
    });
    let place = Place::new();
    let got = place.get(&server.url("/x")).await;
    assert!(place.text() == body);
    assert_eq!((got.resumes, got.restarts), (0, 1));
    assert_eq!(got.sha256, sha256(&body));
}

#[tokio::test]
async fn two_versions_are_never_put_together() {
    let old = lines(40_000);
    // As long as the old one, so that the length does not tell.
    let new = b"another line!\n".repeat(40_000);
    // A good server sees by If-Range that the version is gone; a bad one sends the rest of the new
    // one, and only its tag, its date, its length or its encoding tells.
    let longer = [&new[..], b"more\n"].concat();
    let ways: [(&str, &str, Vec<u8>); 5] = [
        ("200", "ETag: \"v2\"\r\n", new.clone()),
        ("206", "ETag: \"v2\"\r\n", new.clone()),
        (
            "206",
            "ETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            new.clone(),
        ),
        ("206", "", longer),
        (
            "206",
            "ETag: \"v1\"\r\nContent-Encoding: gzip\r\n",
            new.clone(),
        ),
    ];
    for (way, more, fresh) in ways {
        let (old, sent) = (old.clone(), fresh.clone());
        let server = Server::start(move |request, out| match (request.number, from(request)) {
            (0, _) => half(out, TAG, &old),
            (1, Some(from)) if way == "206" => rest(out, from, more, &sent),
            (_, _) => reply(out, "200 OK", "ETag: \"v2\"\r\n", &sent),
        });
        let place = Place::new();
        let got = place.get(&server.url("/x")).await;
        assert!(place.text() == fresh, "{way} {more}");
        assert_eq!(got.sha256, sha256(&fresh));
        assert_eq!(got.known.etag.as_deref(), Some("\"v2\""));
        assert_eq!((got.restarts, got.is_complete()), (1, true));
    }
}

#[tokio::test]
async fn a_wrong_place_is_not_taken() {
    let body = lines(40_000);
    let wrong: [fn(usize, usize) -> String; 5] = [
        |_, total| format!("Content-Range: bytes 0-{}/{total}\r\n", total - 1),
        |from, total| {
            format!(
                "Content-Range: bytes {}-{}/{total}\r\n",
                from + 1,
                total - 1
            )
        },
        |from, total| {
            format!(
                "Content-Range: bytes {from}-{}/{}\r\n",
                total - 1,
                total + 7
            )
        },
        |_, _| String::new(),
        |from, _| format!("Content-Range: lines {from}\r\n"),
    ];
    for range in wrong {
        let sent = body.clone();
        let server = Server::start(move |request, out| match from(request) {
            Some(from) => {
                let more = format!("{TAG}{}", range(from, sent.len()));
                reply(out, "206 Partial Content", &more, &sent[from..])
            }
            None if request.number == 0 => half(out, TAG, &sent),
            None => reply(out, "200 OK", TAG, &sent),
        });
        let place = Place::new();
        let got = place.get(&server.url("/x")).await;
        assert!(place.text() == body, "{}", range(5, 10));
        assert_eq!((got.resumes, got.restarts), (0, 1));
    }
}

#[tokio::test]
async fn a_file_that_became_shorter_is_asked_for_anew() {
    let body = lines(40_000);
    let sent = body.clone();
    let server = Server::start(move |request, out| match (request.number, from(request)) {
        (0, _) => half(out, TAG, &sent),
        (_, Some(_)) => reply(
            out,
            "416 Range Not Satisfiable",
            "Content-Range: bytes */5\r\n",
            b"",
        ),
        _ => reply(out, "200 OK", "ETag: \"v2\"\r\n", b"short"),
    });
    let place = Place::new();
    place.get(&server.url("/x")).await;
    assert_eq!(place.text(), b"short");
}

#[tokio::test]
async fn many_breaks_are_mended_bit_by_bit() {
    let body = lines(40_000);
    let sent = body.clone();
    let server = Server::start(move |request, out| {
        let from = from(request).unwrap_or(0);
        if request.number == 3 {
            return rest(out, from, TAG, &sent);
        }
        let (total, last) = (sent.len(), sent.len() - 1);
        let status = if request.number == 0 {
            "200 OK"
        } else {
            "206 Partial Content"
        };
        let range = match request.number {
            0 => String::new(),
            _ => format!("Content-Range: bytes {from}-{last}/{total}\r\n"),
        };
        let more = format!("{TAG}{range}Content-Length: {}\r\n", total - from);
        out.write_all(head(status, &more).as_bytes())?;
        out.write_all(&sent[from..from + 100_000])
    });
    let place = Place::new();
    let got = place.get(&server.url("/x")).await;
    assert!(place.text() == body);
    assert_eq!((got.tries, got.resumes, got.restarts), (4, 3, 0));
}

#[tokio::test]
async fn what_breaks_off_each_time_is_cut_and_never_whole() {
    let body = lines(40_000);
    let sent = body.clone();
    let server = Server::start(move |_, out| half(out, "", &sent));
    let place = Place::new();
    let mut got = place.get(&server.url("/x")).await;
    assert!(!got.is_complete());
    assert!(
        matches!(&got.cut, Some(Cut::Failed(DownloadError::Broken { .. }))),
        "{:?}",
        got.cut
    );
    assert_eq!(got.tries, 4);
    assert!(!place.target().exists(), "its place is for the whole file");
    assert!(body.starts_with(&std::fs::read(got.path()).unwrap()));
    got.keep().unwrap();
    assert!(body.starts_with(&place.text()) && place.text().len() as u64 == got.bytes);
}

#[tokio::test]
async fn a_connection_that_is_reset_is_mended() {
    let body = lines(40_000);
    let sent = body.clone();
    let server = Server::start(move |request, out| match request.number {
        // Closing with unread input resets the connection.
        0 => out.shutdown(std::net::Shutdown::Both),
        1 => {
            let more = format!("{TAG}Transfer-Encoding: chunked\r\n");
            out.write_all(head("200 OK", &more).as_bytes())?;
            write!(out, "{:x}\r\n", 100_000)?;
            out.write_all(&sent[..50_000])
        }
        _ => rest(out, from(request).unwrap(), TAG, &sent),
    });
    let place = Place::new();
    let got = place.get(&server.url("/x")).await;
    assert!(place.text() == body);
    assert_eq!((got.tries, got.resumes), (3, 1));
}
