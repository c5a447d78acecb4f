//! Beginning and ending silences.

use super::{Commander, Person, Where, is_called, plain};
use crate::note::{Answer, What, WhatKind};
use crate::state::{NewSilence, SilenceKind, StateError};
use jiff::Timestamp;

/// What a name means, or what is wrong with it.
type Meant = Result<(SilenceKind, Vec<String>), String>;

impl Commander {
    #[expect(
        clippy::too_many_arguments,
        reason = "one caller; a struct would only repeat the command"
    )]
    pub(super) fn silence(
        &self,
        what: &What,
        until: Timestamp,
        reason: Option<&str>,
        who: &Person,
        place: &Where,
        mut about: Answer,
        now: Timestamp,
    ) -> Result<String, StateError> {
        let (kind, names) = match self.meant(what, place)? {
            Ok(meant) => meant,
            Err(why) => return Ok(self.wrong(about, &why)),
        };
        for name in &names {
            let new = NewSilence {
                kind,
                what: name.clone(),
                until,
                by: who.to_string(),
                reason: reason.map(str::to_owned),
            };
            self.state.silence(&new, now)?;
        }
        about.kind = kind.as_str().into();
        about.what = plain(&names.join(", "));
        about.ends = named(what, kind);
        about.until = until.strftime("%Y-%m-%d %H:%M UTC").to_string();
        Ok(self.say("answer-silenced", &about))
    }

    pub(super) fn unsilence(
        &self,
        what: &What,
        who: &Person,
        place: &Where,
        mut about: Answer,
        now: Timestamp,
    ) -> Result<String, StateError> {
        let by = who.to_string();
        // By the name that it was begun with first: a fingerprint may be gone meanwhile.
        for one in self.state.silences(now)? {
            if one.what == what.name
                && of_kind(what, one.kind)
                && self.state.end_silence(one.id, &by, now)?
            {
                about.count += 1;
                about.kind = one.kind.as_str().into();
            }
        }
        about.what = plain(&what.name);
        if about.count > 0 {
            return Ok(self.say("answer-unsilenced", &about));
        }
        let (kind, names) = match self.meant(what, place)? {
            Ok(meant) => meant,
            Err(why) => return Ok(self.wrong(about, &why)),
        };
        for name in &names {
            about.count += self.state.unsilence(kind, name, &by, now)?;
        }
        about.kind = kind.as_str().into();
        about.what = plain(&names.join(", "));
        Ok(self.say("answer-unsilenced", &about))
    }

    fn meant(&self, what: &What, place: &Where) -> Result<Meant, StateError> {
        let name = what.name.as_str();
        if what.kind == Some(WhatKind::Project) {
            return self.project(name);
        }
        if name.eq_ignore_ascii_case("this") {
            return Ok(match place {
                Where::Chat => Err("`this` is the change that one writes on: say which".into()),
                Where::Change {
                    project, change, ..
                } => Ok((SilenceKind::Change, vec![format!("{project}#{change}")])),
            });
        }
        let rules = (self.rules)();
        let ids = rules
            .fingerprints
            .iter()
            .filter(|rule| is_called(rule, name));
        let ids: Vec<String> = match what.kind {
            Some(WhatKind::Change) => Vec::new(),
            _ => ids.map(|rule| rule.id.clone()).collect(),
        };
        let is_change = what.kind != Some(WhatKind::Bug) && self.is_change(name)?;
        Ok(match (ids.is_empty(), is_change) {
            (false, false) => Ok((SilenceKind::Fingerprint, ids)),
            (true, true) => Ok((SilenceKind::Change, vec![name.to_owned()])),
            (false, true) => Err(format!(
                "{name} is a bug and a change: write `silence bug {name} …` or `silence change {name} …`"
            )),
            (true, false) => Err(format!("I know no bug, fingerprint or change {name}")),
        })
    }

    fn is_change(&self, name: &str) -> Result<bool, StateError> {
        let (project, change) = match name.rsplit_once('#') {
            Some((project, change)) => (Some(project), change),
            None => (None, name),
        };
        let all = self.state.changes_called(change)?;
        Ok(all
            .iter()
            .any(|(of, _)| project.is_none_or(|project| project == of)))
    }

    fn project(&self, name: &str) -> Result<Meant, StateError> {
        let filter = crate::state::BuildFilter {
            project: Some(name.to_owned()),
            limit: 1,
            ..Default::default()
        };
        if self.state.builds(&filter)?.total == 0 {
            return Ok(Err(format!("I know no project {name}")));
        }
        Ok(Ok((SilenceKind::Project, vec![name.to_owned()])))
    }
}

/// True when a person who says this can mean a silence of this kind.
fn of_kind(what: &What, kind: SilenceKind) -> bool {
    match what.kind {
        None => true,
        Some(WhatKind::Bug) => kind == SilenceKind::Fingerprint,
        Some(WhatKind::Change) => kind == SilenceKind::Change,
        Some(WhatKind::Project) => kind == SilenceKind::Project,
    }
}

/// As the person named it, with the word that tells it from others of the same name.
fn named(what: &What, kind: SilenceKind) -> String {
    let word = match kind {
        SilenceKind::Change => "change",
        SilenceKind::Project => "project",
        SilenceKind::Fingerprint => "bug",
    };
    plain(&format!("{word} {}", what.name))
}
