//! A real Synapse (`tests/real/start-synapse.sh`): what another user of the room sees.

use super::{changed, note, say, tried};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;
use whorl::note::Then;
use whorl::note::chat::matrix::{Login, Matrix, Settings, listen};

/// A user of the server.
pub(super) struct User {
    base: Url,
    pub(super) token: String,
    id: String,
}

impl User {
    pub(super) async fn log_in(base: &Url, name: &str) -> Self {
        let body = json!({
            "type": "m.login.password", "password": "secret",
            "identifier": {"type": "m.id.user", "user": name},
        });
        let mut user = Self {
            base: base.clone(),
            token: String::new(),
            id: String::new(),
        };
        let answer = user.ask("POST", "_matrix/client/v3/login", &body).await;
        user.token = answer["access_token"].as_str().unwrap().into();
        user.id = answer["user_id"].as_str().unwrap().into();
        user
    }

    pub(super) async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = self.base.join(path).unwrap();
        let method = method.parse().unwrap();
        let mut request = reqwest::Client::new().request(method, url);
        if !body.is_null() {
            request = request.json(body);
        }
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// A room that this user makes; its id and alias.
    pub(super) async fn room(&self, preset: &str) -> (String, String) {
        let name = format!("r{}", Timestamp::now().as_nanosecond());
        let body = json!({"preset": preset, "room_alias_name": name});
        let answer = self
            .ask("POST", "_matrix/client/v3/createRoom", &body)
            .await;
        let id = answer["room_id"].as_str().unwrap().to_owned();
        (id, format!("#{name}:localhost"))
    }

    /// The messages of others in a room, oldest first.
    pub(super) async fn sees(&self, room: &str) -> Vec<Value> {
        let path = format!("_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100");
        let answer = self.ask("GET", &path, &Value::Null).await;
        let mut all = answer["chunk"].as_array().unwrap().clone();
        all.retain(|e| e["type"] == "m.room.message" && e["sender"] != self.id);
        all.reverse();
        all
    }

    pub(super) async fn says(&self, room: &str, content: Value) {
        let id = Timestamp::now().as_nanosecond();
        let path = format!("_matrix/client/v3/rooms/{room}/send/m.room.message/{id}");
        self.ask("PUT", &path, &content).await;
    }
}

/// The server and its administrator; everybody but `slow` may talk as fast as they like.
pub(super) async fn server() -> Option<(Url, User)> {
    let Ok(url) = std::env::var("WHORL_SYNAPSE") else {
        crate::skip("WHORL_SYNAPSE is not set: no Matrix server");
        return None;
    };
    let base: Url = url.parse().unwrap();
    let alice = unlimited(&base).await;
    Some((base, alice))
}

async fn unlimited(base: &Url) -> User {
    let alice = User::log_in(base, "alice").await;
    for user in ["alice", "bot"] {
        let path = format!("_synapse/admin/v1/users/@{user}:localhost/override_ratelimit");
        let none = json!({"messages_per_second": 0, "burst_count": 0});
        alice.ask("POST", &path, &none).await;
    }
    alice
}

fn account(base: &Url, login: Login) -> Arc<Matrix> {
    let settings = Settings {
        homeserver: base.clone(),
        login,
        device: format!("TEST{}", std::process::id()),
        called: "whorl".into(),
        timeout: Duration::from_secs(10),
        ca: None,
    };
    Matrix::new(settings).unwrap()
}

async fn bot(base: &Url) -> Arc<Matrix> {
    account(base, Login::Token(User::log_in(base, "bot").await.token))
}

fn by_name(user: &str, password: &str) -> Login {
    Login::Password {
        user: user.into(),
        password: password.into(),
    }
}

#[tokio::test]
async fn a_notice_arrives_with_its_formatting() {
    let Some((base, alice)) = server().await else {
        return;
    };
    let (room, alias) = alice.room("public_chat").await;
    let text = "[nova] <b>failed</b> & \u{1b}[31mred\u{202e}\nsee https://whorl.example/builds/u1?a=1&b=2.";
    let said = say(&bot(&base).await.room(&alias), &note(1, text))
        .await
        .unwrap();
    let seen = alice.sees(&room).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(said.remote.as_deref(), seen[0]["event_id"].as_str());
    let content = &seen[0]["content"];
    assert_eq!(content["msgtype"], "m.notice");
    insta::assert_snapshot!(content["body"].as_str().unwrap(), @r"
    [nova] <b>failed</b> &  [31mred 
    see https://whorl.example/builds/u1?a=1&b=2.
    ");
    insta::assert_snapshot!(content["formatted_body"].as_str().unwrap(), @r#"[nova] &lt;b&gt;failed&lt;/b&gt; &amp;  [31mred <br/>see <a href="https://whorl.example/builds/u1?a=1&amp;b=2">https://whorl.example/builds/u1?a=1&amp;b=2</a>."#);
}

#[tokio::test]
async fn the_same_note_is_one_event_over_tries_processes_and_logins() {
    let Some((base, alice)) = server().await else {
        return;
    };
    let (room, alias) = alice.room("public_chat").await;
    let one = note(1, "once");
    let device = account(&base, by_name("bot", "secret"));
    let first = say(&device.room(&alias), &one).await.unwrap();
    assert_eq!(say(&device.room(&alias), &one).await.unwrap(), first);
    // Another process that logs in anew, which makes the token of the first one stale.
    let other = account(&base, by_name("bot", "secret"));
    assert_eq!(say(&other.room(&room), &one).await.unwrap(), first);
    assert_eq!(say(&device.room(&alias), &one).await.unwrap(), first);
    // With another login, which has transactions of its own, it is found by its mark.
    let stranger = bot(&base).await;
    assert_eq!(
        say(&stranger.room(&alias), &tried(&one)).await.unwrap(),
        first
    );
    assert_eq!(alice.sees(&room).await.len(), 1);
    // Another note with the same words is another one.
    say(&device.room(&alias), &note(2, "once")).await.unwrap();
    assert_eq!(alice.sees(&room).await.len(), 2);
}

#[tokio::test]
async fn a_changed_note_is_an_edit() {
    let Some((base, alice)) = server().await else {
        return;
    };
    let (room, alias) = alice.room("public_chat").await;
    let target = bot(&base).await.room(&alias);
    let one = note(1, "one job failed");
    let said = say(&target, &one).await.unwrap();
    let two = changed(&one, "two jobs failed", said.remote.as_deref());
    assert_eq!(say(&target, &two).await.unwrap(), said);
    assert_eq!(say(&target, &two).await.unwrap(), said);
    // And where nobody recorded what the first one is called.
    let three = changed(&two, "three jobs failed", None);
    assert_eq!(say(&target, &three).await.unwrap(), said);
    assert_eq!(say(&target, &tried(&three)).await.unwrap(), said);
    assert_eq!(alice.sees(&room).await.len(), 3);
    let event = said.remote.unwrap();
    let path = format!("_matrix/client/v1/rooms/{room}/relations/{event}/m.replace");
    let edits = alice.ask("GET", &path, &Value::Null).await;
    let newest = &edits["chunk"][0]["content"]["m.new_content"];
    assert_eq!(newest["body"], "three jobs failed", "{edits}");
    assert_eq!(edits["chunk"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let Some((base, alice)) = server().await else {
        return;
    };
    let (_, open) = alice.room("public_chat").await;
    let (closed, _) = alice.room("private_chat").await;
    let bot = bot(&base).await;
    let wrong_token = account(&base, Login::Token("syt_wrong_token".into()));
    let wrong_password = account(&base, by_name("bot", "wrong-password"));
    for (account, room, wanted) in [
        (&wrong_token, open.as_str(), "M_UNKNOWN_TOKEN"),
        (&wrong_password, open.as_str(), "login refused"),
        (&bot, closed.as_str(), "M_FORBIDDEN"),
        (&bot, "#nowhere:localhost", "M_NOT_FOUND"),
    ] {
        let refusal = say(&account.room(room), &note(1, "x")).await.unwrap_err();
        assert_eq!(refusal.then, Then::Park, "{refusal:?}");
        assert!(refusal.error.contains(wanted), "{refusal:?}");
        assert!(
            !refusal.error.contains("wrong-password") && !refusal.error.contains("syt_"),
            "{refusal:?}"
        );
    }
    assert!(!format!("{wrong_password:?}{wrong_token:?}").contains("wrong"));
    // Invited, and later thrown out and invited again: it comes back by itself.
    for _ in 0..2 {
        let path = format!("_matrix/client/v3/rooms/{closed}/invite");
        alice
            .ask("POST", &path, &json!({"user_id": "@bot:localhost"}))
            .await;
        say(
            &bot.room(&closed),
            &note(2, &format!("{}", Timestamp::now())),
        )
        .await
        .unwrap();
        let path = format!("_matrix/client/v3/rooms/{closed}/kick");
        alice
            .ask("POST", &path, &json!({"user_id": "@bot:localhost"}))
            .await;
    }
    assert_eq!(alice.sees(&closed).await.len(), 2);
}

#[tokio::test]
async fn a_limit_says_how_long_to_wait_and_nothing_is_lost() {
    let Some((base, alice)) = server().await else {
        return;
    };
    let (room, alias) = alice.room("public_chat").await;
    let target = account(&base, by_name("slow", "secret")).room(&alias);
    let mut refused = 0;
    for id in 1..=8 {
        let one = note(id, &format!("note {id}"));
        while let Err(refusal) = say(&target, &one).await {
            let Then::Rest(Some(wait)) = refusal.then else {
                panic!("{refusal:?}");
            };
            assert!(
                wait > Duration::ZERO && wait < Duration::from_secs(30),
                "{wait:?}"
            );
            refused += 1;
            tokio::time::sleep(wait).await;
        }
    }
    assert!(refused > 0, "the server limited nothing");
    let seen = alice.sees(&room).await;
    let bodies: Vec<_> = seen
        .iter()
        .map(|e| e["content"]["body"].as_str().unwrap())
        .collect();
    let wanted: Vec<_> = (1..=8).map(|id| format!("note {id}")).collect();
    assert_eq!(bodies, wanted);
}

#[tokio::test]
async fn what_is_said_to_us_is_heard_once() {
    let Some((base, alice)) = server().await else {
        return;
    };
    let (room, alias) = alice.room("public_chat").await;
    let (elsewhere, _) = alice.room("public_chat").await;
    let bot = bot(&base).await;
    let text = |body: &str| json!({"msgtype": "m.text", "body": body});
    let rooms = [alias.clone()];
    bot.look("m", &rooms, None).await.unwrap();
    alice
        .says(&room, text("whorl: from before anybody listened"))
        .await;
    let first = bot.look("m", &rooms, None).await.unwrap();
    assert!(first.said.is_empty(), "{first:?}");

    let (sender, mut heard) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let ear = listen(
        bot.clone(),
        "m".into(),
        rooms.to_vec(),
        Some(first.since.clone()),
        sender,
        cancel.clone(),
    );
    let ear = tokio::spawn(ear);
    alice.says(&room, text("nice weather, whorl")).await;
    alice.says(&elsewhere, text("whorl: not here")).await;
    alice.says(&room, text("whorl: status")).await;
    alice.says(&room, text("!whorl why gate-full\u{7}")).await;
    let mention = json!({"msgtype": "m.text", "body": "bot: help", "m.mentions": {"user_ids": ["@bot:localhost"]}});
    alice.says(&room, mention).await;
    let mut said = Vec::new();
    while said.len() < 3 {
        let next = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
        said.extend(next.unwrap().unwrap().said);
    }
    let texts: Vec<_> = said.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(texts, ["status", "why gate-full", "help"]);
    assert!(
        said.iter().all(|one| one.sender == "@alice:localhost"
            && one.channel == room
            && one.target == "m")
    );
    cancel.cancel();
    ear.await.unwrap();
    // Who kept an older place hears it again and knows it by the event; who kept the newest does not.
    let (mut since, mut again) = (first.since, Vec::new());
    while again.len() < 3 {
        let look = bot.look("m", &rooms, Some(&since));
        let heard = tokio::time::timeout(Duration::from_secs(20), look).await;
        let heard = heard.unwrap().unwrap();
        since = heard.since;
        again.extend(heard.said);
    }
    assert_eq!(again, said);
    let done = bot.look("m", &rooms, Some(&since));
    let done = tokio::time::timeout(Duration::from_secs(20), done).await;
    let done = done.unwrap().unwrap();
    assert!(done.said.is_empty(), "{done:?}");
}

/// A server of our own that can be stopped.
struct Own<'a> {
    run: &'a Path,
    port: u16,
}

impl Own<'_> {
    fn script(&self, name: &str, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/real")
            .join(name);
        let output = Command::new(script)
            .args(arguments)
            .env("PARTS_RUN", self.run)
            .env("SYNAPSE_PORT", self.port.to_string())
            .env("SYNAPSE_KEEP", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
    }
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        self.script("stop.sh", &["synapse"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_gets_the_note_once() {
    if std::env::var("WHORL_SYNAPSE").is_err() {
        crate::skip("WHORL_SYNAPSE is not set: no Matrix server to stop");
        return;
    }
    let run = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let own = Own {
        run: run.path(),
        port,
    };
    own.script("start-synapse.sh", &[]);
    let base: Url = format!("http://127.0.0.1:{port}/").parse().unwrap();
    let alice = unlimited(&base).await;
    let (room, alias) = alice.room("public_chat").await;
    let target = bot(&base).await.room(&alias);
    let (one, two) = (note(1, "before"), note(2, "while it was away"));
    let first = say(&target, &one).await.unwrap();
    own.script("stop.sh", &["synapse"]);
    let refusal = say(&target, &two).await.unwrap_err();
    assert_eq!(refusal.then, Then::Rest(None), "{refusal:?}");
    own.script("start-synapse.sh", &[]);
    // The first one again, as if its answer had never come: the server knows it over its restart.
    assert_eq!(say(&target, &one).await.unwrap(), first);
    say(&target, &tried(&two)).await.unwrap();
    let seen = alice.sees(&room).await;
    let bodies: Vec<_> = seen
        .iter()
        .map(|e| e["content"]["body"].as_str().unwrap())
        .collect();
    assert_eq!(bodies, ["before", "while it was away"]);
}
