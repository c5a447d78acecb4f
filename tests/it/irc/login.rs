//! Passwords, accounts, certificates: who may not come in says nothing.

use super::*;
use whorl::note::chat::irc::{Sasl, SayError};

fn account(password: &str) -> Sasl {
    Sasl::Plain {
        account: "bot".into(),
        password: password.into(),
    }
}

/// The client has stopped, and nobody has ever seen it in the channel.
async fn never_came(client: &Client, peer: &mut Peer, nick: &str, channel: &str) -> String {
    let status = client
        .is("stopped", |status| status.stopped.is_some())
        .await;
    assert!(!status.connected);
    let error = client.say(channel, "x").await.unwrap_err();
    assert!(matches!(error, SayError::Stopped(_)), "{error}");
    let whois = peer.whois(nick).await;
    assert!(whois.iter().any(|line| line.contains(" 401 ")), "{whois:?}");
    assert!(!peer.names(channel).await.contains(&nick.to_owned()));
    let seen = peer.so_far().await;
    assert!(
        !seen
            .iter()
            .chain(&whois)
            .any(|line| line.contains(" JOIN ")),
        "{seen:?}"
    );
    status.stopped.unwrap()
}

#[tokio::test]
async fn the_right_server_password_lets_us_in_and_a_wrong_one_does_not() {
    let Some(server) = Server::ngircd() else {
        return;
    };
    let own = Own::ngircd(&server, Some("opensesame"));
    let mut peer = Peer::with(own.port, "doorpeer", Some("opensesame")).await;
    let mut settings = plain(own.port, "rightdoor", &["#door"]);
    settings.password = Some("opensesame".into());
    let client = start(settings.clone());
    client.in_channels(1).await;
    client.say("#door", "in").await.unwrap();
    (settings.nick, settings.password) = ("wrongdoor".into(), Some("closesesame".into()));
    let client = start(settings);
    let status = client
        .is("refused", |status| status.last_error.is_some())
        .await;
    assert!(!status.connected);
    let error = status.last_error.unwrap();
    assert!(
        error.contains("assword") && !error.contains("closesesame"),
        "{error}"
    );
    assert!(
        peer.whois("wrongdoor")
            .await
            .iter()
            .any(|line| line.contains(" 401 "))
    );
}

#[tokio::test]
async fn the_right_account_is_seen_by_others() {
    let Some(server) = Server::inspircd() else {
        return;
    };
    let mut peer = Peer::joined(server.plain, "saslpeer", "#sasl").await;
    let mut settings = encrypted(&server, "saslright", &["#sasl"]);
    settings.sasl = Some(account("secret"));
    let client = start(settings);
    let status = client.in_channels(1).await;
    assert_eq!(status.account.as_deref(), Some("bot"));
    let whois = peer.whois("saslright").await;
    assert!(
        whois
            .iter()
            .any(|line| line.contains(" 330 ") && line.contains(" bot ")),
        "{whois:?}"
    );
    client.say("#sasl", "proven").await.unwrap();
    assert_eq!(peer.hears("PRIVMSG").await.1, "proven");
    // Another client hears from whose account a line is.
    let other = start(plain(server.plain, "saslother", &["#sasl"]));
    other.in_channels(1).await;
    client.say("#sasl", "saslother: status").await.unwrap();
    let heard = other.hear().await.unwrap();
    assert_eq!(
        (heard.text.as_str(), heard.account.as_deref()),
        ("status", Some("bot"))
    );
}

#[tokio::test]
async fn a_wrong_password_stops_and_never_joins() {
    let Some(server) = Server::inspircd() else {
        return;
    };
    let mut peer = Peer::joined(server.plain, "wrongpeer", "#wrong").await;
    let mut settings = encrypted(&server, "saslwrong", &["#wrong"]);
    settings.sasl = Some(account("wrong-secret"));
    let client = start(settings);
    let why = never_came(&client, &mut peer, "saslwrong", "#wrong").await;
    assert!(why.contains("SASL failed") && why.contains("904"), "{why}");
    assert!(!why.contains("wrong-secret"), "{why}");
    assert_eq!(client.status().tries, 1);
}

#[tokio::test]
async fn a_server_without_sasl_is_never_joined() {
    let Some(server) = Server::ngircd() else {
        return;
    };
    let mut peer = Peer::joined(server.plain, "nonepeer", "#none").await;
    let mut settings = encrypted(&server, "saslnone", &["#none"]);
    settings.sasl = Some(account("secret"));
    let client = start(settings);
    let why = never_came(&client, &mut peer, "saslnone", "#none").await;
    assert!(why.contains("`sasl` is missing"), "{why}");
}

#[tokio::test]
async fn a_certificate_proves_an_account_and_another_does_not() {
    let Some(server) = Server::inspircd() else {
        return;
    };
    let mut peer = Peer::joined(server.plain, "certpeer", "#cert").await;
    let mut settings = encrypted(&server, "certright", &["#cert"]);
    settings.sasl = Some(Sasl::External);
    let tls = settings.tls.as_mut().unwrap();
    tls.identity = Some((server.file("bot-cert.pem"), server.file("bot-key.pem")));
    let client = start(settings.clone());
    let status = client.in_channels(1).await;
    assert_eq!(status.account.as_deref(), Some("bot"));
    let whois = peer.whois("certright").await;
    assert!(
        whois
            .iter()
            .any(|line| line.contains(" 330 ") && line.contains(" bot ")),
        "{whois:?}"
    );
    drop(client);
    peer.until(|line| line.contains(" QUIT ")).await;
    // A certificate that the account does not know.
    settings.nick = "certwrong".into();
    settings.tls.as_mut().unwrap().identity =
        Some((server.file("cert.pem"), server.file("key.pem")));
    let client = start(settings);
    let why = never_came(&client, &mut peer, "certwrong", "#cert").await;
    assert!(why.contains("EXTERNAL"), "{why}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_known_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "nothing\n").unwrap();
    let mut settings = plain(1, "whorl", &["#a"]);
    settings.tls = Some(Tls {
        ca_file: Some(file.clone()),
        identity: None,
    });
    let start = |settings| IrcClient::start(settings, CancellationToken::new());
    let error = start(settings.clone()).unwrap_err().to_string();
    assert!(error.ends_with("ca.pem: holds no certificate"), "{error}");
    settings.tls = Some(Tls {
        ca_file: None,
        identity: Some((file.clone(), file)),
    });
    let error = start(settings).unwrap_err().to_string();
    assert!(error.contains("ca.pem"), "{error}");
}
