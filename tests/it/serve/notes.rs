//! Notes on their way from a verdict to a receiver, across restarts of everybody.

use super::program::{Home, until};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

/// One request as it came.
struct Got {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Answers each request with the next of `answers`, then with 200.
fn receiver(listener: TcpListener, answers: Vec<u16>) -> Receiver<Got> {
    let (sender, got) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let one = read(BufReader::new(stream.try_clone().unwrap()));
            let status = answers.next().unwrap_or(200);
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if sender.send(one).is_err() {
                return;
            }
        }
    });
    got
}

fn read(mut stream: impl BufRead) -> Got {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None if line.trim_end().is_empty() => break,
            None => None,
        };
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    Got { headers, body }
}

fn sign(key: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold("sha256=".into(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// An address where nobody listens now.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn a_note_waits_for_its_receiver_across_a_restart_and_is_said_once() {
    let address = nobody();
    let home = Home::new(&format!(
        "notes:\n  webhooks:\n    - {{url: 'http://{address}/hook', secret: k3y, retry: 20ms, max-tries: 500}}\n"
    ));
    let program = home.start();
    assert_eq!(program.feed("u1", b"boom\n"), 202);
    program.verdict("u1", "matched");
    until("a try in vain", || {
        program.said("was not taken").then_some(())
    });
    let base = program.base.clone();
    assert_eq!(program.stop(), Some(0));

    // The receiver comes back, is not well at first, and so does the service.
    let got = receiver(TcpListener::bind(address).unwrap(), vec![500, 500, 302]);
    let program = home.start();
    let mut tries: BTreeMap<String, Vec<Got>> = BTreeMap::new();
    let mut taken = 0;
    for n in 0.. {
        let one = got.recv_timeout(super::program::LONG).unwrap();
        assert_eq!(one.headers["x-whorl-signature-256"], sign("k3y", &one.body));
        let id = one.headers["x-whorl-delivery"].clone();
        tries.entry(id).or_default().push(one);
        taken += usize::from(n >= 3);
        if taken == 1 {
            break;
        }
    }
    assert_eq!(tries.len(), 1, "one note for one failure");
    for tries in tries.values() {
        assert!(tries.iter().all(|one| one.body == tries[0].body));
        let body: Value = serde_json::from_slice(&tries[0].body).unwrap();
        assert_eq!(body["build"], "u1");
        assert_eq!(body["data"]["bugs"][0]["fingerprint"], "boom");
        let text = body["text"].as_str().unwrap();
        assert!(text.contains(&format!("{base}/builds/u1")), "{text}");
        assert!(
            body["target"]
                .as_str()
                .unwrap()
                .starts_with("webhook 127.0.0.1#")
        );
    }

    // Another verdict of the same build is no reason to speak again; another build is.
    program.log_file("u1", "more.txt", b"boom boom\n");
    until("second verdict", || {
        (program.build("u1")["history"].as_array()?.len() == 2).then_some(())
    });
    assert_eq!(program.feed("u2", b"boom\n"), 202);
    let one = got.recv_timeout(super::program::LONG).unwrap();
    let body: Value = serde_json::from_slice(&one.body).unwrap();
    assert_eq!(body["build"], "u2");
    assert_eq!(program.stop(), Some(0));
    assert!(got.try_recv().is_err(), "said once");
}
