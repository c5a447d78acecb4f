//! The log formats: how each is recognised and what it puts before the text of a line.

mod console;
mod github;
mod gitlab;
mod jenkins;
pub(crate) mod job_output;
mod oslo;
mod plain;
mod stamped;
mod syslog;
mod travis;
mod zuul;

use super::strip::clean_into;
use super::time::Stamp;

/// The format of one log file, recognised by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// No prefix that is known.
    Plain,
    /// Zuul's `job-output.txt`: `date time | node | text`.
    Zuul,
    /// The older console: `date time | text`.
    Console,
    /// Service logs of the oslo library: `date time pid LEVEL module [request] text`.
    Oslo,
    /// Syslog and the journal: `May  7 12:13:14 host program[pid]: text`.
    Syslog,
    /// Jenkins with its timestamper: `12:13:14 text` or `[2014-05-07T12:13:14.123Z] text`.
    Jenkins,
    /// GitHub Actions: `2022-05-20T13:15:39.4534411Z text`.
    GitHub,
    /// Containers: `2024-05-07T12:13:14.123456789Z text`, with or without the stream.
    Stamped,
    /// GitLab: section markers, rewritten lines.
    GitLab,
    /// Travis: fold markers.
    Travis,
    /// Zuul's `job-output.json`: the tasks that failed, each as one event.
    ZuulJson,
}

/// What stands before the text of one line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Prefix<'a> {
    /// Bytes that are taken away.
    pub(crate) cut: usize,
    /// Where the text begins that blocks are joined by; at least `cut`.
    pub(crate) body: usize,
    /// True when the line begins as the format says.
    pub(crate) known: bool,
    /// The moment, RFC 3339.
    pub(crate) stamp: Option<Stamp<'a>>,
    pub(crate) level: Option<&'a str>,
    pub(crate) module: Option<&'a str>,
    pub(crate) pid: Option<&'a str>,
    pub(crate) node: Option<&'a str>,
    pub(crate) program: Option<&'a str>,
}

impl<'a> Prefix<'a> {
    /// A known prefix of `cut` bytes that all belongs before the text.
    fn of(cut: usize, stamp: Option<Stamp<'a>>) -> Self {
        Self {
            cut,
            body: cut,
            known: true,
            stamp,
            ..Self::default()
        }
    }

    /// True when both lines come from the same writer, so that they may belong together.
    pub(crate) fn writer(&self) -> [Option<&'a str>; 3] {
        [self.node, self.program, self.pid]
    }
}

/// What the beginning of a file shows.
#[derive(Debug, Default)]
struct Counts {
    lines: u32,
    github: u32,
    stamped: u32,
    zuul: u32,
    console: u32,
    oslo: u32,
    syslog: u32,
    jenkins: u32,
    gitlab: u32,
    travis: u32,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 11] = [
        Self::Plain,
        Self::Zuul,
        Self::Console,
        Self::Oslo,
        Self::Syslog,
        Self::Jenkins,
        Self::GitHub,
        Self::Stamped,
        Self::GitLab,
        Self::Travis,
        Self::ZuulJson,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Zuul => "zuul",
            Self::Console => "console",
            Self::Oslo => "oslo",
            Self::Syslog => "syslog",
            Self::Jenkins => "jenkins",
            Self::GitHub => "github",
            Self::Stamped => "stamped",
            Self::GitLab => "gitlab",
            Self::Travis => "travis",
            Self::ZuulJson => "zuul-json",
        }
    }

    /// Recognises the format by the beginning of the file.
    pub fn detect(head: &[u8]) -> Self {
        let mut counts = Counts::default();
        let mut text = String::new();
        for line in head.split(|b| *b == b'\n') {
            counts.gitlab += u32::from(gitlab::is_marker(line));
            counts.travis += u32::from(travis::is_marker(line));
            clean_into(&line[..line.len().min(512)], &mut text);
            if !text.trim().is_empty() {
                counts.add(&text);
            }
        }
        counts.verdict()
    }

    /// What the format puts before the text of this line; nothing when the line has no prefix.
    pub(crate) fn prefix(self, line: &str) -> Prefix<'_> {
        let found = match self {
            Self::Plain | Self::Travis | Self::ZuulJson => plain::prefix(line),
            Self::Zuul => zuul::prefix(line),
            Self::Console => console::prefix(line),
            Self::Oslo => oslo::prefix(line),
            Self::Syslog => syslog::prefix(line),
            Self::Jenkins => jenkins::prefix(line),
            Self::GitHub => github::prefix(line),
            Self::Stamped => stamped::prefix(line),
            Self::GitLab => gitlab::prefix(line),
        };
        found.unwrap_or_default()
    }

    /// False when no line that begins with this byte has anything before its text that is known of it.
    pub(crate) fn may_put_before(self, first: u8) -> bool {
        match self {
            // Their dates stay in the text.
            Self::Plain | Self::Travis | Self::ZuulJson => false,
            Self::GitHub | Self::Stamped | Self::GitLab => first.is_ascii_digit(),
            Self::Jenkins => first.is_ascii_digit() || first == b'[',
            Self::Zuul | Self::Console | Self::Oslo | Self::Syslog => true,
        }
    }

    /// True when a file of this format is always a build's main log.
    pub fn is_job_log(self) -> bool {
        match self {
            Self::GitHub | Self::GitLab | Self::Travis => true,
            Self::Plain
            | Self::Zuul
            | Self::Console
            | Self::Oslo
            | Self::Syslog
            | Self::Stamped
            | Self::Jenkins
            | Self::ZuulJson => false,
        }
    }
}

impl Counts {
    fn add(&mut self, line: &str) {
        self.lines += 1;
        self.github += u32::from(github::is_line(line));
        self.stamped += u32::from(stamped::prefix(line).is_some());
        let zuul = zuul::prefix(line);
        self.zuul += u32::from(zuul.is_some_and(|p| p.node.is_some()));
        self.console += u32::from(console::prefix(line).is_some());
        self.oslo += u32::from(oslo::prefix(line).is_some());
        self.syslog += u32::from(syslog::prefix(line).is_some());
        self.jenkins += u32::from(jenkins::prefix(line).is_some());
    }

    /// The shares are low where raw lines between the prefixed ones are usual.
    fn verdict(&self) -> Format {
        let share = |count: u32, percent: u32| count > 0 && count * 100 >= self.lines * percent;
        if self.gitlab > 0 {
            Format::GitLab
        } else if self.travis > 0 {
            Format::Travis
        } else if share(self.console, 30) && self.zuul * 100 >= self.console * 15 {
            Format::Zuul
        } else if share(self.console, 30) {
            Format::Console
        } else if share(self.oslo, 15) {
            Format::Oslo
        } else if share(self.syslog, 40) {
            Format::Syslog
        } else if share(self.github, 60) {
            Format::GitHub
        } else if share(self.stamped, 60) {
            Format::Stamped
        } else if share(self.jenkins, 40) {
            Format::Jenkins
        } else {
            Format::Plain
        }
    }
}

/// One blank at the beginning of `rest` belongs to the prefix.
fn one_blank(rest: &str) -> usize {
    usize::from(rest.starts_with(' '))
}
