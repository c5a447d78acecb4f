//! Downloads from servers that misbehave on purpose.

mod limits;
mod listing;
mod places;
mod resume;
mod server;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use server::{Server, head, ok, reply};
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use url::Url;
use whorl::intake::download::{
    Answer, DownloadError, Downloader, Fetched, Hosts, Known, Request, Settings,
};

/// A folder, and a downloader that may ask only these servers.
struct Place {
    dir: TempDir,
    downloader: Downloader,
}

/// Limits that suit a test: short, and without pauses.
fn settings(hosts: Hosts) -> Settings {
    Settings {
        idle: Duration::from_secs(5),
        connect: Duration::from_secs(5),
        whole: Duration::from_secs(20),
        tries: 4,
        retry: Duration::from_millis(5),
        max_wait: Duration::from_secs(3),
        redirects: 4,
        ..Settings::new(hosts)
    }
}

/// Names of hosts, all of which stand for this machine, at any port.
fn named(names: &[&str]) -> Hosts {
    let list = names
        .iter()
        .map(|name| format!("{name}:*").parse().unwrap())
        .collect();
    Hosts {
        lookup: Some(Arc::new(|_| Ok(vec![IpAddr::from([127, 0, 0, 1])]))),
        ..Hosts::listed(Vec::new(), list)
    }
}

fn local() -> Hosts {
    Hosts::listed(vec!["127.0.0.1:*".parse().unwrap()], Vec::new())
}

impl Place {
    fn new() -> Self {
        Self::with(settings(local()))
    }

    fn with(settings: Settings) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            downloader: Downloader::new(settings).unwrap(),
        }
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("log.txt")
    }

    async fn try_get(&self, url: &Url) -> Result<Fetched, DownloadError> {
        self.ask(&Request::new(url.clone())).await
    }

    async fn ask(&self, request: &Request) -> Result<Fetched, DownloadError> {
        match self.downloader.fetch(request, &self.target()).await? {
            Answer::Fetched(fetched) => Ok(*fetched),
            Answer::Unchanged => panic!("nothing was known"),
        }
    }

    async fn get(&self, url: &Url) -> Fetched {
        self.try_get(url).await.unwrap()
    }

    /// What lies in the folder.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn text(&self) -> Vec<u8> {
        std::fs::read(self.target()).unwrap()
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    use std::fmt::Write;
    let mut text = String::new();
    for byte in sha2::Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Lines that differ, so that a piece in the wrong place is seen.
fn lines(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|n| format!("line {n:08}\n").into_bytes())
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_file_and_what_is_known_of_it() {
    let body = lines(50_000);
    let sent = body.clone();
    let server = Server::start(move |_, out| {
        let more = "ETag: \"v1\"\r\nContent-Type: text/plain\r\n";
        reply(out, "200 OK", more, &sent)
    });
    let place = Place::new();
    let got = place.get(&server.url("/log.txt")).await;
    assert!(got.is_complete() && got.framed);
    assert_eq!(got.bytes, body.len() as u64);
    assert_eq!(got.sha256, sha256(&body));
    assert_eq!(got.known.etag.as_deref(), Some("\"v1\""));
    assert_eq!(got.content_type.as_deref(), Some("text/plain"));
    assert_eq!((got.tries, got.resumes, got.restarts), (1, 0, 0));
    assert!(place.text() == body);
    assert_eq!(place.files(), ["log.txt"], "nothing else is left");
}

#[tokio::test]
async fn a_log_is_asked_for_again_only_when_it_has_changed() {
    let server = Server::start(|request, out| match request.header("if-none-match") {
        Some("\"v2\"") => reply(out, "304 Not Modified", "ETag: \"v2\"\r\n", b""),
        _ => reply(out, "200 OK", "ETag: \"v2\"\r\n", b"more\n"),
    });
    let place = Place::new();
    let known = |tag: &str| Known {
        etag: Some(tag.to_owned()),
        last_modified: None,
    };
    let request = Request::new(server.url("/x"));
    let grown = place
        .ask(&request.clone().unless(known("\"v1\"")))
        .await
        .unwrap();
    assert_eq!(
        (place.text(), grown.known),
        (b"more\n".to_vec(), known("\"v2\""))
    );
    let request = request.unless(known("\"v2\""));
    let answer = place.downloader.fetch(&request, &place.target()).await;
    assert!(matches!(answer, Ok(Answer::Unchanged)));
    assert_eq!(place.files(), ["log.txt"], "what was there stays");
}

#[tokio::test]
async fn bytes_are_kept_as_sent() {
    let body = lines(100);
    let packed = gzip(&body);
    let sent = packed.clone();
    let server = Server::start(move |request, out| {
        assert_eq!(request.header("accept-encoding"), Some("gzip, identity"));
        match request.path.as_str() {
            "/encoded.txt" => reply(out, "200 OK", "Content-Encoding: gzip\r\n", &sent),
            "/brotli.txt" => reply(out, "200 OK", "Content-Encoding: br\r\n", b"xxx"),
            _ => reply(out, "200 OK", "Content-Type: application/gzip\r\n", &sent),
        }
    });
    let place = Place::new();
    for (path, encoding) in [("/encoded.txt", Some("gzip")), ("/file.txt.gz", None)] {
        let got = place.get(&server.url(path)).await;
        assert_eq!(got.content_encoding.as_deref(), encoding);
        assert_eq!(place.text(), packed, "{path}");
        let mut text = Vec::new();
        let input = whorl::intake::LogInput::new("x", place.target());
        let mut reader = input.open(&whorl::intake::Limits::default()).unwrap();
        std::io::Read::read_to_end(&mut reader, &mut text).unwrap();
        assert_eq!(text, body, "intake undoes it");
    }
    let refused = place.try_get(&server.url("/brotli.txt")).await.unwrap_err();
    assert!(
        refused.to_string().contains("content-encoding \"br\""),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_missing_is_asked_for_once() {
    let server = Server::start(|_, out| reply(out, "404 Not Found", "", b"no"));
    let place = Place::new();
    let error = place
        .try_get(&server.url("/x?sig=secret"))
        .await
        .unwrap_err();
    assert!(error.is_missing() && !error.is_temporary());
    assert_eq!(
        error.to_string(),
        format!("{}: 404 Not Found", server.url("/x"))
    );
    assert_eq!(server.count(), 1);
    assert_eq!(place.files().len(), 0);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says() {
    let server = Server::start(|request, out| match request.number {
        0 => reply(out, "429 Too Many Requests", "Retry-After: 1\r\n", b""),
        1 => reply(out, "503 Service Unavailable", "", b""),
        2 => reply(out, "500 Internal Server Error", "", b""),
        _ => ok(out, b"at last\n"),
    });
    let place = Place::new();
    let start = std::time::Instant::now();
    let got = place.get(&server.url("/x")).await;
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!((got.tries, place.text()), (4, b"at last\n".to_vec()));
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_for_long_is() {
    let server =
        Server::start(|_, out| reply(out, "429 Too Many Requests", "Retry-After: 3600\r\n", b""));
    let error = Place::new().try_get(&server.url("/x")).await.unwrap_err();
    assert!(matches!(error, DownloadError::Later { after, .. } if after.as_secs() == 3600));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn nobody_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = Url::parse(&format!("http://127.0.0.1:{port}/x")).unwrap();
    let error = Place::new().try_get(&url).await.unwrap_err();
    assert!(matches!(error, DownloadError::Connect { .. }), "{error}");
    assert!(
        error.is_temporary() && error.to_string().contains("refused"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_dropped_leaves_nothing_behind() {
    let server = Server::start(|_, out| {
        out.write_all(head("200 OK", "Content-Length: 100\r\n").as_bytes())?;
        out.write_all(b"some")?;
        server::hang(out)
    });
    let place = Place::with(Settings {
        idle: Duration::from_secs(60),
        ..settings(local())
    });
    let begun = tokio::time::timeout(Duration::from_secs(20), async {
        let url = server.url("/x");
        let fetch = place.try_get(&url);
        tokio::pin!(fetch);
        loop {
            tokio::select! {
                _ = &mut fetch => panic!("it hangs"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {
                    if server.count() > 0 && !place.files().is_empty() {
                        break;
                    }
                }
            }
        }
    });
    begun.await.unwrap();
    assert_eq!(place.files().len(), 0);
}

#[tokio::test]
async fn secrets_go_to_their_host_only() {
    let other = Server::start(|request, out| {
        assert_eq!(request.header("authorization"), None);
        match request.path.as_str() {
            "/back" => {
                let to = request.query.replace("to=", "");
                reply(out, "302 Found", &format!("Location: {to}\r\n"), b"")
            }
            _ => ok(out, b"elsewhere\n"),
        }
    });
    let to = other.url("/signed?sig=1").to_string();
    let server = Server::start(move |request, out| {
        assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
        match request.path.as_str() {
            "/logs" => reply(out, "302 Found", &format!("Location: {to}\r\n"), b""),
            "/inside" => reply(out, "301 Moved", "Location: /here\r\n", b""),
            _ => ok(out, b"here\n"),
        }
    });
    let place = Place::new();
    let with = |url: Url| {
        let request = Request::new(url);
        let request = request.header(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"));
        assert!(!format!("{request:?}").contains("s3cret"));
        request
    };
    let got = place.ask(&with(server.url("/logs"))).await.unwrap();
    assert_eq!(
        (place.text(), got.url.path()),
        (b"elsewhere\n".to_vec(), "/signed")
    );
    place.ask(&with(server.url("/inside"))).await.unwrap();
    assert_eq!(place.text(), b"here\n");
    // The other host got none of it, although the first assertion is in another thread.
    assert!(
        other
            .requests()
            .iter()
            .all(|r| r.header("authorization").is_none())
    );
}
