//! Another run by the rules of fingerprints: decided, written down, asked for once, whatever is killed;
//! and targets that are only shown their notes.

use super::cluster::Cluster;
use super::program::{Home, Program, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;

/// A service whose fingerprint asks for another run.
fn home(more: &str) -> Home {
    let home = Home::new(more);
    let text = "title: It goes boom\nquery: 'message:boom'\nretry: true\n";
    std::fs::write(home.rules().join("boom.yaml"), text).unwrap();
    home
}

fn failed(program: &Program, uuid: &str, change: &str) {
    let at = format!("/api/v1/builds/{uuid}");
    let meta = json!({"job": "unit", "project": "shop", "change": change, "patchset": "1"});
    assert_eq!(program.send("PUT", &at, meta.to_string()).0, 200);
    program.log_file(uuid, "console.txt", b"boom\n");
    let done = program.send("POST", &format!("{at}/complete"), r#"{"result":"FAILURE"}"#);
    assert_eq!(done.0, 202);
    program.verdict(uuid, "matched");
}

/// What was decided of a change, oldest first.
fn decisions(program: &Program, change: &str) -> Vec<(String, String, bool)> {
    let all = program.json("/api/v1/rechecks");
    let all = all["decisions"].as_array().unwrap().iter().rev();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.filter(|one| one["change"] == change)
        .map(|one| {
            let dry = one["dry"].as_bool().unwrap();
            (text(&one["decision"]), text(&one["reason"]), dry)
        })
        .collect()
}

#[test]
fn what_is_due_is_decided_after_a_kill_and_only_written_down() {
    let home = home("recheck: {quiet: 3s}\n");
    let program = home.start();
    let silence = json!({"kind": "change", "what": "9", "for": "2h"}).to_string();
    let asked = program
        .client
        .post(format!("{}/api/v1/silences", program.base))
        .header("content-type", "application/json")
        .body(silence);
    assert_eq!(asked.send().unwrap().status(), 201);
    failed(&program, "u1", "8");
    failed(&program, "u2", "9");
    until("the first decision", || {
        (decisions(&program, "8").len() == 1).then_some(())
    });
    let (first, why, _) = decisions(&program, "8").remove(0);
    assert_eq!(
        (first.as_str(), why.contains("less than 3 s ago")),
        ("later", true),
        "{why}"
    );
    program.signal(Signal::SIGKILL);
    drop(program);
    let program = home.start();
    let all = until("the second decision", || {
        let all = decisions(&program, "8");
        (all.len() == 2).then_some(all)
    });
    let (decision, why, dry) = &all[1];
    assert_eq!((decision.as_str(), *dry), ("ask", true));
    assert_eq!(why, "every failed voting job is explained: boom");
    let silenced = decisions(&program, "9");
    assert_eq!(silenced.len(), 1);
    assert_eq!(
        (silenced[0].0.as_str(), silenced[0].1.as_str()),
        ("no", "its change or project is silenced")
    );
    let ledger = program.json("/api/v1/rechecks");
    assert_eq!(ledger["open"], 0);
    assert_eq!(ledger["rechecks"].as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &ledger["rechecks"][0]["dry"],
            &ledger["rechecks"][0]["sent"]
        ),
        (&json!(true), &json!(false))
    );
    let page = program.get("/rechecks");
    assert!(
        page.contains("would have asked (dry run)") && page.contains("shop#8,1"),
        "{page}"
    );
    let notes = program.get("/notes");
    assert!(!notes.contains("recheck boom"), "nobody is asked: {notes}");
    // Another run of the same job is no first attempt.
    failed(&program, "u3", "8");
    let all = until("the third decision", || {
        let all = decisions(&program, "8");
        (all.len() == 3).then_some(all)
    });
    assert_eq!(all[2].0, "no");
    assert!(
        all[2].1.starts_with("not the first attempt"),
        "{}",
        all[2].1
    );
}

#[test]
fn one_of_two_processes_decides_also_when_the_other_is_killed() {
    let Some(cluster) = Cluster::on("recheck: {quiet: 2s}\n".into(), None) else {
        return;
    };
    let homes = [cluster.home(), cluster.home()];
    let start = |home: &Home| {
        let text = "title: It goes boom\nquery: 'message:boom'\nretry: true\n";
        std::fs::write(home.rules().join("boom.yaml"), text).unwrap();
        home.start()
    };
    let (first, second) = (start(&homes[0]), start(&homes[1]));
    let asked = || cluster.count("SELECT count(*) FROM recheck_decisions WHERE decision = 'ask'");
    failed(&first, "u1", "8");
    failed(&second, "u2", "9");
    until("both are decided", || (asked() == 2).then_some(()));
    failed(&first, "u3", "10");
    first.signal(Signal::SIGKILL);
    drop(first);
    // What it held is free after 15 seconds.
    let begun = std::time::Instant::now();
    while asked() < 3 {
        assert!(
            begun.elapsed().as_secs() < 60,
            "the other one never decides"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let ledger = second.json("/api/v1/rechecks");
    assert_eq!(ledger["rechecks"].as_array().unwrap().len(), 3, "{ledger}");
    assert_eq!(ledger["open"], 0);
    assert_eq!(second.stop(), Some(0));
    assert_eq!(cluster.count("SELECT count(*) FROM rechecks"), 3);
}

#[test]
fn a_target_that_is_a_dry_run_is_shown_its_notes_and_sent_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (sender, got) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            let mut first = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                if first.is_empty() {
                    first.clone_from(&line);
                }
                if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = text.trim().parse().unwrap();
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
            sender.send(first).unwrap();
        }
    });
    let home = home(&format!(
        "recheck: {{dry-run: false, quiet: 1s}}
notes:
  webhooks:
    - {{url: 'http://{at}/wet', secret: k3y-of-it}}
    - {{url: 'http://{at}/dry', secret: k3y-of-it, dry-run: true}}
  chat:
    matrix:
      - {{homeserver: 'http://{at}', token: t0ken-of-it, commands: true, dry-run: true, rooms: [{{channel: '!a:b'}}]}}
    hooks:
      - {{kind: mattermost, url: 'http://{at}/chat', hears: {{channel: ci, dry-run: true}}}}
  irc:
    - {{host: 127.0.0.1, port: {port}, tls: false, dry-run: true, channels: [{{name: '#ci'}}]}}
  review:
    gerrit: {{url: 'http://{at}/', user: whorl, password: secret-of-it, dry-run: true}}
",
        port = at.port(),
    ));
    let program = home.start();
    failed(&program, "u1", "8");
    let line = got.recv_timeout(super::program::LONG).unwrap();
    assert!(line.starts_with("POST /wet "), "{line}");
    // The CI would be asked by a review service that is a dry run: so is that.
    until("the decision", || {
        let all = decisions(&program, "8");
        all.iter()
            .any(|(what, _, dry)| what == "ask" && *dry)
            .then_some(())
    });
    let page = until("all are done", || {
        let page = program.get("/notes");
        (page.matches("dry run: shown only here").count() == 6).then_some(page)
    });
    assert!(
        page.contains("1 of 6 targets hear them; the others are a dry run."),
        "{page}"
    );
    for name in [
        "irc:#ci",
        "matrix:!a:b",
        "mattermost:ci",
        "gerrit",
        "recheck boom",
    ] {
        assert!(page.contains(name), "{name}: {page}");
    }
    assert_eq!(program.stop(), Some(0));
    assert!(got.try_recv().is_err(), "one request to the one target");
}
