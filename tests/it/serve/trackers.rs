//! What bug trackers say, from a strict fake through the whole service to people.

use super::program::{Home, Program, until};
use crate::chat::hook::{MATTERMOST, mattermost};
use crate::tracker::github::{Hub, issue, start};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::sync::PoisonError;

/// A fingerprint of a bug at the fake.
fn rule(home: &Home, id: &str, query: &str, number: u64) {
    let text = format!("title: It goes {id}\nbug: github:acme/tool#{number}\nquery: '{query}'\n");
    std::fs::write(home.rules().join(format!("{id}.yaml")), text).unwrap();
}

fn until_known(program: &Program, id: &str) -> String {
    until("the tracker has answered", || {
        Some(program.get(&format!("/bugs/{id}"))).filter(|page| page.contains("In the tracker"))
    })
}

#[test]
fn a_closed_bug_that_is_hit_is_told_in_one_line_also_after_a_kill() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hub = Hub {
        issues: [
            (7, issue(7, "closed", Some("completed"))),
            (5, issue(5, "open", None)),
            (6, issue(6, "closed", None)),
        ]
        .into(),
        ..Hub::default()
    };
    let (tracker, _hub) = runtime.block_on(start(hub));
    let (chat, heard) = runtime.block_on(mattermost());
    let home = Home::new(&format!(
        "notes:
  base-url: 'https://whorl.example/'
  chat:
    hooks:
      - kind: mattermost
        url: '{}{MATTERMOST}'
        hears: {{channel: ci, events: [returned-bug]}}
trackers:
  sites: [{{kind: github, web: '{}'}}]
",
        chat.url,
        tracker.url(),
    ));
    rule(&home, "old", "message:oldbug", 7);
    rule(&home, "new", "message:newbug", 5);
    rule(&home, "last", "message:lastbug", 6);
    let lines = || -> Vec<String> {
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |one: &Value| one["text"].as_str().unwrap().to_owned();
        heard.iter().map(text).collect()
    };
    let program = home.start();
    until_known(&program, "old");
    until_known(&program, "new");
    until_known(&program, "last");
    // One that is open and one that nobody explains are no returns.
    program.feed("u1", b"newbug\n");
    program.feed("u2", b"quiet\n");
    program.feed("u3", b"oldbug\n");
    until("a line", || (!lines().is_empty()).then_some(()));
    let wanted = "[p] Returned bug: github:acme/tool#7 (Bug 7) [fixed, ann] was closed on \
         2026-11-10 08:00 UTC, and unit hit it again on 7,1 <https://whorl.example/builds/u3>";
    let plain = |line: &str| line.replace(['\\', '\u{2060}', '\u{200b}'], "");
    assert_eq!(plain(&lines()[0]), wanted);
    program.feed("u4", b"oldbug\n");
    program.verdict("u4", "matched");
    program.signal(Signal::SIGKILL);
    drop(program);
    let program = home.start();
    program.feed("u5", b"oldbug\n");
    program.verdict("u5", "matched");
    // When another one is told, this one was looked at again.
    program.feed("u6", b"lastbug\n");
    until("the other line", || {
        lines().iter().any(|line| line.contains("#6")).then_some(())
    });
    assert!(
        program
            .get("/bugs/old")
            .contains("<strong class=\"warn\">returned")
    );
    assert!(
        !program
            .get("/bugs/new")
            .contains("<strong class=\"warn\">returned")
    );
    assert_eq!(program.stop(), Some(0));
    assert_eq!(lines().len(), 2, "{:?}", lines());
}

#[test]
fn pages_reports_and_notes_say_what_the_tracker_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hub = Hub {
        issues: [(7, issue(7, "open", None))].into(),
        ..Hub::default()
    };
    let (tracker, _hub) = runtime.block_on(start(hub));
    let home = Home::new(&format!(
        "trackers:\n  sites: [{{kind: github, web: '{}'}}]\n",
        tracker.url()
    ));
    rule(&home, "seven", "message:seven", 7);
    let program = home.start();
    let page = until_known(&program, "seven");
    for wanted in [
        "<dt>In the tracker</dt><dd>Bug 7</dd>",
        "<dt>Status</dt><dd>open, ann <span class=\"soft\">as of a moment ago",
        "<a href=\"https://github.com/acme/tool/pull/71\" rel=\"noreferrer\">Bug 71</a>",
    ] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(
        program
            .get("/bugs")
            .contains("<span class=\"soft\">open, ann</span>")
    );
    program.feed("u1", b"seven\n");
    program.verdict("u1", "matched");
    let note = until("a note", || {
        Some(program.get("/notes")).filter(|page| page.contains("acme/tool#7"))
    });
    assert!(note.contains(": Bug 7 [open, ann]"), "{note}");
    assert!(note.contains("Under review: Bug 71"), "{note}");
    let (status, made) = program.send("POST", "/api/v1/report", "");
    assert_eq!(status, 200, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let report = program.json(made["json"].as_str().unwrap());
    let rows = report["fingerprints"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["fingerprint"] == "seven")
        .unwrap();
    assert_eq!(row["tracker"]["status"], "open", "{row}");
    assert_eq!(row["tracker"]["assignee"], "ann", "{row}");
    let page = program.get(made["html"].as_str().unwrap());
    assert!(page.contains("open, ann; as of 0 min ago"), "{page}");
}
