//! A registered client: channels, nick, what is said and what is heard.
//!
//! In: the server's lines, texts to say, the time. Out: lines to send, lines that were addressed to us.
//! No I/O and no clock of its own. Only a [`Registered`] makes a session, so nothing joins or speaks
//! before the server has welcomed us and a configured account is proven.

use super::channels::Channels;
use super::cut::{clean, cut};
use super::pace::Bucket;
use super::register::{Failure, Registered};
use super::saying::{Reply, Saying};
use super::settings::Settings;
use super::status::{Incoming, SayError, Status};
use super::wire::Message;
use std::sync::Arc;
use tokio::time::Instant;

/// Bytes of a whole line of ours: with the prefix that the server adds it stays below 512.
pub(super) const LINE: usize = 400;
/// What the question after a silence says.
const ALIVE: &str = "whorl-alive";
/// Lines that may wait in a session; what is more waits with those who say it.
const WAITING: usize = 64;

/// A registered client.
#[derive(Debug)]
pub(super) struct Session {
    settings: Arc<Settings>,
    me: Registered,
    channels: Channels,
    saying: Saying,
    bucket: Bucket,
    /// When we ask for the nick we want.
    reclaim: Instant,
    /// When the server last said anything.
    heard: Instant,
    /// When it was asked whether it is there.
    asked: Option<Instant>,
    out: Vec<Message>,
    incoming: Vec<Incoming>,
}

impl Session {
    pub(super) fn new(settings: Arc<Settings>, me: Registered, now: Instant) -> Self {
        Self {
            channels: Channels::new(&settings, me.folding, now),
            saying: Saying::new(me.echo),
            bucket: Bucket::new(settings.burst, settings.pace, now),
            reclaim: now + settings.reclaim,
            heard: now,
            asked: None,
            out: Vec::new(),
            incoming: Vec::new(),
            settings,
            me,
        }
    }

    /// The lines to send now.
    pub(super) fn take_out(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.out)
    }

    /// The lines that were addressed to us.
    pub(super) fn take_incoming(&mut self) -> Vec<Incoming> {
        std::mem::take(&mut self.incoming)
    }

    /// True when another text may come.
    pub(super) fn wants_more(&self) -> bool {
        self.saying.waiting() < WAITING
    }

    /// Puts what is to be seen into the status.
    pub(super) fn show(&self, status: &mut Status) {
        status.connected = true;
        status.nick = Some(self.me.nick.clone());
        status.account.clone_from(&self.me.account);
        status.channels = self.channels.status();
    }

    /// Takes a text to say.
    pub(super) fn say(&mut self, channel: &str, texts: &[String], reply: Reply) {
        let folded = self.me.folding.fold(channel);
        let result = match self.channels.name(&folded) {
            None => Err(SayError::UnknownChannel(channel.to_owned())),
            Some(name) if !self.channels.joined(&folded) => Err(SayError::NotJoined {
                channel: name.to_owned(),
                why: self.channels.why(&folded),
            }),
            Some(name) => Ok(self.lines(name, texts)),
        };
        match result {
            Ok(lines) if lines.is_empty() => drop(reply.send(Err(SayError::Empty))),
            Ok(lines) => self.saying.add(&folded, lines, reply),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Takes a text to say to one person alone.
    pub(super) fn say_to(&mut self, nick: &str, texts: &[String], reply: Reply) {
        // A nick is one word that begins like none of a channel; folded, it names the same person.
        let folded = self.me.folding.fold(nick);
        let begins = nick.chars().next();
        if begins.is_none_or(|c| "#&+!:$@".contains(c)) || nick.contains([' ', ',', '*', '!']) {
            drop(reply.send(Err(SayError::UnknownChannel(nick.to_owned()))));
            return;
        }
        match self.lines(&folded, texts) {
            lines if lines.is_empty() => drop(reply.send(Err(SayError::Empty))),
            lines => self.saying.add(&folded, lines, reply),
        }
    }

    fn lines(&self, channel: &str, texts: &[String]) -> Vec<String> {
        let command = self.settings.kind.command();
        let room = LINE - command.len() - channel.len() - " :".len() - " ".len();
        let mut lines = Vec::new();
        for text in texts {
            let left = self.settings.max_lines.saturating_sub(lines.len());
            if left == 0 {
                break;
            }
            lines.extend(cut(&clean(text), room, left));
        }
        lines
    }

    /// The connection is gone.
    pub(super) fn end(&mut self, why: &str) {
        self.saying.end(why);
    }

    /// When [`Self::tick`] is due, whatever the server says.
    pub(super) fn next(&self) -> Instant {
        let timeout = self.settings.timeout;
        let alive = self
            .asked
            .map_or(self.heard + self.settings.keep_alive, |at| at + timeout);
        let mut next = alive;
        if let Some(at) = self.saying.expires(timeout) {
            next = next.min(at);
        }
        let ready = self.bucket.ready();
        if self.saying.due() {
            next = next.min(ready);
        }
        if let Some(at) = self.channels.next() {
            next = next.min(at.max(ready));
        }
        if self.lacks_nick() {
            next = next.min(self.reclaim.max(ready));
        }
        next
    }

    /// Does what is due: gives up, asks, joins, speaks, as fast as we may.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), Failure> {
        self.alive(now)?;
        self.saying.expire(self.settings.timeout, now);
        while self.bucket.ready() <= now {
            let Some(message) = self.next_line(now) else {
                return Ok(());
            };
            self.bucket.take(now);
            self.out.push(message);
        }
        Ok(())
    }

    fn alive(&mut self, now: Instant) -> Result<(), Failure> {
        match self.asked {
            Some(at) if at + self.settings.timeout <= now => {
                Err(Failure::Lost("the server is silent".into()))
            }
            None if self.heard + self.settings.keep_alive <= now => {
                self.asked = Some(now);
                self.out.push(Message::new("PING", &[ALIVE]));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn next_line(&mut self, now: Instant) -> Option<Message> {
        if let Some(join) = self.channels.due(now) {
            return Some(join);
        }
        if self.lacks_nick() && self.reclaim <= now {
            self.reclaim = now + self.settings.reclaim;
            return Some(Message::new("NICK", &[&self.settings.nick]));
        }
        if let Some(question) = self.saying.ask() {
            return Some(question);
        }
        let (channel, line) = self.saying.hand_over(now)?;
        let name = self.channels.name(&channel).unwrap_or(&channel);
        Some(Message::new(self.settings.kind.command(), &[name, &line]))
    }

    fn lacks_nick(&self) -> bool {
        !self.is_me(&self.settings.nick)
    }

    fn is_me(&self, nick: &str) -> bool {
        self.me.folding.fold(nick) == self.me.folding.fold(&self.me.nick)
    }

    /// Takes one line of the server.
    pub(super) fn on(&mut self, line: &Message, now: Instant) -> Result<(), Failure> {
        (self.heard, self.asked) = (now, None);
        match line.command.as_str() {
            "PING" => self.out.push(Message::new("PONG", &[line.last()])),
            "PONG" => self.saying.answered(line.last()),
            "ERROR" => return Err(Failure::Lost(clean(line.last()))),
            "901" if self.settings.sasl.is_some() => {
                // Logged out: nothing more is said on this connection.
                return Err(Failure::Lost("the server has logged us out".into()));
            }
            "NICK" | "QUIT" => self.names(line, now),
            "JOIN" if self.is_me(line.nick()) => {
                let channel = self.me.folding.fold(line.param(0));
                if self.channels.name(&channel).is_some() {
                    self.channels.enter(&channel);
                } else {
                    // A server may lead us elsewhere (470); there we have nothing to say.
                    self.out.push(Message::new("PART", &[line.param(0)]));
                }
            }
            "PART" if self.is_me(line.nick()) => self.left(line.param(0), "we left it", now),
            "KICK" if self.is_me(line.param(1)) => {
                let why = format!("kicked by {}: {}", clean(line.nick()), clean(line.last()));
                self.left(line.param(0), &why, now);
            }
            "PRIVMSG" | "NOTICE" => self.listen(line),
            number => self.refusal(number, line, now),
        }
        Ok(())
    }

    /// Somebody has another nick, or is gone.
    fn names(&mut self, line: &Message, now: Instant) {
        if line.command == "NICK" && self.is_me(line.nick()) {
            line.param(0).clone_into(&mut self.me.nick);
            return;
        }
        let fold = |nick: &str| self.me.folding.fold(nick);
        if fold(line.nick()) == fold(&self.settings.nick) {
            // The nick that we want is free.
            self.reclaim = now;
        }
    }

    fn left(&mut self, channel: &str, why: &str, now: Instant) {
        let folded = self.me.folding.fold(channel);
        self.channels.leave(&folded, why.to_owned(), now);
        let error = SayError::NotJoined {
            channel: channel.to_owned(),
            why: why.to_owned(),
        };
        self.saying.shut(&folded, &error);
    }

    fn listen(&mut self, line: &Message) {
        let nick = line.nick();
        let channel = self.me.folding.fold(line.param(0));
        if self.is_me(nick) {
            self.saying.echoed(&channel, line.last());
            return;
        }
        // Programs speak by NOTICE and are not answered; a server has no user and no host.
        let person = line.prefix.as_deref().is_some_and(|p| p.contains('!'));
        if line.command == "NOTICE" || !person || line.last().starts_with('\u{1}') {
            return;
        }
        let text = clean(line.last());
        let (channel, text) = if self.is_me(line.param(0)) {
            (None, text)
        } else {
            let Some(name) = self.channels.name(&channel) else {
                return;
            };
            let Some(text) = self.addressed(&text) else {
                return;
            };
            (Some(name.to_owned()), text)
        };
        let account = line.tag("account").filter(|_| self.me.accounts);
        self.incoming.push(Incoming {
            channel,
            nick: nick.to_owned(),
            account: account.map(str::to_owned),
            text,
        });
    }

    /// What is said to us: `whorl: status`, `whorl, status`, `whorl status`, `!whorl status`.
    fn addressed(&self, text: &str) -> Option<String> {
        let called = text.strip_prefix('!');
        let whole = called.unwrap_or(text);
        let end = match whole.find([' ', ':', ',']) {
            Some(end) => end,
            // Our name alone is only a call with the sign.
            None => called.map(str::len)?,
        };
        let (name, rest) = whole.split_at(end);
        let fold = |name: &str| self.me.folding.fold(name);
        let ours = [&self.me.nick, &self.settings.nick];
        let mut ours = ours.into_iter().chain(&self.settings.also);
        let names = ours.any(|one| fold(one) == fold(name));
        names.then(|| rest.trim_start_matches([':', ',']).trim().to_owned())
    }

    /// A number that refuses something in a channel.
    fn refusal(&mut self, number: &str, line: &Message, now: Instant) {
        let channel = self.me.folding.fold(line.param(1));
        let name = match self.channels.name(&channel) {
            Some(name) => name.to_owned(),
            // A person whom we are answering.
            None if self.saying.open_in(&channel) => line.param(1).to_owned(),
            None => return,
        };
        let why = format!("{} ({number})", clean(line.last()));
        let joining = matches!(
            number,
            "403"
                | "405"
                | "407"
                | "437"
                | "470"
                | "471"
                | "473"
                | "474"
                | "475"
                | "476"
                | "477"
                | "479"
                | "480"
                | "485"
                | "489"
                | "495"
                | "500"
                | "519"
                | "520"
                | "926"
        );
        if joining && self.channels.asked(&channel) {
            self.channels.leave(&channel, why, now);
            return;
        }
        match number {
            "442" => {
                self.saying.refused(
                    &channel,
                    SayError::NotJoined {
                        channel: name,
                        why: why.clone(),
                    },
                );
                self.left(line.param(1), &why, now);
            }
            "404" | "477" => {
                self.saying
                    .refused(&channel, SayError::Muted { channel: name, why });
            }
            "401" | "403" | "405" | "407" | "408" | "411" | "412" | "413" | "414" | "415"
            | "416" | "437" | "531"
                if self.saying.open_in(&channel) =>
            {
                self.saying
                    .refused(&channel, SayError::Refused { channel: name, why });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
