//! What senders do wrong: each gets a clear answer, and nothing that was sent rightly is lost.

use super::program::{Home, Program, files, gzip, until};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

fn complete(program: &Program, uuid: &str) {
    let path = format!("/api/v1/builds/{uuid}/complete");
    let (status, text) = program.send("POST", &path, r#"{"result":"FAILURE"}"#);
    assert_eq!(status, 202, "{text}");
}

/// A log that does not compress well, with the bug at its start.
fn noisy() -> Vec<u8> {
    let mut log = b"boom\n".to_vec();
    let mut x = 7_u32;
    for _ in 0..3000 {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        writeln!(log, "line {x:x}").unwrap();
    }
    log
}

#[test]
fn a_truncated_log_is_partial_until_it_is_sent_again() {
    let home = Home::new("");
    let program = home.start();
    let whole = gzip(&noisy());
    program.log_file("cut", "console.txt.gz", &whole[..whole.len() / 2]);
    complete(&program, "cut");
    let build = program.verdict("cut", "partial-log");
    let problems = build["problems"].to_string();
    assert!(
        problems.contains("console.txt.gz: ends too early"),
        "{problems}"
    );
    assert_eq!(
        build["matches"][0]["fingerprint"], "boom",
        "what was read counts"
    );
    // No second `complete`: the log itself is the news.
    program.log_file("cut", "console.txt.gz", &whole);
    let build = program.verdict("cut", "matched");
    assert_eq!(build["history"][0]["verdict"], "partial-log");
    assert_eq!(build["problems"], Value::Array(Vec::new()));
}

#[test]
fn a_bomb_is_partial_and_its_neighbours_are_read() {
    let home = Home::new("");
    let program = home.start();
    let bomb = gzip(&vec![b' '; 80 << 20]);
    assert!(bomb.len() < 200 << 10, "small enough to look harmless");
    program.log_file("bomb", "spaces.gz", &bomb);
    program.log_file("bomb", "console.txt", b"boom\n");
    complete(&program, "bomb");
    let build = program.verdict("bomb", "partial-log");
    let problems = build["problems"].to_string();
    assert!(
        problems.contains("spaces.gz: looks like a decompression bomb"),
        "{problems}"
    );
    assert_eq!(build["matches"][0]["evidence"][0]["file"], "console.txt");
}

#[test]
fn a_log_larger_than_the_limit_is_partial() {
    let home = Home::new("intake: {max-log: 1 MiB}\n");
    let program = home.start();
    let mut log = b"boom\n".to_vec();
    log.resize(2 << 20, b'\n');
    program.log_file("large", "console.txt.gz", &gzip(&log));
    complete(&program, "large");
    let build = program.verdict("large", "partial-log");
    let problems = build["problems"].to_string();
    assert!(
        problems.contains("larger than the limit of 1048576 bytes"),
        "{problems}"
    );
    assert_eq!(build["matches"][0]["fingerprint"], "boom");
}

#[test]
fn tricks_in_names_and_broken_bodies_are_refused_with_the_reason() {
    let home = Home::new("intake: {max-body: 1 KiB}\n");
    let program = home.start();
    let log = "/api/v1/builds/u/logs/";
    let long = vec![b'x'; 2000];
    let cases: [(&str, String, &[u8], u16, &str); 11] = [
        ("PUT", format!("{log}..%2f..%2fx"), b"", 400, "leads out"),
        (
            "PUT",
            format!("{log}a/%2e%2e/%2e%2e/x"),
            b"",
            400,
            "leads out",
        ),
        ("PUT", format!("{log}..%5cx"), b"", 400, "leads out"),
        ("PUT", format!("{log}%2fetc%2fpasswd"), b"", 400, "absolute"),
        ("PUT", format!("{log}C:%5cx"), b"", 400, "absolute"),
        ("PUT", format!("{log}a%00b"), b"", 400, "control character"),
        ("PUT", format!("{log}big"), &long, 413, "1024 bytes"),
        (
            "PUT",
            "/api/v1/builds/%2e%2e%2fx".into(),
            b"{}",
            400,
            "uuid",
        ),
        ("PUT", "/api/v1/builds/u".into(), b"no json", 400, "JSON"),
        ("PUT", "/api/v1/builds/u".into(), b"[]", 400, "an object"),
        (
            "POST",
            "/api/v1/builds/u/complete".into(),
            b"",
            404,
            "no build u",
        ),
    ];
    for (method, path, body, wanted, word) in cases {
        // The client library would tidy the address up, so the request is written by hand.
        let (status, text) = raw(&program, method, &path, body);
        assert_eq!(status, wanted, "{path}: {text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        assert!(error["error"].as_str().unwrap().contains(word), "{text}");
    }
    assert!(files(&home.data().join("logs")).is_empty());
    assert!(files(&home.data().join("incoming")).is_empty());
    assert_eq!(program.json("/api/v1/builds")["total"], 0);
}

fn raw(program: &Program, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut stream = connect(program);
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    answer(stream)
}

fn connect(program: &Program) -> TcpStream {
    let stream = TcpStream::connect(program.base.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(super::program::LONG)).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    (status, body.to_owned())
}

#[test]
fn a_log_may_come_before_its_build_and_a_build_without_log_says_so() {
    let home = Home::new("");
    let program = home.start();
    program.log_file("early", "console.txt", b"boom\n");
    complete(&program, "early");
    program.verdict("early", "matched");
    assert_eq!(program.send("PUT", "/api/v1/builds/empty", "{}").0, 200);
    complete(&program, "empty");
    program.verdict("empty", "no-log");
    program.log_file("empty", "console.txt", b"fine\n");
    program.verdict("empty", "unmatched");
}

/// Sends the head of a log and half of its bytes.
fn half(program: &Program) -> TcpStream {
    let mut stream = connect(program);
    let head =
        "PUT /api/v1/builds/u/logs/console.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"boom").unwrap();
    stream
}

#[test]
fn half_a_log_does_not_count_and_can_be_sent_again() {
    let home = Home::new("intake: {patience: 200ms}\n");
    let program = home.start();
    let incoming = home.data().join("incoming");
    assert_eq!(program.send("PUT", "/api/v1/builds/u", "{}").0, 200);
    let cut = half(&program);
    until("it begins", || (!files(&incoming).is_empty()).then_some(()));
    cut.shutdown(Shutdown::Both).unwrap();
    until("it is dropped", || {
        files(&incoming).is_empty().then_some(())
    });
    assert_eq!(program.build("u")["logs"], Value::Array(Vec::new()));
    // A sender that falls silent is told so, and does not keep its place for ever.
    let (status, text) = answer(half(&program));
    assert_eq!(status, 408, "{text}");
    assert!(text.contains("intake.patience"), "{text}");
    until("it is dropped", || {
        files(&incoming).is_empty().then_some(())
    });
    program.log_file("u", "console.txt", b"boom done");
    complete(&program, "u");
    let build = program.verdict("u", "matched");
    assert_eq!(build["logs"][0]["bytes"], 9);
}

#[test]
fn a_big_log_goes_to_disk_and_not_to_memory() {
    let home = Home::new("");
    let program = home.start();
    let before = peak(&program);
    // 96 MiB, sent as they are made.
    let body = std::io::repeat(b'x').take(96 << 20);
    let url = format!("{}/api/v1/builds/u/logs/big", program.base);
    let body = reqwest::blocking::Body::sized(body, 96 << 20);
    let answer = program.client.put(url).body(body).send().unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let grown = peak(&program) - before;
    // What begins with the first request counts too; the log would be three times as much.
    assert!(grown < 32 << 10, "{grown} KiB more");
    assert_eq!(program.build("u")["logs"][0]["bytes"], 96 << 20);
}

#[cfg(all(target_env = "gnu", target_pointer_width = "64"))]
#[test]
fn many_clients_at_once_share_few_pools_of_memory() {
    let home = Home::new("");
    let program = home.start();
    std::thread::scope(|scope| {
        for number in 0..64 {
            let program = &program;
            scope.spawn(move || {
                program.feed(&format!("u{number}"), b"boom\n");
                program.get("/");
            });
        }
    });
    let processors = std::thread::available_parallelism().unwrap().get();
    let pools = pools(&program);
    assert!(pools <= processors + 1, "{pools} pools");
}

/// Pools of the C library beside the first one: each begins where a number of 64 MiB ends.
fn pools(program: &Program) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", program.pid())).unwrap();
    let begins_one = |line: &&str| {
        let mut words = line.split_whitespace();
        let start = words.next().and_then(|range| range.split_once('-'));
        let start = u64::from_str_radix(start.unwrap().0, 16).unwrap();
        let nameless = words.next() == Some("rw-p") && words.count() == 3;
        nameless && start.is_multiple_of(64 << 20)
    };
    maps.lines().filter(begins_one).count()
}

/// The most memory that the process ever had, in KiB.
fn peak(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_client_that_says_nothing_does_not_keep_its_connection() {
    let home = Home::new("intake: {patience: 100ms}\n");
    let program = home.start();
    let mut silent = connect(&program);
    let mut slow = connect(&program);
    slow.write_all(b"GET /healthz HT").unwrap();
    let mut rest = Vec::new();
    // The end of the stream: the other side has closed it.
    silent.read_to_end(&mut rest).unwrap();
    slow.read_to_end(&mut rest).unwrap();
    assert_eq!(program.get("/healthz"), "ok\n");
}
