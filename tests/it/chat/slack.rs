//! Slack: once, whatever becomes of answers; nothing in a log is markup; refusals mean what they say.

use super::fake::Reply;
use super::slack_fake::{CHANNEL, Slack as FakeSlack, TOKEN};
use super::{changed, note, say, tried};
use crate::proxy::{Fault, Proxy};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use whorl::note::Then;
use whorl::note::chat::slack::{Slack, Webhook};

fn app(base: &Url, token: &str) -> Arc<Slack> {
    Slack::new(base.join("api/").unwrap(), token, Duration::from_secs(5)).unwrap()
}

#[tokio::test]
async fn a_note_is_a_message_whose_ts_is_kept() {
    let server = FakeSlack::start().await;
    let channel = app(&server.fake.url, TOKEN).channel(CHANNEL);
    let text = "[nova] failed: known bug launchpad:1 (<!here> & @channel *x*) https://whorl.example/builds/u1";
    let said = say(&channel, &note(1, text)).await.unwrap();
    let messages = server.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(said.remote.as_deref(), messages[0]["ts"].as_str());
    let elements = &messages[0]["blocks"][0]["elements"][0]["elements"];
    assert_eq!(
        *elements,
        json!([
            {"type": "text", "text": "[nova] failed: known bug launchpad:1 (<!here> & @channel *x*) "},
            {"type": "link", "url": "https://whorl.example/builds/u1"},
        ])
    );
    let fallback = messages[0]["text"].as_str().unwrap();
    assert!(
        fallback.contains("(&lt;!here&gt; &amp; @\u{200b}channel *x*)"),
        "{fallback}"
    );
    assert!(!fallback.contains('<'), "{fallback}");
    // A note that nobody can have said needs no look.
    assert_eq!(server.fake.asked().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_message() {
    let server = FakeSlack::start().await;
    let proxy = Proxy::to(&server.fake.url);
    let channel = app(&proxy.url(), TOKEN).channel(CHANNEL);
    let one = note(1, "hello");
    proxy.next_on("chat.postMessage", 1, Fault::Lose);
    let refusal = say(&channel, &one).await.unwrap_err();
    assert_eq!(refusal.then, Then::Again(None), "{refusal:?}");
    // Others go on talking, so that the message is on a later page.
    for text in ["a", "b", "c"] {
        server.chatter(text);
    }
    server.world.lock().unwrap().page = 2;
    let said = say(&channel, &tried(&one)).await.unwrap();
    assert_eq!(server.messages().len(), 4);
    assert_eq!(said.remote.as_deref(), server.messages()[0]["ts"].as_str());
}

#[tokio::test]
async fn what_a_killed_process_said_is_found_again() {
    let server = FakeSlack::start().await;
    let one = note(1, "hello");
    let first = say(&app(&server.fake.url, TOKEN).channel(CHANNEL), &one)
        .await
        .unwrap();
    // Another process, which has the note from before its own beginning and knows of no try.
    let other = app(&server.fake.url, TOKEN).channel(CHANNEL);
    assert_eq!(say(&other, &one).await.unwrap(), first);
    assert_eq!(server.messages().len(), 1);
    // A changed note brings the message up to date, even where its ts was never recorded.
    let said = say(&other, &changed(&one, "hello again", None))
        .await
        .unwrap();
    assert_eq!(said, first);
    let messages = server.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["text"], "hello again");
    assert_eq!(messages[0]["metadata"]["event_payload"]["generation"], 2);
}

#[tokio::test]
async fn a_changed_note_changes_its_message() {
    let server = FakeSlack::start().await;
    let channel = app(&server.fake.url, TOKEN).channel(CHANNEL);
    let one = note(1, "one job failed");
    let said = say(&channel, &one).await.unwrap();
    let two = changed(&one, "two jobs failed", said.remote.as_deref());
    assert_eq!(say(&channel, &two).await.unwrap(), said);
    assert_eq!(server.messages().len(), 1);
    assert_eq!(server.messages()[0]["text"], "two jobs failed");
    server.world.lock().unwrap().messages.clear();
    let refusal = say(&channel, &changed(&two, "three", said.remote.as_deref()))
        .await
        .unwrap_err();
    assert_eq!(refusal.then, Then::Drop, "{refusal:?}");
}

#[tokio::test]
async fn refusals_mean_what_they_say() {
    let server = FakeSlack::start().await;
    let channel = app(&server.fake.url, TOKEN).channel(CHANNEL);
    for (error, then) in [
        ("not_in_channel", Then::Park),
        ("channel_not_found", Then::Park),
        ("is_archived", Then::Park),
        ("token_revoked", Then::Park),
        ("missing_scope", Then::Park),
        ("msg_too_long", Then::Park),
        ("restricted_action_read_only_channel", Then::Park),
        ("internal_error", Then::Again(None)),
        ("something_new", Then::Again(None)),
    ] {
        server
            .fake
            .tell(Reply::json(200, &json!({"ok": false, "error": error})));
        let refusal = say(&channel, &note(1, "x")).await.unwrap_err();
        assert_eq!(refusal.then, then, "{refusal:?}");
        assert!(refusal.error.starts_with(error), "{refusal:?}");
    }
    let limited = Reply::json(429, &json!({"ok": false, "error": "ratelimited"}));
    server.fake.tell(limited.with("retry-after", "30"));
    let refusal = say(&channel, &note(1, "x")).await.unwrap_err();
    assert_eq!(refusal.then, Then::Rest(Some(Duration::from_secs(30))));
    let wrong = app(&server.fake.url, "xoxb-wrong").channel(CHANNEL);
    let refusal = say(&wrong, &note(1, "x")).await.unwrap_err();
    assert_eq!(refusal.then, Then::Park);
    assert!(
        refusal.error.contains("invalid_auth") && !refusal.error.contains("xoxb"),
        "{refusal:?}"
    );
    assert!(!format!("{wrong:?}").contains("xoxb"));
    assert!(server.messages().is_empty());
}

#[tokio::test]
async fn broken_answers_are_tried_again_and_never_taken_for_success() {
    let server = FakeSlack::start().await;
    let channel = app(&server.fake.url, TOKEN).channel(CHANNEL);
    let endless = "x".repeat(5 << 20);
    for body in [
        "",
        "null",
        "[]",
        "{",
        "{\"ok\":true}",
        "{\"ok\":\"yes\",\"ts\":\"1\"}",
        "<html>",
        &endless,
    ] {
        server.fake.tell(Reply::text(200, body));
        let refusal = say(&channel, &note(1, "x")).await.unwrap_err();
        assert!(matches!(refusal.then, Then::Again(_)), "{refusal:?}");
        assert!(refusal.error.len() < 300, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_long_note_is_cut_and_keeps_its_link() {
    let server = FakeSlack::start().await;
    let channel = app(&server.fake.url, TOKEN).channel(CHANNEL);
    let text = "<&> word ".repeat(2000);
    say(&channel, &note(1, &text)).await.unwrap();
    let message = &server.messages()[0];
    let fallback = message["text"].as_str().unwrap();
    assert!(fallback.chars().count() <= 3000, "{}", fallback.len());
    assert!(
        fallback.ends_with("… https://whorl.example/builds/u1"),
        "{fallback}"
    );
    let elements = message["blocks"][0]["elements"][0]["elements"]
        .as_array()
        .unwrap();
    assert_eq!(
        elements.last().unwrap()["url"],
        "https://whorl.example/builds/u1"
    );
}

#[tokio::test]
async fn a_webhook_says_ok_and_nothing_else() {
    let server = FakeSlack::start().await;
    let hook = Webhook::new(server.hook(), Duration::from_secs(5)).unwrap();
    let one = note(1, "<!everyone> hi");
    let said = say(&hook, &one).await.unwrap();
    assert_eq!(server.messages()[0]["text"], "&lt;!everyone&gt; hi");
    // It cannot be changed: the new words are a new message that says so.
    say(&hook, &changed(&one, "hi all", said.remote.as_deref()))
        .await
        .unwrap();
    assert_eq!(server.messages()[1]["text"], "Update: hi all");
    for (status, body, then) in [
        (400, "invalid_payload", Then::Park),
        (403, "action_prohibited", Then::Park),
        (404, "no_service", Then::Park),
        (410, "channel_is_archived", Then::Park),
        (500, "rollup_error", Then::Again(None)),
        (200, "okay", Then::Again(None)),
        (200, "", Then::Again(None)),
    ] {
        server.fake.tell(Reply::text(status, body));
        let refusal = say(&hook, &note(2, "x")).await.unwrap_err();
        assert_eq!(refusal.then, then, "{refusal:?}");
        assert!(refusal.error.contains(body), "{refusal:?}");
    }
    assert!(!format!("{hook:?}").contains("hook-secret"));
}
