//! The running program in a room of a real Synapse: people ask, it answers; also what was asked while it
//! was away, and nothing twice.

use super::matrix::{User, server};
use crate::serve::program::{Home, Program};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn home(base: &url::Url, token: &str, room: &str) -> Home {
    Home::new(&format!(
        "commands: {{silence: ['@alice:localhost', 'matrix:@carol:localhost'], per-minute: 60}}
notes:
  chat:
    matrix:
      - {{homeserver: '{base}', token: {token}, commands: true, timeout: 2s, rooms: [{{channel: '{room}'}}]}}
"
    ))
}

/// The answers in the room once there are so many.
async fn answers(user: &User, room: &str, n: usize) -> Vec<(String, Value)> {
    let begun = Instant::now();
    loop {
        let all = user.sees(room).await;
        let of = |one: &Value| {
            let content = &one["content"];
            let asked = content["m.relates_to"]["m.in_reply_to"]["event_id"].clone();
            (
                content["body"].as_str().unwrap_or_default().to_owned(),
                asked,
            )
        };
        let all: Vec<_> = all
            .iter()
            .filter(|one| one["content"]["msgtype"] == "m.notice")
            .map(of)
            .collect();
        if all.len() >= n {
            assert_eq!(all.len(), n, "{all:?}");
            return all;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{n} answers: {all:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn start(home: Home) -> (Program, Home) {
    tokio::task::spawn_blocking(move || (home.start(), home))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_in_a_room_are_answered_once_over_restarts() {
    let Some((base, alice)) = server().await else {
        return;
    };
    let bot = User::log_in(&base, "bot").await;
    let slow = User::log_in(&base, "slow").await;
    let (room, _) = alice.room("public_chat").await;
    let join = format!("_matrix/client/v3/join/{room}");
    slow.ask("POST", &join, &json!({})).await;
    bot.ask("POST", &join, &json!({})).await;
    alice
        .says(&room, json!({"msgtype": "m.text", "body": "whorl: help"}))
        .await;
    let (program, home) = start(home(&base, &bot.token, &room)).await;
    // What was said before it listened for the first time is not for it. It listens once it says so.
    let heard = async {
        loop {
            let state = whorl::state::State::open(home.data().join("state.db")).unwrap();
            if state
                .mark(&format!("matrix @{base} WHORL"))
                .unwrap()
                .is_some()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard)
        .await
        .unwrap();
    alice
        .says(&room, json!({"msgtype": "m.text", "body": "!whorl status"}))
        .await;
    let all = answers(&slow, &room, 1).await;
    assert!(all[0].0.contains("in force"), "{all:?}");
    assert!(all[0].1.is_string(), "it is a reply: {all:?}");
    slow.says(
        &room,
        json!({"msgtype": "m.text", "body": "whorl: silence boom 2h"}),
    )
    .await;
    let all = answers(&alice, &room, 2).await;
    assert!(all[1].0.contains("you may not use `silence`"), "{all:?}");
    // Away: what is asked meanwhile is answered afterwards, and nothing else again.
    program.signal(Signal::SIGKILL);
    tokio::task::spawn_blocking(move || drop(program))
        .await
        .unwrap();
    alice
        .says(
            &room,
            json!({"msgtype": "m.text", "body": "whorl, silence boom 2h too loud"}),
        )
        .await;
    let (program, _home) = start(home).await;
    let all = answers(&slow, &room, 3).await;
    assert!(
        all[2]
            .0
            .contains("Nothing will be said of fingerprint boom"),
        "{all:?}"
    );
    let on = tokio::task::spawn_blocking(move || {
        let on = program.json("/api/v1/silences");
        assert_eq!(program.stop(), Some(0));
        on
    });
    let on = on.await.unwrap();
    assert_eq!(on[0]["by"], "matrix:@alice:localhost");
    answers(&slow, &room, 3).await;
}
