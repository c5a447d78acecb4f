//! The disk is full: what is said, what still goes, and that it goes on by itself when there is room.

use super::disk::Disk;
use crate::serve::program::{Home, Program, log_of, until};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Sends a build call by call until one is refused; the status and the text of the last one.
fn try_feed(program: &Program, uuid: &str, log: &[u8]) -> (u16, String) {
    let at = format!("/api/v1/builds/{uuid}");
    let facts = r#"{"job":"unit","project":"p","change":"7","patchset":"1"}"#;
    let calls: [(&str, String, &[u8]); 3] = [
        ("PUT", at.clone(), facts.as_bytes()),
        ("PUT", format!("{at}/logs/console.txt"), log),
        ("POST", format!("{at}/complete"), br#"{"result":"FAILURE"}"#),
    ];
    let mut last = (0, String::new());
    for (method, path, body) in calls {
        last = program.send(method, &path, body);
        if !(200..300).contains(&last.0) {
            break;
        }
    }
    last
}

/// Sends again and again until it is taken, as senders do that are told to come back.
fn feed_at_last(program: &Program, uuid: &str, log: &[u8]) {
    until(&format!("room for {uuid}"), || {
        (try_feed(program, uuid, log).0 == 202).then_some(())
    });
}

fn events(program: &Program, word: &str) -> u64 {
    let found = program.json(&format!("/api/v1/search?q={word}"));
    found["events"].as_u64().unwrap()
}

/// What must go on a full disk: it lives, and reads answer.
fn still_answers(program: &Program, uuid: &str) {
    for path in [
        "/",
        "/healthz",
        "/metrics",
        "/builds",
        "/api/v1/builds",
        "/api/v1/status",
    ] {
        program.get(path);
    }
    assert_eq!(program.build(uuid)["verdict"], "matched");
    assert_eq!(
        program.get(&format!("/api/v1/builds/{uuid}/logs/console.txt")),
        "boom\nneedle of early\n"
    );
    assert_eq!(events(program, "needle"), 1);
}

fn early(program: &Program) {
    assert_eq!(program.feed("early", b"boom\nneedle of early\n"), 202);
    program.verdict("early", "matched");
    until("it is indexed", || {
        (events(program, "needle") == 1).then_some(())
    });
}

#[test]
fn logs_that_have_no_room_are_refused_until_there_is_room() {
    let home = Home::new("");
    let Some(disk) = Disk::new(&home, 96) else {
        return;
    };
    let program = disk.start(&home);
    early(&program);
    // There is room for the state, but not for such a log.
    disk.fill(2 << 20);
    let large = log_of(100_000);
    assert!(large.len() > 4 << 20);
    for uuid in ["l1", "l2"] {
        let (status, text) = try_feed(&program, uuid, &large);
        assert_eq!(status, 507, "{text}");
        assert!(text.contains("No space left"), "{text}");
    }
    let incoming = disk.data().join("incoming");
    assert!(
        crate::serve::program::files(&incoming).is_empty(),
        "nothing half is left"
    );
    still_answers(&program, "early");
    // A small one finds its place.
    assert_eq!(program.feed("small", b"boom\n"), 202);
    program.verdict("small", "matched");
    disk.clear();
    for uuid in ["l1", "l2"] {
        feed_at_last(&program, uuid, &large);
        program.verdict(uuid, "matched");
    }
    until("all are indexed", || {
        (events(&program, "boom") == 4).then_some(())
    });
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_state_and_an_index_without_room_go_on_when_there_is_room() {
    let home = Home::new("intake: {workers: 1}\n");
    let Some(disk) = Disk::new(&home, 96) else {
        return;
    };
    let program = disk.start(&home);
    early(&program);
    // What is acknowledged just before the disk is full has no room in the index.
    let log = log_of(3000);
    let mut accepted = vec!["early".to_owned()];
    for n in 0.. {
        let uuid = format!("a{n}");
        assert_eq!(program.feed(&uuid, &log), 202);
        accepted.push(uuid);
        disk.fill(0);
        let all = accepted.len() as u64;
        let met = until("an end of indexing", || {
            let failed = program.said("the events were not indexed");
            (failed || events(&program, "boom") == all).then_some(failed)
        });
        if met {
            break;
        }
        // It was faster than we are: once more.
        disk.clear();
        assert!(n < 20, "the index always had room");
    }
    // What room the state has left in its own files is used up.
    let mut refused = None;
    for n in 0..2000 {
        let uuid = format!("f{n}");
        let (status, text) = try_feed(&program, &uuid, b"boom\n");
        if status == 202 {
            accepted.push(uuid);
            disk.fill(0);
            continue;
        }
        assert!([507, 503, 429].contains(&status), "{status} {text}");
        if status == 507 {
            refused = Some(text);
            break;
        }
    }
    let refused = refused.expect("a full disk refuses");
    assert!(
        refused.contains("room") || refused.contains("space"),
        "{refused}"
    );
    // No fact of a build has room either: it is the state that refuses.
    let (status, text) = until("the state is full", || {
        disk.fill(0);
        let path = format!("/api/v1/builds/{}", "x".repeat(40));
        let facts = format!(r#"{{"job":"{}"}}"#, "long ".repeat(20_000));
        let answer = program.send("PUT", &path, facts);
        (answer.0 != 200).then_some(answer)
    });
    assert_eq!(status, 507, "{text}");
    assert!(text.contains("state.db"), "{text}");
    still_answers(&program, "early");
    let (status, _) = program.send("POST", "/api/v1/report", "");
    assert!((500..600).contains(&status), "{status}");
    still_answers(&program, "early");

    disk.clear();
    feed_at_last(&program, "late", b"boom\n");
    accepted.push("late".to_owned());
    for uuid in &accepted {
        let build = program.verdict(uuid, "matched");
        assert_eq!(build["history"].as_array().unwrap().len(), 1, "{build}");
    }
    let wanted = accepted.len() as u64;
    until_long("all are indexed", || events(&program, "boom") == wanted);
    assert_eq!(program.send("POST", "/api/v1/report", "").0, 200);
    let problems = program.json("/readyz");
    assert_eq!(problems["ready"], true, "{problems}");
    // And nothing of it was only in memory.
    assert_eq!(program.stop(), Some(0));
    let program = disk.start(&home);
    for uuid in &accepted {
        program.verdict(uuid, "matched");
    }
    until_long("all are indexed", || events(&program, "boom") == wanted);
    assert_eq!(program.stop(), Some(0));
}

/// The index waits some seconds after it has failed.
fn until_long(what: &str, found: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !found() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it never came: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_service_starts_on_a_full_disk_and_shows_what_it_has() {
    let home = Home::new("");
    let Some(disk) = Disk::new(&home, 64) else {
        return;
    };
    let mut program = disk.start(&home);
    early(&program);
    disk.fill(0);
    program.signal(nix::sys::signal::Signal::SIGKILL);
    program.ended();
    let program = disk.start(&home);
    still_answers(&program, "early");
    disk.clear();
    feed_at_last(&program, "late", b"boom\n");
    program.verdict("late", "matched");
    assert_eq!(program.stop(), Some(0));
}

/// Without any right to mount: no file may become larger than so many blocks of 512 bytes.
fn limited(home: &Home, blocks: u64) -> Program {
    let whorl = home.command();
    let mut command = Command::new("sh");
    // The limit is a soft one, which can be taken back. Its signal would end the process.
    command
        .args(["-c", "trap '' XFSZ; ulimit -S -f \"$0\"; exec \"$@\""])
        .arg(blocks.to_string())
        .arg(whorl.get_program())
        .args(whorl.get_args())
        .process_group(0);
    Home::start_by(command)
}

#[test]
fn a_limit_of_writing_refuses_and_goes_on_when_it_is_taken_back() {
    let home = Home::new("");
    let program = limited(&home, 8192);
    early(&program);
    let large = log_of(100_000);
    let (status, text) = try_feed(&program, "large", &large);
    assert_eq!(status, 507, "{text}");
    still_answers(&program, "early");
    // No byte more for the state either.
    limit(&program, "1024");
    let facts = format!(r#"{{"job":"{}"}}"#, "long ".repeat(20_000));
    let (status, text) = until("the state is full", || {
        let answer = program.send("PUT", "/api/v1/builds/big", facts.clone());
        (answer.0 != 200).then_some(answer)
    });
    assert!([503, 507].contains(&status), "{status} {text}");
    still_answers(&program, "early");
    limit(&program, "unlimited");
    feed_at_last(&program, "large", &large);
    program.verdict("large", "matched");
    assert_eq!(program.stop(), Some(0));
}

/// Sets how large files may become, in bytes, while the service runs.
fn limit(program: &Program, most: &str) {
    let set = Command::new("prlimit")
        .arg(format!("--pid={}", program.pid()))
        .arg(format!("--fsize={most}:"))
        .status();
    assert!(set.unwrap().success());
}
