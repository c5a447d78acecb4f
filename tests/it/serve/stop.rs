//! Stopping, and what must be there after it.

use super::program::{Home, LONG, Program, log_of, until};
use nix::sys::signal::Signal;
use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

/// Sends builds until the service is gone; the names of those that it has accepted.
fn send_until_gone(program: &Program, log: &[u8], signal: Signal) -> Vec<String> {
    let mut accepted = Vec::new();
    let call = |method: &str, path: String, body: &[u8]| {
        let request = program.client.request(method.parse().unwrap(), path);
        let answer = request.body(body.to_vec()).send().ok()?;
        answer.status().is_success().then_some(())
    };
    for n in 0.. {
        let at = format!("{}/api/v1/builds/b{n}", program.base);
        let sent = call("PUT", format!("{at}/logs/console.txt"), log)
            .and_then(|()| call("POST", format!("{at}/complete"), br#"{"result":"FAILURE"}"#));
        if sent.is_none() {
            return accepted;
        }
        accepted.push(format!("b{n}"));
        if n == 6 {
            program.signal(signal);
        }
    }
    accepted
}

/// Stops a service that is fed; true when builds were left that it had not looked at.
fn nothing_is_lost(signal: Signal, lines: usize) -> bool {
    let home = Home::new("drain: 1ms\nintake: {workers: 1}\n");
    let log = log_of(lines);
    let mut program = home.start();
    let begun = Instant::now();
    let accepted = send_until_gone(&program, &log, signal);
    let code = program.ended();
    assert!(begun.elapsed() < LONG);
    let wanted = (signal == Signal::SIGTERM).then_some(0);
    assert_eq!(code, wanted, "{:?}", program.log());
    assert!(accepted.len() >= 7);
    let state = whorl::state::State::open(home.data().join("state.db")).unwrap();
    let in_the_middle = !state.pending().unwrap().is_empty();
    drop(state);

    let program = home.start();
    for uuid in &accepted {
        let build = program.verdict(uuid, "matched");
        assert_eq!(build["history"].as_array().unwrap().len(), 1, "{build}");
    }
    assert_eq!(program.stop(), Some(0));
    in_the_middle
}

/// Logs grow until a worker needs longer for them than it takes to send them, on whatever machine.
fn nothing_is_lost_in_the_middle(signal: Signal) {
    let mut sizes = (0..7).map(|n| 4000 << n);
    assert!(
        sizes.any(|lines| nothing_is_lost(signal, lines)),
        "it was stopped in the middle"
    );
}

#[test]
fn sigterm_in_the_middle_loses_nothing_that_was_accepted() {
    nothing_is_lost_in_the_middle(Signal::SIGTERM);
}

#[test]
fn sigkill_in_the_middle_loses_nothing_that_was_accepted() {
    nothing_is_lost_in_the_middle(Signal::SIGKILL);
}

#[test]
fn sigterm_finishes_what_waits() {
    let home = Home::new("drain: 30s\nintake: {workers: 1}\n");
    let program = home.start();
    // Long enough that a worker needs some time for it.
    let log = log_of(4000);
    for n in 0..5 {
        assert_eq!(program.feed(&format!("b{n}"), &log), 202);
    }
    assert_eq!(program.stop(), Some(0));
    let state = whorl::state::State::open(home.data().join("state.db")).unwrap();
    assert!(state.pending().unwrap().is_empty());
    for n in 0..5 {
        let build = state.build(&format!("b{n}")).unwrap().unwrap();
        assert_eq!(
            (build.verdict.as_str(), build.history.len()),
            ("matched", 1)
        );
    }
}

#[test]
fn a_sender_that_hangs_does_not_hold_up_the_stop() {
    let home = Home::new("drain: 500ms\n");
    let program = home.start();
    let mut hanging = TcpStream::connect(program.base.trim_start_matches("http://")).unwrap();
    let head = "PUT /api/v1/builds/u/logs/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf";
    hanging.write_all(head.as_bytes()).unwrap();
    until("the log begins", || {
        let incoming = home.data().join("incoming");
        (!super::program::files(&incoming).is_empty()).then_some(())
    });
    let begun = Instant::now();
    assert_eq!(program.stop(), Some(0));
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn a_second_service_on_the_same_folder_is_refused() {
    let home = Home::new("");
    let first = home.start();
    let out = home.fails();
    let message = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{message}");
    assert!(
        message.contains(&home.data().display().to_string()),
        "{message}"
    );
    assert!(
        message.contains(&format!("process {}", first.pid())),
        "{message}"
    );
    assert_eq!(first.feed("u", b"boom\n"), 202);
    first.verdict("u", "matched");
    assert_eq!(first.stop(), Some(0));
    // The folder is free again.
    assert_eq!(home.start().stop(), Some(0));
}
