//! From the configuration of IRC to the settings of its client.

use crate::config::{Irc, IrcKind, IrcMechanism};
use crate::note::chat::irc::{Channel, Kind, Sasl, Settings, Tls};

/// The settings of one server.
pub fn settings(irc: &Irc) -> Settings {
    let text = |secret: &crate::config::Secret| secret.expose().to_owned();
    let mut settings = Settings::new(&irc.host, &irc.nick);
    settings.port = irc.port();
    settings.tls = irc.tls.then(|| Tls {
        ca_file: irc.ca_file.clone(),
        identity: irc.cert_file.clone().zip(irc.key_file.clone()),
    });
    settings.password = irc.password.as_ref().map(text);
    settings.sasl = irc.sasl.as_ref().map(|sasl| match sasl.mechanism {
        IrcMechanism::Plain => Sasl::Plain {
            account: sasl.account.clone().unwrap_or_default(),
            password: sasl.password.as_ref().map(text).unwrap_or_default(),
        },
        IrcMechanism::External => Sasl::External,
    });
    settings.user.clone_from(&irc.user);
    settings.real_name.clone_from(&irc.real_name);
    settings.kind = match irc.say {
        IrcKind::Message => Kind::Message,
        IrcKind::Notice => Kind::Notice,
    };
    (settings.burst, settings.pace, settings.max_lines) = (irc.burst, irc.pace.0, irc.max_lines);
    (settings.timeout, settings.keep_alive) = (irc.timeout.0, irc.keep_alive.0);
    (settings.first_delay, settings.max_delay) = (irc.retry.0, irc.max_retry.0);
    (settings.rejoin, settings.reclaim) = (irc.rejoin.0, irc.reclaim.0);
    let channels = irc.channels.iter();
    settings.channels = channels
        .map(|c| Channel {
            name: c.name.clone(),
            key: c.key.as_ref().map(text),
        })
        .collect();
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_passed_on() {
        let text = "{host: h, port: 7000, ca-file: ca, cert-file: c, key-file: k, password: p1-long, nick: n,
            sasl: {account: a, password: p2-long}, user: u, real-name: r, say: notice, burst: 3, pace: 4s,
            max-lines: 6, timeout: 7s, keep-alive: 8s, retry: 9s, max-retry: 10s, rejoin: 11s,
            reclaim: 12s, channels: [{name: '#c', key: k1}]}";
        let irc: Irc = serde_saphyr::from_str(text).unwrap();
        let settings = settings(&irc);
        assert_eq!(settings.check(), Ok(()));
        let seconds = |d: std::time::Duration| d.as_secs();
        assert_eq!(
            (settings.host.as_str(), settings.port, settings.kind),
            ("h", 7000, Kind::Notice)
        );
        assert_eq!(
            (
                settings.nick.as_str(),
                settings.user.as_str(),
                settings.real_name.as_str()
            ),
            ("n", "u", "r")
        );
        assert_eq!(
            (settings.burst, seconds(settings.pace), settings.max_lines),
            (3, 4, 6)
        );
        assert_eq!(
            (seconds(settings.timeout), seconds(settings.keep_alive)),
            (7, 8)
        );
        assert_eq!(
            (seconds(settings.first_delay), seconds(settings.max_delay)),
            (9, 10)
        );
        assert_eq!(
            (seconds(settings.rejoin), seconds(settings.reclaim)),
            (11, 12)
        );
        assert_eq!(settings.password.as_deref(), Some("p1-long"));
        assert_eq!(settings.channels[0].key.as_deref(), Some("k1"));
        let tls = settings.tls.unwrap();
        assert_eq!(tls.ca_file.unwrap().to_str(), Some("ca"));
        assert_eq!(tls.identity.unwrap(), ("c".into(), "k".into()));
        let Some(Sasl::Plain { account, password }) = settings.sasl else {
            panic!("no PLAIN");
        };
        assert_eq!((account.as_str(), password.as_str()), ("a", "p2-long"));
    }

    #[test]
    fn the_defaults_are_those_of_the_client() {
        let irc: Irc = serde_saphyr::from_str("{host: h, channels: []}").unwrap();
        let (ours, theirs) = (settings(&irc), Settings::new("h", "whorl"));
        let all = |s: &Settings| {
            let times = [
                s.pace,
                s.timeout,
                s.keep_alive,
                s.first_delay,
                s.max_delay,
                s.rejoin,
                s.reclaim,
            ];
            (
                s.port,
                s.burst,
                s.max_lines,
                s.user.clone(),
                s.real_name.clone(),
                s.kind,
                times,
            )
        };
        assert_eq!(all(&ours), all(&theirs));
    }
}
