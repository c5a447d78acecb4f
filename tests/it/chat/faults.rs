//! Every target behind a network that does what networks do: it ends each try by itself, says why, and
//! once the network is well the note is there, once where the service allows it.

use super::fake::Reply;
use super::slack_fake::{CHANNEL, Slack as FakeSlack, TOKEN};
use super::{hook, matrix_fake, note, say, tried};
use crate::proxy::{Fault, Proxy};
use std::time::{Duration, Instant};
use url::Url;
use whorl::note::chat::hook::Kind;
use whorl::note::chat::matrix::{Login, Matrix, Room, Settings};
use whorl::note::chat::slack::{Slack, Webhook};
use whorl::note::{Target, Then};

const PATIENCE: Duration = Duration::from_secs(2);

/// What must follow from each fault.
fn faults() -> Vec<(Fault, Then)> {
    vec![
        (Fault::Refuse, Then::Again(None)),
        (Fault::Hang, Then::Again(None)),
        (Fault::Lose, Then::Again(None)),
        (Fault::Status(500, None), Then::Again(None)),
        (
            Fault::Status(429, Some(7)),
            Then::Rest(Some(Duration::from_secs(7))),
        ),
        (Fault::Cut, Then::Again(None)),
        (Fault::HalfJson, Then::Again(None)),
    ]
}

/// Says one note through each fault and then without; `write` is a part of the path of what is hurt.
async fn withstands(proxy: &Proxy, target: &dyn Target, write: &str) {
    for (n, (fault, then)) in (0..).zip(faults()) {
        let one = note(n, &format!("note {n}"));
        proxy.next_on(write, 1, fault.clone());
        let began = Instant::now();
        let refusal = say(target, &one).await.unwrap_err();
        assert!(
            began.elapsed() < PATIENCE * 3,
            "{fault:?} took {:?}",
            began.elapsed()
        );
        assert_eq!(refusal.then, then, "{fault:?}: {refusal:?}");
        assert!(
            !refusal.error.is_empty() && !refusal.error.contains("http://"),
            "{refusal:?}"
        );
        let said = say(target, &tried(&one)).await;
        assert!(said.is_ok_and(|said| said.remote.is_some()), "{fault:?}");
    }
    assert_eq!(proxy.done().values().sum::<u64>(), 7, "every fault was met");
}

fn room(base: &Url) -> Room {
    let settings = Settings {
        homeserver: base.clone(),
        login: Login::Token(matrix_fake::TOKEN.into()),
        device: "WHORL".into(),
        called: "whorl".into(),
        timeout: PATIENCE,
        ca: None,
    };
    Matrix::new(settings).unwrap().room(matrix_fake::ALIAS)
}

#[tokio::test]
async fn matrix_gets_each_note_once() {
    let (fake, world) = matrix_fake::matrix().await;
    let proxy = Proxy::to(&fake.url);
    withstands(&proxy, &room(&proxy.url()), "/send/").await;
    assert_eq!(world.lock().unwrap().events.len(), 7);
    // Joining and asking who we are can fail as well.
    for part in ["whoami", "/join/"] {
        let proxy = Proxy::to(&fake.url);
        let target = room(&proxy.url());
        for (fault, then) in faults() {
            proxy.next_on(part, 1, fault.clone());
            let refusal = say(&target, &note(50, "x")).await.unwrap_err();
            assert_eq!(refusal.then, then, "{part} {fault:?}: {refusal:?}");
        }
        assert!(say(&target, &note(51, part)).await.is_ok());
    }
}

#[tokio::test]
async fn slack_gets_each_note_once() {
    let server = FakeSlack::start().await;
    let proxy = Proxy::to(&server.fake.url);
    let app = Slack::new(proxy.url().join("api/").unwrap(), TOKEN, PATIENCE).unwrap();
    withstands(&proxy, &app.channel(CHANNEL), "chat.postMessage").await;
    assert_eq!(server.messages().len(), 7);
    // Where the look fails nothing is said.
    let one = note(60, "x");
    proxy.next_on("conversations.history", 1, Fault::Status(500, None));
    assert!(say(&app.channel(CHANNEL), &tried(&one)).await.is_err());
    assert_eq!(server.messages().len(), 7);
}

#[tokio::test]
async fn webhooks_get_each_note_at_least_once() {
    let server = FakeSlack::start().await;
    let proxy = Proxy::to(&server.fake.url);
    let url = proxy.url().join(server.hook().path()).unwrap();
    let target = Webhook::new(url, PATIENCE).unwrap();
    withstands(&proxy, &target, "/services/").await;
    // Answers that were lost or cut make a second message: nobody can be asked.
    assert_eq!(server.messages().len(), 10);
    for kind in [Kind::Mattermost, Kind::Discord] {
        let (fake, messages) = match kind {
            Kind::Mattermost => hook::mattermost().await,
            Kind::Discord => hook::discord().await,
        };
        let proxy = Proxy::to(&fake.url);
        withstands(
            &proxy,
            &hook::hook_within(kind, &proxy.url(), PATIENCE),
            "POST",
        )
        .await;
        assert_eq!(messages.lock().unwrap().len(), 10, "{kind:?}");
    }
}

#[tokio::test]
async fn nobody_there_rests_the_target() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let app = Slack::new(url.join("api/").unwrap(), TOKEN, PATIENCE).unwrap();
    let targets: [Box<dyn Target>; 3] = [
        Box::new(room(&url)),
        Box::new(app.channel(CHANNEL)),
        Box::new(hook::hook_within(Kind::Discord, &url, PATIENCE)),
    ];
    for target in targets {
        let refusal = say(&*target, &note(1, "x")).await.unwrap_err();
        assert_eq!(refusal.then, Then::Rest(None), "{refusal:?}");
        assert!(!refusal.error.contains("secret"), "{refusal:?}");
    }
}

#[tokio::test]
async fn matrix_takes_no_broken_answer_for_success() {
    let (fake, world) = matrix_fake::matrix().await;
    let target = room(&fake.url);
    say(&target, &note(1, "in")).await.unwrap();
    let endless = format!("{{\"event_id\": \"{}\"}}", "x".repeat(5 << 20));
    let limited = "{\"errcode\": \"M_LIMIT_EXCEEDED\", \"retry_after_ms\": 1500}";
    let echo = format!(
        "{{\"errcode\": \"M_NEW\", \"error\": \"{}\u{1b}\"}}",
        matrix_fake::TOKEN
    );
    let wait = Some(Duration::from_millis(1500));
    for (status, body, then) in [
        (200, "", Then::Again(None)),
        (200, "null", Then::Again(None)),
        (200, "[]", Then::Again(None)),
        (200, "{\"event_id\": 7}", Then::Again(None)),
        (200, endless.as_str(), Then::Again(None)),
        (200, "<html>", Then::Again(None)),
        (429, limited, Then::Rest(wait)),
        (413, "{\"errcode\": \"M_TOO_LARGE\"}", Then::Park),
        (401, "{\"errcode\": \"M_UNKNOWN_TOKEN\"}", Then::Park),
        (400, echo.as_str(), Then::Park),
        (502, "<html>bad gateway</html>", Then::Again(None)),
        (302, "", Then::Park),
    ] {
        let away = format!("{}elsewhere", fake.url);
        fake.tell(Reply::text(status, body).with("location", away));
        let refusal = say(&target, &note(2, "x")).await.unwrap_err();
        assert_eq!(refusal.then, then, "{status}: {refusal:?}");
        let shown = &refusal.error;
        assert!(
            !shown.contains("syt_") && !shown.contains('\u{1b}'),
            "{shown}"
        );
        assert!(shown.chars().count() < 400, "{shown}");
    }
    assert_eq!(world.lock().unwrap().events.len(), 1);
    assert!(fake.asked().iter().all(|asked| asked.path != "/elsewhere"));
}
