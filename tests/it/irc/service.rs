//! The running program in a real channel: it answers there, and privately to who asks privately.

use super::peer::Peer;
use super::*;
use crate::serve::program::Home;

fn home(server: &Server, nick: &str, channel: &str) -> Home {
    Home::new(&format!(
        "commands: {{name: whorl, per-minute: 60}}
notes:
  irc:
    - {{host: 127.0.0.1, port: {}, tls: false, nick: {nick}, burst: 50, pace: 10ms, retry: 50ms,
       channels: [{{name: '{channel}'}}]}}
",
        server.plain
    ))
}

#[tokio::test]
async fn it_is_asked_in_a_channel_and_in_private() {
    for (name, server) in [("ng", Server::ngircd()), ("in", Server::inspircd())] {
        let Some(server) = server else { continue };
        let (channel, nick) = (format!("#ask-{name}"), format!("say{name}"));
        let mut peer = Peer::joined(server.plain, &format!("ask{name}"), &channel).await;
        let mut other = Peer::joined(server.plain, &format!("by{name}"), &channel).await;
        let home = home(&server, &nick, &channel);
        let program = tokio::task::spawn_blocking(move || (home.start(), home))
            .await
            .unwrap();
        peer.until(|line| line.starts_with(&format!(":{nick}!")) && line.contains(" JOIN "))
            .await;
        let me = peer.nick.clone();
        // By the sign and the name of the configuration, which is not the nick; and by the nick.
        for text in [
            "!whorl help",
            "whorl: help",
            &format!("{nick}: help"),
            &format!("!{nick} help"),
        ] {
            peer.send(&format!("PRIVMSG {channel} :{text}")).await;
            let (who, answer) = peer.hears("PRIVMSG").await;
            assert_eq!(who, nick, "{text}");
            assert!(
                answer.starts_with(&format!("{me}: I know: `status")),
                "{text}: {answer}"
            );
        }
        peer.send(&format!("PRIVMSG {nick} :status")).await;
        let line = peer
            .until(|line| line.contains(" PRIVMSG ") && line.starts_with(&format!(":{nick}!")))
            .await;
        let (_, rest) = line.split_once(" PRIVMSG ").unwrap();
        let (target, answer) = rest.split_once(" :").unwrap();
        assert_eq!(target, me, "to the person alone");
        assert!(
            answer.contains("1 fingerprint is in force") || answer.contains("in force"),
            "{answer}"
        );
        // Nobody else has seen it, and a nick may not change anything.
        peer.send(&format!("PRIVMSG {nick} :silence boom 2h")).await;
        let (_, answer) = peer.hears("PRIVMSG").await;
        assert!(answer.contains("you may not use `silence`"), "{answer}");
        peer.send(&format!("PRIVMSG {channel} :bye")).await;
        let seen = other.all_until(|line| line.ends_with(":bye")).await;
        let of_us = seen
            .iter()
            .filter(|line| line.starts_with(&format!(":{nick}!")) && line.contains(" PRIVMSG "));
        assert!(
            of_us.clone().all(|line| line.contains(&channel)),
            "{seen:?}"
        );
        assert_eq!(of_us.count(), 4, "{seen:?}");
        tokio::task::spawn_blocking(move || drop(program))
            .await
            .unwrap();
    }
}
