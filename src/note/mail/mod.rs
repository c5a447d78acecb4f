//! Notes by mail, and the digest that is sent by the day or the week.
//!
//! In: notes. Out: mails, plain and HTML. Invariants: the `Message-ID` comes from the note and its
//! generation, so every try is the same mail and a changed note answers the first one; no text can
//! make a header; a password goes only through TLS (or stays on this machine).

mod digest;
mod letter;
mod wrap;

pub use digest::{Bug, Build, Digest, Figures, Parked, Period, Rate, digest};

use super::chat::text::one_line;
use super::{Refusal, Said, Saying, Target, Then};
use crate::state::Note;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{AsyncTransport, Tokio1Executor};
use std::fmt;
use std::time::Duration;

/// Longest part of what a server said that is kept, in characters.
const KEPT: usize = 200;

/// How the connection is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the beginning (port 465).
    Tls,
    /// TLS is asked for and must come (port 587).
    StartTls,
    /// None.
    Plain,
}

/// A mail server and who writes to whom.
#[derive(Clone)]
pub struct Settings {
    /// Name of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept from others.
    pub security: Security,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Who writes: `whorl <whorl@example.org>`.
    pub from: String,
    /// Who reads.
    pub to: Vec<String>,
    /// The list's name for filters (`List-Id`): `whorl.example.org`.
    pub list_id: Option<String>,
    /// How long one mail may take.
    pub timeout: Duration,
    /// Certificates (PEM) that are trusted besides the usual ones.
    pub ca: Option<Vec<u8>>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

/// Readers who are told notes by mail.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    list_id: Option<String>,
    host: String,
    timeout: Duration,
    password: Option<String>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Mail {
    /// Readers; nothing is sent yet. The error is for people.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let here = matches!(settings.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if settings.login.is_some() && settings.security == Security::Plain && !here {
            return Err("a password is not sent without TLS".to_owned());
        }
        if settings.to.is_empty() {
            return Err("nobody is written to".to_owned());
        }
        let to: Result<Vec<_>, _> = settings.to.iter().map(|one| mailbox(one)).collect();
        let list_id = settings.list_id.clone();
        if list_id.as_deref().is_some_and(|id| !is_list_id(id)) {
            return Err("a list id looks like whorl.example.org".to_owned());
        }
        Ok(Self {
            transport: transport(&settings)?,
            from: mailbox(&settings.from)?,
            to: to?,
            list_id,
            host: settings.host,
            timeout: settings.timeout,
            password: settings.login.map(|(_, password)| password),
        })
    }

    async fn say_now(&self, note: &Note) -> Result<Said, Refusal> {
        let letter = letter::write(note, &self.from, &self.to, self.list_id.as_deref());
        let letter = letter.map_err(|error| Refusal::park(format!("no mail: {error}")))?;
        let id = letter.id;
        let sent = tokio::time::timeout(self.timeout, self.transport.send(letter.mail)).await;
        match sent {
            Err(_) => Err(Refusal::again("no answer in time")),
            Ok(Err(error)) => Err(self.refusal(&error)),
            Ok(Ok(_)) => Ok(Said {
                remote: Some(note.remote.clone().unwrap_or(id)),
            }),
        }
    }

    fn refusal(&self, error: &smtp::Error) -> Refusal {
        let text = self.shown(error);
        let code = error.status().map(u16::from);
        match code {
            // The server closes down, or lets nobody in for now.
            Some(421) => Refusal::rest(text, None),
            Some(530 | 534 | 535 | 538) => {
                Refusal::park(format!("{text}: look at user and password"))
            }
            Some(500..) => Refusal::park(text),
            Some(_) => Refusal::again(text),
            None if error.is_tls() || error.is_client() => Refusal::park(text),
            None if error.is_timeout() => Refusal::again(text),
            None => Refusal {
                error: text,
                then: Then::Rest(None),
            },
        }
    }

    /// What went wrong, with its cause, without the password.
    fn shown(&self, error: &smtp::Error) -> String {
        let mut text = error.to_string();
        if let Some(cause) = std::error::Error::source(error) {
            let cause = cause.to_string();
            if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        if let Some(password) = self.password.as_deref().filter(|p| !p.is_empty()) {
            text = text.replace(password, "(hidden)");
        }
        one_line(&text).chars().take(KEPT).collect()
    }
}

impl Target for Mail {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(self.say_now(note))
    }
}

fn transport(settings: &Settings) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let mut tls = TlsParameters::builder(settings.host.clone());
    for one in settings
        .ca
        .as_deref()
        .map(certificates)
        .transpose()?
        .unwrap_or_default()
    {
        tls = tls.add_root_certificate(one);
    }
    let tls = tls.build().map_err(|error| error.to_string())?;
    let tls = match settings.security {
        Security::Tls => Tls::Wrapper(tls),
        Security::StartTls => Tls::Required(tls),
        Security::Plain => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
        .port(settings.port)
        .tls(tls)
        .timeout(Some(settings.timeout));
    if let Some((user, password)) = &settings.login {
        builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
    }
    Ok(builder.build())
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let one = Certificate::from_pem(pem).map_err(|error| error.to_string())?;
    Ok(vec![one])
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let wrong = || format!("{text:?} is no mail address");
    if text.contains(char::is_control) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

fn is_list_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    id.len() < 200 && id.contains('.') && id.chars().all(plain)
}
