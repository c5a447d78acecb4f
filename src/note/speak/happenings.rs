//! What is said besides verdicts: logs that came late, closed bugs that are back, outages.

use super::{Hears, Looked, Speaker, Voice, facts};
use crate::event::Verdict;
use crate::note::route::{Facts, Happening};
use crate::note::wording::{Markup, Spoken, one_line};
use crate::state::{LATE_LOG, Manner, NewNote, Outage, ReturnedBug, SeenBug, Surroundings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Speaker {
    /// What is said of a build whose verdict has changed because logs came late.
    pub(super) fn late(
        &self,
        voice: &Voice,
        one: Looked<'_>,
        around: &Surroundings,
    ) -> Option<NewNote> {
        let spoken = self.spoken(voice, one.build, &[one], around);
        if spoken.known + spoken.unknown == 0 {
            return None;
        }
        let mut data = self.data(one, around);
        data["kind"] = json!(LATE_LOG);
        Some(NewNote {
            target: voice.target.clone(),
            topic: format!("build/{}/{LATE_LOG}", one.build.uuid),
            manner: Manner::Once,
            kind: LATE_LOG.into(),
            text: self.say_line(LATE_LOG, voice, &spoken),
            json: data,
        })
    }

    /// What is said of a closed bug that a build has hit again; nothing where nobody is to be told of it.
    pub fn returned(&self, back: &ReturnedBug, seen: &SeenBug, now: Timestamp) -> Vec<NewNote> {
        let hushed = seen.hush.fingerprints.contains(&seen.found.fingerprint);
        if seen.hush.silent || hushed || seen.found.quiet {
            return Vec::new();
        }
        let around = Surroundings {
            at: now,
            bugs: BTreeMap::from_iter(seen.row.clone().map(|row| (row.name.clone(), row))),
            hush: seen.hush.clone(),
            ..Surroundings::default()
        };
        let one = Looked {
            build: &seen.build,
            verdict: Verdict::Matched,
            matches: std::slice::from_ref(&seen.found),
        };
        let facts = facts(Happening::ReturnedBug, &seen.build, one.matches.iter());
        let mut data = self.data(one, &around);
        data["kind"] = json!("returned-bug");
        data["closed_at"] = json!(back.closed_at);
        data["hit_at"] = json!(back.hit_at);
        let topic = format!("returned/{}/{}", back.bug, back.closed_at);
        let note = |voice: &Voice| {
            let mut spoken = self.spoken(voice, &seen.build, &[one], &around);
            spoken.since = Some(moment(back.closed_at));
            self.event("returned-bug", voice, &topic, &spoken, data.clone())
        };
        self.hearing(&facts).map(note).collect()
    }

    /// What is said of an outage that begins, or that is over after so long.
    pub fn outage(&self, outage: &Outage, lasted: Option<SignedDuration>) -> Vec<NewNote> {
        let kind = match lasted {
            None => "outage-begun",
            Some(_) => "outage-over",
        };
        let spoken = Spoken {
            outage: Some(one_line(&outage.text)),
            until: outage.until.map(moment),
            lasted: lasted.map(length),
            ..Spoken::default()
        };
        let facts = Facts {
            happening: Happening::Outage,
            project: None,
            bug_projects: Vec::new(),
            pipeline: None,
            branch: None,
            voting: true,
        };
        let data = json!({
            "kind": kind, "outage": outage.text, "from": outage.from, "until": outage.until,
        });
        let topic = outage_topic(outage.id, lasted.is_some());
        let note = |voice: &Voice| self.event(kind, voice, &topic, &spoken, data.clone());
        self.hearing(&facts).map(note).collect()
    }

    /// Who hears of something that belongs to no patchset.
    fn hearing<'s>(&'s self, facts: &'s Facts) -> impl Iterator<Item = &'s Voice> {
        self.voices.iter().filter(move |voice| {
            let route = voice.route.as_ref();
            voice.hears != Hears::Patchsets && route.is_none_or(|route| route.hears(facts))
        })
    }

    fn event(
        &self,
        kind: &str,
        voice: &Voice,
        topic: &str,
        spoken: &Spoken,
        mut data: Value,
    ) -> NewNote {
        data["topic"] = json!(topic);
        NewNote {
            target: voice.target.clone(),
            topic: topic.to_owned(),
            manner: Manner::Once,
            kind: kind.into(),
            text: self.say_line(kind, voice, spoken),
            json: data,
        }
    }

    fn say_line(&self, template: &str, voice: &Voice, spoken: &Spoken) -> String {
        let markup = match voice.hears {
            Hears::Lines => voice.markup,
            Hears::Patchsets | Hears::Builds => Markup::Plain,
        };
        self.wording.say(template, markup, spoken)
    }
}

/// Where the notes on an outage stand.
pub fn outage_topic(id: i64, over: bool) -> String {
    format!("outage/{id}/{}", if over { "over" } else { "begun" })
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn length(span: SignedDuration) -> String {
    match span.as_secs() / 60 {
        0 => "less than a minute".to_owned(),
        minutes @ 1..=59 => format!("{minutes} min"),
        minutes if minutes % 60 == 0 => format!("{} h", minutes / 60),
        minutes => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}
