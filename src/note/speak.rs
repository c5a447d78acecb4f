//! What should be said about a build, and to whom.

mod happenings;

pub use happenings::outage_topic;

use super::redact::Redactor;
use super::route::{Facts, Happening, Route};
use super::tracked::Tracked;
use super::wording::{Bug, Job, Markup, Place, Spoken, Wording, one_line};
use crate::event::{Build, Evidence, Match, Verdict};
use crate::state::{
    Hush, Manner, NewNote, PatchsetBuild, Surroundings, patchset_topic, recheck_topic,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Longest quotation of a log, in characters.
const QUOTE: usize = 160;
/// Places that are quoted for each bug.
const QUOTES: usize = 2;
/// Bugs of one job that are told.
const BUGS: usize = 5;

/// What a target hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hears {
    /// One note for each patchset, which follows what becomes known.
    Patchsets,
    /// One note for each failed build, in a sentence.
    Lines,
    /// One note for each failed build, in full.
    Builds,
}

/// A target as far as words are concerned.
#[derive(Debug, Clone)]
pub struct Voice {
    /// Its name in the configuration.
    pub target: String,
    /// What it hears.
    pub hears: Hears,
    /// How it writes.
    pub markup: Markup,
    /// What it wants to hear of; everything without it.
    pub route: Option<Route>,
}

/// Composes notes.
#[derive(Debug)]
pub struct Speaker {
    wording: Wording,
    voices: Vec<Voice>,
    base_url: String,
    /// Whether our pages show the logs; else the CI does.
    own_logs: bool,
    redactor: Redactor,
    /// After how long what a tracker said may no longer be so.
    stale_after: SignedDuration,
    /// A hit this long after a bug was closed shows that it has returned.
    returned_after: SignedDuration,
}

impl Voice {
    /// Whether it is the code review of a project.
    pub fn hears_review(&self, project: &str) -> bool {
        let route = self.route.as_ref();
        self.hears == Hears::Patchsets
            && route.is_none_or(|route| route.hears_project(Some(project)))
    }

    /// Whether the target hears of such a build.
    fn wants(&self, build: &Build, verdict: Verdict, matches: &[Match]) -> bool {
        let Some(route) = &self.route else {
            return true;
        };
        let told = || matches.iter().filter(|found| !found.quiet);
        let happening = match verdict {
            Verdict::Unmatched => Happening::Unmatched,
            _ if told().next().is_some() => Happening::Matched,
            // A note that follows must hear of what takes it back.
            _ => {
                return self.hears == Hears::Patchsets
                    && route.hears_project(build.project.as_deref());
            }
        };
        self.hears == Hears::Patchsets && route.hears_project(build.project.as_deref())
            || route.hears(&facts(happening, build, told()))
    }

    /// Whether the target hears of what a log has changed that came late.
    fn wants_late(&self, build: &Build, matches: &[Match]) -> bool {
        let told = matches.iter().filter(|found| !found.quiet);
        let facts = facts(Happening::LateLog, build, told);
        self.route.as_ref().is_none_or(|route| route.hears(&facts))
    }
}

/// What channels choose by.
fn facts<'m>(happening: Happening, build: &Build, told: impl Iterator<Item = &'m Match>) -> Facts {
    Facts {
        happening,
        project: build.project.clone(),
        bug_projects: told
            .filter_map(|found| bug_project(&found.bug.name))
            .collect(),
        pipeline: build.pipeline.clone(),
        branch: build.branch.clone(),
        voting: build.votes(),
    }
}

/// The project that a bug is of, where its name says it: `github:owner/name#7`.
fn bug_project(name: &str) -> Option<String> {
    let (_, rest) = name.split_once(':')?;
    let (project, _) = rest.rsplit_once('#')?;
    Some(project.to_owned())
}

/// One build with what was found in it.
#[derive(Clone, Copy)]
struct Looked<'a> {
    build: &'a Build,
    verdict: Verdict,
    matches: &'a [Match],
}

impl Speaker {
    /// Speaks to these targets; `base_url` is where people find our pages.
    pub fn new(wording: Wording, voices: Vec<Voice>, base_url: &str, own_logs: bool) -> Self {
        Self {
            wording,
            voices,
            base_url: base_url.trim_end_matches('/').to_owned(),
            own_logs,
            redactor: Redactor::default(),
            stale_after: SignedDuration::from_hours(6),
            returned_after: SignedDuration::from_hours(6),
        }
    }

    /// Takes these secrets out of what logs say, instead of only those that everybody has.
    #[must_use]
    pub fn redacting(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// Takes these for old news and for a return, instead of six hours.
    #[must_use]
    pub fn tracking(mut self, stale_after: SignedDuration, returned_after: SignedDuration) -> Self {
        (self.stale_after, self.returned_after) = (stale_after, returned_after);
        self
    }

    /// The notes that are due when a build has a verdict. Nothing is said of a build that did not
    /// fail, of quiet matches, of a non-voting build that nobody can explain, where too little was
    /// read to say anything, and where a silence is on.
    pub fn notes(
        &self,
        build: &Build,
        verdict: Verdict,
        matches: &[Match],
        around: &Surroundings,
    ) -> Vec<NewNote> {
        if !build.failed() || around.hush.silent {
            return Vec::new();
        }
        let (matches, around) = (quieted(matches, &around.hush), &quieted_around(around));
        let one = Looked {
            build,
            verdict,
            matches: &matches,
        };
        let mut notes = Vec::new();
        for voice in &self.voices {
            let wants = voice.wants(build, verdict, &matches);
            if voice.hears != Hears::Patchsets
                && let Some(late) = &around.late
                && voice.wants_late(build, &matches)
                && (!wants || late.told.contains(&voice.target))
            {
                notes.extend(self.late(voice, one, around));
                continue;
            }
            if !wants {
                continue;
            }
            match voice.hears {
                Hears::Patchsets => notes.extend(self.patchset(voice, build, around)),
                Hears::Lines => notes.extend(self.build(voice, "chat", one, around)),
                Hears::Builds => notes.extend(self.build(voice, "review", one, around)),
            }
        }
        notes
    }

    /// Takes back what was said of older patchsets of a change.
    pub fn outdated(&self, older: &[(String, String)]) -> Vec<NewNote> {
        let note = |(target, topic): &(String, String)| NewNote {
            target: target.clone(),
            topic: topic.clone(),
            manner: Manner::Follow,
            kind: "outdated".into(),
            text: self
                .wording
                .say("outdated", Markup::Plain, &Spoken::default()),
            json: topic_data(topic),
        };
        older.iter().map(note).collect()
    }

    fn patchset(&self, voice: &Voice, build: &Build, around: &Surroundings) -> Vec<NewNote> {
        let (Some(change), Some(patchset)) = (&build.change, &build.patchset) else {
            return Vec::new();
        };
        if around.outdated {
            return Vec::new();
        }
        let looked: Vec<Looked<'_>> = around.builds.iter().map(of_patchset).collect();
        let spoken = self.spoken(voice, build, &looked, around);
        let kind = match (spoken.known, spoken.unknown) {
            // What was said was right, and stays; nobody wants to hear more of it.
            (0, 0) if silenced(&looked, &around.hush) => return Vec::new(),
            (0, 0) => "withdrawn",
            (_, 0) => "known",
            (0, _) => "unexplained",
            _ => "mixed",
        };
        let template = if kind == "withdrawn" {
            "withdrawn"
        } else {
            "review"
        };
        let topic = patchset_topic(build.project.as_deref(), change, patchset);
        let mut data = topic_data(&topic);
        data["branch"] = json!(build.branch);
        data["commit"] = json!(build.commit);
        data["project"] = json!(build.project);
        data["builds"] = looked.iter().map(|one| self.data(*one, around)).collect();
        data["page"] = json!(format!(
            "{}/builds?text={}",
            self.base_url,
            one_line(change)
        ));
        let mut notes = self.outdated(&around.older);
        notes.retain(|note| note.target == voice.target);
        notes.push(NewNote {
            target: voice.target.clone(),
            topic,
            manner: Manner::Follow,
            kind: kind.into(),
            text: self.wording.say(template, voice.markup, &spoken),
            json: data,
        });
        notes
    }

    fn build(
        &self,
        voice: &Voice,
        template: &str,
        one: Looked<'_>,
        around: &Surroundings,
    ) -> Option<NewNote> {
        let spoken = self.spoken(voice, one.build, &[one], around);
        let kind = match (spoken.known, spoken.unknown) {
            (0, 0) => return None,
            (0, _) => "unexplained",
            _ => "known-bug",
        };
        let mut data = self.data(one, around);
        data["kind"] = json!(kind);
        if template == "review" {
            data["line"] = json!(self.wording.say("chat", Markup::Plain, &spoken));
        }
        Some(NewNote {
            target: voice.target.clone(),
            topic: format!("build/{}/{kind}", one.build.uuid),
            manner: Manner::Once,
            kind: kind.into(),
            text: self.wording.say(template, voice.markup, &spoken),
            json: data,
        })
    }

    /// Asks the CI for another run of a patchset, as its people do; `bugs` by name say why.
    pub fn recheck(
        &self,
        project: &str,
        change: &str,
        patchset: &str,
        bugs: &[String],
    ) -> Vec<NewNote> {
        let spoken = Spoken {
            project: Some(one_line(project)),
            change: Some(one_line(change)),
            patchset: Some(one_line(patchset)),
            reasons: bugs.iter().map(|name| one_line(name)).collect(),
            ..Spoken::default()
        };
        let topic = recheck_topic(project, change, patchset);
        let voices = self.voices.iter();
        let hears = |voice: &&Voice| voice.hears_review(project);
        let reviews = voices.filter(hears);
        let note = |voice: &Voice| NewNote {
            target: voice.target.clone(),
            topic: topic.clone(),
            manner: Manner::Once,
            kind: "recheck".into(),
            text: self.wording.say("recheck", Markup::Plain, &spoken),
            json: json!({
                "topic": topic, "project": project, "change": change, "patchset": patchset,
                "bugs": bugs,
            }),
        };
        reviews.map(note).collect()
    }

    fn spoken(
        &self,
        voice: &Voice,
        build: &Build,
        looked: &[Looked<'_>],
        around: &Surroundings,
    ) -> Spoken {
        let mut spoken = Spoken {
            outage: around.hush.outage.as_deref().map(one_line),
            project: build.project.as_deref().map(one_line),
            change: build.change.as_deref().map(one_line),
            patchset: build.patchset.as_deref().map(one_line),
            ..Spoken::default()
        };
        let mut bugs = BTreeSet::new();
        for one in looked {
            let told: Vec<&Match> = one.matches.iter().filter(|m| !m.quiet).collect();
            match one.verdict {
                Verdict::Matched | Verdict::PartialLog if !told.is_empty() => {
                    spoken.known += 1;
                    bugs.extend(told.iter().map(|m| m.fingerprint.as_str()));
                    spoken.jobs.push(self.job(voice, *one, &told, around));
                }
                Verdict::Unmatched if one.build.votes() => {
                    spoken.unknown += 1;
                    spoken.jobs.push(self.job(voice, *one, &[], around));
                }
                Verdict::Pending => spoken.open += 1,
                _ => {}
            }
        }
        spoken.total = spoken.known + spoken.unknown;
        spoken.bugs = bugs.len();
        // What is explained first: it is what the author can act on.
        spoken.jobs.sort_by_key(|job| job.bugs.is_empty());
        spoken
    }

    /// What the tracker of a bug says.
    fn tracked(&self, found: &Match, around: &Surroundings) -> Option<Tracked> {
        let row = around.bugs.get(&found.bug.name)?;
        Tracked::of(row, self.stale_after, around.at)
    }

    /// True when the bug was closed and is hit all the same.
    fn is_back(&self, build: &Build, found: &Match, around: &Surroundings) -> bool {
        let facts = around
            .bugs
            .get(&found.bug.name)
            .and_then(|row| row.facts.as_ref());
        let closed = facts
            .filter(|facts| facts.status.closed())
            .and_then(|facts| facts.closed);
        let hit = build.finished.unwrap_or(around.at);
        found.returned || closed.is_some_and(|at| hit.duration_since(at) > self.returned_after)
    }

    fn bug(&self, voice: &Voice, build: &Build, found: &Match, around: &Surroundings) -> Bug {
        let tracked = self.tracked(found, around);
        // A line of chat is read now, other notes at any time.
        let age = |tracked: &Tracked| match voice.hears {
            Hears::Lines => tracked.ago.clone(),
            Hears::Patchsets | Hears::Builds => tracked.as_of.clone(),
        };
        let places = found.evidence.iter().take(QUOTES);
        Bug {
            name: one_line(&found.bug.name),
            url: found.bug.url.as_deref().map(one_line),
            title: tracked
                .as_ref()
                .map_or_else(|| found.title.clone(), |tracked| tracked.title.clone()),
            status: tracked
                .as_ref()
                .map(|tracked| tracked.in_words(age(tracked).as_deref())),
            reviews: tracked.map(|tracked| tracked.reviews).unwrap_or_default(),
            returned: self.is_back(build, found, around),
            advice: found.advice.clone(),
            week: around.week.get(&found.fingerprint).copied().unwrap_or(0),
            evidence: places.map(|place| self.place(build, place)).collect(),
        }
    }

    fn job(&self, voice: &Voice, one: Looked<'_>, told: &[&Match], around: &Surroundings) -> Job {
        let build = one.build;
        let bug = |found: &&Match| self.bug(voice, build, found, around);
        Job {
            name: build.job.clone().unwrap_or_else(|| "A job".to_owned()),
            result: build.result.clone().unwrap_or_else(|| "FAILURE".to_owned()),
            voting: build.votes(),
            page: self.page(build),
            partial: one.verdict == Verdict::PartialLog,
            bugs: told.iter().take(BUGS).map(bug).collect(),
            more: told.len().saturating_sub(BUGS),
        }
    }

    fn page(&self, build: &Build) -> String {
        format!("{}/builds/{}", self.base_url, build.uuid)
    }

    fn place(&self, build: &Build, place: &Evidence) -> Place {
        let file = one_line(&place.file);
        let path = path_of(&file);
        let link = if self.own_logs {
            let (page, line) = (self.page(build), place.line);
            Some(format!("{page}/logs/{path}?line={line}#L{line}"))
        } else {
            let root = self.log_url(build);
            let web = root.filter(|url| url.starts_with("http://") || url.starts_with("https://"));
            web.map(|root| format!("{}/{path}", root.trim_end_matches('/')))
        };
        Place {
            file,
            line: place.line,
            quote: self.quote(place),
            link,
        }
    }

    /// One build for machines.
    fn data(&self, one: Looked<'_>, around: &Surroundings) -> Value {
        let build = one.build;
        let told = one.matches.iter().filter(|m| !m.quiet);
        let bugs: Vec<Value> = told
            .map(|m| {
                let evidence: Vec<Value> = m
                    .evidence
                    .iter()
                    .take(QUOTES)
                    .map(|p| json!({"file": p.file, "line": p.line, "excerpt": self.quote(p)}))
                    .collect();
                json!({
                    "fingerprint": m.fingerprint, "title": m.title, "bug": m.bug,
                    "hits": m.hits, "returned": self.is_back(build, m, around),
                    "evidence": evidence, "tracker": self.tracked(m, around),
                })
            })
            .collect();
        json!({
            "verdict": one.verdict, "uuid": build.uuid, "build": build.uuid, "job": build.job,
            "project": build.project, "pipeline": build.pipeline, "branch": build.branch,
            "change": build.change, "patchset": build.patchset, "commit": build.commit,
            "result": build.result, "voting": build.votes(), "page": self.page(build),
            "log_url": self.log_url(build), "bugs": bugs,
        })
    }

    /// Where the CI shows the logs; an address can hold a secret too.
    fn log_url(&self, build: &Build) -> Option<String> {
        let url = build.log_url.as_deref()?;
        Some(one_line(&self.redactor.text(url)))
    }

    /// The line that shows the match, without secrets.
    fn quote(&self, place: &Evidence) -> String {
        let line = one_line(&self.redactor.line(place));
        if line.chars().count() <= QUOTE {
            return line;
        }
        let cut: String = line.chars().take(QUOTE - 1).collect();
        format!("{cut}…")
    }
}

/// Matches of which nobody is to be told are quiet ones.
fn quieted<'m>(matches: &'m [Match], hush: &Hush) -> Cow<'m, [Match]> {
    if hush.fingerprints.is_empty() {
        return Cow::Borrowed(matches);
    }
    let quiet = |found: &Match| Match {
        quiet: found.quiet || hush.fingerprints.contains(&found.fingerprint),
        ..found.clone()
    };
    Cow::Owned(matches.iter().map(quiet).collect())
}

fn quieted_around(around: &Surroundings) -> Cow<'_, Surroundings> {
    if around.hush.fingerprints.is_empty() {
        return Cow::Borrowed(around);
    }
    let mut around = around.clone();
    for one in &mut around.builds {
        one.matches = quieted(&one.matches, &around.hush).into_owned();
    }
    Cow::Owned(around)
}

/// True when something was found of which nobody is to be told now.
fn silenced(looked: &[Looked<'_>], hush: &Hush) -> bool {
    let mut all = looked.iter().flat_map(|one| one.matches);
    all.any(|found| hush.fingerprints.contains(&found.fingerprint))
}

fn of_patchset(one: &PatchsetBuild) -> Looked<'_> {
    Looked {
        build: &one.build,
        verdict: one.verdict,
        matches: &one.matches,
    }
}

/// What a topic says of its change: `patchset/CHANGE,PATCHSET/PROJECT`.
fn topic_data(topic: &str) -> Value {
    let mut parts = topic.splitn(3, '/').skip(1);
    let (change, patchset) = parts
        .next()
        .and_then(|both| both.rsplit_once(','))
        .unwrap_or_default();
    json!({
        "topic": topic, "project": parts.next(), "change": change, "patchset": patchset,
        "builds": [],
    })
}

/// A path as it stands in an address.
fn path_of(file: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(file.len());
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
