//! What people tell the service to do, in chat and in comments on changes: who may, and doing it. How
//! the words come in and the answers go out is somebody else's business.

mod people;
mod silence;

pub use people::Person;

use super::tell;
use crate::classify::engine::{Rule, Rules};
use crate::config::Config;
use crate::event::{Build, Match, Verdict};
use crate::note::redact::{RedactError, Redactor};
use crate::note::{
    Answer, Asked, Bug, Command, Markup, Place, Speaker, Wording, WordingError, heard_in_chat,
    heard_in_review, heard_recheck,
};
use crate::source::Said;
use crate::state::{PatchsetBuild, Recheck, RecheckKind, State, StateError};
use jiff::{SignedDuration, Timestamp};
use people::{Pace, People, Turn};
use std::fmt;
use std::sync::{Arc, Mutex};

/// What "the last 10 days" are.
const WINDOW: SignedDuration = SignedDuration::from_hours(240);
/// A command in a comment that is heard later than this is not done; rechecks are still counted.
const LATE: SignedDuration = SignedDuration::from_hours(1);
/// Longest quotation in an answer, in characters.
const QUOTE: usize = 120;

/// Where something was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// In a channel, or to us alone.
    Chat,
    /// On a change.
    Change {
        /// Its project.
        project: String,
        /// The change.
        change: String,
        /// The patchset, where it is known.
        patchset: Option<String>,
    },
}

/// Why commands cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CommandsError {
    /// The templates.
    #[error("notes.templates: {0}")]
    Wording(#[from] WordingError),
    /// The rules for secrets.
    #[error("notes.redact: {0}")]
    Redact(#[from] RedactError),
    /// The people.
    #[error("commands: {0}")]
    People(#[from] globset::Error),
}

/// The fingerprints in force.
pub type InForce = dyn Fn() -> Arc<Rules> + Send + Sync;

/// Does what people say. Calls block: an async caller uses `spawn_blocking`.
pub struct Commander {
    config: Config,
    state: Arc<State>,
    rules: Box<InForce>,
    wording: Wording,
    speaker: Speaker,
    redactor: Redactor,
    people: People,
    pace: Mutex<Pace>,
    base_url: String,
}

impl fmt::Debug for Commander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commander").finish_non_exhaustive()
    }
}

impl Commander {
    /// Serves commands as the configuration says.
    pub fn new(
        config: &Config,
        state: Arc<State>,
        rules: Box<InForce>,
    ) -> Result<Self, CommandsError> {
        let base = config.notes.base_url.clone();
        let base = base.unwrap_or_else(|| format!("http://{}", config.listen));
        Ok(Self {
            state,
            rules,
            wording: Wording::new(config.notes.templates.as_deref())?,
            speaker: tell::speaker(config, Vec::new())?,
            redactor: redactor(config)?,
            people: People::new(&config.commands)?,
            pace: Mutex::new(Pace::new(config.commands.per_minute)),
            base_url: base.trim_end_matches('/').to_owned(),
            config: config.clone(),
        })
    }

    /// Asks for rechecks with the words and targets of this speaker.
    #[must_use]
    pub fn speaking(mut self, speaker: Speaker) -> Self {
        self.speaker = speaker;
        self
    }

    /// What is answered to a line of chat, if anything. `to_us` as in [`heard_in_chat`].
    pub fn in_chat(
        &self,
        who: &Person,
        text: &str,
        to_us: bool,
        now: Timestamp,
    ) -> Result<Option<String>, StateError> {
        let Some(asked) = heard_in_chat(text, &self.config.commands.name, to_us) else {
            return Ok(None);
        };
        self.execute(&asked, who, &Where::Chat, now)
    }

    /// What is answered to a comment on a change. A recheck that the person wrote for the CI goes into
    /// the ledger.
    pub fn in_review(&self, said: &Said, now: Timestamp) -> Result<Vec<String>, StateError> {
        let who = Person {
            place: said.source.clone(),
            nick: said.author.clone(),
            account: Some(said.author.clone()),
        };
        if self.people.ignored(&who) || said.text.contains("whorl-note:") {
            return Ok(Vec::new());
        }
        if let Some(reason) = heard_recheck(&said.text) {
            self.heard(said, &who, reason)?;
        }
        // Heard after an outage, or sent once more: nobody waits for it any more.
        if now.duration_since(said.at) > LATE {
            return Ok(Vec::new());
        }
        let place = Where::Change {
            project: said.project.clone(),
            change: said.change.clone(),
            patchset: said.patchset.clone(),
        };
        let mut answers = Vec::new();
        for asked in heard_in_review(&said.text, &self.config.commands.name) {
            answers.extend(self.execute(&asked, &who, &place, now)?);
        }
        Ok(answers)
    }

    fn heard(&self, said: &Said, who: &Person, reason: Option<String>) -> Result<(), StateError> {
        let newest = self.newest(&said.project, &said.change)?;
        let heard = Recheck {
            at: said.at,
            project: said.project.clone(),
            change: said.change.clone(),
            patchset: said.patchset.clone().or(newest).unwrap_or_default(),
            by: who.to_string(),
            kind: RecheckKind::Comment,
            reason,
            dry: false,
            sent: true,
        };
        self.state.recheck_heard(&heard).map(|_| ())
    }

    /// Does what was asked for, if the person may; what is answered, if anything.
    pub fn execute(
        &self,
        asked: &Asked,
        who: &Person,
        place: &Where,
        now: Timestamp,
    ) -> Result<Option<String>, StateError> {
        if self.people.ignored(who) {
            return Ok(None);
        }
        let about = Answer {
            name: self.config.commands.name.clone(),
            who: plain(&who.nick),
            word: asked.word().to_owned(),
            commands: Command::USAGE.map(str::to_owned).into(),
            ..Answer::default()
        };
        match super::held(&self.pace).turn(&who.to_string(), now) {
            Turn::Silent => return Ok(None),
            Turn::Warn => return Ok(Some(self.say("answer-busy", &about))),
            Turn::Go => {}
        }
        let command = match asked {
            Asked::Command(command) => command,
            Asked::Unknown(_) => return Ok(self.unknown(who, &about, now)),
            Asked::Wrong(_, why) => return Ok(Some(self.wrong(about, why))),
        };
        if let Some(key) = self.people.forbids(who, command) {
            let kind = key.to_owned();
            return Ok(Some(self.say("answer-denied", &Answer { kind, ..about })));
        }
        self.act(command, who, place, about, now).map(Some)
    }

    fn act(
        &self,
        command: &Command,
        who: &Person,
        place: &Where,
        about: Answer,
        now: Timestamp,
    ) -> Result<String, StateError> {
        match command {
            Command::Help => Ok(self.say("answer-help", &about)),
            Command::Status { change } => self.status(change.as_deref(), place, about, now),
            Command::Why { job, change } => self.why(job, change.as_deref(), place, about, now),
            Command::Recheck { rest } => self.recheck(rest, who, place, about, now),
            Command::Silence {
                what,
                period,
                reason,
            } => {
                let until = now.checked_add(*period).unwrap_or(Timestamp::MAX);
                self.silence(what, until, reason.as_deref(), who, place, about, now)
            }
            Command::Unsilence { what } => self.unsilence(what, who, place, about, now),
        }
    }

    fn say(&self, name: &str, about: &Answer) -> String {
        self.wording.answer(name, Markup::Plain, about)
    }

    fn wrong(&self, about: Answer, why: &str) -> String {
        let reason = plain(why);
        self.say("answer-wrong", &Answer { reason, ..about })
    }

    /// A word that is no command is answered with help, once in a while.
    fn unknown(&self, who: &Person, about: &Answer, now: Timestamp) -> Option<String> {
        let first = super::held(&self.pace).needs_help(&who.to_string(), now);
        first.then(|| self.say("answer-help", about))
    }

    fn newest(&self, project: &str, change: &str) -> Result<Option<String>, StateError> {
        let all = self.state.changes_called(change)?;
        let of = all.into_iter().find(|(of, _)| of == project);
        Ok(of.map(|(_, patchset)| patchset))
    }

    /// The project, number and newest patchset of a change: the one that is named, or the one that is
    /// written on; what is wrong otherwise.
    fn change(
        &self,
        name: Option<&str>,
        place: &Where,
    ) -> Result<Result<(String, String, String), String>, StateError> {
        let name = name.filter(|name| !name.eq_ignore_ascii_case("this"));
        let (project, change) = match (name, place) {
            (None, Where::Chat) => return Ok(Err("say which change".into())),
            (
                None,
                Where::Change {
                    project, change, ..
                },
            ) => (Some(project.as_str()), change.as_str()),
            (Some(name), _) => match name.rsplit_once('#') {
                Some((project, change)) => (Some(project), change),
                None => (None, name),
            },
        };
        let mut known = self.state.changes_called(change)?;
        known.retain(|(of, _)| project.is_none_or(|project| project == of));
        Ok(match known.as_slice() {
            [] => Err(format!("I know no change {}", name.unwrap_or(change))),
            [(project, patchset)] => Ok((project.clone(), change.to_owned(), patchset.clone())),
            [(first, _), ..] => Err(format!(
                "{} projects have a change {change}: write {first}#{change}",
                known.len()
            )),
        })
    }

    fn status(
        &self,
        change: Option<&str>,
        place: &Where,
        mut about: Answer,
        now: Timestamp,
    ) -> Result<String, StateError> {
        about.outage = self.state.outage(now)?.map(|outage| plain(&outage.text));
        if change.is_some() || *place != Where::Chat {
            return self.change_status(change, place, about, now);
        }
        let since = now.checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
        for (verdict, builds) in self.state.failed_since(since)? {
            match verdict {
                Verdict::Matched => about.known = builds,
                Verdict::Unmatched => about.unknown = builds,
                _ => {}
            }
        }
        about.fingerprints = (self.rules)().fingerprints.len();
        about.silences = self.state.silences(now)?.len();
        about.page = format!("{}/", self.base_url);
        Ok(self.say("answer-status", &about))
    }

    fn change_status(
        &self,
        change: Option<&str>,
        place: &Where,
        mut about: Answer,
        now: Timestamp,
    ) -> Result<String, StateError> {
        let (project, change, patchset) = match self.change(change, place)? {
            Ok(found) => found,
            Err(why) => return Ok(self.wrong(about, &why)),
        };
        for one in self.failed(&project, &change, &patchset, now)? {
            about.total += 1;
            match one.verdict {
                Verdict::Matched => about.known += 1,
                Verdict::Unmatched => about.unknown += 1,
                _ => about.open += 1,
            }
        }
        about.page = format!("{}/builds", self.base_url);
        about.change = Some(plain(&change));
        about.patchset = Some(short(&patchset));
        Ok(self.say("answer-change", &about))
    }

    fn failed(
        &self,
        project: &str,
        change: &str,
        patchset: &str,
        now: Timestamp,
    ) -> Result<Vec<PatchsetBuild>, StateError> {
        let facts = self
            .state
            .recheck_facts(project, change, patchset, true, now)?;
        Ok(facts.builds)
    }

    fn why(
        &self,
        job: &str,
        change: Option<&str>,
        place: &Where,
        about: Answer,
        now: Timestamp,
    ) -> Result<String, StateError> {
        if change.is_none() && *place == Where::Chat {
            let filter = crate::state::BuildFilter {
                job: Some(job.to_owned()),
                failed_only: true,
                limit: 1,
                ..Default::default()
            };
            let newest = self.state.builds(&filter)?.items.into_iter().next();
            let found = newest.map(|row| self.state.build(&row.uuid)).transpose()?;
            return Ok(match found.flatten() {
                Some(one) => self.because(&one.build, one.verdict, &one.matches, about),
                None => self.wrong(about, &format!("I know no failed build of {job}")),
            });
        }
        let (project, change, patchset) = match self.change(change, place)? {
            Ok(found) => found,
            Err(why) => return Ok(self.wrong(about, &why)),
        };
        let failed = self.failed(&project, &change, &patchset, now)?;
        let names = |one: &&PatchsetBuild| one.build.job.as_deref() == Some(job);
        let part = |one: &&PatchsetBuild| one.build.job.as_deref().is_some_and(|j| j.contains(job));
        let one = failed.iter().find(names);
        if let Some(one) = one.or_else(|| failed.iter().find(part)) {
            return Ok(self.because(&one.build, one.verdict, &one.matches, about));
        }
        let patchset = short(&patchset);
        let why = format!("{job} has not failed on {change},{patchset}, as far as I know");
        Ok(self.wrong(about, &why))
    }

    fn because(&self, build: &Build, verdict: Verdict, found: &[Match], about: Answer) -> String {
        let told: Vec<&Match> = found.iter().filter(|found| !found.quiet).collect();
        let about = Answer {
            job: build.job.as_deref().map(plain),
            result: build.result.as_deref().map(plain),
            verdict: verdict.as_str().to_owned(),
            bug: told.first().map(|found| self.bug(found)),
            more: told.len().saturating_sub(1),
            page: format!("{}/builds/{}", self.base_url, build.uuid),
            ..about
        };
        self.say("answer-why", &about)
    }

    fn bug(&self, found: &Match) -> Bug {
        let places = found.evidence.iter().take(1);
        let place = |place: &crate::event::Evidence| Place {
            file: plain(&place.file),
            line: place.line,
            quote: self.quote(place),
            link: None,
        };
        Bug {
            name: plain(&found.bug.name),
            url: found.bug.url.as_deref().map(plain),
            title: plain(&found.title),
            status: None,
            reviews: Vec::new(),
            returned: found.returned,
            advice: found.advice.clone(),
            week: 0,
            evidence: places.map(place).collect(),
        }
    }

    fn quote(&self, place: &crate::event::Evidence) -> String {
        let line = plain(&self.redactor.line(place));
        let long = line.chars().count() > QUOTE;
        let cut: String = line.chars().take(QUOTE).collect();
        if long { format!("{cut}…") } else { cut }
    }

    fn recheck(
        &self,
        rest: &str,
        who: &Person,
        place: &Where,
        mut about: Answer,
        now: Timestamp,
    ) -> Result<String, StateError> {
        let (name, reason) = match place {
            Where::Change { .. } => (None, rest),
            Where::Chat => match rest.split_once(' ') {
                Some((change, reason)) => (Some(change), reason.trim()),
                None => (Some(rest).filter(|rest| !rest.is_empty()), ""),
            },
        };
        let (project, change, patchset) = match self.change(name, place)? {
            Ok(found) => found,
            Err(why) => return Ok(self.wrong(about, &why)),
        };
        let dry = self.config.recheck.dry_run || tell::only_shown(&self.config, &project);
        let reasons: Vec<String> = Some(plain(reason))
            .filter(|r| !r.is_empty())
            .into_iter()
            .collect();
        let mut notes = self.speaker.recheck(&project, &change, &patchset, &reasons);
        about.change = Some(plain(&change));
        about.patchset = Some(short(&patchset));
        if notes.is_empty() && !dry {
            about.state = "nowhere".into();
            return Ok(self.say("answer-recheck", &about));
        }
        if self.config.recheck.dry_run {
            notes.clear();
        }
        let asked = Recheck {
            at: now,
            project,
            change,
            patchset,
            by: who.to_string(),
            kind: RecheckKind::Command,
            reason: reasons.into_iter().next(),
            dry,
            sent: !dry,
        };
        let new = self.state.recheck_asked(&asked, &notes)?;
        about.state = match (new, dry) {
            (false, _) => "again",
            (true, true) => "dry",
            (true, false) => "asked",
        }
        .into();
        Ok(self.say("answer-recheck", &about))
    }
}

/// What the configuration says of secrets.
pub(super) fn redactor(config: &Config) -> Result<Redactor, RedactError> {
    let own = config.notes.redact.iter();
    Redactor::new(own.map(|rule| (rule.name.as_str(), rule.pattern.as_str())))
}

/// One line without control characters.
fn plain(text: &str) -> String {
    let plain = text.trim().chars();
    plain
        .map(|c| {
            if crate::event::is_deceptive(c) {
                ' '
            } else {
                c
            }
        })
        .collect()
}

/// A patchset for people: of a commit, the first digits.
pub(super) fn short(patchset: &str) -> String {
    let commit = patchset.len() >= 40 && patchset.bytes().all(|b| b.is_ascii_hexdigit());
    let most = if commit { 10 } else { usize::MAX };
    plain(patchset).chars().take(most).collect()
}

/// True when a person means this fingerprint.
fn is_called(rule: &Rule, name: &str) -> bool {
    let bug = &rule.bug.name;
    let number = bug.rsplit([':', '#', '/']).next();
    rule.id == name || bug == name || number == Some(name) || rule.bug.url.as_deref() == Some(name)
}
