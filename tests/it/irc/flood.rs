//! Many long texts at once, at a server that throws out who floods.

use super::*;
use tokio::task::JoinSet;
use whorl::note::chat::irc::SayError;

const TEXTS: usize = 60;

fn text(n: usize) -> String {
    let words: Vec<String> = (0..75).map(|w| format!("{n}-wörd{w}")).collect();
    words.join(" ")
}

#[tokio::test]
async fn a_burst_of_long_texts_arrives_whole_and_in_order() {
    let Some(server) = Server::inspircd() else {
        return;
    };
    let mut peer = Peer::joined(server.plain, "floodpeer", "#flood").await;
    let mut settings = plain(server.strict, "flooder", &["#flood"]);
    (settings.burst, settings.pace) = (5, Duration::from_millis(60));
    let client = start(settings);
    client.in_channels(1).await;
    let mut says = JoinSet::new();
    for n in 0..TEXTS {
        let handle = client.handle.clone();
        says.spawn(async move { handle.say("#flood", &text(n)).await });
    }
    let mut whole = Vec::new();
    let mut one = String::new();
    while whole.len() < TEXTS {
        let (_, line) = peer.hears("PRIVMSG").await;
        assert!("PRIVMSG #flood :".len() + line.len() <= 400, "{line}");
        one += line.strip_prefix("… ").unwrap_or(&line);
        match one.strip_suffix('…') {
            Some(begun) => one = begun.to_owned(),
            None => whole.push(std::mem::take(&mut one)),
        }
    }
    let wanted: Vec<String> = (0..TEXTS).map(text).collect();
    assert_eq!(whole, wanted);
    while let Some(said) = says.join_next().await {
        assert_eq!(said.unwrap(), Ok(()));
    }
    assert_eq!(client.status().tries, 1);
}

#[tokio::test]
async fn without_flood_control_that_server_throws_us_out() {
    let Some(server) = Server::inspircd() else {
        return;
    };
    let mut settings = plain(server.strict, "hasty", &["#hasty"]);
    (settings.burst, settings.pace) = (1000, Duration::ZERO);
    let client = start(settings);
    client.in_channels(1).await;
    let mut says = JoinSet::new();
    for n in 0..TEXTS {
        let handle = client.handle.clone();
        says.spawn(async move { handle.say("#hasty", &text(n)).await });
    }
    let flood = |s: &Status| {
        s.last_error
            .as_deref()
            .is_some_and(|e| e.contains("Excess Flood"))
    };
    client.is("thrown out", flood).await;
    let results = says.join_all().await;
    let errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(!errors.is_empty());
    assert!(errors.iter().all(SayError::may_try_again), "{errors:?}");
}

#[tokio::test]
async fn more_texts_than_the_queue_holds_are_refused_at_once() {
    let mut settings = plain(1, "whorl", &["#a"]);
    settings.queue = 4;
    // All ten speak before the client looks at its queue again.
    let client = start(settings);
    let mut says = JoinSet::new();
    for _ in 0..10 {
        let handle = client.handle.clone();
        says.spawn(async move { handle.say("#a", "x").await });
    }
    let results = says.join_all().await;
    assert!(results.iter().all(Result::is_err));
    let busy = Err(SayError::Busy);
    assert_eq!(results.iter().filter(|result| **result == busy).count(), 6);
}
