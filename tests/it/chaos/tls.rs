//! Wrong certificates, as real clients see them.

use super::proxy::{Holding, free_port};
use super::{Place, until};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

/// A server without TLS.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut some = [0; 4096];
            // A client that goes early is no concern of ours.
            let _ = stream.read(&mut some);
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

fn held(wrong: &str) -> (Holding, String) {
    let port = free_port();
    let arguments = json!({"upstream": format!("127.0.0.1:{}", server()), "wrong": wrong,
                           "listen": format!("127.0.0.1:{port}"), "authority": "ca.pem"});
    let holding = Holding::of(Place::new(), "tls-certificate", 1, &arguments);
    (holding, format!("https://localhost:{port}/"))
}

/// What curl says, and its exit code.
fn curl(holding: &Holding, url: &str) -> (Option<i32>, String) {
    let authority = holding.place.path("ca.pem");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "--cacert"])
        .arg(authority)
        .arg(url);
    let output = curl.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn reqwest(holding: &Holding, url: &str) -> Result<String, String> {
    let authority = std::fs::read(holding.place.path("ca.pem")).unwrap();
    let authority = reqwest::Certificate::from_pem(&authority).unwrap();
    let client = reqwest::blocking::Client::builder()
        .tls_built_in_root_certs(false)
        .add_root_certificate(authority)
        .no_proxy();
    let answer = client.build().unwrap().get(url).send();
    answer
        .map(|answer| answer.text().unwrap())
        .map_err(|error| format!("{error:?}"))
}

#[test]
fn clients_say_what_is_wrong_with_a_certificate() {
    for (wrong, by_curl, by_rustls) in [
        ("expired", "certificate has expired", "Expired"),
        (
            "not-yet-valid",
            "certificate is not yet valid",
            "NotValidYet",
        ),
        (
            "wrong-name",
            "no alternative certificate subject name matches",
            "NotValidForName",
        ),
        ("self-signed", "self-signed certificate", "UnknownIssuer"),
    ] {
        let (holding, url) = held(wrong);
        let (code, text) = curl(&holding, &url);
        assert!(
            code == Some(60) && text.contains(by_curl),
            "{wrong}: {code:?} {text}"
        );
        let text = reqwest(&holding, &url).unwrap_err();
        assert!(text.contains(by_rustls), "{wrong}: {text}");
        let place = holding.end();
        assert!(!place.path("ca.pem").exists(), "the authority is gone");
        assert!(place.runs().is_empty());
    }
}

#[test]
fn a_good_certificate_is_believed_and_a_killed_runner_leaves_none() {
    let (mut holding, url) = held("nothing");
    assert_eq!(curl(&holding, &url), (Some(0), "hello".into()));
    assert_eq!(reqwest(&holding, &url).unwrap(), "hello");
    holding.kill_runner();
    let port: u16 = url
        .rsplit(':')
        .next()
        .unwrap()
        .trim_end_matches('/')
        .parse()
        .unwrap();
    until("nobody listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_err()
    });
    until("the authority is gone", || {
        !holding.place.path("ca.pem").exists()
    });
}
