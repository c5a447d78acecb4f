//! GitLab: a strict fake, and faults on the way to it.

use super::fake::{Fake, Reply};
use super::lab::{Lab, PROJECT, SHA, TOKEN, message};
use super::{TIMEOUT, note, refused, turned, until_said};
use crate::proxy::{Fault, Proxy};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;
use whorl::note::review::{GitLab, GitLabSettings};
use whorl::note::{Target, Then};
use whorl::state::Note;

fn target(url: &Url) -> GitLab {
    with_token(url, TOKEN)
}

fn with_token(url: &Url, token: &str) -> GitLab {
    GitLab::new(GitLabSettings {
        url: url.clone(),
        token: token.into(),
        timeout: TIMEOUT,
    })
    .unwrap()
}

fn known(generation: u64) -> Note {
    note(PROJECT, "7", SHA, generation)
}

fn bodies(fake: &Fake<Lab>) -> Vec<String> {
    let lab = fake.service.lock().unwrap();
    let body = |one: &Value| one["body"].as_str().unwrap().to_owned();
    lab.notes.iter().map(body).collect()
}

#[tokio::test]
async fn one_note_is_made_edited_folded_and_withdrawn() {
    let fake = Fake::start(Lab::new).await;
    let lab = target(&fake.url);
    let outdated = turned(&known(2), "outdated");
    assert_eq!(lab.say(&outdated).await.unwrap().remote, None);
    let said = lab.say(&known(1)).await.unwrap();
    assert_eq!(said.remote.as_deref(), Some("301"));
    assert_eq!(lab.say(&known(1)).await.unwrap(), said);
    let second = Note {
        remote: said.remote.clone(),
        ..known(2)
    };
    assert_eq!(lab.say(&second).await.unwrap(), said);
    assert!(bodies(&fake)[0].contains(r#""generation":2"#));
    fake.service.lock().unwrap().request["sha"] = json!("0".repeat(40));
    lab.say(&outdated).await.unwrap();
    assert!(bodies(&fake)[0].starts_with("<details><summary>"));
    lab.say(&turned(&outdated, "withdrawn")).await.unwrap();
    let all = bodies(&fake);
    assert_eq!(all.len(), 1);
    assert!(all[0].starts_with("Turned to withdrawn.\n"), "{}", all[0]);
    assert_eq!(fake.count("POST"), 1);
    assert_eq!(fake.count("PUT"), 3);
}

#[tokio::test]
async fn the_note_is_found_on_any_page_and_only_if_it_is_ours() {
    for keyset in [false, true] {
        let fake = Fake::start(Lab::new).await;
        let lab = target(&fake.url);
        fake.service.lock().unwrap().keyset = keyset;
        lab.say(&known(1)).await.unwrap();
        let ours = bodies(&fake)[0].clone();
        {
            let mut lab = fake.service.lock().unwrap();
            for _ in 0..250 {
                lab.note(9, &ours);
            }
        }
        lab.say(&known(2)).await.unwrap();
        assert_eq!(fake.count("POST"), 1, "keyset: {keyset}");
        assert_eq!(fake.count("PUT"), 1, "keyset: {keyset}");
    }
}

#[tokio::test]
async fn nothing_is_said_on_an_outdated_head_or_a_closed_request() {
    let fake = Fake::start(Lab::new).await;
    let lab = target(&fake.url);
    let old = note(PROJECT, "7", &"a".repeat(40), 1);
    assert_eq!(refused(&lab, &old).await.then, Then::Drop);
    fake.service.lock().unwrap().request["state"] = json!("closed");
    assert_eq!(refused(&lab, &known(1)).await.then, Then::Drop);
    fake.service.lock().unwrap().request["state"] = json!("merged");
    lab.say(&known(1)).await.unwrap();
    let mut other = known(1);
    other.json["change"] = json!("8");
    let refusal = refused(&lab, &other).await;
    assert_eq!(refusal.then, Then::Park);
    assert_eq!(
        refusal.error,
        "there is no acme/team/shop!8, or the token may not see it"
    );
    other.json["change"] = json!("8/../../x");
    assert_eq!(refused(&lab, &other).await.then, Then::Park);
}

#[tokio::test]
async fn refusals_say_what_follows_and_no_secrets() {
    let fake = Fake::start(Lab::new).await;
    let lab = target(&fake.url);
    let html = "<html>Sign in</html>";
    let reset = (jiff::Timestamp::now().as_second() + 30).to_string();
    let cases: Vec<(&str, Reply, Then)> = vec![
        (
            "GET",
            message(429, "Retry later").with("Retry-After", "9"),
            Then::Rest(Some(Duration::from_secs(9))),
        ),
        (
            "GET",
            Reply::text(200, "text/html", html),
            Then::Again(None),
        ),
        ("GET", Reply::text(503, "text/html", html), Then::Rest(None)),
        (
            "notes",
            Reply::text(200, "x", "y".repeat(17 << 20)),
            Then::Park,
        ),
        (
            "notes",
            Reply::json(200, &json!({"a": 1})),
            Then::Again(None),
        ),
        (
            "GET",
            Reply::text(302, "x", "").with("Location", "http://127.0.0.1:1/"),
            Then::Park,
        ),
        ("POST", message(403, "403 Forbidden"), Then::Park),
        ("GET", message(500, "oops"), Then::Again(None)),
        ("POST", message(422, "no"), Then::Park),
        ("POST", message(409, "busy"), Then::Again(None)),
    ];
    for (part, reply, then) in cases {
        fake.order(part, reply);
        let refusal = refused(&lab, &known(1)).await;
        assert_eq!(refusal.then, then, "{refusal:?}");
        assert!(!refusal.error.contains("html"), "{refusal:?}");
    }
    let limited = message(429, "x").with("RateLimit-Remaining", "0");
    fake.order("GET", limited.with("RateLimit-Reset", reset));
    let Then::Rest(Some(wait)) = refused(&lab, &known(1)).await.then else {
        panic!("no wait");
    };
    assert!((25..=32).contains(&wait.as_secs()), "{wait:?}");
    let refusal = refused(&with_token(&fake.url, "glpat-OTHER"), &known(1)).await;
    insta::assert_snapshot!(refusal.error, @"does not take the credentials: answered 401 Unauthorized: 401 Unauthorized");
    assert!(!format!("{lab:?}").contains("glpat"));
    assert!(bodies(&fake).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_makes_two_notes_or_none() {
    let faults = [
        Fault::Refuse,
        Fault::Hang,
        Fault::Lose,
        Fault::Cut,
        Fault::HalfJson,
        Fault::Status(500, None),
        Fault::Status(429, Some(1)),
    ];
    for fault in faults {
        for part in ["GET", "POST", "PUT"] {
            let fake = Fake::start(Lab::new).await;
            let proxy = Proxy::to(&fake.url);
            let lab = target(&proxy.url());
            proxy.next_on(part, 2, fault.clone());
            until_said(&lab, &known(1)).await;
            until_said(&lab, &known(2)).await;
            let all = bodies(&fake);
            assert_eq!(all.len(), 1, "{fault:?} on {part}");
            assert!(all[0].contains(r#""generation":2"#), "{fault:?} on {part}");
            assert!(
                !proxy.done().is_empty(),
                "{fault:?} on {part} was never met"
            );
        }
    }
}
