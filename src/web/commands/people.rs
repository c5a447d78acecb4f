//! Who may do what, and how often.

use crate::config::Commands;
use crate::note::Command;
use globset::{Glob, GlobMatcher};
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::fmt;

/// The time in which commands of a person are counted.
const MINUTE: SignedDuration = SignedDuration::from_secs(60);
/// How long a person is not told again what can be said.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// People that are remembered.
const REMEMBERED: usize = 10_000;

/// Somebody who says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Where: the name of the source or target in the configuration.
    pub place: String,
    /// What they are called there.
    pub nick: String,
    /// Their account, where it is proven.
    pub account: Option<String>,
}

impl fmt::Display for Person {
    /// As in the audit log: `gerrit:ann`, `libera:nick!account`, `libera:nick` without an account.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) if *account == self.nick => write!(f, "{}:{account}", self.place),
            Some(account) => write!(f, "{}:{}!{account}", self.place, self.nick),
            None => write!(f, "{}:{}", self.place, self.nick),
        }
    }
}

/// One entry of a list of people.
#[derive(Debug)]
struct Entry {
    place: Option<String>,
    nick: Option<GlobMatcher>,
    account: GlobMatcher,
}

impl Entry {
    /// `[PLACE:][NICK!]ACCOUNT`.
    fn new(text: &str) -> Result<Self, globset::Error> {
        // An account of Matrix has a colon of its own: `@ann:example.org`.
        let (place, rest) = match text.split_once(':').filter(|_| !text.starts_with('@')) {
            Some((place, rest)) => (Some(place.to_owned()), rest),
            None => (None, text),
        };
        let (nick, account) = match rest.split_once('!') {
            Some((nick, account)) => (Some(Glob::new(nick)?.compile_matcher()), account),
            None => (None, rest),
        };
        Ok(Self {
            place,
            nick,
            account: Glob::new(account)?.compile_matcher(),
        })
    }

    fn is(&self, who: &Person, account: &str) -> bool {
        self.place.as_ref().is_none_or(|place| *place == who.place)
            && self
                .nick
                .as_ref()
                .is_none_or(|nick| nick.is_match(&who.nick))
            && self.account.is_match(account)
    }
}

/// The lists of the configuration.
#[derive(Debug)]
pub(super) struct People {
    name: String,
    read: Vec<Entry>,
    silence: Vec<Entry>,
    recheck: Vec<Entry>,
    ignore: Vec<Entry>,
}

impl People {
    pub(super) fn new(config: &Commands) -> Result<Self, globset::Error> {
        let list = |texts: &[String]| -> Result<Vec<Entry>, globset::Error> {
            texts.iter().map(|text| Entry::new(text)).collect()
        };
        Ok(Self {
            name: config.name.clone(),
            read: list(&config.read)?,
            silence: list(&config.silence)?,
            recheck: list(&config.recheck)?,
            ignore: list(&config.ignore)?,
        })
    }

    /// True for programs, ourselves among them.
    pub(super) fn ignored(&self, who: &Person) -> bool {
        let names = || {
            [Some(&who.nick), who.account.as_ref()]
                .into_iter()
                .flatten()
        };
        names().any(|name| name.eq_ignore_ascii_case(&self.name))
            || names().any(|name| self.ignore.iter().any(|entry| entry.is(who, name)))
    }

    /// The key of the configuration that would have to name the person, if none does. What changes
    /// something needs an account: a nick alone proves nothing.
    pub(super) fn forbids(&self, who: &Person, command: &Command) -> Option<&'static str> {
        let (key, list) = match command {
            Command::Silence { .. } | Command::Unsilence { .. } => ("silence", &self.silence),
            Command::Recheck { .. } => ("recheck", &self.recheck),
            Command::Status { .. } | Command::Why { .. } | Command::Help => ("read", &self.read),
        };
        let allowed = match &who.account {
            Some(account) => list.iter().any(|entry| entry.is(who, account)),
            None if command.only_reads() => {
                let mut plain = list.iter().filter(|entry| entry.nick.is_none());
                plain.any(|entry| entry.is(who, &who.nick))
            }
            None => false,
        };
        (!allowed).then_some(key)
    }
}

/// Whether a person is answered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Yes.
    Go,
    /// They are told that it is too much.
    Warn,
    /// They were told.
    Silent,
}

/// How often each person was heard.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    heard: HashMap<String, VecDeque<Timestamp>>,
    helped: HashMap<String, Timestamp>,
}

impl Pace {
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            most: per_minute as usize,
            heard: HashMap::new(),
            helped: HashMap::new(),
        }
    }

    pub(super) fn turn(&mut self, who: &str, now: Timestamp) -> Turn {
        let young = |at: &Timestamp| now.duration_since(*at) < MINUTE;
        if self.heard.len() >= REMEMBERED {
            self.heard.retain(|_, times| times.iter().any(young));
        }
        if self.heard.len() >= REMEMBERED {
            return Turn::Silent;
        }
        let times = self.heard.entry(who.to_owned()).or_default();
        times.retain(young);
        // The warning counts as one more; what comes after it does not.
        match times.len() {
            n if n < self.most => {
                times.push_back(now);
                Turn::Go
            }
            n if n == self.most => {
                times.push_back(now);
                Turn::Warn
            }
            _ => Turn::Silent,
        }
    }

    /// True when the person was not told what can be said for a while; they are now.
    pub(super) fn needs_help(&mut self, who: &str, now: Timestamp) -> bool {
        self.helped.retain(|_, at| now.duration_since(*at) < HOUR);
        if self.helped.len() >= REMEMBERED || self.helped.contains_key(who) {
            return false;
        }
        self.helped.insert(who.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(place: &str, nick: &str, account: Option<&str>) -> Person {
        Person {
            place: place.into(),
            nick: nick.into(),
            account: account.map(str::to_owned),
        }
    }

    #[test]
    fn an_account_is_needed_to_change_anything() {
        let config = Commands {
            silence: vec!["gerrit:ann".into(), "bob!b*".into(), "*@infra".into()],
            recheck: vec!["*".into()],
            ..Commands::default()
        };
        let people = People::new(&config).unwrap();
        let may = |who: &Person, command: &Command| people.forbids(who, command).is_none();
        let recheck = Command::Recheck {
            rest: String::new(),
        };
        let what = crate::note::What {
            kind: None,
            name: "x".into(),
        };
        let silence = Command::Unsilence { what };
        let ann = person("gerrit", "ann", Some("ann"));
        assert!(may(&ann, &silence) && may(&ann, &recheck) && may(&ann, &Command::Help));
        assert!(!may(&person("libera", "ann", Some("ann")), &silence));
        assert!(may(&person("libera", "bob", Some("bobby")), &silence));
        assert!(!may(&person("libera", "eve", Some("bobby")), &silence));
        assert!(may(&person("libera", "x", Some("cy@infra")), &silence));
        let nick = person("libera", "ann", None);
        assert!(may(&nick, &Command::Help) && !may(&nick, &recheck) && !may(&nick, &silence));
    }

    #[test]
    fn accounts_of_matrix_have_a_colon() {
        let config = Commands {
            recheck: vec!["@ann:example.org".into(), "matrix:@*:trusted.org".into()],
            ..Commands::default()
        };
        let people = People::new(&config).unwrap();
        let recheck = Command::Recheck {
            rest: String::new(),
        };
        let may = |name: &str| {
            let who = person("matrix", name, Some(name));
            people.forbids(&who, &recheck).is_none()
        };
        assert!(may("@ann:example.org") && may("@bob:trusted.org"));
        assert!(!may("@ann:elsewhere.org") && !may("@bob:example.org"));
    }

    #[test]
    fn programs_are_not_answered() {
        let people = People::new(&Commands::default()).unwrap();
        for name in [
            "whorl",
            "Whorl",
            "zuul",
            "dependabot[bot]",
            "x-ci",
            "jenkins",
            "my-bot",
        ] {
            assert!(people.ignored(&person("g", name, Some(name))), "{name}");
        }
        assert!(!people.ignored(&person("g", "ann", Some("ann"))));
        assert!(people.ignored(&person("irc", "whorl_", Some("whorl"))));
    }

    #[test]
    fn who_asks_too_often_is_told_once() {
        let mut pace = Pace::new(2);
        let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let at = |seconds| start + SignedDuration::from_secs(seconds);
        let turns = [0, 1, 2, 3, 59].map(|s| pace.turn("ann", at(s)));
        assert_eq!(
            turns,
            [Turn::Go, Turn::Go, Turn::Warn, Turn::Silent, Turn::Silent]
        );
        assert_eq!(pace.turn("bob", at(3)), Turn::Go);
        assert_eq!(pace.turn("ann", at(61)), Turn::Go);
        assert!(pace.needs_help("ann", at(0)) && !pace.needs_help("ann", at(3599)));
        assert!(pace.needs_help("ann", at(3601)));
    }
}
