//! Where logs come from: files, folders, URLs, standard input, and several of them.

use super::{Ran, classify, classify_input, fingerprint, gzip, path, recorded, whorl};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// One answer of the small server.
struct Page {
    path: &'static str,
    status: &'static str,
    /// More lines of its head.
    head: &'static str,
    body: Vec<u8>,
    /// What the head says of the body's length, when it lies.
    length: Option<usize>,
}

fn page(path: &'static str, body: &[u8]) -> Page {
    Page {
        path,
        status: "200 OK",
        head: "",
        body: body.to_vec(),
        length: None,
    }
}

/// Serves pages on loopback as long as the test program runs.
fn serve(pages: Vec<Page>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            // A client that is gone is its own matter.
            let _ = answer(&mut connection.unwrap(), &pages);
        }
    });
    address
}

fn answer(connection: &mut TcpStream, pages: &[Page]) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let asked = lines.next().unwrap_or(Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = asked.split(' ').nth(1).unwrap_or_default();
    let missing = Page {
        status: "404 Not Found",
        ..page("", b"")
    };
    let page = pages.iter().find(|p| p.path == path).unwrap_or(&missing);
    let length = page.length.unwrap_or(page.body.len());
    write!(
        connection,
        "HTTP/1.1 {}\r\n{}Content-Length: {length}\r\nConnection: close\r\n\r\n",
        page.status, page.head
    )?;
    connection.write_all(&page.body)
}

#[test]
fn a_file_a_folder_a_url_and_a_pipe_say_the_same() {
    let log = std::fs::read(recorded("001").join("services/redis.log")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("redis.log"), &log).unwrap();
    let file = dir.path().join("redis.log");
    let server = serve(vec![page("/x/redis.log", &gzip(&log))]);
    let url = format!("http://{server}/x/redis.log");
    let runs = [
        ("redis.log", classify(&[path(&file), "--format", "json"])),
        (
            "redis.log",
            classify(&[path(dir.path()), "--format", "json"]),
        ),
        ("redis.log", classify(&[url.as_str(), "--format", "json"])),
        ("stdin", classify_input(&log, &["-", "--format", "json"])),
        (
            "stdin",
            classify_input(&gzip(&log), &["-", "--format", "json"]),
        ),
    ];
    for (name, ran) in runs {
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        let answer = ran.json();
        assert_eq!(ran.matched(), ["port-taken"]);
        assert_eq!(answer["matches"][0]["evidence"][0]["file"], name);
        assert_eq!(answer["matches"][0]["evidence"][0]["line"], 5);
        assert_eq!(answer["stats"]["bytes"], log.len());
    }
    let elsewhere = format!("{url}?token=a/b");
    let ran = classify(&[elsewhere.as_str(), "--format", "json"]);
    assert_eq!(ran.code, 4, "the server knows no such path: {}", ran.err);
    assert!(ran.err.contains("404 Not Found"), "{}", ran.err);
    assert_eq!(ran.json()["verdict"], "partial-log");
}

#[test]
fn a_download_that_breaks_off_is_partial() {
    let log = "bind: Address already in use\n".repeat(1000);
    let server = serve(vec![Page {
        length: Some(log.len() * 2),
        ..page("/job.txt", log.as_bytes())
    }]);
    let ran = classify(&[&format!("http://{server}/job.txt"), "--format", "json"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert_eq!(ran.json()["verdict"], "partial-log");
    assert_eq!(ran.json()["matches"][0]["hits"], 1000);
    assert!(
        ran.err
            .contains("job.txt: cannot be read after 29000 bytes"),
        "{}",
        ran.err
    );
}

#[test]
fn a_page_of_links_is_no_log() {
    let html = |path| Page {
        head: "Content-Type: text/html; charset=utf-8\r\n",
        ..page(path, b"<a href=x>Address already in use</a>\n")
    };
    let moved = Page {
        status: "302 Found",
        head: "Location: /log.txt\r\n",
        ..page("/old", b"")
    };
    let log = page("/log.txt", b"bind: Address already in use\n");
    let server = serve(vec![
        html("/build/"),
        html("/build/console.html"),
        moved,
        log,
    ]);
    let code = |path: &str| classify(&[format!("http://{server}{path}")]).code;
    assert_eq!(code("/build/console.html"), 0);
    assert_eq!(code("/old"), 0, "it follows to another place");
    let ran = classify(&[format!("http://{server}/build/")]);
    assert_eq!(ran.code, 4, "{}", ran.out);
    assert!(
        ran.err
            .contains("build: cannot be read: a page that lists files"),
        "{}",
        ran.err
    );
}

#[test]
fn nobody_answers() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let ran = classify(&[format!("http://127.0.0.1:{port}/a/job.txt")]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(
        ran.err.contains("job.txt: cannot be read: ") && ran.err.contains("refused"),
        "{}",
        ran.err
    );
}

#[test]
fn several_paths_are_one_build() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("a/x.log", "first step\n");
    write("b/x.log", "then bind: Address already in use\n");
    write("c.txt", "second step\n");
    let rules = fingerprint(
        "both",
        "title: Both\nall:\n  - message:\"first step\" AND filename:\"a/x.log\"\n  - message:\"second step\" AND NOT tags:console\n",
    );
    let mut command = whorl();
    command.current_dir(dir.path()).arg("classify");
    command.args([
        "a/x.log",
        "./b/",
        "c.txt",
        "b/x.log",
        "--format",
        "json",
        "--queries",
    ]);
    let ran = Ran::from(command.arg(rules.path()).output().unwrap());
    assert_eq!(
        (ran.code, ran.matched()),
        (0, vec!["both".to_owned()]),
        "{}",
        ran.err
    );
    assert_eq!(
        ran.json()["stats"]["files"],
        3,
        "what is named twice is read once"
    );
    let evidence = ran.json()["matches"][0]["evidence"].clone();
    let files: Vec<&str> = evidence
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["a/x.log", "c.txt"]);
}
