//! What people write on changes: done by the running program, and answered on the change, once.

use super::program::{Home, Program, until};
use crate::review::fake::{Fake, Service};
use crate::review::{hub, lab};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use std::fmt::Write as _;
use tokio::runtime::Runtime;

/// The key of all notifications here.
const SECRET: &str = "0123456789abcdef";
/// Ann may do everything, others may ask.
const PEOPLE: &str = "commands: {silence: [ann], recheck: [ann], per-minute: 60}\n";

/// A runtime for a fake.
fn fake<S: Service>(make: impl FnOnce(url::Url) -> S) -> (Runtime, Fake<S>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let fake = runtime.block_on(Fake::start(make));
    (runtime, fake)
}

/// A failed build of a change with a known bug.
fn failed(program: &Program, uuid: &str, project: &str, sha: &str) {
    let at = format!("/api/v1/builds/{uuid}");
    let meta = json!({
        "job": "unit", "project": project, "change": "7", "patchset": sha, "commit": sha,
    });
    assert_eq!(program.send("PUT", &at, meta.to_string()).0, 200);
    program.log_file(uuid, "console.txt", b"all is well\nthen it went boom\n");
    let done = program.send("POST", &format!("{at}/complete"), r#"{"result":"FAILURE"}"#);
    assert_eq!(done.0, 202);
    program.verdict(uuid, "matched");
}

/// What a person wrote on the pull request, as GitHub tells it.
fn comment(program: &Program, id: &str, login: &str, text: &str) -> u16 {
    let body = json!({
        "action": "created",
        "issue": {"number": 7, "pull_request": {"url": "x"}, "state": "open"},
        "comment": {"user": {"login": login, "type": "User"}, "body": text,
            "created_at": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()},
        "repository": {"full_name": hub::REPOSITORY},
    });
    notify(program, id, &body.to_string())
}

fn notify(program: &Program, id: &str, body: &str) -> u16 {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = mac.finalize().into_bytes();
    let signature = signature.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let request = program.client.post(format!("{}/hooks/hub", program.base));
    let request = request
        .header("x-github-event", "issue_comment")
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", format!("sha256={signature}"))
        .body(body.to_owned());
    request.send().unwrap().status().as_u16()
}

fn bodies(all: &[Value]) -> Vec<String> {
    let body = |one: &Value| one["body"].as_str().unwrap().replace('\u{200b}', "");
    all.iter().map(body).collect()
}

#[test]
fn a_command_on_a_pull_request_is_answered_there_once() {
    let (_runtime, fake) = fake(hub::Hub::new);
    let home = Home::new(&format!(
        "{PEOPLE}sources:
  github:
    - {{name: hub, secret: {SECRET}, token: {token}, api: '{url}'}}
notes: {{review: {{github: {{url: '{url}', token: {token}}}}}}}
",
        url = fake.url,
        token = hub::TOKEN,
    ));
    let program = home.start();
    let said = || bodies(&fake.service.lock().unwrap().comments);
    let answers = |n: usize| {
        until("an answer", || {
            let all = said();
            (all.len() == n).then_some(all)
        })
    };
    failed(&program, "u1", hub::REPOSITORY, hub::SHA);
    answers(1);

    assert_eq!(comment(&program, "d1", "eve", "whorl: why unit"), 200);
    let all = answers(2);
    assert!(
        all[1].contains("boom") && all[1].contains("whorl-note"),
        "{}",
        all[1]
    );
    assert!(all[1].contains("eve"), "it says to whom: {}", all[1]);
    // Our own words come back as any comment does, also with a command in them; then a person speaks.
    for (n, text) in all.iter().enumerate() {
        let text = format!("whorl: status\n{text}");
        assert_eq!(
            comment(&program, &format!("own{n}"), "whorl-bot", &text),
            200
        );
    }
    assert_eq!(
        comment(&program, "d2", "eve", "whorl: silence this 2h"),
        200
    );
    let all = answers(3);
    assert!(
        all[2].contains("not allowed") || all[2].contains("may not"),
        "{}",
        all[2]
    );
    assert_eq!(program.json("/api/v1/silences"), json!([]));
    assert_eq!(
        comment(
            &program,
            "d3",
            "ann",
            "whorl: silence this 2h being worked on"
        ),
        200
    );
    let all = answers(4);
    assert!(all[3].contains("silen"), "{}", all[3]);
    let silences = program.json("/api/v1/silences");
    assert_eq!(
        (&silences[0]["what"], &silences[0]["by"]),
        (&json!("acme/shop.api#7"), &json!("hub:ann"))
    );
    // A silence is of notes, not of answers; and a recheck is only written down by default.
    assert_eq!(
        comment(&program, "d4", "ann", "whorl: recheck the mirror was down"),
        200
    );
    let all = answers(5);
    assert!(all[4].contains("dry run"), "{}", all[4]);

    // What people write for the CI is counted, with and without a reason.
    comment(&program, "d5", "bob", "recheck");
    comment(&program, "d6", "eve", "recheck bug 1182131");
    until("the ledger", || {
        let all = program.json("/api/v1/rechecks");
        (all["rechecks"].as_array()?.len() == 3).then_some(())
    });
    let (_, made) = program.send("POST", "/api/v1/report", "");
    let made: Value = serde_json::from_str(&made).unwrap();
    let report = program.json(made["json"].as_str().unwrap());
    let day = &report["rechecks"]["24h"];
    assert_eq!(
        (&day["with_reason"], &day["without_reason"]),
        (&json!(1), &json!(1))
    );
    let page = program.get(made["html"].as_str().unwrap());
    assert!(
        page.contains(
            "People asked 2 times for another run in the last 24 hours, 1 of them without a reason"
        ),
        "{page}"
    );
    let page = program.get("/rechecks");
    assert!(
        page.contains("hub:bob") && page.contains("none given"),
        "{page}"
    );
    // Nothing was said beside the answers, also not for the silenced change after the next failure.
    assert_eq!(program.stop(), Some(0));
    assert_eq!(said().len(), 5);
}

#[test]
fn a_command_on_a_merge_request_is_answered_there() {
    let (_runtime, fake) = fake(lab::Lab::new);
    let home = Home::new(&format!(
        "{PEOPLE}sources:
  gitlab:
    - {{name: lab, secret: {SECRET}, token: {token}, api: '{url}api/v4'}}
notes: {{review: {{gitlab: {{url: '{url}', token: {token}}}}}}}
",
        url = fake.url,
        token = lab::TOKEN,
    ));
    let program = home.start();
    let said = || bodies(&fake.service.lock().unwrap().notes);
    let note = |user: &str, text: &str| {
        let body = json!({
            "object_kind": "note", "user": {"username": user},
            "project": {"id": 380, "path_with_namespace": lab::PROJECT},
            "object_attributes": {"note": text, "noteable_type": "MergeRequest", "system": false,
                "action": "create", "created_at": Timestamp::now().to_string()},
            "merge_request": {"iid": 7, "last_commit": {"id": lab::SHA}},
        });
        let request = program.client.post(format!("{}/hooks/lab", program.base));
        let request = request
            .header("x-gitlab-event", "Note Hook")
            .header("x-gitlab-token", SECRET)
            .body(body.to_string());
        assert_eq!(request.send().unwrap().status(), 200);
    };
    failed(&program, "u1", lab::PROJECT, lab::SHA);
    until("a note", || (said().len() == 1).then_some(()));
    note("eve", "whorl: status");
    until("an answer", || (said().len() == 2).then_some(()));
    let answer = said()[1].clone();
    assert!(answer.starts_with("eve: 7,"), "{answer}");
    assert!(
        answer.contains("known bugs explain the failed job"),
        "{answer}"
    );
    note("whorl", &format!("whorl: status\n{answer}"));
    note("eve", "whorl: why unit");
    until("another", || (said().len() == 3).then_some(()));
    assert!(said()[2].contains("boom"), "{}", said()[2]);
}
