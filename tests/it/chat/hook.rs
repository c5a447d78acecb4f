//! Incoming webhooks of Mattermost and Discord, as they document them.

use super::fake::{Asked, Fake, Reply};
use super::{changed, note, say};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;
use whorl::note::Then;
use whorl::note::chat::hook::{Hook, Kind};

/// Messages by their ids.
pub(crate) type Messages = Arc<Mutex<Vec<Value>>>;

pub(crate) const MATTERMOST: &str = "hooks/mattermost-key-secret";
pub(super) const DISCORD: &str = "api/webhooks/1234/discord-token-secret";

pub(crate) async fn mattermost() -> (Fake, Messages) {
    let messages = Messages::default();
    let inner = messages.clone();
    let fake = Fake::start(move |asked| mattermost_answer(&mut inner.lock().unwrap(), asked)).await;
    (fake, messages)
}

fn mattermost_answer(messages: &mut Vec<Value>, asked: &Asked) -> Reply {
    let error = |status: u16, id: &str| {
        Reply::json(
            status,
            &json!({"id": id, "message": id, "status_code": status}),
        )
    };
    if asked.path != format!("/{MATTERMOST}") || asked.method != "POST" {
        return error(404, "web.incoming_webhook.invalid.app_error");
    }
    let text = asked.body["text"].as_str().unwrap_or_default();
    let known = ["text", "username", "props"];
    let strange = asked
        .body
        .as_object()
        .is_none_or(|o| o.keys().any(|k| !known.contains(&k.as_str())));
    if text.is_empty() || strange || !asked.body["props"].is_object() {
        return error(400, "web.incoming_webhook.text.app_error");
    }
    if text.chars().count() > 16_383 {
        return error(400, "web.incoming_webhook.text.length.app_error");
    }
    messages.push(asked.body.clone());
    Reply::text(200, "ok")
}

pub(super) async fn discord() -> (Fake, Messages) {
    let messages = Messages::default();
    let inner = messages.clone();
    let fake = Fake::start(move |asked| discord_answer(&mut inner.lock().unwrap(), asked)).await;
    (fake, messages)
}

fn discord_answer(messages: &mut Vec<Value>, asked: &Asked) -> Reply {
    let error = |status: u16, code: u64, message: &str| {
        Reply::json(status, &json!({"message": message, "code": code}))
    };
    let content = asked.body["content"].as_str().unwrap_or_default();
    let length = content.encode_utf16().count();
    if length == 0 {
        return error(400, 50_006, "Cannot send an empty message");
    }
    if length > 2000 || asked.body["allowed_mentions"] != json!({"parse": []}) {
        return error(400, 50_035, "Invalid Form Body");
    }
    let base = format!("/{DISCORD}");
    if asked.path == base && asked.method == "POST" {
        let id = (1000 + messages.len()).to_string();
        let mut message = asked.body.clone();
        message["id"] = json!(id);
        messages.push(message.clone());
        let waits = asked.query.get("wait").map(String::as_str) == Some("true");
        return if waits {
            Reply::json(200, &message)
        } else {
            Reply::text(204, "")
        };
    }
    let id = asked.path.strip_prefix(&format!("{base}/messages/"));
    let Some(id) = id.filter(|_| asked.method == "PATCH") else {
        return error(404, 10_015, "Unknown Webhook");
    };
    let Some(old) = messages.iter_mut().find(|m| m["id"] == id) else {
        return error(404, 10_008, "Unknown Message");
    };
    old["content"] = json!(content);
    Reply::json(200, old)
}

fn hook(kind: Kind, base: &Url) -> Hook {
    hook_within(kind, base, Duration::from_secs(5))
}

pub(super) fn hook_within(kind: Kind, base: &Url, timeout: Duration) -> Hook {
    let path = match kind {
        Kind::Mattermost => MATTERMOST,
        Kind::Discord => DISCORD,
    };
    let url = base.join(path).unwrap();
    Hook::new(kind, url, Some("whorl".into()), timeout).unwrap()
}

const TEXT: &str =
    "[nova] *failed* `x` @channel <@1> <script> launchpad:1 https://whorl.example/builds/u_1";

#[tokio::test]
async fn mattermost_shows_the_words_and_calls_nobody() {
    let (fake, messages) = mattermost().await;
    let hook = hook(Kind::Mattermost, &fake.url);
    let one = note(1, TEXT);
    let said = say(&hook, &one).await.unwrap();
    let message = messages.lock().unwrap()[0].clone();
    let text = message["text"].as_str().unwrap().replace('\u{200b}', "~");
    insta::assert_snapshot!(text, @r"\[nova\] \*failed\* \`x\` @~channel <~@~1\> <~script\> launchpad:1 <https://whorl.example/builds/u_1>");
    assert_eq!(message["username"], "whorl");
    say(&hook, &changed(&one, "more", said.remote.as_deref()))
        .await
        .unwrap();
    assert_eq!(messages.lock().unwrap()[1]["text"], "Update: more");
}

#[tokio::test]
async fn discord_names_the_message_so_that_it_can_be_changed() {
    let (fake, messages) = discord().await;
    let hook = hook(Kind::Discord, &fake.url);
    let one = note(1, TEXT);
    let said = say(&hook, &one).await.unwrap();
    assert_eq!(said.remote.as_deref(), Some("1000"));
    let two = changed(&one, "more", said.remote.as_deref());
    assert_eq!(say(&hook, &two).await.unwrap(), said);
    let all = messages.lock().unwrap().clone();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["content"], "more");
    messages.lock().unwrap().clear();
    let refusal = say(&hook, &changed(&two, "x", said.remote.as_deref()))
        .await
        .unwrap_err();
    assert_eq!(refusal.then, Then::Drop, "{refusal:?}");
}

#[tokio::test]
async fn long_notes_are_cut_to_what_each_service_takes() {
    let long = "a_b 😀 ".repeat(6000);
    for kind in [Kind::Mattermost, Kind::Discord] {
        let (fake, messages) = match kind {
            Kind::Mattermost => mattermost().await,
            Kind::Discord => discord().await,
        };
        say(&hook(kind, &fake.url), &note(1, &long)).await.unwrap();
        let message = messages.lock().unwrap()[0].clone();
        let text = message["text"]
            .as_str()
            .or(message["content"].as_str())
            .unwrap();
        assert!(
            text.ends_with("… <https://whorl.example/builds/u1>"),
            "{text}"
        );
        assert!(text.len() > 1000);
    }
}

#[tokio::test]
async fn refusals_mean_what_they_say() {
    let (fake, _) = discord().await;
    let discord = hook(Kind::Discord, &fake.url);
    let limited =
        json!({"message": "You are being rate limited.", "retry_after": 1.5, "global": false});
    fake.tell(Reply::json(429, &limited).with("retry-after", "2"));
    let refusal = say(&discord, &note(1, "x")).await.unwrap_err();
    assert_eq!(
        refusal.then,
        Then::Rest(Some(Duration::from_millis(1500))),
        "{refusal:?}"
    );
    for body in [
        "",
        "null",
        "{}",
        "{\"id\":7}",
        "{\"id\":\"../x\"}",
        "<html>",
    ] {
        fake.tell(Reply::text(200, body));
        let refusal = say(&discord, &note(1, "x")).await.unwrap_err();
        assert_eq!(refusal.then, Then::Again(None), "{refusal:?}");
    }
    fake.tell(Reply::json(
        401,
        &json!({"message": "Invalid Webhook Token", "code": 50_027}),
    ));
    let refusal = say(&discord, &note(1, "x")).await.unwrap_err();
    assert_eq!(refusal.then, Then::Park);
    assert!(
        refusal.error.contains("Invalid Webhook Token"),
        "{refusal:?}"
    );
    // A server that repeats the address does not get it into our log.
    let evil = json!({"message": format!("no {DISCORD} \u{1b}[31m{}", "x".repeat(999))});
    fake.tell(Reply::json(404, &evil));
    let refusal = say(&discord, &note(1, "x")).await.unwrap_err();
    assert!(
        !refusal.error.contains("secret") && !refusal.error.contains('\u{1b}'),
        "{refusal:?}"
    );
    assert!(refusal.error.chars().count() < 300);
    assert!(!format!("{discord:?}").contains("secret"));
    let (fake, _) = mattermost().await;
    let mattermost = hook(Kind::Mattermost, &fake.url);
    for (status, body, then) in [
        (400, "Couldn't find the channel", Then::Park),
        (200, "<html>log in</html>", Then::Again(None)),
        (302, "", Then::Park),
        (503, "", Then::Rest(None)),
    ] {
        fake.tell(Reply::text(status, body).with("location", "https://elsewhere.example/"));
        let refusal = say(&mattermost, &note(1, "x")).await.unwrap_err();
        assert_eq!(refusal.then, then, "{refusal:?}");
    }
}
