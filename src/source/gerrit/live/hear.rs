//! From what Gerrit says to what the desk is told.

use super::mark::{Mark, Way};
use crate::config::{GerritSource, LogsOf};
use crate::event::Build;
use crate::source::digest::digest;
use crate::source::gerrit::builds::{body, builds};
use crate::source::gerrit::{Accounts, Comment, Counts, Happened, OWN_TAG, Report};
use crate::source::{Announced, Logs, Said};
use globset::{Error, Glob, GlobSet, GlobSetBuilder};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest part of something that was not understood that is shown.
const EXCERPT: usize = 120;
/// Seconds by which Gerrit's clock may be before ours.
const SKEW: i64 = 24 * 3600;

/// A patchset that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patchset {
    pub(super) project: String,
    pub(super) change: String,
    pub(super) number: String,
}

/// What is to be told.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) builds: Vec<Announced>,
    pub(super) patchsets: Vec<Patchset>,
    pub(super) said: Vec<Said>,
    pub(super) not_understood: Vec<String>,
    /// Events and comments that were new.
    pub(super) events: u64,
    /// Events of the stream by type.
    pub(super) kinds: BTreeMap<String, u64>,
    /// Gerrit says that it has left out events.
    pub(super) dropped: bool,
}

/// Knows what of it counts.
#[derive(Debug)]
pub(super) struct Listener {
    source: String,
    accounts: Option<Accounts>,
    /// Accounts that are ours: events do not say with which tag a comment was written.
    own: Vec<String>,
    projects: Option<GlobSet>,
    fetch: bool,
}

/// What a comment is.
enum Kind {
    Report(Box<Report>),
    /// A CI wrote it, but no report.
    Odd,
    Person,
    Nothing,
}

impl Listener {
    pub(super) fn new(source: &GerritSource) -> Result<Self, Error> {
        let named = !source.accounts.is_empty() || !source.tags.is_empty();
        let accounts = named.then(|| Accounts::new(&source.accounts, &source.tags, OWN_TAG));
        let mut projects = GlobSetBuilder::new();
        for pattern in &source.projects {
            projects.add(Glob::new(pattern)?);
        }
        let rest = source.rest.as_ref().and_then(|rest| rest.user.clone());
        let mut own: Vec<String> = source.own_accounts.clone();
        own.extend([Some(source.user.clone()), rest].into_iter().flatten());
        Ok(Self {
            source: source.name.clone(),
            accounts: accounts.transpose()?,
            own,
            projects: (!source.projects.is_empty())
                .then(|| projects.build())
                .transpose()?,
            fetch: source.logs == LogsOf::Fetch,
        })
    }

    /// Takes one line of the stream; gives the type of the event.
    pub(super) fn line(&self, line: &[u8], mark: &mut Mark, news: &mut News) -> String {
        let kind = self.event(line, mark, news);
        *news.kinds.entry(kind.clone()).or_default() += 1;
        kind
    }

    fn event(&self, line: &[u8], mark: &mut Mark, news: &mut News) -> String {
        let Ok(event) = serde_json::from_slice::<Value>(line) else {
            let text = String::from_utf8_lossy(&line[..line.len().min(4 * EXCERPT)]);
            news.not_understood
                .push(format!("no JSON: {}", excerpt(&text)));
            return "no JSON".into();
        };
        news.events += 1;
        if let Some(at) = event["eventCreatedOn"].as_i64() {
            mark.advance(at, latest());
        }
        match Happened::from_json(&event) {
            Happened::Comment(comment) => {
                self.comment(*comment, Way::Stream, mark, news);
                "comment-added".into()
            }
            Happened::Other(kind) => {
                match kind.as_str() {
                    "patchset-created" => self.patchset_created(&event, news),
                    "dropped-output" => news.dropped = true,
                    _ => {}
                }
                kind
            }
            Happened::Unknown(why) => {
                news.not_understood.push(format!("an event: {why}"));
                "no event".into()
            }
        }
    }

    fn patchset_created(&self, event: &Value, news: &mut News) {
        let text = |value: &Value| match value {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let change = &event["change"];
        let project = text(&change["project"]).or_else(|| text(&event["project"]));
        let (Some(project), Some(change), Some(number)) = (
            project,
            text(&change["number"]),
            text(&event["patchSet"]["number"]),
        ) else {
            let why = "a `patchset-created` without project, change or patchset";
            return news.not_understood.push(why.into());
        };
        self.patchset(
            Patchset {
                project,
                change,
                number,
            },
            news,
        );
    }

    /// Takes a patchset.
    pub(super) fn patchset(&self, patchset: Patchset, news: &mut News) {
        if self.listens_to(Some(&patchset.project)) {
            news.patchsets.push(patchset);
        }
    }

    /// Takes a comment; true when it was new.
    pub(super) fn comment(
        &self,
        mut comment: Comment,
        way: Way,
        mark: &mut Mark,
        news: &mut News,
    ) -> bool {
        if !self.listens_to(comment.project.as_deref()) || self.is_own(&comment) {
            return false;
        }
        // Databases do not take it, and nobody means it.
        comment.text.retain(|c| c != '\0');
        let at = comment.created.map_or(mark.newest(), Timestamp::as_second);
        if !mark.take(way, &identity(&comment), at) {
            return false;
        }
        mark.advance(at, latest());
        if way == Way::Query {
            news.events += 1;
        }
        match self.kind(&comment) {
            Kind::Report(report) => self.report(&comment, &report, news),
            Kind::Odd => {
                let who = comment.author().unwrap_or("somebody");
                let said = excerpt(body(&comment.text));
                let why = format!("a comment by {who} is no report that is known: {said}");
                news.not_understood.push(why);
            }
            Kind::Person => news.said.extend(self.person(comment)),
            Kind::Nothing => {}
        }
        true
    }

    fn listens_to(&self, project: Option<&str>) -> bool {
        let Some(projects) = &self.projects else {
            return true;
        };
        project.is_some_and(|project| projects.is_match(project))
    }

    fn is_own(&self, comment: &Comment) -> bool {
        let tagged = comment.tag.as_deref();
        let name = comment.username.as_deref();
        tagged.is_some_and(|tag| tag.starts_with(OWN_TAG))
            || name.is_some_and(|name| self.own.iter().any(|own| own == name))
    }

    fn kind(&self, comment: &Comment) -> Kind {
        let by_program = comment.tag.as_deref();
        let by_program = by_program.is_some_and(|tag| tag.starts_with("autogenerated:"));
        let ci = match &self.accounts {
            Some(accounts) => accounts.counts(comment) == Counts::Yes,
            None => comment.looks_like_ci(),
        };
        let report = Report::of(comment, self.accounts.as_ref());
        if !report.is_nothing() {
            return Kind::Report(Box::new(report));
        }
        // A vote without a word is nothing to be understood.
        let empty = body(&comment.text).is_empty();
        match (ci, by_program) {
            _ if empty => Kind::Nothing,
            (true, _) => Kind::Odd,
            (false, true) => Kind::Nothing,
            (false, false) => Kind::Person,
        }
    }

    fn report(&self, comment: &Comment, report: &Report, news: &mut News) {
        for build in builds(comment, report) {
            match Build::check_uuid(&build.uuid) {
                Ok(()) => news.builds.push(self.announced(build)),
                Err(error) => news.not_understood.push(error.to_string()),
            }
        }
        let shown = report.unread.iter().map(|unread| unread.text.as_str());
        news.not_understood.extend(shown.map(excerpt));
        let hidden = report.unread_count - report.unread.len();
        news.not_understood
            .extend((0..hidden).map(|_| "more lines of the same comment".to_owned()));
        if report.met.any() {
            news.not_understood
                .push("a comment that is too long".into());
        }
    }

    fn announced(&self, build: Build) -> Announced {
        let web = |url: &&String| url.starts_with("http://") || url.starts_with("https://");
        let url = build.log_url.as_ref().filter(|_| self.fetch).filter(web);
        let logs = url.map(|url| Logs::Root { url: url.clone() });
        Announced { build, logs }
    }

    fn person(&self, comment: Comment) -> Option<Said> {
        let text = body(&comment.text).to_owned();
        Some(Said {
            source: self.source.clone(),
            author: comment.author()?.to_owned(),
            project: comment.project?,
            change: comment.change?,
            patchset: comment.patchset,
            text,
            at: comment.created.unwrap_or_else(Timestamp::now),
        })
    }
}

/// The latest time that is believed.
fn latest() -> i64 {
    Timestamp::now().as_second() + SKEW
}

/// The same for the same comment by either way. The author is known by the full name in both.
fn identity(comment: &Comment) -> String {
    let name = comment.name.as_deref().or(comment.username.as_deref());
    let mut id = digest(&[
        comment.change.as_deref().unwrap_or_default(),
        comment.patchset.as_deref().unwrap_or_default(),
        name.unwrap_or_default(),
        body(&comment.text),
    ]);
    id.truncate(16);
    id
}

fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(EXCERPT).collect()
}
