//! What the client is told.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach a server, who we are there, and how we speak.
#[derive(Clone)]
pub struct Settings {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Encryption; without it everything goes in the clear.
    pub tls: Option<Tls>,
    /// Password of the server itself (`PASS`), not of an account.
    pub password: Option<String>,
    /// How we prove that an account is ours. When this fails nothing is joined and nothing is said.
    pub sasl: Option<Sasl>,
    /// The nick we want; while somebody else has it, we have one like it.
    pub nick: String,
    /// What we are also called by those who speak to us.
    pub also: Vec<String>,
    /// The user name, shown before the host.
    pub user: String,
    /// The name shown by WHOIS.
    pub real_name: String,
    /// Where we speak.
    pub channels: Vec<Channel>,
    /// Which kind of line a note is.
    pub kind: Kind,
    /// Lines that may be said at once.
    pub burst: u32,
    /// Time between lines after that.
    pub pace: Duration,
    /// Lines of one text at most; the rest is left out, visibly.
    pub max_lines: usize,
    /// Texts that may wait to be said.
    pub queue: usize,
    /// How long connecting, registering, or the server's word that it has a line may take.
    pub timeout: Duration,
    /// How long the server may be silent before it is asked whether it is there.
    pub keep_alive: Duration,
    /// The first wait before we connect again; it doubles each time.
    pub first_delay: Duration,
    /// The longest wait before we connect again.
    pub max_delay: Duration,
    /// The wait before a channel is joined again, after a kick or a refusal; it doubles each time.
    pub rejoin: Duration,
    /// How often we ask for the nick we want.
    pub reclaim: Duration,
}

/// Encryption.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// PEM file of the authorities to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// PEM files of our own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How we prove that an account is ours.
#[derive(Clone)]
pub enum Sasl {
    /// By name and password.
    Plain {
        /// Name of the account.
        account: String,
        /// Its password.
        password: String,
    },
    /// By the certificate of [`Tls::identity`].
    External,
}

/// One channel.
#[derive(Clone)]
pub struct Channel {
    /// Its name, with the sign it begins with.
    pub name: String,
    /// Its key, if it has one.
    pub key: Option<String>,
}

/// Which kind of line a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `PRIVMSG`: as people speak; a server says when it does not pass one on.
    Message,
    /// `NOTICE`: as programs speak; other programs never answer it.
    Notice,
}

impl Kind {
    /// The command of the protocol.
    pub fn command(self) -> &'static str {
        match self {
            Self::Message => "PRIVMSG",
            Self::Notice => "NOTICE",
        }
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("irc: {0}")]
pub struct Unusable(pub String);

impl Settings {
    /// The usual patience and pace, over TLS at port 6697.
    pub fn new(host: impl Into<String>, nick: impl Into<String>) -> Self {
        let nick = nick.into();
        let seconds = Duration::from_secs;
        Self {
            host: host.into(),
            port: 6697,
            tls: Some(Tls::default()),
            password: None,
            sasl: None,
            user: nick.clone(),
            real_name: nick.clone(),
            nick,
            also: Vec::new(),
            channels: Vec::new(),
            kind: Kind::Message,
            burst: 5,
            pace: seconds(2),
            max_lines: 12,
            queue: 64,
            timeout: seconds(30),
            keep_alive: seconds(90),
            first_delay: seconds(2),
            max_delay: seconds(300),
            rejoin: seconds(30),
            reclaim: seconds(60),
        }
    }

    /// Refuses what would not be one word, or not a whole, on the wire.
    pub fn check(&self) -> Result<(), Unusable> {
        let words = [
            ("host", &self.host),
            ("nick", &self.nick),
            ("user", &self.user),
        ];
        for (what, text) in words {
            if !is_word(text) || text.len() > 100 {
                return Err(Unusable(format!("{what} {text:?} is not one word")));
            }
        }
        if self
            .nick
            .starts_with(|c: char| c.is_ascii_digit() || "#&+!".contains(c))
        {
            return Err(Unusable(format!("no nick begins as {:?} does", self.nick)));
        }
        for channel in &self.channels {
            channel.check()?;
        }
        if self
            .password
            .as_deref()
            .is_some_and(|p| p.is_empty() || p.contains(is_control))
        {
            return Err(Unusable("the server's password cannot be sent".into()));
        }
        match &self.sasl {
            Some(Sasl::Plain { account, password }) => {
                let empty = account.is_empty() || password.is_empty();
                if empty || account.contains('\0') || password.contains('\0') {
                    return Err(Unusable(
                        "SASL PLAIN needs an account and its password".into(),
                    ));
                }
            }
            Some(Sasl::External) if self.tls.as_ref().is_none_or(|tls| tls.identity.is_none()) => {
                return Err(Unusable(
                    "SASL EXTERNAL needs TLS with a certificate".into(),
                ));
            }
            Some(Sasl::External) | None => {}
        }
        Ok(())
    }

    /// The text without any password of ours, whoever repeats it.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut secrets: Vec<&str> = self.password.iter().map(String::as_str).collect();
        if let Some(Sasl::Plain { password, .. }) = &self.sasl {
            secrets.push(password);
        }
        secrets.extend(self.channels.iter().filter_map(|c| c.key.as_deref()));
        let mut text = text.to_owned();
        for secret in secrets.into_iter().filter(|s| s.len() > 3) {
            text = text.replace(secret, "…");
        }
        text
    }
}

impl Channel {
    /// A channel without a key.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            key: None,
        }
    }

    fn check(&self) -> Result<(), Unusable> {
        let name = &self.name;
        let right = is_word(name) && name.len() <= 100 && name.starts_with(['#', '&', '+', '!']);
        if !right || name.contains(',') {
            return Err(Unusable(format!("{name:?} is not the name of a channel")));
        }
        let key = self.key.as_deref();
        if key.is_some_and(|key| !is_word(key) || key.contains(',')) {
            return Err(Unusable(format!("the key of {name} is not one word")));
        }
        Ok(())
    }
}

fn is_control(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\0')
}

fn is_word(text: &str) -> bool {
    let bad = |c: char| c.is_control() || c.is_whitespace();
    !text.is_empty() && !text.starts_with(':') && !text.contains(bad)
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No password and no key goes into logs.
        f.debug_struct("Settings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("nick", &self.nick)
            .field("sasl", &self.sasl)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mechanism())
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_word_is_refused() {
        let good = || Settings::new("irc.example.org", "whorl");
        assert_eq!(good().check(), Ok(()));
        let wrong: [fn(&mut Settings); 9] = [
            |s| s.nick = "two words".into(),
            |s| s.nick = "x\r\nQUIT".into(),
            |s| s.nick = "#whorl".into(),
            |s| s.channels = vec![Channel::new("#a,#b")],
            |s| s.channels = vec![Channel::new("nobody")],
            |s| {
                s.channels = vec![Channel {
                    name: "#a".into(),
                    key: Some("a b".into()),
                }];
            },
            |s| s.password = Some("a\nb".into()),
            |s| s.sasl = Some(Sasl::External),
            |s| {
                s.sasl = Some(Sasl::Plain {
                    account: "a".into(),
                    password: String::new(),
                });
            },
        ];
        for (n, change) in wrong.into_iter().enumerate() {
            let mut settings = good();
            change(&mut settings);
            assert!(settings.check().is_err(), "{n}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let mut settings = Settings::new("irc.example.org", "whorl");
        settings.password = Some("s3cret-server".into());
        settings.channels = vec![Channel {
            name: "#a".into(),
            key: Some("s3cret-key".into()),
        }];
        settings.sasl = Some(Sasl::Plain {
            account: "a".into(),
            password: "s3cret-sasl".into(),
        });
        assert!(!format!("{settings:?}").contains("s3cret"));
        let said = settings.redact("no s3cret-sasl, s3cret-key or s3cret-server here");
        assert_eq!(said, "no …, … or … here");
    }
}
