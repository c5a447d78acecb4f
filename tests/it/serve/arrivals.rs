//! Announced builds whose logs are fetched from where they lie.

use super::program::{Home, Program, until};
use crate::download::server::{Asked, Server, hang, ok, reply};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A service that may ask this server.
fn home(server: &Server, more: &str) -> Home {
    Home::new(&format!(
        "download: {{private-hosts: ['{}'], retry: 20ms, tries: 2, {more}}}\n",
        server.address
    ))
}

fn index(out: &mut TcpStream, links: &[&str]) -> std::io::Result<()> {
    let mut page = "<html><head><title>Index of /</title></head><body>".to_owned();
    for link in links {
        writeln!(page, "<a href=\"{link}\">{link}</a> 2026-01-01 10:00 20").unwrap();
    }
    page.push_str("</body></html>");
    reply(
        out,
        "200 OK",
        "Content-Type: text/html\r\n",
        page.as_bytes(),
    )
}

/// Two logs in a folder.
fn logs(asked: &Asked, out: &mut TcpStream) -> std::io::Result<()> {
    match asked.path.as_str() {
        "/b/" => index(out, &["job-output.txt", "logs/"]),
        "/b/logs/" => index(out, &["service.log"]),
        "/b/job-output.txt" => ok(out, b"all is well\n"),
        "/b/logs/service.log" => ok(out, b"then it went boom\n"),
        _ => reply(out, "404 Not Found", "", b""),
    }
}

fn announce(program: &Program, uuid: &str, url: &str) {
    announce_as(program, uuid, &json!({"url": url, "result": "FAILURE"}));
}

fn announce_as(program: &Program, uuid: &str, said: &Value) {
    let meta = r#"{"job": "unit", "project": "shop/api"}"#;
    let at = format!("/api/v1/builds/{uuid}");
    assert_eq!(program.send("PUT", &at, meta).0, 200);
    let taken = program.send("POST", &format!("{at}/fetch"), said.to_string());
    assert_eq!(taken.0, 202, "{}", taken.1);
}

#[test]
fn logs_are_fetched_and_classified() {
    let server = Server::start(logs);
    let home = home(&server, "");
    let program = home.start();
    announce(&program, "u1", server.url("/b/").as_str());
    let build = program.verdict("u1", "matched");
    assert_eq!(
        build["matches"][0]["evidence"][0]["file"],
        "logs/service.log"
    );
    let names: Vec<&str> = build["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|log| log["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["job-output.txt", "logs/service.log"]);
    // Announced once more, it is not fetched again.
    let asked = server.count();
    announce(&program, "u1", server.url("/b/").as_str());
    announce(&program, "u2", server.url("/b/").as_str());
    program.verdict("u2", "matched");
    assert_eq!(server.count(), 2 * asked);
    let one = json!({
        "url": server.url("/b/logs/service.log"), "name": "console.log", "result": "FAILURE",
    });
    announce_as(&program, "u3", &one);
    let build = program.verdict("u3", "matched");
    assert_eq!(build["matches"][0]["evidence"][0]["file"], "console.log");
    assert_eq!(program.json("/api/v1/status")["logs_to_fetch"], 0);
}

#[test]
fn logs_that_are_not_there_yet_are_waited_for_and_hold_up_nobody() {
    let there = Arc::new(AtomicBool::new(false));
    let now = there.clone();
    let server = Server::start(move |asked, out| match asked.path.as_str() {
        "/hangs/" => hang(out),
        path if path.starts_with("/late/") && !now.load(Ordering::SeqCst) => {
            reply(out, "503 Service Unavailable", "", b"")
        }
        "/late/" => index(out, &["job-output.txt"]),
        "/late/job-output.txt" => ok(out, b"boom\n"),
        _ => logs(asked, out),
    });
    let home = home(&server, "idle-timeout: 5s, deadline: 60s");
    let program = home.start();
    announce(&program, "hangs", server.url("/hangs/").as_str());
    announce(&program, "late", server.url("/late/").as_str());
    until("it was asked for", || (server.count() >= 2).then_some(()));
    announce(&program, "quick", server.url("/b/").as_str());
    program.verdict("quick", "matched");
    assert_eq!(program.build("late")["verdict"], "pending");
    there.store(true, Ordering::SeqCst);
    program.verdict("late", "matched");
}

#[test]
fn what_never_comes_is_told_after_the_deadline() {
    let server = Server::start(|asked, out| match asked.path.as_str() {
        "/half/" => index(out, &["job-output.txt", "gone.txt"]),
        "/half/job-output.txt" => ok(out, b"boom\n"),
        "/half/zuul-manifest.json" => reply(out, "404 Not Found", "", b""),
        _ => reply(out, "503 Service Unavailable", "", b""),
    });
    let home = home(&server, "deadline: 1s");
    let program = home.start();
    announce(&program, "none", server.url("/none/").as_str());
    announce(&program, "half", server.url("/half/").as_str());
    announce(&program, "barred", "http://169.254.169.254/latest/");
    let none = program.verdict("none", "no-log");
    assert!(none["problems"].to_string().contains("503"), "{none}");
    let half = program.verdict("half", "partial-log");
    assert_eq!(half["matches"][0]["fingerprint"], "boom", "{half}");
    assert!(half["problems"].to_string().contains("gone.txt"), "{half}");
    let barred = program.verdict("barred", "no-log");
    assert!(
        barred["problems"].to_string().contains("download.hosts"),
        "{barred}"
    );
}

#[test]
fn a_kill_in_the_middle_loses_nothing() {
    let open = Arc::new(AtomicBool::new(false));
    let now = open.clone();
    let server = Server::start(move |asked, out| {
        if asked.path == "/b/logs/service.log" && !now.load(Ordering::SeqCst) {
            return hang(out);
        }
        logs(asked, out)
    });
    let home = home(&server, "");
    let program = home.start();
    for n in 0..20 {
        announce(&program, &format!("u{n}"), server.url("/b/").as_str());
    }
    until("some are under way", || (server.most() > 2).then_some(()));
    program.signal(Signal::SIGKILL);
    drop(program);
    open.store(true, Ordering::SeqCst);
    let program = home.start();
    for n in 0..20 {
        program.verdict(&format!("u{n}"), "matched");
    }
    let left = std::fs::read_dir(home.data().join("incoming")).unwrap();
    assert_eq!(left.count(), 0, "nothing is left of what was begun");
}
