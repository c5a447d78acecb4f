//! From the address of a build's logs to its files.

use super::server::{Server, ok, reply};
use super::{Place, gzip};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use std::fmt::Write;
use whorl::intake::download::listing::{Bounds, Choice, Kind, Left, Listing};
use whorl::intake::download::{DownloadError, Request};

fn choice(globs: &[&str]) -> Choice {
    let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
    Choice::new(&globs, 100, 1 << 30).unwrap()
}

fn usual() -> Choice {
    choice(&["job-output.txt", "console.html", "logs/**/*.txt*"])
}

async fn list_in(server: &Server, path: &str, bounds: &Bounds) -> Result<Listing, DownloadError> {
    let place = Place::new();
    let request = Request::new(server.url(path));
    place.downloader.list(&request, &usual(), bounds).await
}

async fn list(server: &Server, path: &str) -> Listing {
    list_in(server, path, &Bounds::default()).await.unwrap()
}

fn names(listing: &Listing) -> Vec<&str> {
    listing
        .entries
        .iter()
        .map(|entry| entry.name.as_str())
        .collect()
}

const MANIFEST: &str = r#"{"tree": [{"name": "job-output.txt", "mimetype": "text/plain", "size": 5},
    {"name": "logs", "mimetype": "application/directory", "children": [
        {"name": "a b.txt", "mimetype": "text/plain", "encoding": "gzip", "size": 7}]}]}"#;

#[tokio::test]
async fn a_manifest_says_all_at_once() {
    for packed in [false, true] {
        let server = Server::start(move |request, out| {
            assert_eq!(request.header("authorization"), Some("Bearer x"));
            match (request.path.as_str(), packed) {
                ("/b/1/zuul-manifest.json", false) => ok(out, MANIFEST.as_bytes()),
                ("/b/1/zuul-manifest.json", true) => reply(
                    out,
                    "200 OK",
                    "Content-Encoding: gzip\r\n",
                    &gzip(MANIFEST.as_bytes()),
                ),
                ("/b/1/logs/a%20b.txt", _) => ok(out, b"found\n"),
                _ => reply(out, "404 Not Found", "", b""),
            }
        });
        let place = Place::new();
        let request = Request::new(server.url("/b/1"));
        let request = request.header(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        let found = place
            .downloader
            .list(&request, &usual(), &Bounds::default())
            .await;
        let found = found.unwrap();
        assert_eq!(
            (found.kind, names(&found)),
            (Kind::Zuul, vec!["job-output.txt", "logs/a b.txt"])
        );
        let last = found.entries[1].clone();
        assert_eq!(
            (last.size, last.encoding.as_deref()),
            (Some(7), Some("gzip"))
        );
        place.ask(&request.of(last.url)).await.unwrap();
        assert_eq!(place.text(), b"found\n");
    }
}

#[tokio::test]
async fn all_logs_of_a_build_come_into_a_folder() {
    let server = Server::start(|request, out| match request.path.as_str() {
        "/b/" => ok(
            out,
            b"<a href=job-output.txt>j</a><a href=logs/>l</a><a href=x.png>x</a>",
        ),
        "/b/logs/" => ok(
            out,
            b"<a href=a.txt>a</a><a href=gone.txt>g</a><a href=z.txt>z</a>",
        ),
        "/b/job-output.txt" => ok(out, &[b'j'; 600]),
        "/b/logs/a.txt" => ok(out, &[b'a'; 300]),
        "/b/logs/z.txt" => ok(out, &[b'z'; 300]),
        _ => reply(out, "404 Not Found", "", b""),
    });
    let place = Place::new();
    let globs = ["job-output.txt".to_owned(), "logs/*.txt".to_owned()];
    let (request, bounds) = (Request::new(server.url("/b")), Bounds::default());
    let logs = async |bytes: u64| {
        let choice = Choice::new(&globs, 100, bytes).unwrap();
        let folder = place.dir.path();
        place
            .downloader
            .logs(&request, &choice, &bounds, folder)
            .await
            .unwrap()
    };
    let all = logs(10_000).await;
    let names: Vec<_> = all
        .files
        .iter()
        .map(|(entry, _)| entry.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "job-output.txt",
            "logs/a.txt",
            "logs/gone.txt",
            "logs/z.txt"
        ]
    );
    assert_eq!(
        std::fs::read(place.dir.path().join("logs/a.txt")).unwrap(),
        [b'a'; 300]
    );
    assert_eq!((all.is_complete(), all.unwanted), (false, 1));
    assert!(
        !all.is_worth_another_try(),
        "what is gone does not come back"
    );
    assert_eq!(
        all.problems(),
        [format!(
            "logs/gone.txt: {}: 404 Not Found",
            server.url("/b/logs/gone.txt")
        )]
    );
    let some = logs(1000).await;
    let told = some.problems().join("\n");
    assert!(
        told.contains("all files together are larger than the limit of 1000 bytes"),
        "{told}"
    );
    let bytes: u64 = some
        .files
        .iter()
        .filter_map(|(_, a)| Some(a.as_ref().ok()?.bytes))
        .sum();
    assert_eq!(bytes, 1000);
}

#[tokio::test]
async fn index_pages_are_walked_where_something_may_be() {
    let server = Server::start(|request, out| match request.path.as_str() {
        "/b/1/" => ok(
            out,
            br#"<a href="/b/">..</a> <a href="job-output.txt.gz">j</a> <a href="logs/">l</a>
                <a href="docs/">d</a> <a href="https://elsewhere.test/b/1/x.txt">e</a>"#,
        ),
        "/b/1/logs/" => ok(
            out,
            b"<a href=\"x.txt\">x</a><a href=\"deep/\">d</a><a href='../'>..</a>",
        ),
        "/b/1/logs/deep/" => ok(out, b"<a href=/b/1/logs/deep/y.txt>y</a>"),
        // A page application answers everything with itself.
        "/b/1/zuul-manifest.json" => ok(out, b"<html>app</html>"),
        _ => reply(out, "404 Not Found", "", b""),
    });
    let found = list(&server, "/b/1/").await;
    assert_eq!(found.kind, Kind::Pages);
    assert_eq!(
        names(&found),
        ["job-output.txt.gz", "logs/x.txt", "logs/deep/y.txt"]
    );
    assert_eq!(found.left, []);
    let asked: Vec<String> = server.requests().into_iter().map(|r| r.path).collect();
    assert!(!asked.contains(&"/b/1/docs/".to_owned()), "{asked:?}");
    let chosen = usual().choose(found.entries);
    assert_eq!((chosen.files.len(), chosen.unwanted), (3, 0));
}

#[tokio::test]
async fn a_page_that_links_to_itself_for_ever_has_an_end() {
    let server = Server::start(|request, out| match request.path.as_str() {
        path if path.ends_with("zuul-manifest.json") => reply(out, "403 Forbidden", "", b""),
        _ => ok(out, b"<a href=\"logs/\">again</a> <a href=\"a.txt\">a</a>"),
    });
    let found = list(&server, "/").await;
    assert!(
        found
            .left
            .iter()
            .any(|left| matches!(left, Left::Deep { .. })),
        "{:?}",
        found.left
    );
    assert!(server.count() < 20, "{}", server.count());
    let bounds = Bounds {
        pages: 3,
        ..Bounds::default()
    };
    let found = list_in(&server, "/", &bounds).await.unwrap();
    assert_eq!(found.left, [Left::Pages { limit: 3 }]);
    assert_eq!(found.entries.len(), 3);
}

#[tokio::test]
async fn a_huge_page_is_read_to_a_limit() {
    let server = Server::start(|request, out| {
        if request.path.ends_with("zuul-manifest.json") {
            return reply(out, "404 Not Found", "", b"");
        }
        let mut html = String::new();
        for n in 0..20_000 {
            writeln!(html, "<a href=\"{n}.txt\">{n}</a>").unwrap();
        }
        ok(out, html.as_bytes())
    });
    let bounds = Bounds {
        files: 1000,
        ..Bounds::default()
    };
    let found = list_in(&server, "/", &bounds).await.unwrap();
    assert_eq!(
        (found.entries.len(), found.left),
        (1000, vec![Left::Files { limit: 1000 }])
    );
    let bounds = Bounds {
        page_bytes: 5000,
        ..Bounds::default()
    };
    let found = list_in(&server, "/", &bounds).await.unwrap();
    assert!(found.entries.len() < 300);
    assert!(
        matches!(found.left[..], [Left::Large { limit: 5000, .. }]),
        "{:?}",
        found.left
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_listed_is_told() {
    let server = Server::start(|request, out| match request.path.as_str() {
        "/" => ok(
            out,
            b"<a href=\"logs/\">l</a> <a href=\"console.html\">c</a>",
        ),
        _ => reply(out, "403 Forbidden", "", b""),
    });
    let found = list(&server, "/").await;
    assert_eq!(names(&found), ["console.html"]);
    assert!(matches!(&found.left[..], [Left::Failed { folder, .. }] if folder == "logs"));
    let nothing = Server::start(|_, out| reply(out, "404 Not Found", "", b""));
    let error = list_in(&nothing, "/", &Bounds::default())
        .await
        .unwrap_err();
    assert!(error.is_missing());
}

#[tokio::test]
async fn an_object_store_is_listed_page_by_page() {
    let server = Server::start(|request, out| {
        assert!(
            request.query.contains("prefix=logs%2F1%2F"),
            "{}",
            request.query
        );
        let second = request.query.contains("continuation-token=t%261");
        let (key, more) = if second {
            ("logs/1/logs/b.txt", "<IsTruncated>false</IsTruncated>")
        } else {
            (
                "logs/1/job-output.txt",
                "<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1</NextContinuationToken>",
            )
        };
        let xml = format!(
            "<?xml version=\"1.0\"?><ListBucketResult>{more}<Contents><Key>{key}</Key><Size>9</Size></Contents></ListBucketResult>"
        );
        ok(out, xml.as_bytes())
    });
    let found = list(&server, "/bucket?prefix=logs/1/").await;
    assert_eq!(
        (found.kind, names(&found)),
        (Kind::Bucket, vec!["job-output.txt", "logs/b.txt"])
    );
    assert_eq!(
        found.entries[1].url,
        server.url("/bucket/logs/1/logs/b.txt")
    );
}
