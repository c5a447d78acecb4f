//! From a new connection to a client that may speak: capabilities, SASL, nick, welcome.
//!
//! In: our settings and the server's lines, one at a time. Out: lines to send, and in the end a
//! [`Registered`] or a [`Failure`]. No I/O and no clock. Invariant: a [`Registered`] is made in one
//! place only, where a configured SASL has been answered by 903 to our own answer; no line made here
//! joins or says anything.

use super::cut::clean;
use super::folding::Folding;
use super::settings::{Sasl, Settings};
use super::wire::Message;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What we can use and can do without.
const WISHES: [&str; 3] = ["message-tags", "account-tag", "echo-message"];
/// Nicks that are tried before a connection is given up.
const NICKS: u32 = 8;

/// Why a connection cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The account was refused; never tried again.
    #[error("SASL failed, so nothing is joined and nothing is said: {0}")]
    Sasl(String),
    /// The server has no SASL, or not our mechanism.
    #[error("the server offers no fitting SASL, so nothing is joined and nothing is said: {0}")]
    NoSasl(String),
    /// The server's password is wrong; never tried again.
    #[error("the server refuses its password: {0}")]
    Password(String),
    /// The nick is none for this server; never tried again.
    #[error("the server refuses the nick: {0}")]
    Nick(String),
    /// The connection is gone or the server ended it; a new one may do better.
    #[error("{0}")]
    Lost(String),
}

/// A client that the server has welcomed, and that has proven its account if it was told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) nick: String,
    pub(super) account: Option<String>,
    /// Our own lines come back.
    pub(super) echo: bool,
    /// Lines say whose account they are from.
    pub(super) accounts: bool,
    /// How letters are compared.
    pub(super) folding: Folding,
    /// Only this file makes one.
    proof: (),
}

/// How far the proof of the account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    NotAsked,
    /// Nothing agreed on yet.
    Open,
    /// The mechanism is named; the server has to ask.
    Named,
    /// The answer is sent.
    Answered,
    Given,
}

/// What comes of one line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) send: Vec<Message>,
    pub(super) done: Option<Registered>,
}

/// A connection that is not yet registered.
#[derive(Debug)]
pub(super) struct Registration {
    settings: Arc<Settings>,
    offered: BTreeSet<String>,
    mechanisms: String,
    granted: BTreeSet<String>,
    /// Requests for capabilities that are not answered yet.
    asked: u32,
    ended: bool,
    proof: Proof,
    account: Option<String>,
    nicks: u32,
    welcome: Option<String>,
    folding: Folding,
}

impl Registration {
    /// Begins, with the first lines to send.
    pub(super) fn begin(settings: Arc<Settings>) -> (Self, Vec<Message>) {
        let mut send = Vec::new();
        if let Some(password) = &settings.password {
            send.push(Message::new("PASS", &[password]));
        }
        send.push(Message::new("CAP", &["LS", "302"]));
        send.push(Message::new("NICK", &[&settings.nick]));
        send.push(Message::new(
            "USER",
            &[&settings.user, "0", "*", &settings.real_name],
        ));
        let proof = if settings.sasl.is_some() {
            Proof::Open
        } else {
            Proof::NotAsked
        };
        let this = Self {
            settings,
            offered: BTreeSet::new(),
            mechanisms: String::new(),
            granted: BTreeSet::new(),
            asked: 0,
            ended: false,
            proof,
            account: None,
            nicks: 0,
            welcome: None,
            folding: Folding::default(),
        };
        (this, send)
    }

    /// True while a configured account is not proven.
    fn unproven(&self) -> bool {
        !matches!(self.proof, Proof::NotAsked | Proof::Given)
    }

    /// Takes one line of the server.
    pub(super) fn on(&mut self, line: &Message) -> Result<Progress, Failure> {
        match line.command.as_str() {
            "PING" => Ok(sent(Message::new("PONG", &[line.last()]))),
            "CAP" => self.capabilities(line),
            "AUTHENTICATE" => Ok(self.asked_who(line)),
            "900" => {
                self.account = Some(line.param(2).to_owned());
                Ok(Progress::default())
            }
            "903" if self.proof == Proof::Answered => {
                self.proof = Proof::Given;
                Ok(self.end_capabilities())
            }
            "902" | "904" | "905" | "906" | "907" | "908" | "FAIL" if self.unproven() => {
                self.refused(line)
            }
            "410" | "421" => self.unknown(line),
            "432" => Err(Failure::Nick(clean(line.last()))),
            "433" | "436" | "437" => self.next_nick(),
            "464" => Err(Failure::Password(clean(line.last()))),
            "465" | "ERROR" => Err(Failure::Lost(clean(line.last()))),
            "001" => self.welcomed(line),
            "005" => {
                self.folding = Folding::told(line).unwrap_or(self.folding);
                Ok(Progress::default())
            }
            "376" | "422" => self.finished(),
            _ => Ok(Progress::default()),
        }
    }

    fn capabilities(&mut self, line: &Message) -> Result<Progress, Failure> {
        let names = || line.last().split_ascii_whitespace();
        match line.param(1) {
            "LS" => {
                for name in names() {
                    let (name, value) = name.split_once('=').unwrap_or((name, ""));
                    if name == "sasl" {
                        value.clone_into(&mut self.mechanisms);
                    }
                    self.offered.insert(name.to_owned());
                }
                // A star says that there is more.
                if line.param(2) == "*" && line.params.len() > 3 {
                    return Ok(Progress::default());
                }
                self.ask()
            }
            "ACK" => {
                self.granted.extend(names().map(str::to_owned));
                self.asked = self.asked.saturating_sub(1);
                let named = names().any(|name| name == "sasl");
                match &self.settings.sasl {
                    Some(sasl) if named && self.proof == Proof::Open => {
                        self.proof = Proof::Named;
                        Ok(sent(Message::new("AUTHENTICATE", &[sasl.mechanism()])))
                    }
                    _ => Ok(self.end_capabilities()),
                }
            }
            "NAK" => {
                if self.unproven() && names().any(|name| name == "sasl") {
                    return Err(Failure::NoSasl("the capability was refused".into()));
                }
                self.asked = self.asked.saturating_sub(1);
                Ok(self.end_capabilities())
            }
            _ => Ok(Progress::default()),
        }
    }

    /// Asks for what is offered and of use, SASL by itself so that a refusal is clear.
    fn ask(&mut self) -> Result<Progress, Failure> {
        if self.asked > 0 || self.ended {
            return Ok(Progress::default());
        }
        let mut send = Vec::new();
        if let Some(sasl) = &self.settings.sasl {
            fits(sasl, &self.offered, &self.mechanisms)?;
            send.push(Message::new("CAP", &["REQ", "sasl"]));
        }
        let wishes = WISHES
            .into_iter()
            .filter(|wish| self.offered.contains(*wish));
        let wishes: Vec<&str> = wishes.collect();
        if !wishes.is_empty() {
            send.push(Message::new("CAP", &["REQ", &wishes.join(" ")]));
        }
        if send.is_empty() {
            return Ok(self.end_capabilities());
        }
        self.asked = u32::try_from(send.len()).unwrap_or(u32::MAX);
        Ok(Progress { send, done: None })
    }

    /// Ends the talk about capabilities, once all is answered and the account is proven.
    fn end_capabilities(&mut self) -> Progress {
        if self.ended || self.asked > 0 || self.unproven() {
            return Progress::default();
        }
        self.ended = true;
        sent(Message::new("CAP", &["END"]))
    }

    fn asked_who(&mut self, line: &Message) -> Progress {
        let Some(sasl) = &self.settings.sasl else {
            return Progress::default();
        };
        if self.proof != Proof::Named || line.param(0) != "+" {
            return Progress::default();
        }
        self.proof = Proof::Answered;
        let pieces = sasl.answer().into_iter();
        let send = pieces
            .map(|piece| Message::new("AUTHENTICATE", &[&piece]))
            .collect();
        Progress { send, done: None }
    }

    fn refused(&self, line: &Message) -> Result<Progress, Failure> {
        if line.command == "FAIL" && !matches!(line.param(0), "AUTHENTICATE" | "CAP" | "*") {
            return Ok(Progress::default());
        }
        let mechanism = self.settings.sasl.as_ref().map_or("", Sasl::mechanism);
        let why = format!("{mechanism}: {} ({})", clean(line.last()), line.command);
        if line.command == "908" {
            return Err(Failure::NoSasl(format!("{why}: {}", clean(line.param(1)))));
        }
        Err(Failure::Sasl(why))
    }

    /// A command that the server does not know.
    fn unknown(&mut self, line: &Message) -> Result<Progress, Failure> {
        let what = line.param(1);
        if self.unproven() && matches!(what, "CAP" | "AUTHENTICATE" | "LS" | "REQ") {
            return Err(Failure::NoSasl(format!("it does not know {what}")));
        }
        Ok(Progress::default())
    }

    fn next_nick(&mut self) -> Result<Progress, Failure> {
        if self.welcome.is_some() {
            return Ok(Progress::default());
        }
        self.nicks += 1;
        if self.nicks > NICKS {
            return Err(Failure::Lost("every nick we tried is in use".into()));
        }
        let nick = fallback(&self.settings.nick, self.nicks);
        Ok(sent(Message::new("NICK", &[&nick])))
    }

    fn welcomed(&mut self, line: &Message) -> Result<Progress, Failure> {
        if self.unproven() {
            let why = "the server lets us in without asking who we are";
            return Err(Failure::NoSasl(why.into()));
        }
        self.welcome = Some(line.param(0).to_owned());
        Ok(Progress::default())
    }

    fn finished(&self) -> Result<Progress, Failure> {
        let Some(nick) = self.welcome.clone() else {
            return Ok(Progress::default());
        };
        if self.unproven() {
            return Err(Failure::Sasl("not finished".into()));
        }
        let granted = |name: &str| self.granted.contains(name);
        let done = Some(Registered {
            nick,
            account: self.account.clone().filter(|_| self.proof == Proof::Given),
            echo: granted("echo-message"),
            accounts: granted("account-tag"),
            folding: self.folding,
            proof: (),
        });
        Ok(Progress {
            send: Vec::new(),
            done,
        })
    }
}

fn sent(message: Message) -> Progress {
    Progress {
        send: vec![message],
        done: None,
    }
}

/// Whether the server has our mechanism, as far as it says.
fn fits(sasl: &Sasl, offered: &BTreeSet<String>, mechanisms: &str) -> Result<(), Failure> {
    if !offered.contains("sasl") {
        return Err(Failure::NoSasl("the capability `sasl` is missing".into()));
    }
    let ours = sasl.mechanism();
    let mut all = mechanisms.split(',');
    if mechanisms.is_empty() || all.any(|one| one.eq_ignore_ascii_case(ours)) {
        return Ok(());
    }
    Err(Failure::NoSasl(format!(
        "{ours} is not among {}",
        clean(mechanisms)
    )))
}

/// The nick tried after `n` were in use.
fn fallback(nick: &str, n: u32) -> String {
    match n {
        1 => format!("{nick}_"),
        2 => format!("{nick}__"),
        n => format!("{nick}{n}"),
    }
}

#[cfg(test)]
impl Registered {
    /// One for tests of what comes after.
    pub(super) fn for_tests(nick: &str, echo: bool) -> Self {
        let nick = nick.to_owned();
        Self {
            nick,
            account: None,
            echo,
            accounts: true,
            folding: Folding::Rfc1459,
            proof: (),
        }
    }
}

#[cfg(test)]
mod tests;
