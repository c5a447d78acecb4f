//! A connection that breaks in every way, and a server that lies.

use super::proxy::{Fault, Proxy};
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whorl::note::chat::irc::Sasl;

/// Settings that notice a silent server soon.
fn hurried(port: u16, nick: &str, channel: &str) -> Settings {
    let mut settings = plain(port, nick, &[channel]);
    settings.timeout = Duration::from_millis(1500);
    settings.keep_alive = Duration::from_millis(500);
    settings
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_made_later() {
    let Some(server) = Server::inspircd() else {
        return;
    };
    let proxy = Proxy::to(server.plain).await;
    for (n, fault) in [Fault::Refuse, Fault::Hang, Fault::Reset, Fault::Half]
        .into_iter()
        .enumerate()
    {
        let channel = format!("#begin{n}");
        proxy.now(fault);
        let client = start(hurried(proxy.port, &format!("beginner{n}"), &channel));
        client
            .is("several tries", |s| s.tries > 2 && s.last_error.is_some())
            .await;
        let error = client.say(&channel, "x").await.unwrap_err();
        assert!(
            error.may_try_again() && !error.may_have_been_said(),
            "{fault:?}: {error}"
        );
        proxy.now(Fault::None);
        client.in_channels(1).await;
        client.say(&channel, "x").await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_replaced_and_no_text_is_believed() {
    let Some(server) = Server::inspircd() else {
        return;
    };
    let proxy = Proxy::to(server.plain).await;
    for (n, fault) in [Fault::Refuse, Fault::Hang, Fault::Reset, Fault::Half]
        .into_iter()
        .enumerate()
    {
        let channel = format!("#break{n}");
        let mut peer = Peer::joined(server.plain, &format!("breakpeer{n}"), &channel).await;
        let client = start(hurried(proxy.port, &format!("breaker{n}"), &channel));
        client.in_channels(1).await;
        client.say(&channel, "first").await.unwrap();
        assert_eq!(peer.hears("PRIVMSG").await.1, "first");
        proxy.now(fault);
        let error = client.say(&channel, "second").await.unwrap_err();
        assert!(error.may_try_again(), "{fault:?}: {error}");
        client.is("gone", |s| !s.connected).await;
        proxy.now(Fault::None);
        client.in_channels(1).await;
        client.say(&channel, "third").await.unwrap();
        let third = |line: &str| line.ends_with("third");
        let seen = peer.all_until(third).await;
        // What may have been said was said at most once.
        assert!(seen.iter().filter(|line| line.ends_with("second")).count() <= 1);
    }
}

/// A server that says these lines, whatever it is told; what it was told.
async fn liar(lines: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(lines.as_bytes()).await.unwrap();
        let mut told = String::new();
        // A reset ends it too.
        let _ = stream.read_to_string(&mut told).await;
        told
    });
    (port, told)
}

#[tokio::test]
async fn no_server_talks_us_into_speaking_unproven() {
    for lines in [
        ":s 001 whorl :Welcome\r\n:s 376 whorl :End\r\n:whorl!u@h JOIN #a\r\n",
        ":s CAP * LS :\r\n:s 903 * :ok\r\n:s 001 whorl :Welcome\r\n:s 376 whorl :End\r\n",
        ":s CAP * LS :sasl\r\n:s CAP * ACK :sasl\r\nAUTHENTICATE +\r\n:s 904 * :failed\r\n\
         :s 903 * :ok\r\n:s 001 whorl :Welcome\r\n:s 376 whorl :End\r\n",
    ] {
        let (port, told) = liar(lines).await;
        let mut settings = plain(port, "whorl", &["#a"]);
        settings.sasl = Some(Sasl::Plain {
            account: "bot".into(),
            password: "secret".into(),
        });
        let client = start(settings);
        client.is("stopped", |s| s.stopped.is_some()).await;
        assert!(client.say("#a", "x").await.is_err());
        let told = tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
        for never in ["JOIN", "PRIVMSG", "NOTICE", "CAP END"] {
            assert!(!told.contains(never), "{told}");
        }
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_given_up() {
    let endless: &'static str = "x".repeat(40_000).leak();
    let (port, _told) = liar(endless).await;
    let client = start(plain(port, "whorl", &["#a"]));
    let status = client.is("given up", |s| s.last_error.is_some()).await;
    let error = status.last_error.unwrap();
    assert!(error.contains("a line without an end"), "{error}");
}

/// Says the lines and hears until `end` is heard, or until the client goes.
async fn one_talk(listener: &tokio::net::TcpListener, lines: &str, end: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(lines.as_bytes()).await.unwrap();
    let (mut told, mut some) = (String::new(), [0; 1024]);
    while !told.contains(end) {
        // A reset ends it too.
        match stream.read(&mut some).await {
            Ok(n) if n > 0 => told.push_str(std::str::from_utf8(&some[..n]).unwrap()),
            _ => break,
        }
    }
    told
}

#[tokio::test]
async fn an_account_that_was_proven_waits_for_services_to_come_back() {
    let with = ":s CAP * LS :sasl\r\n:s CAP * ACK :sasl\r\nAUTHENTICATE +\r\n:s 903 * :ok\r\n\
                :s 001 whorl :Welcome\r\n:s 376 whorl :End\r\n";
    let without = ":s CAP * LS :multi-prefix\r\n:s 001 whorl :Welcome\r\n:s 376 whorl :End\r\n";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = plain(listener.local_addr().unwrap().port(), "whorl", &["#a"]);
    settings.sasl = Some(Sasl::Plain {
        account: "bot".into(),
        password: "secret".into(),
    });
    let client = start(settings);
    let talks = async {
        let first = one_talk(&listener, with, "JOIN #a").await;
        let second = one_talk(&listener, without, "never said").await;
        (first, second, one_talk(&listener, with, "JOIN #a").await)
    };
    let (first, second, third) = tokio::time::timeout(PATIENCE, talks).await.unwrap();
    assert!(first.contains("JOIN #a") && third.contains("JOIN #a"));
    for never in ["JOIN", "PRIVMSG", "CAP END"] {
        assert!(!second.contains(never), "{second}");
    }
    assert_eq!(client.status().stopped, None);
}
