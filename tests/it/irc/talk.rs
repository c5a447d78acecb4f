//! Channels, nicks, what is said and what is heard.

use super::*;
use whorl::note::chat::irc::{Kind, SayError};

#[tokio::test]
async fn a_note_crosses_from_tls_to_plain_and_an_answer_back() {
    for (name, server) in [("ng", Server::ngircd()), ("in", Server::inspircd())] {
        let Some(server) = server else { continue };
        let channel = format!("#cross-{name}");
        let nick = format!("cross{name}");
        let mut peer = Peer::joined(server.plain, "crosspeer", &channel).await;
        let client = start(encrypted(&server, &nick, &[&channel]));
        let status = client.in_channels(1).await;
        assert_eq!(status.nick.as_deref(), Some(nick.as_str()));
        client
            .say(&channel, "bug 1182131: Prüfung – läuft")
            .await
            .unwrap();
        let heard = peer.hears("PRIVMSG").await;
        assert_eq!(
            heard,
            (nick.clone(), "bug 1182131: Prüfung – läuft".to_owned())
        );
        peer.send(&format!("PRIVMSG {channel} :{nick}: why tempest-full"))
            .await;
        peer.send(&format!("PRIVMSG {nick} :help")).await;
        let first = client.hear().await.unwrap();
        assert_eq!(first.channel.as_deref(), Some(channel.as_str()));
        assert_eq!(
            (first.nick.as_str(), first.text.as_str()),
            ("crosspeer", "why tempest-full")
        );
        assert_eq!(first.account, None);
        assert_eq!(client.hear().await.unwrap().channel, None);
        // Who stops says so.
        drop(client);
        peer.until(|line| line.contains(" QUIT ") && line.contains("whorl stops"))
            .await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_not_spoken_to() {
    let Some(server) = Server::ngircd() else {
        return;
    };
    let mut settings = encrypted(&server, "trusting", &["#trust"]);
    settings.tls = Some(Tls::default());
    let client = start(settings);
    let status = client
        .is("refused", |status| status.last_error.is_some())
        .await;
    let error = status.last_error.unwrap();
    assert!(error.contains("certificate"), "{error}");
    assert!(!status.connected);
    let error = client.say("#trust", "x").await.unwrap_err();
    assert!(matches!(error, SayError::NotConnected(_)), "{error}");
}

#[tokio::test]
async fn notices_are_said_too() {
    let Some(server) = Server::inspircd() else {
        return;
    };
    let mut peer = Peer::joined(server.plain, "noticepeer", "#notice").await;
    let mut settings = plain(server.plain, "noticer", &["#notice"]);
    settings.kind = Kind::Notice;
    let client = start(settings);
    client.in_channels(1).await;
    client.say("#notice", "quietly").await.unwrap();
    assert_eq!(peer.hears("NOTICE").await.1, "quietly");
}

#[tokio::test]
async fn hostile_text_arrives_harmless() {
    for (name, server) in [("ng", Server::ngircd()), ("in", Server::inspircd())] {
        let Some(server) = server else { continue };
        let channel = format!("#hostile-{name}");
        let mut peer = Peer::joined(server.plain, "hostilepeer", &channel).await;
        let client = start(plain(server.plain, &format!("hostile{name}"), &[&channel]));
        client.in_channels(1).await;
        let cases = [
            ("evidence\r\nQUIT :bye", "evidence  QUIT :bye"),
            ("\u{1}DCC SEND x 1 2 3\u{1}", "DCC SEND x 1 2 3"),
            ("a\0b\nPRIVMSG #other :x", "a b PRIVMSG #other :x"),
            ("\u{3}4red\u{f} \u{2}bold", "red bold"),
            (":colon first", ":colon first"),
        ];
        for (text, seen) in cases {
            client.say(&channel, text).await.unwrap();
            assert_eq!(peer.hears("PRIVMSG").await.1, seen);
        }
        assert_eq!(client.status().tries, 1);
    }
}

#[tokio::test]
async fn a_nick_in_use_is_replaced_and_taken_back_when_it_is_free() {
    for server in [Server::ngircd(), Server::inspircd()].into_iter().flatten() {
        let mut owner = Peer::joined(server.plain, "wanted", "#nicks").await;
        let client = start(plain(server.plain, "wanted", &["#nicks"]));
        let status = client.in_channels(1).await;
        assert_eq!(status.nick.as_deref(), Some("wanted_"));
        client.say("#nicks", "under another name").await.unwrap();
        assert_eq!(owner.hears("PRIVMSG").await.0, "wanted_");
        owner.send("QUIT :bye").await;
        client
            .is("its own nick", |s| s.nick.as_deref() == Some("wanted"))
            .await;
        client.say("#nicks", "under its own").await.unwrap();
        assert_eq!(client.status().tries, 1);
    }
}

#[tokio::test]
async fn a_channel_that_refuses_is_told_and_the_others_are_joined() {
    for server in [Server::ngircd(), Server::inspircd()].into_iter().flatten() {
        let mut op = Peer::joined(server.plain, "refuser", "#closed").await;
        op.send("MODE #closed +i").await;
        op.send("JOIN #locked").await;
        op.send("MODE #locked +k opensesame").await;
        op.so_far().await;
        let mut settings = plain(server.plain, "refusee", &["#open", "#closed", "#locked"]);
        settings.channels[2].key = Some("opensesame".into());
        let client = start(settings);
        let status = client
            .is("two of three", |s| {
                s.joined() == ["#locked", "#open"] && s.channels["#closed"].error.is_some()
            })
            .await;
        let error = status.channels["#closed"].error.clone().unwrap();
        assert!(error.contains("(473)"), "{error}");
        let error = client.say("#closed", "x").await.unwrap_err();
        assert!(matches!(error, SayError::NotJoined { .. }), "{error}");
        // It is tried again by itself.
        op.send("MODE #closed -i").await;
        client.in_channels(3).await;
        client.say("#closed", "now").await.unwrap();
        assert_eq!(op.hears("PRIVMSG").await.1, "now");
    }
}

#[tokio::test]
async fn a_kicked_client_comes_back() {
    for server in [Server::ngircd(), Server::inspircd()].into_iter().flatten() {
        let mut op = Peer::joined(server.plain, "kicker", "#kicks").await;
        let client = start(plain(server.plain, "kickee", &["#kicks"]));
        client.in_channels(1).await;
        op.send("KICK #kicks kickee :too loud").await;
        let status = client.is("out", |s| s.joined().is_empty()).await;
        let error = status.channels["#kicks"].error.clone().unwrap();
        assert!(error.contains("kicked by kicker: too loud"), "{error}");
        client.in_channels(1).await;
        client.say("#kicks", "back").await.unwrap();
        assert_eq!(op.hears("PRIVMSG").await.1, "back");
        assert_eq!(client.status().tries, 1);
    }
}

#[tokio::test]
async fn a_channel_that_does_not_let_us_speak_is_an_error_until_it_does() {
    for server in [Server::ngircd(), Server::inspircd()].into_iter().flatten() {
        let mut op = Peer::joined(server.plain, "moderator", "#quiet").await;
        op.send("MODE #quiet +m").await;
        op.so_far().await;
        let client = start(plain(server.plain, "muted", &["#quiet"]));
        client.in_channels(1).await;
        let error = client.say("#quiet", "lost").await.unwrap_err();
        assert!(matches!(error, SayError::Muted { .. }), "{error}");
        assert!(error.may_try_again() && !error.may_have_been_said());
        op.send("MODE #quiet +v muted").await;
        op.so_far().await;
        client.say("#quiet", "found").await.unwrap();
        assert_eq!(op.hears("PRIVMSG").await.1, "found");
    }
}

#[tokio::test]
async fn what_is_said_while_the_server_is_down_may_be_tried_again() {
    let Some(server) = Server::ngircd() else {
        return;
    };
    let mut own = Own::ngircd(&server, None);
    let mut peer = Peer::joined(own.port, "downpeer", "#down").await;
    let client = start(plain(own.port, "downer", &["#down"]));
    client.in_channels(1).await;
    client.say("#down", "before").await.unwrap();
    assert_eq!(peer.hears("PRIVMSG").await.1, "before");
    own.kill();
    client.is("gone", |status| !status.connected).await;
    for n in 0..3 {
        let error = client
            .say("#down", &format!("meanwhile {n}"))
            .await
            .unwrap_err();
        assert!(
            error.may_try_again() && !error.may_have_been_said(),
            "{error}"
        );
    }
    client
        .is("refused", |s| {
            s.last_error
                .as_deref()
                .is_some_and(|e| e.contains("refused"))
        })
        .await;
    own.again();
    let mut peer = Peer::joined(own.port, "downpeer", "#down").await;
    client.in_channels(1).await;
    client.say("#down", "after").await.unwrap();
    assert_eq!(peer.hears("PRIVMSG").await.1, "after");
}

#[tokio::test]
async fn lines_that_nobody_takes_are_counted() {
    let Some(server) = Server::inspircd() else {
        return;
    };
    let mut peer = Peer::new(server.plain, "talker").await;
    let client = start(plain(server.plain, "listener", &["#listen"]));
    client.in_channels(1).await;
    for n in 0..100 {
        peer.send(&format!("PRIVMSG listener :line {n}")).await;
    }
    let status = client.is("full", |status| status.dropped == 36).await;
    assert!(status.connected);
    assert_eq!(client.hear().await.unwrap().text, "line 0");
}
