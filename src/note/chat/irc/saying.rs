//! What is to be said, what was handed over, and what the server has taken.
//!
//! Invariant: a text is only confirmed when each of its lines came back to us (`echo-message`), or when
//! the server answered a PING that was sent after them and had refused none of them before that.

use super::status::SayError;
use super::wire::Message;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What our own questions to the server begin with.
const TOKEN: &str = "whorl-";
/// Lines that one question may stand behind, when others wait.
const TOGETHER: usize = 4;

/// Where the answer goes.
pub(super) type Reply = oneshot::Sender<Result<(), SayError>>;

/// Texts on their way.
#[derive(Debug)]
pub(super) struct Saying {
    echo: bool,
    texts: BTreeMap<u64, Text>,
    queue: VecDeque<Line>,
    handed: VecDeque<Handed>,
    /// Number of the last text, line or question.
    number: u64,
    /// The question that is not answered yet: it stands behind all lines up to this number.
    question: Option<u64>,
    /// Refusals per channel since the last answer, when nothing comes back.
    refusals: BTreeMap<String, (usize, SayError)>,
}

#[derive(Debug)]
struct Text {
    open: usize,
    reply: Reply,
}

/// A line that waits.
#[derive(Debug)]
struct Line {
    text: u64,
    channel: String,
    said: String,
}

/// A line that was handed over.
#[derive(Debug)]
struct Handed {
    number: u64,
    text: u64,
    channel: String,
    said: String,
    at: Instant,
}

impl Saying {
    pub(super) fn new(echo: bool) -> Self {
        Self {
            echo,
            texts: BTreeMap::new(),
            queue: VecDeque::new(),
            handed: VecDeque::new(),
            number: 0,
            question: None,
            refusals: BTreeMap::new(),
        }
    }

    /// Lines that wait to be handed over.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes the lines of one text for a channel (folded).
    pub(super) fn add(&mut self, channel: &str, lines: Vec<String>, reply: Reply) {
        self.number += 1;
        let (text, open) = (self.number, lines.len());
        self.texts.insert(text, Text { open, reply });
        let lines = lines.into_iter().map(|said| Line {
            text,
            channel: channel.to_owned(),
            said,
        });
        self.queue.extend(lines);
    }

    /// True when [`Self::hand_over`] or [`Self::ask`] would give something.
    pub(super) fn due(&self) -> bool {
        !self.queue.is_empty() || self.question_due()
    }

    /// The next line, with its channel; it counts as handed over.
    pub(super) fn hand_over(&mut self, now: Instant) -> Option<(String, String)> {
        if self.question_due() {
            return None;
        }
        loop {
            let next = self.queue.pop_front()?;
            // The rest of a text that was refused is not said.
            if !self.texts.contains_key(&next.text) {
                continue;
            }
            self.number += 1;
            self.handed.push_back(Handed {
                number: self.number,
                text: next.text,
                channel: next.channel.clone(),
                said: next.said.clone(),
                at: now,
            });
            return Some((next.channel, next.said));
        }
    }

    /// True when it is time to ask whether the server has what was handed over.
    fn question_due(&self) -> bool {
        let open = self.handed.len();
        let none = self.echo || self.question.is_some() || open == 0;
        !none && (open >= TOGETHER || self.queue.is_empty())
    }

    /// The question whether the server has what was handed over.
    pub(super) fn ask(&mut self) -> Option<Message> {
        if !self.question_due() {
            return None;
        }
        self.number += 1;
        self.question = Some(self.number);
        Some(Message::new("PING", &[&format!("{TOKEN}{}", self.number)]))
    }

    /// The answer to a question: all that was handed over before it is decided.
    pub(super) fn answered(&mut self, token: &str) {
        let number = token
            .strip_prefix(TOKEN)
            .and_then(|n| n.parse::<u64>().ok());
        if number.is_none() || number != self.question {
            return;
        }
        let until = self.question.take().unwrap_or(0);
        let split = self.handed.partition_point(|h| h.number < until);
        let decided: Vec<Handed> = self.handed.drain(..split).collect();
        let refusals = std::mem::take(&mut self.refusals);
        for one in &decided {
            let lines = decided.iter().filter(|h| h.channel == one.channel).count();
            match refusals.get(&one.channel) {
                None => self.confirm(one.text),
                Some((n, error)) if *n >= lines => self.fail(one.text, error.clone()),
                Some((_, error)) => {
                    // Which of several lines it was is not said.
                    self.fail(one.text, SayError::Unconfirmed(error.to_string()));
                }
            }
        }
    }

    /// A line of ours that came back.
    pub(super) fn echoed(&mut self, channel: &str, line: &str) {
        if !self.echo {
            return;
        }
        let ours = |h: &Handed| h.channel == channel;
        let same = self
            .handed
            .iter()
            .position(|h| ours(h) && h.said == line.trim());
        // A server may change words; there is no doubt when only one line is open.
        let only = || {
            let mut all = self.handed.iter().enumerate().filter(|(_, h)| ours(h));
            all.next()
                .filter(|_| all.next().is_none())
                .map(|(at, _)| at)
        };
        if let Some(handed) = same.or_else(only).and_then(|at| self.handed.remove(at)) {
            self.confirm(handed.text);
        }
    }

    /// True when a line for the channel is not decided.
    pub(super) fn open_in(&self, channel: &str) -> bool {
        self.handed.iter().any(|h| h.channel == channel)
    }

    /// The server did not pass on a line for the channel.
    pub(super) fn refused(&mut self, channel: &str, error: SayError) {
        if !self.open_in(channel) {
            return;
        }
        if !self.echo {
            let entry = self.refusals.entry(channel.to_owned());
            entry.or_insert_with(|| (0, error)).0 += 1;
            return;
        }
        // What was taken came back before this.
        let first = self.handed.iter().position(|h| h.channel == channel);
        if let Some(handed) = first.and_then(|at| self.handed.remove(at)) {
            self.fail(handed.text, error);
        }
    }

    /// We are out of the channel: what waits for it cannot be said.
    pub(super) fn shut(&mut self, channel: &str, error: &SayError) {
        let waiting = self.queue.iter().filter(|l| l.channel == channel);
        let texts: Vec<u64> = waiting.map(|l| l.text).collect();
        for text in texts {
            self.fail(text, error.clone());
        }
        self.queue.retain(|l| l.channel != channel);
    }

    /// Gives up what was handed over too long ago.
    pub(super) fn expire(&mut self, patience: Duration, now: Instant) {
        while self.handed.front().is_some_and(|h| h.at + patience <= now) {
            if let Some(handed) = self.handed.pop_front() {
                let why = format!("no word from the server for {}s", patience.as_secs());
                self.fail(handed.text, SayError::Unconfirmed(why));
            }
            self.question = None;
            self.refusals.clear();
        }
    }

    /// When [`Self::expire`] is due.
    pub(super) fn expires(&self, patience: Duration) -> Option<Instant> {
        self.handed.front().map(|h| h.at + patience)
    }

    /// The connection is gone.
    pub(super) fn end(&mut self, why: &str) {
        let handed = self.handed.iter().map(|h| h.text);
        let begun: Vec<u64> = handed.collect();
        self.handed.clear();
        self.queue.clear();
        for text in begun {
            self.fail(text, SayError::Unconfirmed(why.to_owned()));
        }
        for (_, text) in std::mem::take(&mut self.texts) {
            // Who asked may be gone.
            let _ = text.reply.send(Err(SayError::NotConnected(why.to_owned())));
        }
    }

    fn confirm(&mut self, text: u64) {
        let Some(found) = self.texts.get_mut(&text) else {
            return;
        };
        found.open = found.open.saturating_sub(1);
        if found.open == 0
            && let Some(text) = self.texts.remove(&text)
        {
            let _ = text.reply.send(Ok(()));
        }
    }

    fn fail(&mut self, text: u64, error: SayError) {
        if let Some(text) = self.texts.remove(&text) {
            let _ = text.reply.send(Err(error));
        }
    }
}
