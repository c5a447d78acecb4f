//! What people tell us to do, in chat and in comments on a change. Pure: from a text to a command.

use jiff::SignedDuration;

/// Longest silence that can be asked for.
const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Commands of one comment that are heard.
const COMMANDS: usize = 3;
/// Longest reason that is kept, in characters.
const REASON: usize = 200;

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// How it stands: in general, or with a change.
    Status {
        /// The change.
        change: Option<String>,
    },
    /// Why a job failed.
    Why {
        /// The job.
        job: String,
        /// On which change.
        change: Option<String>,
    },
    /// Say nothing of something for a while.
    Silence {
        /// Of what.
        what: What,
        /// How long.
        period: SignedDuration,
        /// Why.
        reason: Option<String>,
    },
    /// Speak of it again.
    Unsilence {
        /// Of what.
        what: What,
    },
    /// Ask the CI for another run; what follows is the change (in chat) and the reason.
    Recheck {
        /// What was said behind the word.
        rest: String,
    },
    /// What can be said.
    Help,
}

/// What a silence is of, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct What {
    /// The word before the name, if any.
    pub kind: Option<WhatKind>,
    /// The name.
    pub name: String,
}

/// What a name is a name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhatKind {
    /// A bug or a fingerprint.
    Bug,
    /// A change.
    Change,
    /// A project.
    Project,
}

/// What was said to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Something that we understand.
    Command(Command),
    /// A command that lacks something: its word, and what is wrong.
    Wrong(&'static str, String),
    /// A word that is no command.
    Unknown(String),
}

impl Asked {
    /// The word of the command.
    pub fn word(&self) -> &str {
        match self {
            Self::Command(command) => command.word(),
            Self::Wrong(word, _) => word,
            Self::Unknown(word) => word,
        }
    }
}

impl Command {
    /// How each is written.
    pub const USAGE: [&str; 6] = [
        "`status [CHANGE]`",
        "`why JOB [CHANGE]`",
        "`silence WHAT 2h [reason]`",
        "`unsilence WHAT`",
        "`recheck [reason]`",
        "`help`",
    ];

    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Why { .. } => "why",
            Self::Silence { .. } => "silence",
            Self::Unsilence { .. } => "unsilence",
            Self::Recheck { .. } => "recheck",
            Self::Help => "help",
        }
    }

    /// True when it changes nothing.
    pub fn only_reads(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::Why { .. } | Self::Help)
    }
}

/// A command in a line of chat: `NAME: …`, `NAME, …` or `!NAME …`. `to_us` is true where our name was
/// taken off already, or the line was said to us alone.
pub fn heard_in_chat(text: &str, name: &str, to_us: bool) -> Option<Asked> {
    let text = text.trim();
    let bang = text.strip_prefix('!').and_then(|rest| called(rest, name));
    let rest = match bang.or_else(|| addressed(text, name, &[':', ','])) {
        Some(rest) => rest,
        None if to_us => text,
        None => return None,
    };
    Some(parse(rest))
}

/// The commands in a comment on a change: lines that begin with `NAME:`. Quoted lines do not.
pub fn heard_in_review(text: &str, name: &str) -> Vec<Asked> {
    let lines = text
        .lines()
        .filter_map(|line| addressed(line, name, &[':']));
    lines.take(COMMANDS).map(parse).collect()
}

/// A recheck that a person wrote on a change for the CI to hear, and the reason that was given, if any.
/// It stands in the first line, or alone behind what code review puts in front.
pub fn heard_recheck(text: &str) -> Option<Option<String>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let in_front = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("patch set ") && !line.contains("recheck")
    };
    let line = lines.find(|line| !in_front(line))?;
    let rest = called(line, "recheck").or_else(|| called(line, "reverify"))?;
    let rest = rest.trim_matches(|c: char| c.is_whitespace() || c == ':' || c == '.');
    let lower = rest.to_ascii_lowercase();
    if rest.is_empty() || matches!(lower.as_str(), "no bug" | "nobug" | "no-bug" | "please") {
        return Some(None);
    }
    let bug = ["bugs", "bug", "lp"]
        .iter()
        .find_map(|word| called(rest, word));
    let named = bug.map(|bug| bug.trim_start_matches([' ', '#', ':']));
    Some(Some(shortened(
        named.filter(|bug| !bug.is_empty()).unwrap_or(rest),
    )))
}

/// What follows on our name and a sign.
fn addressed<'t>(line: &'t str, name: &str, signs: &[char]) -> Option<&'t str> {
    let start = line.get(..name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    line[name.len()..].strip_prefix(signs)
}

/// What follows on a word that stands alone.
fn called<'t>(line: &'t str, word: &str) -> Option<&'t str> {
    let start = line.get(..word.len())?;
    let rest = &line[word.len()..];
    let ends = rest
        .chars()
        .next()
        .is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '_');
    (start.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

fn parse(text: &str) -> Asked {
    let mut words = text.split_whitespace();
    let Some(word) = words.next() else {
        return Asked::Command(Command::Help);
    };
    let rest: Vec<&str> = words.collect();
    match word.to_ascii_lowercase().trim_end_matches(['?', '!', '.']) {
        "status" => Asked::Command(Command::Status {
            change: rest.first().map(|word| named(word)),
        }),
        "why" => why(&rest),
        "silence" => silence(&rest),
        "unsilence" => unsilence(&rest),
        "recheck" => Asked::Command(Command::Recheck {
            rest: shortened(&rest.join(" ")),
        }),
        "help" | "" => Asked::Command(Command::Help),
        _ => Asked::Unknown(word.chars().take(40).collect()),
    }
}

fn why(rest: &[&str]) -> Asked {
    let Some(job) = rest.first() else {
        return wrong("why", "name the job: `why JOB [CHANGE]`");
    };
    let behind = rest.iter().skip(1).find(|word| **word != "on");
    Asked::Command(Command::Why {
        job: job.trim_end_matches('?').to_owned(),
        change: behind.map(|word| named(word)),
    })
}

fn silence(rest: &[&str]) -> Asked {
    let Some((what, rest)) = what(rest) else {
        return wrong(
            "silence",
            "say of what and how long: `silence WHAT 2h [reason]`",
        );
    };
    let rest = rest.strip_prefix(&["for"]).unwrap_or(rest);
    let Some(text) = rest.first() else {
        return wrong("silence", "say how long: 30m, 2h, 1d or 1w");
    };
    let Some(period) = period(text) else {
        return wrong(
            "silence",
            "that is no period: write 30m, 2h, 1d or 1w (30d at most)",
        );
    };
    let reason = shortened(&rest[1..].join(" "));
    Asked::Command(Command::Silence {
        what,
        period,
        reason: (!reason.is_empty()).then_some(reason),
    })
}

fn unsilence(rest: &[&str]) -> Asked {
    match what(rest) {
        Some((what, _)) => Asked::Command(Command::Unsilence { what }),
        None => wrong("unsilence", "say of what: `unsilence WHAT`"),
    }
}

fn what<'w, 't>(words: &'w [&'t str]) -> Option<(What, &'w [&'t str])> {
    let kind = match words.first()?.to_ascii_lowercase().as_str() {
        "bug" | "fingerprint" => Some(WhatKind::Bug),
        "change" => Some(WhatKind::Change),
        "project" => Some(WhatKind::Project),
        _ => None,
    };
    // `silence change 2h` would be of a change with the name of a period.
    let words = if kind.is_some() { &words[1..] } else { words };
    let name = named(words.first()?);
    (!name.is_empty()).then_some((What { kind, name }, &words[1..]))
}

fn wrong(word: &'static str, why: &str) -> Asked {
    Asked::Wrong(word, why.to_owned())
}

/// A name as people write one: `#7`, `1234,`.
fn named(word: &str) -> String {
    let plain = word
        .trim_start_matches('#')
        .trim_end_matches([',', ';', '?', '!']);
    plain.chars().take(REASON).collect()
}

fn shortened(text: &str) -> String {
    let plain = text.chars().filter(|c| !crate::event::is_deceptive(*c));
    plain.take(REASON).collect()
}

/// `30m`, `2h`, `1d`, `1w`, or several of them in a row.
pub fn period(text: &str) -> Option<SignedDuration> {
    let (mut all, mut digits) = (SignedDuration::ZERO, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let number: i64 = digits.parse().ok().filter(|n| *n < 1_000_000)?;
        digits.clear();
        let minutes = match c.to_ascii_lowercase() {
            'm' => 1,
            'h' => 60,
            'd' => 24 * 60,
            'w' => 7 * 24 * 60,
            _ => return None,
        };
        all += SignedDuration::from_mins(number * minutes);
    }
    let usable = digits.is_empty() && all > SignedDuration::ZERO && all <= LONGEST;
    usable.then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str) -> String {
        match heard_in_chat(text, "whorl", false) {
            None => "nothing".into(),
            Some(Asked::Command(command)) => format!("{command:?}"),
            Some(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn chat() {
        let lines = [
            "whorl: status",
            "Whorl, status 1234",
            "!whorl why tempest-full on 1234?",
            "whorl: why",
            "whorl: silence 1182131 2h too loud today",
            "whorl: silence change 77 for 1d12h",
            "whorl: silence project openstack/nova 90m",
            "whorl: silence bug #7 31d",
            "whorl: silence 1182131",
            "whorl: silence",
            "whorl: unsilence this",
            "whorl: recheck 1234 bug 7",
            "whorl:",
            "whorl: dance!",
            "whorls: status",
            "who is whorl: status",
            "!whorlwind status",
            "status",
        ];
        let shown: Vec<String> = lines
            .iter()
            .map(|l| format!("{l}\n  {}", said(l)))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn a_line_to_us_alone_needs_no_name() {
        assert_eq!(
            heard_in_chat("help", "whorl", true),
            Some(Asked::Command(Command::Help))
        );
        assert_eq!(
            heard_in_chat("!whorl help", "whorl", true),
            Some(Asked::Command(Command::Help))
        );
    }

    #[test]
    fn in_a_comment_only_the_beginning_of_a_line_counts() {
        let heard = |text| {
            heard_in_review(text, "whorl")
                .iter()
                .map(|a| a.word().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(heard("Patch Set 3:\n\nwhorl: status\nthanks"), ["status"]);
        assert!(heard("> whorl: status\n whorl: status\nsee whorl: status").is_empty());
        assert!(heard("whorl-note: {}\nwhorl status\nwhorl, status").is_empty());
        assert_eq!(heard(&"whorl: help\n".repeat(9)).len(), 3);
    }

    #[test]
    fn rechecks_of_people() {
        let heard = |text| heard_recheck(text);
        let with = |reason: &str| Some(Some(reason.to_owned()));
        assert_eq!(heard("recheck"), Some(None));
        assert_eq!(heard("Patch Set 3:\n\nrecheck"), Some(None));
        assert_eq!(heard("recheck no bug"), Some(None));
        assert_eq!(heard("Recheck bug 1182131"), with("1182131"));
        assert_eq!(heard("recheck bug: #1182131"), with("1182131"));
        assert_eq!(heard("recheck lp 7"), with("7"));
        assert_eq!(heard("reverify bug 7\n"), with("7"));
        assert_eq!(
            heard("recheck because the mirror was down"),
            with("because the mirror was down")
        );
        assert_eq!(heard("please recheck"), None);
        assert_eq!(heard("rechecking this"), None);
        assert_eq!(heard("Looks good.\nrecheck"), None);
        assert_eq!(heard(""), None);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in r"(?s)(whorl|!|:|,| |\n|silence|é|[0-9]{0,20}[mhdw]|.){0,20}") {
            let _ = (heard_in_chat(&text, "whorl", true), heard_in_review(&text, "whorl"), heard_recheck(&text));
        }
    }
}
